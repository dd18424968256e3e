"""From what a build asks for to an image file that can be served: found, verified, unpacked, examined."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dib_py.base.cache import image_cache, locked
from dib_py.base.checksum import Checksum, from_published, parse_digest
from dib_py.base.download import PATIENCE, Partial, Patience
from dib_py.base.fetch import Fetched, Fetcher
from dib_py.base.image_format import compression, detect, examine, is_media, is_page, read_prefix
from dib_py.base.media import check_media, disk_name, make_disk
from dib_py.base.signature import CLEARSIGNED, require_signed, signed_text
from dib_py.base.spec import ASKED_FOR, BaseSpec, local_path
from dib_py.base.transport import Version, shown
from dib_py.base.unpack import plain_name, unpack
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings

LONGEST_LIST = 16 * 1024 * 1024  # bytes of a checksum file


@dataclass(frozen=True)
class BaseImage:
    """A whole image file that refers to no other. ``format`` is qemu's name, ``size`` the disk's in bytes, ``digest``
    ``sha256:`` of the file, ``verified`` whether a strong checksum vouches for it."""

    path: Path
    format: str
    size: int
    digest: str
    verified: bool


def obtain(spec: BaseSpec, settings: Settings, events: Events, patience: Patience = PATIENCE) -> BaseImage:
    """The base image that ``spec`` asks for, ready to be opened; BaseError if it can't be had or is none."""
    fetcher = Fetcher(settings, events, patience)
    checksum = _expected(spec, fetcher, events)
    file = local_path(spec.location)
    if file:
        fetched = _local(file, spec, checksum, fetcher)
    else:
        fetched = fetcher.fetch(spec.location, checksum, functools.partial(_refuse_no_image, spec=spec))
    _require_signature(fetched.path, spec, fetcher, events)
    try:
        path, digest = _plain(fetched, spec, settings, fetcher, events)
        image_format, size = examine(path)
    except BaseError as error:
        if file is None:
            fetcher.forget(spec.location)
            error.where = str(spec)  # where it is in the cache says nothing to anybody
        raise
    verified = checksum is not None and checksum.strong
    return BaseImage(path, image_format, size, f"sha256:{digest}", verified)


def check_local(spec: BaseSpec) -> None:
    """Raise a DibError for a file of this machine of which a glance tells that nothing can start from it.

    What is somewhere else is not asked for.
    """
    file = local_path(spec.location)
    if file is None:
        return
    _refuse_other(file, spec)
    if spec.media is not None and is_media(read_prefix(file)):
        check_media(file, spec.media)


def _expected(spec: BaseSpec, fetcher: Fetcher, events: Events) -> Checksum | None:
    """The checksum that the base must have, looked up in the publisher's file where it was not given."""
    if not spec.checksum:
        return None
    if given := parse_digest(spec.checksum):
        return given
    path = _listed(spec.checksum, fetcher)
    try:
        with path.open("rb") as opened:
            text = opened.read(LONGEST_LIST).decode(errors="replace")
    except OSError as error:
        raise BaseError(
            f"checksum {spec.checksum} is neither a digest nor a file that can be read: {error.strerror}"
        ) from error
    return from_published(_vouched_for(text, spec, fetcher, events), spec.location, spec.checksum)


def _listed(location: str, fetcher: Fetcher) -> Path:
    """A publisher's small file, of this machine or fetched; a web page in its place is not kept."""
    file = local_path(location)
    return (
        fetcher.fetch(location, check=functools.partial(_refuse_page, name=shown(location))).path
        if file is None
        else file
    )


def _refuse_page(file: Path, name: str) -> None:
    if is_page(read_prefix(file)):
        raise BaseError(f"{name} is an HTML page", hint="the mirror, or a proxy before it, answers something else")


def _vouched_for(text: str, spec: BaseSpec, fetcher: Fetcher, events: Events) -> str:
    """What the publisher signed of a checksum file; all of it where nothing is signed, or nobody's keys are known."""
    if spec.image_signature:
        return text  # the image says it for itself
    if not spec.keyring:
        if spec.source != ASKED_FOR and (spec.signature or CLEARSIGNED in text):
            events.warning(_unchecked(spec.checksum))
        return text
    signature = _listed(spec.signature, fetcher) if spec.signature else None
    return signed_text(text, signature, Path(spec.keyring), shown(spec.checksum))


def _require_signature(image: Path, spec: BaseSpec, fetcher: Fetcher, events: Events) -> None:
    """Raise BaseError unless an image whose publisher signs images is signed, as far as anybody's keys are known."""
    if not spec.image_signature:
        return
    if not spec.keyring:
        events.warning(_unchecked(spec.location))
        return
    require_signed(image, _listed(spec.image_signature, fetcher), Path(spec.keyring), str(spec))


def _unchecked(location: str) -> str:
    return f"the signature of {shown(location)} is not checked: no keyring is known for it"


def _local(file: Path, spec: BaseSpec, checksum: Checksum | None, fetcher: Fetcher) -> Fetched:
    _refuse_other(file, spec)
    if checksum and fetcher.digest(file, checksum.algorithm) != checksum.digest:
        raise BaseError(f"base image {file} does not have the checksum {checksum}")
    return Fetched(file, fetcher.digest(file, "sha256"))


def _refuse_other(file: Path, spec: BaseSpec) -> None:
    if not file.is_file():
        what = "is no file" if file.exists() else "does not exist"
        raise BaseError(f"base image {file} {what}", hint=f"asked for by {spec.source}")
    _refuse_no_image(file, spec)


def _refuse_no_image(file: Path, spec: BaseSpec) -> None:
    """Raise BaseError unless the file may be what ``spec`` asks for: an image, compressed or not, or media for one."""
    prefix = read_prefix(file)
    if compression(prefix) is not None or (spec.media and is_media(prefix)):
        return
    try:
        detect(prefix)
    except BaseError as error:
        raise BaseError(error.message, hint=error.hint, where=str(spec)) from error


def _plain(fetched: Fetched, spec: BaseSpec, settings: Settings, fetcher: Fetcher, events: Events) -> tuple[Path, str]:
    """The image itself and its sha256: the file, or what is made of it in the cache and kept there."""
    prefix = read_prefix(fetched.path)
    kind = compression(prefix)
    make: Callable[[Path], None]
    if kind is not None:
        url, name = f"unpacked:{fetched.sha256}", plain_name(fetched.path.name)
        make = functools.partial(_unpack, fetched.path, kind, events)
    elif spec.media is not None and is_media(prefix):
        url, name = disk_name(fetched.sha256, spec.media), f"{fetched.path.stem}.qcow2"
        make = functools.partial(make_disk, fetched.path, spec.media, events=events)
    else:
        return fetched.path, fetched.sha256
    with locked(image_cache(settings), url, name, events) as entry:
        if (current := entry.current()) and fetcher.digest(current[0], "sha256") == current[2]:
            return current[0], current[2]
        partial = Partial(entry.partial)
        try:
            make(partial.path)
            digest = fetcher.digest(partial.path, "sha256", called=name)
        except BaseError:
            partial.discard()
            raise
        return entry.commit(partial, Version(), digest), digest


def _unpack(source: Path, kind: str, events: Events, destination: Path) -> None:
    unpack(source, kind, destination, events)
