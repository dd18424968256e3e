"""Does an image boot, and is it what a cloud expects: boot it on a throw-away overlay, and ask it."""
