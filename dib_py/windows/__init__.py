"""Windows images, serviced offline: hives and files are edited, nothing of the guest ever runs on this machine."""
