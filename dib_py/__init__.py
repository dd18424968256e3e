"""dib-py: operating-system images from elements, without booting the guest."""

__version__ = "0.1.0"
