"""A tree of files as an ISO with UDF, as on Microsoft's own media: names may be long, in any case, of any letters."""

from __future__ import annotations

import io
from pathlib import Path

from pycdlib import PyCdlib

_NOTE = b"The files of this disc are in its UDF file system.\r\n"


def write(tree: Path, file: Path, label: str) -> None:
    """Write what is in ``tree`` to ``file``; empty directories come with it, links are followed."""
    iso = PyCdlib()
    iso.new(udf="2.60", interchange_level=3, vol_ident=label)
    try:
        iso.add_fp(io.BytesIO(_NOTE), len(_NOTE), "/README.TXT;1")
        for path in sorted(tree.rglob("*")):
            name = f"/{path.relative_to(tree).as_posix()}"
            if path.is_dir():
                iso.add_directory(udf_path=name)
            else:
                iso.add_file(str(path), udf_path=name)
        iso.write(str(file))
    finally:
        iso.close()
