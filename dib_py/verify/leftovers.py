"""What a build leaves in an image that every machine started from it would share, or that tells of the build's host.

Each rule looks at one kind of leftover, and says where it found it. Paths are those of the guest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from dib_py.units import MIB
from dib_py.verify.checks import File, Reader
from dib_py.windows import inspection
from dib_py.windows.answer_file import MARK

_MAC = re.compile(r"(?i)(?<![0-9a-f:])(?:[0-9a-f]{2}:){5}[0-9a-f]{2}(?![0-9a-f:])")
_NO_MACHINE = "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"
_SERVER = re.compile(r"^\s*nameserver\s+(\S+)|^\s*((?:search|domain)\s+\S.*)$", re.MULTILINE)
_LOOPBACK = re.compile(r"127\.|::1$")

# where network tools write the hardware addresses that they have met
_NETWORK = (
    ("/etc/udev/rules.d", "*net*.rules"),
    ("/etc/sysconfig/network-scripts", "ifcfg-*"),
    ("/etc/sysconfig/network", "ifcfg-*"),
    ("/etc/NetworkManager/system-connections", "*"),
    ("/etc/netplan", "*"),
    ("/etc/systemd/network", "*"),
    ("/etc/network", "*"),
)
_CACHES = (
    "/var/cache/apt",
    "/var/cache/yum",
    "/var/cache/dnf",
    "/var/cache/libdnf5",
    "/var/cache/zypp",
    "/var/cache/pacman/pkg",
    "/var/cache/apk",
    "/root/.cache",
)
_CACHE_SMALL = 1 * MIB  # bytes of them all: locks, and the names of repositories

# state that its owner makes anew for each machine, if it is not there
_STATE = (
    ("/var/lib/systemd", "random-seed"),
    ("/var/lib/systemd", "credential.secret"),
    ("/var/lib/dhcp", "*.lease*"),
    ("/var/lib/dhclient", "*.lease*"),
    ("/var/lib/NetworkManager", "*.lease"),
    ("/var/lib/NetworkManager", "secret_key"),
    ("/var/lib/cloud", "instances/*"),
    ("/root", ".bash_history"),
)

_OF_FILESYSTEM = "/lost+found"  # which mkfs makes
_EMPTY_EVENT_LOG = 69_632  # bytes: its header and one chunk
_WINDOWS = (
    ("what was written out of memory", "/", ("pagefile.sys", "hiberfil.sys", "swapfile.sys")),
    ("ssh host keys", "/ProgramData/ssh", ("ssh_host_*_key",)),
    ("caches", "/Windows/SoftwareDistribution/Download", ("*",)),
    ("temporary files", "/Windows/Temp", ("*",)),
)
_ANSWERS = "/Windows/Panther", ("unattend.xml", "Unattend/*.xml")
_SOFTWARE = "/Windows/System32/config/SOFTWARE"  # what the registry has as:
_MOUNTED = "HKLM\\SOFTWARE\\"

Rule = Callable[[Reader], Iterable[str]]


@dataclass(frozen=True)
class Leftover:
    """``kind`` is a word for all of its sort, ``where`` the path with what is wrong there."""

    kind: str
    where: str


def leftovers(reader: Reader) -> list[Leftover]:
    """All that is left in this image."""
    rules = _windows_rules(_image_state(reader)) if reader.system == "windows" else _LINUX_RULES
    return [Leftover(kind, where) for kind, rule in rules for where in rule(reader)]


def _host_keys(reader: Reader) -> Iterator[str]:
    for directory, pattern in (("/etc/ssh", "ssh_host_*_key*"), ("/etc/dropbear", "dropbear_*_host_key")):
        yield from _matching(reader, directory, pattern)


def _machine_id(reader: Reader) -> Iterator[str]:
    for path in ("/etc/machine-id", "/var/lib/dbus/machine-id"):
        if not reader.exists(path) or reader.link(path):  # a link leads to the other one
            continue
        text = _text(reader, path).strip()
        if text not in ("", "uninitialized"):
            yield f"{path}: {text}"


def _addresses(reader: Reader) -> Iterator[str]:
    for directory, pattern in _NETWORK:
        for path in _matching(reader, directory, pattern):
            lines = (line.split("#", 1)[0] for line in _text(reader, path).splitlines())
            for address in (found for line in lines for found in _MAC.findall(line)):
                if address.lower() not in _NO_MACHINE:
                    yield f"{path}: {address}"


def _logs(reader: Reader) -> Iterator[str]:
    for file in _files(reader, "/var/log"):
        if file.size and not file.path.rpartition("/")[2].startswith("README"):
            yield f"{file.path} ({file.size} bytes)"


def _caches(reader: Reader) -> Iterator[str]:
    found = {directory: sum(file.size for file in _files(reader, directory)) for directory in _CACHES}
    if sum(found.values()) > _CACHE_SMALL:
        yield from (f"{directory} ({size / MIB:.1f} MiB)" for directory, size in found.items() if size)


def _resolver(reader: Reader) -> Iterator[str]:
    if reader.exists("/etc/resolv.conf.ORIG"):
        yield "/etc/resolv.conf.ORIG"
    path = "/etc/resolv.conf"
    if not reader.exists(path) or reader.link(path):  # a link leads to what the guest itself writes
        return
    for server, search in _SERVER.findall(_text(reader, path)):
        if search or not _LOOPBACK.match(server):
            yield f"{path}: {search or f'nameserver {server}'}"


def _state(reader: Reader) -> Iterator[str]:
    for directory, pattern in _STATE:
        yield from _matching(reader, directory, pattern)


def _temporary(reader: Reader) -> Iterator[str]:
    for directory in ("/tmp", "/var/tmp"):
        for path in (f"{directory}/{name}" for name in _listing(reader, directory)):
            if not path.endswith(_OF_FILESYSTEM) or _listing(reader, path):
                yield path


def _event_logs(reader: Reader) -> Iterator[str]:
    for file in _files(reader, "/Windows/System32/winevt/Logs"):
        if file.size > _EMPTY_EVENT_LOG:
            yield f"{file.path} ({file.size} bytes)"


def _image_state(reader: Reader) -> str:
    """How far Setup or sysprep has got, from where ``dib-py inspect`` has it; empty where Windows does not say."""
    try:
        return reader.registry_text(_SOFTWARE, inspection.STATE.removeprefix(_MOUNTED), inspection.IMAGE_STATE)
    except FileNotFoundError:
        return ""


def _answers(image_state: str, reader: Reader) -> Iterator[str]:
    """Answer files but for our own that a Setup has still to read."""
    is_awaited = image_state in (inspection.GENERALIZED, inspection.SPECIALIZED)
    for path in _of_windows(*_ANSWERS)(reader):
        if not is_awaited or MARK.encode() not in reader.read(path):
            yield path


def _not_generalized(image_state: str, reader: Reader) -> Iterator[str]:
    if not inspection.is_generalized(image_state):
        found = f"is {image_state}" if image_state else "is not there"
        yield f"{_SOFTWARE}: {inspection.IMAGE_STATE} {found}: sysprep has not taken the machine's identity away"


def _of_windows(directory: str, patterns: Iterable[str]) -> Callable[[Reader], Iterator[str]]:
    def rule(reader: Reader) -> Iterator[str]:
        if directory == "/":  # the tree below it is all of the disk
            names = _listing(reader, directory)
            yield from (f"/{name}" for name in names if _matches(name, patterns))
        else:
            for file in _files(reader, directory):
                if _matches(file.path[len(directory) + 1 :], patterns):
                    yield file.path

    return rule


_LINUX_RULES: tuple[tuple[str, Rule], ...] = (
    ("ssh host keys", _host_keys),
    ("machine id", _machine_id),
    ("MAC addresses", _addresses),
    ("logs", _logs),
    ("caches", _caches),
    ("the resolver of the build", _resolver),
    ("state of a machine", _state),
    ("temporary files", _temporary),
)


def _windows_rules(image_state: str) -> tuple[tuple[str, Rule], ...]:
    return (
        *((kind, _of_windows(directory, patterns)) for kind, directory, patterns in _WINDOWS),
        ("answers of a setup", partial(_answers, image_state)),
        ("logs", _event_logs),
        ("machine id", partial(_not_generalized, image_state)),
    )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def _matching(reader: Reader, directory: str, pattern: str) -> list[str]:
    """Paths of regular files below a directory whose names from there match; none where there is no directory."""
    return [
        file.path
        for file in _files(reader, directory)
        if fnmatchcase(file.path[len(directory) + 1 :], pattern)
        or ("/" not in pattern and fnmatchcase(file.path.rpartition("/")[2], pattern))
    ]


def _files(reader: Reader, directory: str) -> list[File]:
    try:
        return reader.files(directory)
    except FileNotFoundError:
        return []


def _listing(reader: Reader, directory: str) -> list[str]:
    try:
        return reader.listing(directory)
    except FileNotFoundError:
        return []


def _text(reader: Reader, path: str) -> str:
    try:
        return reader.read(path).decode(errors="replace")
    except FileNotFoundError:  # something else than a file, which holds nothing
        return ""
