"""The names in a build's directory that are the engine's: no hook's work, and never kept with a step."""

from __future__ import annotations

DAEMON = "disk"  # the storage daemon's sockets, and the disk where no layers are kept
TREE_NAME = "mnt"  # where hooks see the guest
ELEMENTS = "elements"
INSPECTED = "inspected"  # where the host target mounts a base image to look at it
APPLIANCE = "guestfs"  # libguestfs's own temporary files
CACHES = "caches.ext4"
GUEST, UPPER, WORK = "guest", "upper", "work"  # what the guest's tree is put together from where an appliance has it
HIVES = "hives"  # copies of Windows' registry

OWN = frozenset({DAEMON, TREE_NAME, ELEMENTS, INSPECTED, APPLIANCE, CACHES, GUEST, UPPER, WORK, HIVES})
