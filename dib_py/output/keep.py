"""What becomes of an image that is in the way of a new one (``OVERWRITE_OLD_IMAGE``)."""

from __future__ import annotations

import time
from pathlib import Path

from dib_py.errors import OutputError
from dib_py.extensions import CHECKSUMS, VERDICTS


def make_room(image: Path, *, replace: bool, judged: bool = False) -> Path | None:
    """Move an existing ``image``, its checksum files and its verdict aside under DIB's dated name, which is returned.

    With ``replace`` the image stays until the new one takes its name; only what is told of it goes, as that would be
    wrong. ``judged`` says that the verdict there is the new image's already.
    """
    kinds = CHECKSUMS if judged else (*CHECKSUMS, *VERDICTS)
    told = {kind: path for kind in kinds if (path := Path(f"{image}.{kind}")).is_file()}
    if not image.exists():
        return None
    if replace:
        for path in told.values():
            path.unlink()
        return None
    aside = dated(image, time.localtime())
    if aside.exists():
        raise OutputError(f"the old image can't be moved aside: {aside} exists")
    image.rename(aside)
    for kind, path in told.items():
        path.rename(f"{aside}.{kind}")
    return aside


def dated(image: Path, when: time.struct_time) -> Path:
    """``NAME-%Y.%m.%d-%H.%M.%S.EXT``, the local time, as DIB names it."""
    return image.with_name(f"{image.stem}-{time.strftime('%Y.%m.%d-%H.%M.%S', when)}{image.suffix}")
