"""What is inside an image that nobody vouched for, and how two images differ: looked at in the appliance, never run."""
