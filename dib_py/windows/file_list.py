r"""``files.yaml``: files whose place or content depends on variables, archives, and what is to be removed.

::

    - path: C:\Program Files\App\app.conf
      content: |
        port=${DIB_APP_PORT:-80}
    - path: '%SystemRoot%\Setup\Files\app.msi'
      source: ${DIB_APP_MSI}               # of this machine, or beside files.yaml; a directory too
    - path: C:\App
      unpack: ${DIB_APP_ZIP}
    - path: C:\agent.msi
      medium: ${DIB_VIRTIO_WIN}            # an ISO, or a directory
      member: guest-agent/agent-x86_64.msi
      architecture: amd64                  # for guests of that one only
    - path: C:\Tools\tool.exe
      fetched: tool.exe                    # which a hook of extra-data.d put into $TMP_HOOKS_PATH
    - remove: C:\pagefile.sys

``access: private`` keeps a file from everybody but Administrators and SYSTEM. Text gets Windows' line ends, unless
``newlines: lf`` stands beside it, and UTF-8 without a mark, unless ``encoding`` is ``utf-8-sig`` or ``utf-16``.
"""

from __future__ import annotations

import stat
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dib_py.errors import FileError, HostError, TargetError
from dib_py.windows import placing, templating, virtio_media
from dib_py.windows.medium import Medium
from dib_py.windows.volume import Access
from dib_py.windows.yaml_node import Node, read

if TYPE_CHECKING:
    from dib_py.windows.installation import Installation

_KINDS = ("content", "source", "fetched", "unpack", "medium")
_KEYS = ("path", *_KINDS, "access", "architecture", "newlines", "encoding", "strip", "member")
_BELONGS = {"newlines": "content", "encoding": "content", "strip": "unpack", "member": "medium"}
_ARCHITECTURES = ("amd64", "x86", "arm64")
_ENCODINGS = ("utf-8", "utf-8-sig", "utf-16")
# what Windows can't do without, or keeps everybody's files in: only what is inside may be removed
_STAYING = (
    *("boot", "bootmgr", "efi", "program files", "program files (x86)", "programdata"),
    *("users", "users/default", "users/public"),
    *("windows", "windows/boot", "windows/inf", "windows/servicing", "windows/syswow64", "windows/winsxs"),
    *("windows/system32", "windows/system32/config", "windows/system32/drivers", "windows/system32/driverstore"),
)


@dataclass(frozen=True)
class Entry:
    """One entry: a ``path`` from C: and what is to be there.

    ``content`` is that of a file; else ``source`` is of this machine, or None to remove what is there. ``unpack`` means
    that the source is an archive, of whose paths the first ``strip`` names are left out; a ``member`` is that of a
    medium. An ``architecture`` is the only one that it is for.
    """

    path: str
    content: bytes | None = None
    source: Path | None = None
    unpack: bool = False
    strip: int = 0
    member: str = ""
    architecture: str = ""
    fetched: bool = False
    by_variable: bool = False  # the source is in the step's key already
    access: Access | None = None
    line: int = field(compare=False, default=0)


@dataclass(frozen=True)
class FileList:
    path: Path = field(compare=False)
    entries: tuple[Entry, ...] = ()


def parse(path: Path, variables: Mapping[str, str]) -> FileList:
    """What ``files.yaml`` asks for; FileError with the line for what is wrong, and for a source that is missing."""
    root = read(path, variables)
    return FileList(path, tuple(_entry(node, variables) for node in (() if root.is_nothing else root.sequence())))


def reads(wanted: FileList) -> Iterator[Path]:
    """What this machine brings in, but for what hooks of the same build fetch, and what variables hold the path of."""
    for entry in wanted.entries:
        if entry.source is not None and not entry.fetched and not entry.by_variable:
            yield entry.source


def needs(wanted: FileList, guest: Installation) -> int:
    return sum(_bytes(one) for one in wanted.entries if one.architecture in ("", guest.facts.architecture))


