from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import BaseError, FileError
from dib_py.windows import firstboot
from dib_py.windows.hive import Value
from tests.windows.applying import Subject, subject
from tests.windows.phony import AUDIT, COMPLETE, GENERALIZED, SPECIALIZED, Guest

FIRST_BOOT = "Windows/Setup/FirstBoot"
SETUP_COMPLETE = "Windows/Setup/Scripts/SetupComplete.cmd"


def script(tmp_path: Path, name: str, text: str = "exit /b 0\n", element: str = "tools") -> Path:
    path = tmp_path / element / "firstboot.d" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def apply(one: Subject, *paths: Path, **variables: str) -> None:
    guest = one.open()
    for path in paths:
        wanted = firstboot.parse(path, variables)
        firstboot.check(wanted, guest)
        firstboot.apply(wanted, guest)
    guest.commit()


def setup_values(one: Subject) -> dict[str, object]:
    values = one.planted.hive("SYSTEM").values("Setup")
    return {name: value.number if value.type == 4 else value.text for name, value in values.items()}


def test_scripts_lie_in_their_order_where_nobody_else_can_look(tmp_path: Path) -> None:
    one = subject(tmp_path)
    apply(one, script(tmp_path, "100-last.cmd"), script(tmp_path, "20-first.ps1", "'ü'\n"), script(tmp_path, "5-a.CMD"))
    place = one.planted.file(FIRST_BOOT)
    names = sorted(path.name for path in (place / "scripts").iterdir())
    assert names == ["0005-tools-a.cmd", "0020-tools-first.ps1", "0100-tools-last.cmd"]
    assert (place / "scripts" / names[0]).read_bytes() == b"exit /b 0\r\n"
    assert (place / "scripts" / names[1]).read_bytes() == b"\xef\xbb\xbf'\xc3\xbc'\r\n"
    for path in (place, *place.rglob("*")):
        assert path.stat().st_mode & 0o777 == 0o700, path
    assert b"\r\n" in (place / "run.cmd").read_bytes()
    assert (place / "task.xml").read_text(encoding="utf-16").startswith("<?xml")


def test_a_generalized_image_runs_them_when_setup_is_through(tmp_path: Path) -> None:
    one = subject(tmp_path)
    before = one.export("SYSTEM")
    apply(one, script(tmp_path, "10-a.cmd"))
    assert "FirstBoot\\register.cmd" in one.planted.file(SETUP_COMPLETE).read_text()
    assert one.planted.file(SETUP_COMPLETE).stat().st_mode & 0o777 == 0o755
    assert one.export("SYSTEM") == before  # what is there belongs to Windows


def test_so_does_one_in_which_only_the_last_pass_is_to_come(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(image_state=SPECIALIZED))
    apply(one, script(tmp_path, "10-a.cmd"))
    assert one.planted.file(SETUP_COMPLETE).exists()
    assert setup_values(one)["CmdLine"] == r"oobe\windeploy.exe"


@pytest.mark.parametrize("state", AUDIT)
def test_audit_mode_never_gets_to_them(tmp_path: Path, state: str) -> None:
    with pytest.raises(BaseError, match="starts in audit mode"):
        apply(subject(tmp_path, Guest(image_state=state)), script(tmp_path, "10-a.cmd"))


def test_what_ran_when_setup_is_through_still_runs(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(files={SETUP_COMPLETE: b"echo theirs\r\nexit\r\n"}))
    for _ in range(2):
        apply(one, script(tmp_path, "10-a.cmd"))
    chained = one.planted.file("Windows/Setup/Scripts/SetupComplete-before-dib.cmd")
    assert chained.read_bytes() == b"echo theirs\r\nexit\r\n"
    lines = one.planted.file(SETUP_COMPLETE).read_text().splitlines()
    assert 'call "%~dp0SetupComplete-before-dib.cmd"' in lines[-1]


def test_a_complete_image_registers_them_before_it_starts_up(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(image_state=COMPLETE))
    apply(one, script(tmp_path, "10-a.cmd"))
    values = setup_values(one)
    assert values["SetupType"] == 2
    assert values["CmdLine"] == r"cmd.exe /d /c %SystemRoot%\Setup\FirstBoot\bootstrap.cmd"
    assert not one.planted.file(SETUP_COMPLETE).exists()


