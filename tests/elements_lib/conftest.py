"""A guest to run elements' scripts in: this machine's programs over a private, empty root that can be looked at."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ELEMENTS = ROOT / "elements"

# In a mount namespace of its own: /usr may be written to (an overlay), everything else is the directory's own.
ENTER = """
set -eu
mount --bind "$GUEST" "$GUEST"
mount -t overlay overlay -o "lowerdir=/usr,upperdir=$GUEST.usr,workdir=$GUEST.work" "$GUEST/usr"
mount --rbind /dev "$GUEST/dev"
mount --rbind /proc "$GUEST/proc"
mkdir -p "$GUEST/tmp/in_target.d"
mount --bind "$GUEST.hooks" "$GUEST/tmp/in_target.d"
exec chroot "$GUEST" "$@"
"""


@dataclass
class Guest:
    """``root`` is its tree, except for what is below /usr: that is in ``usr``."""

    root: Path
    variables: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("usr", "dev", "proc", "tmp", "etc", "var/lib/dpkg", "var/log", "root", "run", "opt/fake"):
            (self.root / name).mkdir(parents=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        for path in (self.usr, self.hooks, Path(f"{self.root}.work")):
            path.mkdir()
        for name in ("etc/alternatives", "etc/ld.so.cache"):  # what /usr's programs need outside of it
            source = Path("/") / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, symlinks=True)
            elif source.exists():
                shutil.copy(source, self.root / name)
        self.write("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n")
        self.write("/etc/group", "root:x:0:\n")
        for name in ("status", "diversions"):
            self.write(f"/var/lib/dpkg/{name}", "")

    @property
    def usr(self) -> Path:
        return Path(f"{self.root}.usr")

    @property
    def hooks(self) -> Path:
        """What the guest has at /tmp/in_target.d."""
        return Path(f"{self.root}.hooks")

    def path(self, name: str) -> Path:
        """Where a path of the guest is, as far as it was written."""
        name = name.lstrip("/")
        first, _, rest = name.partition("/")
        if first in ("bin", "sbin", "lib", "lib64"):
            return self.usr / first / rest
        return self.usr / rest if first == "usr" else self.root / name

    def write(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path

    def read(self, name: str) -> str:
        return self.path(name).read_text()

    def exists(self, name: str) -> bool:
        """Whether the guest has it; what it took away from /usr is a device node in the overlay."""
        path = self.path(name)
        return path.is_symlink() or (path.exists() and not path.is_char_device())

    def fake(self, program: str, script: str = "") -> None:
        """A program that writes down how it was called, and then does what ``script`` says."""
        log = f'{{ printf "%s" "{program}"; [ $# = 0 ] || printf " %s" "$@"; echo; }} >> /opt/calls\n'
        self.write(f"/opt/fake/{program}", f"#!/bin/bash\n{log}{script}\n", 0o755)

    @property
    def calls(self) -> list[str]:
        """How the fake programs were called."""
        path = self.root / "opt/calls"
        return path.read_text().splitlines() if path.exists() else []

    def merge(self, *elements: str) -> None:
        """Put elements at /tmp/in_target.d, and their commands where install-bin has them."""
        for element in elements:
            shutil.copytree(ELEMENTS / element, self.hooks, dirs_exist_ok=True)
        for command in sorted((self.hooks / "bin").glob("*")):
            self.write(f"/usr/local/bin/{command.name}", command.read_text(), 0o755)

    def run(self, *command: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a command in it, with the variables of ``environment.d`` of the merged elements."""
        environment = {
            "PATH": "/opt/fake:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LC_ALL": "C",
            "DISTRO_NAME": "debian",
            "DIB_RELEASE": "bookworm",
            "DIB_INIT_SYSTEM": "systemd",
            "ARCH": "amd64",
            **self.variables,
            **variables,
        }
        inside = f"for f in /tmp/in_target.d/environment.d/*; do [ ! -f $f ] || . $f; done; exec {shlex.join(command)}"
        result = enter(self.root, "/bin/bash", "-c", inside, environment=environment)
        if check:
            assert result.returncode == 0, result.stdout + result.stderr
        return result

    def hook(self, name: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        return self.run(f"/tmp/in_target.d/{name}", check=check, **variables)


def enter(root: Path, *command: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--mount", "--map-root-user"]
    return subprocess.run(
        [*unshare, "/bin/bash", "-c", ENTER, "bash", *command],
        env={**environment, "GUEST": str(root)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="session")
def why_no_guest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Why this machine cannot make one; empty where it can."""
    guest = Guest(tmp_path_factory.mktemp("probe") / "guest")
    result = enter(guest.root, "/bin/true", environment={"PATH": os.environ["PATH"]})
    return result.stderr.strip()


@pytest.fixture
def guest(tmp_path: Path, why_no_guest: str) -> Guest:
    if why_no_guest:
        pytest.skip(f"needs a mount namespace with an overlay: {why_no_guest}")
    return Guest(tmp_path / "guest")
