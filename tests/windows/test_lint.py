"""What lint finds wrong with declarative files for Windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.lint import lint

REG = "Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"
YAML = '- key: HKLM\\SOFTWARE\\X\n  values:\n    a: {dword: "${DIB_MINE}"}\n'


def found(directory: Path, **files: str) -> list[tuple[str, int, str, str]]:
    """File, line, code and message for an element with these files (__ for a slash)."""
    element = directory / "mine"
    for name, text in files.items():
        path = element / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    findings = lint([element]).findings
    return [(str(one.path.relative_to(element)), one.line, one.code, one.message) for one in findings]


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.rst").write_text("====\nmine\n====\n\nDoes it.\n")
    return tmp_path


def test_a_good_element(mine: Path) -> None:
    files = {
        "registry.d__50-mine.reg": f'{REG}"a"="${{DIB_MINE}}"\n',
        "environment.d__10-mine": "export DIB_MINE=${DIB_MINE:-x}\n",
        "firstboot.d__50-mine.cmd": "echo %DIB_OTHER%\r\n",
        "element-deps.windows": "",
    }
    assert found(mine, **files) == []


def test_a_bad_line(mine: Path) -> None:
    [(path, line, code, _)] = found(mine, **{"registry.d__50-mine.reg": f"{REG}nonsense\n"})
    assert (path, line, code) == ("registry.d/50-mine.reg", 4, "windows-file")


def test_a_default_that_can_not_be(mine: Path) -> None:
    files = {
        "registry.d__50-mine.yaml": YAML,
        "environment.d__10-mine": ': "${DIB_MINE:=many}"\nexport DIB_MINE\n',
    }
    [(path, line, code, _)] = found(mine, **files)
    assert (path, line, code) == ("registry.d/50-mine.yaml", 3, "windows-file")


def test_a_variable_without_default_is_the_users(mine: Path) -> None:
    assert found(mine, **{"registry.d__50-mine.yaml": YAML}) == []


def test_a_file_of_no_kind(mine: Path) -> None:
    [(path, _, code, message)] = found(mine, **{"unattend.d__50-mine.txt": ""})
    assert (path, code) == ("unattend.d/50-mine.txt", "windows-file")
    assert "files that end with .xml" in message


def test_a_dependency_that_nobody_knows(mine: Path) -> None:
    [(path, line, code, message)] = found(mine, **{"element-deps.windows": "windows\nwindosw\n"})
    assert (path, line, code) == ("element-deps.windows", 2, "windows-dependency")
    assert "did you mean windows" in message


def test_files_beside_hooks_are_not_looked_at(mine: Path) -> None:
    files = {"files__nul": "", "install.d__50-mine": "#!/bin/bash\nset -euo pipefail\ncat files/nul\n"}
    assert [finding for finding in found(mine, **files) if finding[2].startswith("windows")] == []