def _bytes(entry: Entry) -> int:
    """What an entry takes; nothing for a member of a medium, which is opened when its turn comes."""
    if entry.content is not None:
        return len(entry.content)
    if entry.source is None or entry.member:
        return 0
    if entry.source.is_dir():
        return sum(file.stat().st_size for file in entry.source.rglob("*") if file.is_file())
    if entry.unpack and zipfile.is_zipfile(entry.source):
        with zipfile.ZipFile(entry.source) as archive:
            return sum(member.file_size for member in archive.infolist())
    return entry.source.stat().st_size if entry.source.is_file() else 0


def apply(wanted: FileList, guest: Installation) -> None:
    for entry in wanted.entries:
        if entry.architecture not in ("", guest.facts.architecture):
            continue
        if entry.content is not None:
            placing.write(entry.content, entry.path, guest, entry.access)
        elif entry.source is None:
            guest.volume.remove(placing.in_guest(entry.path, guest))
        elif entry.unpack:
            _unpack(entry, wanted.path, guest)
        elif entry.member:
            _fetch(entry, guest)
        elif entry.source.is_dir():
            _place_tree(entry.source, entry, guest)
        elif entry.source.is_file():
            placing.place(entry.source, entry.path, guest, entry.access)
        else:
            where = f"{wanted.path}:{entry.line}"
            raise TargetError(f"there is no {entry.source.name} that a hook of extra-data.d fetched", where=where)


def _place_tree(directory: Path, entry: Entry, guest: Installation) -> None:
    for file in placing.parse(directory, {}):
        path = f"{entry.path}/{file.path}"
        if file.source.is_dir():
            guest.volume.make_directory(placing.in_guest(path, guest), entry.access or Access.PUBLIC)
        else:
            placing.place(file.source, path, guest, entry.access)


def _fetch(entry: Entry, guest: Installation) -> None:
    assert entry.source is not None
    with tempfile.TemporaryDirectory(prefix="dib-py-") as scratch, virtio_media.opened(entry.source) as medium:
        file = Path(scratch) / "file"
        medium.fetch(_found(medium, entry.member), file)
        placing.place(file, entry.path, guest, entry.access)


def _found(medium: Medium, member: str) -> str:
    """A file of a medium, by its name without regard to case; TargetError where there is none."""
    wanted = member.strip("/").casefold()
    for path in medium.paths():
        if path.strip("/").casefold() == wanted:
            return path
    raise TargetError(f"{medium.name} has no {member}")


def _unpack(entry: Entry, where: Path, guest: Installation) -> None:
    assert entry.source is not None
    with tempfile.TemporaryDirectory(prefix="dib-py-") as scratch, zipfile.ZipFile(entry.source) as archive:
        try:
            archive.extractall(scratch)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
            raise TargetError(f"{entry.source} can't be unpacked: {error}", where=f"{where}:{entry.line}") from error
        roots = [Path(scratch)]
        for _ in range(entry.strip):
            roots = [below for root in roots for below in sorted(root.iterdir()) if below.is_dir()]
        for root in roots:
            _place_tree(root, entry, guest)


# -- reading
def _entry(node: Node, variables: Mapping[str, str]) -> Entry:
    if "remove" in node.mapping():
        return Entry(_removed(node.mapping(("remove",))["remove"]), line=node.line)
    entries = node.mapping(_KEYS, needs=("path",))
    kinds = [kind for kind in _KINDS if kind in entries]
    if len(kinds) != 1:
        raise node.error(f"one of {', '.join(_KINDS)} says what is to be there, not {' and '.join(kinds) or 'none'}")
    path = placing.normal_path(entries["path"].text(), node.path, entries["path"].line)
    access = _access(entries)
    [kind] = kinds
    for key, owner in _BELONGS.items():
        if key in entries and kind != owner:
            raise entries[key].error(f"{key} goes with {owner}, not with {kind}")
    architecture = _architecture(entries)
    if kind == "content":
        content = _content(entries)
        return Entry(path, content=content, access=access, architecture=architecture, line=node.line)
    if kind == "fetched":
        source = Path(variables.get("TMP_HOOKS_PATH", "")) / entries[kind].text()
        by_variable = False
    else:
        holder = templating.holder(node.path, entries[kind].text(), variables)
        by_variable = bool(holder)
        source = _source(entries[kind], holder)
        if kind == "unpack":
            _check_archive(source, entries[kind], holder)
        elif kind == "medium":
            _check_medium(source, node, entries, holder)
    strip = entries["strip"].number(100) if "strip" in entries else 0
    return Entry(
        path,
        source=source,
        unpack=kind == "unpack",
        strip=strip,
        member=entries["member"].text() if "member" in entries else "",
        architecture=architecture,
        fetched=kind == "fetched",
        by_variable=by_variable,
        access=access,
        line=node.line,
    )