@pytest.mark.parametrize("state", [COMPLETE, GENERALIZED, None])
@pytest.mark.parametrize("generation", ["7", "2025"])
def test_applied_twice_nothing_changes(tmp_path: Path, generation: str, state: str | None) -> None:
    one = subject(tmp_path, Guest(generation, image_state=state, uefi=generation != "7"))
    paths = [script(tmp_path, "10-a.cmd", "echo %DIB_A%\n"), script(tmp_path, "20-b.ps1")]
    apply(one, *paths, DIB_A="1", DIB_FIRSTBOOT_TRIES="5")
    first = one.state()
    apply(one, *paths, DIB_A="1", DIB_FIRSTBOOT_TRIES="5")
    assert one.state() == first


def test_a_complete_image_that_runs_something_else_is_refused(tmp_path: Path) -> None:
    values = [Value.string("CmdLine", "other.cmd"), Value.dword("SetupType", 2)]
    one = subject(tmp_path, Guest(image_state=COMPLETE, without=(r"SYSTEM\Setup",)))
    guest = one.open()
    guest.registry.set(firstboot.SETUP, *values)
    guest.commit()
    with pytest.raises(BaseError, match=r"run a command at the next start: other.cmd"):
        apply(one, script(tmp_path, "10-a.cmd"))


def test_variables_that_a_script_names_are_handed_to_it(tmp_path: Path) -> None:
    one = subject(tmp_path)
    text = "echo %DIB_A% %DIB_B% %DIB_NOT_SET%\n"
    variables = {"DIB_A": 'a&b|c<d>e^f"g"(h) 100%', "DIB_B": "ü", "DIB_C": "no", "DIB_FIRSTBOOT_SERIAL": "com1"}
    apply(one, script(tmp_path, "10-a.cmd", text), **variables)
    place = one.planted.file(FIRST_BOOT)
    assert (place / "environment/0010-tools-a.cmd.cmd").read_bytes().decode() == (
        '@echo off\r\nchcp 65001 >nul\r\nset DIB_A=a^&b^|c^<d^>e^^f^"g^"^(h^) 100%%\r\nset DIB_B=ü\r\n'
    )
    assert (place / "settings.cmd").read_text() == '@echo off\nset "SERIAL=COM1"\n'
    apply(one, script(tmp_path, "10-a.cmd", "rem nothing\n"))
    assert not list((place / "environment").iterdir())
    assert not (place / "settings.cmd").exists()


def test_the_end_of_an_earlier_first_boot_is_forgotten(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(files={f"{FIRST_BOOT}/complete.txt": b"complete"}))
    apply(one, script(tmp_path, "10-a.cmd"))
    assert not one.planted.file(f"{FIRST_BOOT}/complete.txt").exists()


@pytest.mark.parametrize(
    ("name", "variables", "message"),
    [
        ("a.cmd", {}, "NN-name.cmd"),
        ("10-a b.cmd", {}, "NN-name.cmd"),
        ("10-.cmd", {}, "NN-name.cmd"),
        ("10-a.cmd", {"DIB_A": "x\ny"}, "value of DIB_A has a line end"),
        ("10-a.cmd", {"DIB_A": "p\udce9"}, "value of DIB_A is no UTF-8"),
        ("10-a.cmd", {"DIB_A": "x" * 8200}, "value of DIB_A is too long"),
        ("10-a.cmd", {"DIB_FIRSTBOOT_TRIES": "many"}, "DIB_FIRSTBOOT_TRIES is 'many'"),
        ("10-a.cmd", {"DIB_FIRSTBOOT_PAUSE": "9999"}, "not a number up to 3600"),
        ("10-a.cmd", {"DIB_FIRSTBOOT_SERIAL": "ttyS0"}, "not a port like COM1"),
    ],
)
def test_what_could_not_be_run_is_refused(tmp_path: Path, name: str, variables: dict[str, str], message: str) -> None:
    with pytest.raises(FileError, match=message):
        firstboot.parse(script(tmp_path, name, "echo %DIB_A%\n"), variables)


def test_a_script_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = script(tmp_path, "10-a.cmd")
    path.write_bytes(b"@echo off\necho \xff\n")
    with pytest.raises(FileError, match=r"10-a.cmd:2: is not UTF-8"):
        firstboot.parse(path, {})
