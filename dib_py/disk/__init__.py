"""The image being built: a chain of qcow2 overlays served by one storage daemon."""