def _removed(node: Node) -> str:
    if node.text().rstrip("\\/").casefold() in ("", "c:", "%systemdrive%"):
        raise node.error("all of C: can't be removed", hint="name what is to go: C:\\pagefile.sys")
    path = placing.normal_path(node.text(), node.path, node.line)
    if path.casefold() in _STAYING:
        message = f"{node.text()} can't be removed as a whole: Windows or its users need it"
        raise node.error(message, hint="name what is to go inside of it")
    return path


def _access(entries: Mapping[str, Node]) -> Access | None:
    if "access" not in entries:
        return None
    try:
        return Access[entries["access"].text().upper()]
    except KeyError as error:
        raise entries["access"].error(f"{entries['access'].value!r} is neither public nor private") from error


def _architecture(entries: Mapping[str, Node]) -> str:
    if "architecture" not in entries:
        return ""
    found = entries["architecture"].text()
    if found not in _ARCHITECTURES:
        raise entries["architecture"].error(f"{found!r} is none of {', '.join(_ARCHITECTURES)}")
    return found


def _content(entries: Mapping[str, Node]) -> bytes:
    node = entries["content"]
    text = "" if node.is_nothing else node.text()
    encoding = entries["encoding"].text() if "encoding" in entries else "utf-8"
    if encoding not in _ENCODINGS:
        raise entries["encoding"].error(f"{encoding!r} is none of {', '.join(_ENCODINGS)}")
    newlines = entries["newlines"].text() if "newlines" in entries else "crlf"
    if newlines not in ("crlf", "lf"):
        raise entries["newlines"].error(f"{newlines!r} is neither crlf nor lf")
    lines = text.replace("\r\n", "\n")
    try:
        return (lines.replace("\n", "\r\n") if newlines == "crlf" else lines).encode(encoding)
    except UnicodeEncodeError as error:
        raise node.error(f"the text can't be stored: {error.reason}") from error


def _source(node: Node, holder: str) -> Path:
    """A file of this machine: beside the element's, or where the user's variable ``holder`` says, seen from here."""
    if not node.text():
        raise node.error("no file is named")
    source = (Path.cwd() if holder else node.path.parent.absolute()) / node.text()
    try:
        kind = source.stat().st_mode
    except OSError as error:
        message = f"{_named_by(holder)}{source} cannot be read: {error.strerror}"
        raise templating.Missing(node.path, message, line=node.line, hint=_missing_hint(node)) from error
    if not (stat.S_ISREG(kind) or stat.S_ISDIR(kind)):
        raise node.error(f"{_named_by(holder)}{source} is neither a file nor a directory")
    return source


def _named_by(holder: str) -> str:
    return f"{holder}: " if holder else ""


def _missing_hint(node: Node) -> str:
    """What to do about a file that is not there: those who take a file's default do not know its variable."""
    names = sorted(templating.names(node.path.read_bytes()))
    another = f"; {names[0]} can name another" if len(names) == 1 else ""
    return f"it is a file of this machine{another}"


def _check_archive(source: Path, node: Node, holder: str) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            for name in archive.namelist():
                placing.normal_path(name, node.path, node.line)
    except (zipfile.BadZipFile, OSError) as error:
        raise node.error(f"{_named_by(holder)}{source} is no zip archive that can be read: {error}") from error
    except FileError as error:
        raise node.error(f"{_named_by(holder)}{source}: {error.message}") from error


def _check_medium(source: Path, node: Node, entries: Mapping[str, Node], holder: str) -> None:
    if "member" not in entries:
        raise node.error("member is missing: which file of the medium?")
    try:
        with virtio_media.opened(source) as medium:
            _found(medium, entries["member"].text())
    except (HostError, TargetError) as error:
        raise entries["medium"].error(f"{_named_by(holder)}{error.message}", hint=error.hint) from error
