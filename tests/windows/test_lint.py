"""What lint finds wrong with declarative files for Windows."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.lint import lint

REG = "Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"
YAML = '- key: HKLM\\SOFTWARE\\X\n  values:\n    a: {dword: "${DIB_MINE}"}\n'
UNATTEND = '<unattend xmlns="urn:schemas-microsoft-com:unattend" xmlns:dib="urn:dib-py">'


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


@pytest.mark.parametrize(
    ("name", "text", "line", "message"),
    [
        ("files.yaml", "- {path: a, when: DIB_MINE = 1, content: x, acess: private}\n", 1, "unknown key acess"),
        ("files.yaml", "- {path: a, when: DIB_MINE != 0, content: x, strip: 1}\n", 1, "strip goes with unpack"),
        ("files.yaml", "- path: a\n  when: DIB_MINE != 0\n  sorce: ${DIB_MINE}\n", 3, "unknown key sorce"),
        ("files.yaml", "- {path: a, content: '${DIB_USER}'}\n- {pth: b}\n", 2, "unknown key pth"),
        (
            "registry.d__50-a.yaml",
            "- key: HKLM\\SOFTWARE\\X\n  when: DIB_MINE = 1\n  values:\n    a: {dword: many}\n",
            4,
            "must be a number",
        ),
        (
            "registry.d__50-a.yaml",
            "- key: HKLM\\SOFTWARE\\X\n  when: DIB_MINE = many\n  values:\n    a: {dword: '${DIB_MINE}'}\n",
            4,
            "must be a number",
        ),
        ("drivers.yaml", "fetched: x\ndrivers:\n- {name: a, when: DIB_MINE = 1, bot: true}\n", 3, "unknown key bot"),
        ("firewall.yaml", "- {name: a, when: DIB_MINE = 1, rule: {protocol: tpc}}\n", 1, "'tpc' is none of"),
        (
            "unattend.d__50-a.xml",
            f'{UNATTEND}\n<settings pass="specialise" dib:when="DIB_MINE = 1"/></unattend>\n',
            2,
            "no configuration pass 'specialise'",
        ),
    ],
)
def test_what_is_wrong_below_a_condition_that_does_not_hold(
    mine: Path, name: str, text: str, line: int, message: str
) -> None:
    [(path, at, code, said)] = found(mine, **{name: text, "environment.d__10-mine": "export DIB_MINE=${DIB_MINE:-0}\n"})
    assert (path, at, code) == (name.replace("__", "/"), line, "windows-file")
    assert message in said


def test_what_a_condition_says_of_a_variable_is_heeded_below_it(mine: Path) -> None:
    text = """\
- key: HKLM\\SOFTWARE\\X
  when: DIB_MINE !=
  values:
    a: {dword: "${DIB_MINE}"}
    b: {dword: "${DIB_MINE:-}"}
    c: {dword: "0${DIB_MINE:+x}"}
- key: HKLM\\SOFTWARE\\Y
  values:
    a: {dword: "${DIB_MINE}", when: DIB_MINE = 7}
    b: {sz: "${DIB_MODE:-Fast}", allowed: [Fast, Slow], when: [DIB_MODE != Slow, DIB_MINE !=]}
"""
    given = {"environment.d__10-mine": "export DIB_MINE=${DIB_MINE:-}\nexport DIB_MODE=${DIB_MODE:-Fast}\n"}
    assert found(mine, **{"registry.d__50-mine.yaml": text}, **given) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("firewal.yaml", "firewall.yaml"),
        ("firewall.yml", "firewall.yaml"),
        ("requirements.yaml", "requires.yaml"),
        ("registry__50-a.reg", "registry.d"),
        ("unattended.d__50-a.xml", "unattend.d"),
        ("firstboot__50-a.cmd", "firstboot.d"),
        ("element-deps-windows", "element-deps.windows"),
    ],
)
def test_a_name_that_nothing_looks_for(mine: Path, name: str, meant: str) -> None:
    [(path, line, code, message)] = found(mine, **{name: "\n", "environment.d__10-mine": "\n"})
    assert (path, line, code) == (name.partition("__")[0], 1, "windows-name")
    assert f"is {meant} meant?" in message


def test_names_of_an_element_s_own_are_left_alone(mine: Path) -> None:
    given = dict.fromkeys(("tests.yaml", "variables.yaml", "notes.txt", "base-image.yaml", "static__a.yaml"), "a: b\n")
    assert found(mine, **given, **{"bcd.yaml": "", "environment.d__10-a": "", "drivers__a.inf": ""}) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("registry.d__mine.reg", REG), ("unattend.d__mine.xml", f"{UNATTEND}</unattend>"), ("firstboot.d__mine.cmd", "")],
)
def test_a_file_without_a_number(mine: Path, name: str, text: str) -> None:
    [(path, _, _, message)] = found(mine, **{name: text})
    assert path == name.replace("__", "/")
    assert "NN-name" in message


def test_hooks_beside_declarative_files(mine: Path) -> None:
    files = {"registry.d__50-mine.reg": REG, "install.d__notes": "x\n", "extra-data.d__notes": "x\n"}
    [(path, _, code, message)] = found(mine, **files)
    assert (path, code) == ("install.d", "windows-hook")
    assert "element-deps.windows" in message
    assert found(mine, **{"element-deps.windows": ""}) == []


@pytest.mark.parametrize("name", ["files.yaml", "registry.d__50-mine.yaml"])
def test_bad_yaml_is_told_once(mine: Path, name: str) -> None:
    [(path, line, code, _)] = found(mine, **{name: "- path: [\n"})
    assert (path, line, code) == (name.replace("__", "/"), 2, "yaml")
