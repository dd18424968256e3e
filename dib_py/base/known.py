"""The digest of a base image, as far as it is known without asking anybody for it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from dib_py.base.cache import image_cache
from dib_py.base.checksum import file_name, parse_digest
from dib_py.base.image_format import compression, is_media, read_prefix
from dib_py.base.media import disk_name
from dib_py.base.spec import BaseSpec, local_path
from dib_py.digest import Memory
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings


def known_digest(spec: BaseSpec, settings: Settings) -> str:
    """What :attr:`BaseImage.digest` will be if the base is still what it was; empty if it never was here."""
    file = local_path(spec.location)
    cache = image_cache(settings)
    try:
        if file is None:
            file, digest = _cached(cache, spec.location, file_name(spec.location) or "download")
            given = parse_digest(spec.checksum) if spec.checksum else None
            if given and given.algorithm == "sha256" and given.digest != digest:
                return ""
        else:
            memory = Memory(cache / "base" / "digests" if cache.is_dir() else None)
            digest = memory.digests(file, ["sha256"], f"digest {file.name}", Events())["sha256"]
        prefix = read_prefix(file)
        if compression(prefix) is not None:
            _, digest = _cached(cache, f"unpacked:{digest}", "")
        elif spec.media is not None and is_media(prefix):
            _, digest = _cached(cache, disk_name(digest, spec.media), "")
        return f"sha256:{digest}"
    except (OSError, ValueError, KeyError, TypeError, BaseError):
        return ""


def _cached(cache: Path, url: str, name: str) -> tuple[Path, str]:
    """The file of an entry of the cache, and its sha256; any of the errors above where there is none."""
    directory = cache / "base" / hashlib.sha256(url.encode()).hexdigest()[:16]
    digest = str(json.loads((directory / "current.json").read_text())["sha256"])
    return directory / digest[:16] / name, digest
