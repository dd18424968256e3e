"""The store of layers: every step that succeeded, with the overlay that it wrote, so that no build does it twice."""
