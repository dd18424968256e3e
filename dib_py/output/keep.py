"""What becomes of an image that is in the way of a new one (``OVERWRITE_OLD_IMAGE``)."""

from __future__ import annotations

import time
from pathlib import Path

from dib_py.errors import OutputError
from dib_py.output.checksums import KINDS


def make_room(image: Path, *, replace: bool) -> Path | None:
    """Move an existing ``image`` and its checksum files aside under DIB's dated name, which is returned.

    With ``replace`` the image stays until the new one takes its name; only its checksum files go, as they would be
    wrong.
    """
    sums = [path for kind in KINDS if (path := Path(f"{image}.{kind}")).is_file()]
    if not image.exists():
        return None
    if replace:
        for path in sums:
            path.unlink()
        return None
    aside = dated(image, time.localtime())
    if aside.exists():
        raise OutputError(f"the old image can't be moved aside: {aside} exists")
    image.rename(aside)
    for path in sums:
        path.rename(f"{aside}{path.suffix}")
    return aside


def dated(image: Path, when: time.struct_time) -> Path:
    """``NAME-%Y.%m.%d-%H.%M.%S.EXT``, the local time, as DIB names it."""
    return image.with_name(f"{image.stem}-{time.strftime('%Y.%m.%d-%H.%M.%S', when)}{image.suffix}")
