"""Every shell script of the elements, the library and the tools is free of what shellcheck finds."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = ROOT / "dib_py" / "lib"
pytestmark = pytest.mark.skipif(shutil.which("shellcheck") is None, reason="needs shellcheck")


def first_line(path: Path) -> str:
    with path.open("rb") as file:
        return file.readline().decode(errors="replace")


def shell_scripts(*directories: Path) -> list[Path]:
    files = (path for directory in directories for path in sorted(directory.rglob("*")) if path.is_file())
    return [path for path in files if first_line(path).startswith("#!") and "sh" in first_line(path)]


def shellcheck(*arguments: str, files: list[Path]) -> str:
    assert files
    command = ["shellcheck", "--external-sources", f"--source-path={LIBRARY}", *arguments, *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def test_scripts() -> None:
    assert shellcheck(files=shell_scripts(ROOT / "elements", ROOT / "tools", ROOT / "dib_py")) == ""


def test_environment_files() -> None:
    files = [path for path in sorted((ROOT / "elements").glob("*/environment.d/*")) if path.is_file()]
    # what one file sets another one uses
    assert shellcheck("--shell=bash", "--exclude=SC2034", files=files) == ""


def test_library() -> None:
    sourced = [path for path in sorted(LIBRARY.iterdir()) if path.is_file() and path.suffix != ".py"]
    assert shellcheck("--shell=bash", files=sourced) == ""
