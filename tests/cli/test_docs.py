"""The docs say what the table of settings and the commands are."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dib_py.cli import SUBCOMMANDS
from dib_py.cli.options import ONE_OFFS
from dib_py.cli.values import convert
from dib_py.settings import Setting, table

ROOT = Path(__file__).parents[2]


def test_the_page_of_settings_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "settings-docs", "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_page_of_settings_has_every_name() -> None:
    page = (ROOT / "docs" / "settings.rst").read_text()
    for setting in table():
        names = ONE_OFFS if setting.kind == "one-off" else (*setting.options, *setting.environment)
        for name in names:
            assert f"``{name}" in page


def test_every_variable_that_the_engine_reads_is_on_the_page_of_settings() -> None:
    page = (ROOT / "docs" / "settings.rst").read_text()
    text = "\n".join(path.read_text() for path in (ROOT / "dib_py").rglob("*.py"))
    constants = dict(re.findall(r'^([A-Z_]+) = "(\w+)"', text, re.MULTILINE))
    asked = re.findall(r"""environ(?:\.get\(|\[)(?:["'](\w+)["']|([A-Z_]+)\b)""", text)
    read = {name or constants.get(constant, "") for name, constant in asked} - {""}
    assert {"DIB_PY_KVM", "break_cmd"} <= read
    ours_and_everybodys = {"DIB_PY_BUILD", "HOME", "PATH", "TERM"}
    assert [name for name in sorted(read - ours_and_everybodys) if f"``{name}``" not in page] == []


def test_the_page_of_the_command_line_has_every_command() -> None:
    page = (ROOT / "docs" / "cli.rst").read_text()
    for name in SUBCOMMANDS:
        assert len(re.findall(rf"^    dib-py {name} ", page.partition("A subcommand is")[0], re.MULTILINE)) == 1


@pytest.mark.parametrize("setting", table(), ids=lambda setting: setting.name)
def test_every_setting_can_be_given_and_explained(setting: Setting) -> None:
    assert setting.help and not setting.help.endswith(".")
    assert setting.options or setting.environment
    assert setting.metavar or setting.choices or not setting.takes_value or setting.kind == "one-off"
    if setting.environment and setting.default not in (None, "", ()) and setting.kind in ("int", "text"):
        assert convert(setting, str(setting.default), setting.environment[0]) == setting.default
