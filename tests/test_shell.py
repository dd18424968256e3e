"""Every shell file of the project passes shellcheck: elements, the hooks' library, tools and what runs in guests."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHELLS = ("sh", "bash")
# SC1091: hooks source what is there only while they run
ARGUMENTS = ("--external-sources", "--source-path=dib_py/lib", "--exclude=SC1091", "--format=gcc")


def tracked() -> Iterator[Path]:
    """Files of the project; the sample elements of the tests are wrong on purpose."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    for name in listed.rstrip("\0").split("\0"):
        path = ROOT / name
        if not name.startswith("tests/elements/") and path.is_file() and not path.is_symlink():
            yield path


def shell_of(path: Path) -> str | None:
    """The shell that reads a file: what its first line says, or bash for what is sourced by it."""
    with path.open("rb") as file:
        first = file.readline(100).decode(errors="replace")
    words = first.removeprefix("#!").replace("/", " ").split()
    if first.startswith("#!"):
        return next((word for word in words if word in SHELLS), None)
    if path.parent.name == "environment.d" or path.suffix == ".bash":
        return "bash"
    return None


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="needs shellcheck")
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the project's repository")
@pytest.mark.parametrize("shell", SHELLS)
def test_shellcheck(shell: str) -> None:
    files = [str(path.relative_to(ROOT)) for path in tracked() if shell_of(path) == shell]
    assert files
    checked = subprocess.run(
        ["shellcheck", "--shell", shell, *ARGUMENTS, *files], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert checked.stdout == ""
    assert checked.returncode == 0
