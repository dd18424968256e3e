"""Checksum files beside an image: DIB's names and the format of md5sum and sha256sum."""

from __future__ import annotations


def checksum_line(digest: str, given: str) -> str:
    """One line of a checksum file; ``given`` is the image's path as the user gave it."""
    return f"{digest}  {given}\n"
