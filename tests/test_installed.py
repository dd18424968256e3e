"""Which packages a guest has: asked again only when the package manager's files changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dib_py.packages.installed import DPKG_STATUS, RPM, RPM_DATABASES, Installed
from dib_py.target import Output

STATUS = """\
Package: bash
Status: install ok installed
Architecture: amd64
Version: 5.2-2

Package: gone
Status: deinstall ok config-files
Architecture: all
Version: 1
"""


class Guest:
    """The part of a target that is asked."""

    def __init__(self, **files: str) -> None:
        self.files = dict(files)
        self.asked: list[str] = []

    def stamp(self, path: str) -> str:
        return f"of {self.files[path]}" if path in self.files else ""

    def exists(self, path: str) -> bool:
        return path in self.files

    def read(self, path: str) -> bytes:
        self.asked.append(path)
        return self.files[path].encode()

    def run(self, argv: Sequence[str], *, env: Mapping[str, str], output: Output, timeout: float) -> int:
        self.asked.append(argv[0])
        output(f"bash.x86_64 {self.files[RPM_DATABASES[1]]}\n".encode())
        return 0


def installed(guest: Guest) -> Installed:
    return Installed(guest)  # as much of a target as it takes


def test_dpkg() -> None:
    guest = Guest(**{DPKG_STATUS: STATUS})
    packages = installed(guest)
    assert packages.now() == packages.now() == {"bash:amd64": "5.2-2"}
    assert guest.asked == [DPKG_STATUS]
    guest.files[DPKG_STATUS] = STATUS.replace("5.2-2", "5.2-3")
    assert packages.now() == {"bash:amd64": "5.2-3"}
    assert guest.asked == [DPKG_STATUS] * 2


def test_rpm() -> None:
    guest = Guest(**{RPM: "", RPM_DATABASES[1]: "4.2-1"})
    packages = installed(guest)
    assert packages.now() == packages.now() == {"bash.x86_64": "4.2-1"}
    guest.files[RPM_DATABASES[1]] = "4.2-2"
    assert packages.now() == {"bash.x86_64": "4.2-2"}
    assert guest.asked == [RPM] * 2


def test_a_guest_without_either_has_none_that_are_known() -> None:
    guest = Guest()
    packages = installed(guest)
    assert packages.now() == packages.now() == {}
    guest.files[DPKG_STATUS] = STATUS  # the system came with a step
    assert packages.now() == {"bash:amd64": "5.2-2"}
