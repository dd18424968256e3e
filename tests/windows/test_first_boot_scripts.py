"""The runner at work, in Wine: what Windows itself makes of it nobody here has seen."""

from __future__ import annotations

import re
import shutil
import struct
import time
import zipfile
from pathlib import Path

import pytest

from dib_py.errors import DibError
from dib_py.windows import firstboot, setup_script
from dib_py.windows.firstboot import SETUP_COMPLETE
from dib_py.windows.inspection import STATE
from tests.windows.applying import ELEMENTS, subject
from tests.windows.phony import GENERALIZED, Guest, program
from tests.windows.wine import Wine

pytestmark = pytest.mark.slow

RUN = r"C:\windows\Setup\FirstBoot\run.cmd"


class FirstBoot:
    """The FirstBoot directory of a phony guest, moved to where Wine's has it; scripts are NAME or ELEMENT/NAME."""

    def __init__(
        self, wine: Wine, tmp_path: Path, scripts: dict[str, str], guest: Guest | None = None, **variables: str
    ) -> None:
        self._wine = wine
        one = subject(tmp_path, guest)
        opened = one.open()
        for name, text in scripts.items():
            element, _, file = name.rpartition("/")
            path = tmp_path / (element or "tools") / "firstboot.d" / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            firstboot.apply(firstboot.parse(path, {"DIB_FIRSTBOOT_PAUSE": "0", **variables}), opened)
        self.place = wine.windows / "Setup" / "FirstBoot"
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.rmtree(self.place.with_name("Scripts"), ignore_errors=True)
        shutil.copytree(one.planted.file("Windows/Setup"), self.place.parent, dirs_exist_ok=True)

    def start(self) -> int:
        """What the task does whenever Windows starts."""
        return self._wine.script(RUN)

    def names(self, directory: str) -> list[str]:
        place = self.place / directory
        return sorted(path.name for path in place.iterdir()) if place.is_dir() else []

    def text(self, name: str) -> str:
        return (self.place / name).read_text(errors="replace").replace("\r\n", "\n")

    @property
    def complete(self) -> list[str] | None:
        path = self.place / "complete.txt"
        return [line.strip() for line in self.text("complete.txt").splitlines()] if path.exists() else None


def said(text: str) -> str:
    return f">>%DIB_FIRSTBOOT%said.txt echo {text}\n"


def test_scripts_run_once_in_order(wine: Wine, tmp_path: Path) -> None:
    first = FirstBoot(
        wine,
        tmp_path,
        {"100-c.cmd": said("c"), "9-a.cmd": said("a"), "20-b.cmd": "echo to the log\n" + said("b") + "exit 0\n"},
    )
    assert first.start() == 0
    assert first.text("said.txt").split() == ["a", "b", "c"]
    assert first.complete == ["complete"]
    assert first.names("done") == ["0009-tools-a.cmd", "0020-tools-b.cmd", "0100-tools-c.cmd"]
    assert first.names("scripts") == []
    assert "to the log" in first.text("log.txt")
    first.start()
    assert first.text("said.txt").split() == ["a", "b", "c"]


def test_what_fails_is_tried_again_and_does_not_hold_up_the_rest(wine: Wine, tmp_path: Path) -> None:
    second_time = "if exist %DIB_FIRSTBOOT%once.txt exit /b 0\necho x >%DIB_FIRSTBOOT%once.txt\nexit /b 7\n"
    first = FirstBoot(
        wine,
        tmp_path,
        {"10-bad.cmd": said("bad") + "exit 5\n", "20-late.cmd": second_time, "30-good.cmd": said("good")},
        DIB_FIRSTBOOT_TRIES="2",
    )
    first.start()
    assert first.text("said.txt").split() == ["bad", "bad", "good"]
    assert first.complete == ["complete", "failed 0010-tools-bad.cmd"]
    assert first.names("failed") == ["0010-tools-bad.cmd"]
    log = first.text("log.txt")
    assert "0010-tools-bad.cmd ended with 5" in log
    assert "0020-tools-late.cmd begins, try 2" in log


@pytest.mark.parametrize(
    ("code", "before", "after"),
    [
        (1001, ["x"], ["x", "y"]),
        (1641, ["x"], ["x", "y"]),
        (1003, ["x"], ["x", "x"]),
        (1002, ["x", "y"], ["x", "y", "x"]),
        (3010, ["x", "y"], ["x", "y"]),
    ],
)
def test_exit_codes_that_mean_a_restart(
    wine: Wine, tmp_path: Path, code: int, before: list[str], after: list[str]
) -> None:
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": said("x") + f"exit /b {code}\n", "20-y.cmd": said("y")})
    first.start()
    assert first.text("said.txt").split() == before
    assert first.complete is None
    assert ("restarts" in first.text("log.txt")) == (code in (1001, 1003, 3010))
    first.start()
    assert first.text("said.txt").split() == after
    assert (first.complete is None) == (code in (1002, 1003))


def test_what_wants_to_run_for_ever_ends(wine: Wine, tmp_path: Path) -> None:
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": "exit /b 1002\n"})
    for _ in range(20):
        assert first.complete is None
        first.start()
    assert first.complete == ["complete", "failed 0010-tools-x.cmd"]


VALUES = {
    "DIB_A": "plain words",
    "DIB_B": 'a&b|c<d>e^f"g"(h) 100% %PATH% !x! ~ # = ; , \'',
    "DIB_C": "C:\\Program Files\\x\\",
    "DIB_D": "trailing blanks  ",
}


def test_variables_arrive_as_they_are_and_are_gone_afterwards(wine: Wine, tmp_path: Path) -> None:
    text = ">%DIB_FIRSTBOOT%seen.txt set DIB_\nrem DIB_A DIB_B DIB_C DIB_D\n"
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": text, "20-y.cmd": ">%DIB_FIRSTBOOT%other.txt set DIB_\n"}, **VALUES)
    first.start()
    seen = dict(line.split("=", 1) for line in first.text("seen.txt").splitlines())
    assert {name: seen[name] for name in VALUES} == VALUES
    assert "DIB_A" not in first.text("other.txt")
    assert first.names("environment") == []


def test_nothing_runs_while_setup_does(wine: Wine, tmp_path: Path) -> None:
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": said("x")})
    key = ("HKLM\\SYSTEM\\Setup", "/v", "SystemSetupInProgress")
    wine.run("reg", "add", *key, "/t", "REG_DWORD", "/d", "1", "/f")
    runner = wine.begin(RUN)
    try:
        time.sleep(3)  # the runner needs a tenth of that where nothing holds it up
        assert first.names("done") == []
        assert runner.poll() is None
    finally:
        wine.run("reg", "add", *key, "/t", "REG_DWORD", "/d", "0", "/f")
        runner.wait(60)
    assert first.complete == ["complete"]


def test_the_bootstrap_takes_itself_back(wine: Wine, tmp_path: Path) -> None:
    FirstBoot(wine, tmp_path, {"10-x.cmd": said("x")})
    setup = "HKLM\\SYSTEM\\Setup"
    wine.run("reg", "add", setup, "/v", "SetupType", "/t", "REG_DWORD", "/d", "2", "/f")
    wine.run("reg", "add", setup, "/v", "CmdLine", "/d", "bootstrap.cmd", "/f")
    assert wine.script(r"C:\windows\Setup\FirstBoot\bootstrap.cmd") == 0
    assert "0x0" in wine.run("reg", "query", setup, "/v", "SetupType")
    assert "bootstrap.cmd" not in wine.run("reg", "query", setup, "/v", "CmdLine")


def test_setup_s_end_registers_the_task_and_goes_on_with_what_was_there(wine: Wine, tmp_path: Path) -> None:
    theirs = b">>C:\\windows\\Setup\\FirstBoot\\said.txt echo theirs\r\nexit\r\n"
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": said("x")}, Guest(files={f"Windows/{SETUP_COMPLETE}": theirs}))
    task = wine.windows / "system32" / "tasks" / "dib-firstboot"
    task.unlink(missing_ok=True)
    wine.script(rf"C:\windows\{SETUP_COMPLETE}".replace("/", "\\"))
    assert first.text("said.txt").split() == ["theirs"]
    registered = task.read_text(encoding="utf-8-sig")  # Wine keeps what it knows of a task
    assert "<Description>First-boot scripts of this image" in registered
    assert "<Priority>4</Priority>" in registered


def test_without_the_scheduler_a_service_does_it(wine: Wine, tmp_path: Path) -> None:
    first = FirstBoot(wine, tmp_path, {"10-x.cmd": said("x")})
    register = first.place / "register.cmd"
    register.write_bytes(register.read_bytes().replace(b'ping.exe" -n 6', b'ping.exe" -n 1'))
    key = r"HKLM\SYSTEM\CurrentControlSet\Services\dib-firstboot"
    scheduler = wine.windows / "system32" / "schtasks.exe"
    scheduler.rename(scheduler.with_suffix(".off"))
    try:
        wine.script(r"C:\windows\Setup\FirstBoot\register.cmd")
        service = wine.run("reg", "query", key)
    finally:
        scheduler.with_suffix(".off").rename(scheduler)
    assert re.search(r"ImagePath\s+REG_EXPAND_SZ\s+.*cmd.exe /d /c start /b .*cmd.exe /d /c .*run.cmd", service)
    assert re.search(r"Start\s+REG_DWORD\s+0x2", service)
    first.start()
    assert first.complete == ["complete"]
    with pytest.raises(DibError):
        wine.run("reg", "query", key)


def test_an_installer_that_fails_is_tried_again_and_told(wine: Wine, tmp_path: Path) -> None:
    script = (ELEMENTS / "qga" / "firstboot.d" / "40-qga.cmd").read_text()
    first = FirstBoot(wine, tmp_path, {"40-qga.cmd": script}, DIB_FIRSTBOOT_TRIES="2")
    (first.place / "files").mkdir()
    (first.place / "files" / "qemu-ga.msi").write_bytes(b"no installer at all")
    first.start()
    assert first.complete == ["complete", "failed 0040-tools-qga.cmd"]
    assert first.text("log.txt").count("ended with") == 2
    assert (first.place / "files" / "qemu-ga.msi").exists()


# -- scripts of elements, with programs in the place of Windows' own that only answer
def answering(program_file: Path, code: int) -> None:
    program_file.parent.mkdir(parents=True, exist_ok=True)
    program_file.write_bytes(program("amd64", code=b"\xb8" + struct.pack("<I", code) + b"\xc3"))  # mov eax, code; ret


def script_of(element: str, name: str, **replaced: str) -> str:
    """A script, with other programs than those of System32 that Wine has as well."""
    text = (ELEMENTS / element / "firstboot.d" / name).read_text()
    for theirs, ours in replaced.items():
        assert f"{theirs}.exe" in text
        text = text.replace(f"{theirs}.exe", f"{ours}.exe")
    return text


def test_a_key_that_is_refused_has_failed(wine: Wine, tmp_path: Path) -> None:
    answering(wine.windows / "system32" / "phony-cscript.exe", 0xC004F069)
    scripts = {"30-key.cmd": script_of("product-key", "30-product-key.cmd", cscript="phony-cscript")}
    first = FirstBoot(wine, tmp_path, scripts, DIB_FIRSTBOOT_TRIES="1", DIB_PRODUCT_KEY="A")
    first.start()
    assert first.complete == ["complete", "failed 0030-tools-key.cmd"]
    assert f"ended with {0xC004F069 - (1 << 32)}" in first.text("log.txt")


@pytest.mark.parametrize(("found", "code"), [("de-CH", 3010), ("DE-ch", 3010), ("en-US", 1)])
def test_formats_that_were_not_taken_over_are_told(wine: Wine, tmp_path: Path, found: str, code: int) -> None:
    answering(wine.windows / "system32" / "phony-rundll32.exe", 0)
    international = r"HKU\.DEFAULT\Control Panel\International"
    wine.run("reg", "add", international, "/v", "LocaleName", "/d", found, "/f")
    scripts = {"20-locale.cmd": script_of("locale", "20-locale.cmd", rundll32="phony-rundll32")}
    first = FirstBoot(wine, tmp_path, scripts, DIB_FIRSTBOOT_TRIES="1", DIB_LOCALE="de-CH")
    (first.place / "files").mkdir()
    (first.place / "files" / "locale.xml").write_text("<x/>")
    first.start()
    assert f"ended with {code}\n" in first.text("log.txt")


SYSPREP = "windows-autounattend/99-sysprep.cmd"


class Installation:
    """What Setup leaves in Wine's Windows when it was given a medium of ours."""

    def __init__(self, wine: Wine, *, code: int = 0, state: str = GENERALIZED) -> None:
        answering(wine.windows / "system32" / "Sysprep" / "sysprep.exe", code)
        wine.run("reg", "add", STATE, "/v", "ImageState", "/d", state, "/f")
        self.copy, self.ours = wine.windows / "ConfigSetRoot", wine.windows / "Setup" / "dib-py"
        for directory in (self.copy, self.ours):
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "log.txt").write_text("import has failed\r\n")

    @property
    def is_tidy(self) -> bool:
        return not self.copy.exists() and not self.ours.exists()


def with_services(element: str, name: str) -> str:
    """A script that notes what it does to services, as Wine's sc.exe knows half of it."""
    return script_of(element, name).replace('"%SYSTEM32%\\sc.exe"', 'call "%DIB_FIRSTBOOT%sc.cmd"')


def installing(wine: Wine, tmp_path: Path, *, sysprep: bool) -> FirstBoot:
    """A machine that cloudbase-init is installed on, with what notes the services."""
    answering(wine.prefix / "drive_c/Program Files/Cloudbase Solutions/Cloudbase-Init/Python/python.exe", 0)
    scripts = {
        "cloudbase-init/70-cloudbase-init.cmd": with_services("cloudbase-init", "70-cloudbase-init.cmd"),
        SYSPREP: with_services("windows-autounattend", "99-sysprep.cmd"),
    }
    first = FirstBoot(wine, tmp_path, scripts, DIB_WINDOWS_SYSPREP=str(int(sysprep)))
    (first.place / "sc.cmd").write_text('@>>"%~dp0sc.txt" echo %*\n')
    return first


def test_services_wait_for_a_machine_that_is_made_from_the_image(wine: Wine, tmp_path: Path) -> None:
    installed = Installation(wine)
    first = installing(wine, tmp_path, sysprep=True)
    first.start()
    assert first.text("sc.txt").splitlines() == ["config cloudbase-init start= demand"]
    assert installed.is_tidy and first.complete is None
    assert f"the state is {GENERALIZED}" in first.text("log.txt")
    assert "import has failed" in first.text("log.txt")
    answering(wine.windows / "system32" / "Sysprep" / "sysprep.exe", 1)  # it must not be run again
    first.start()
    told = [line.replace('"', "") for line in first.text("sc.txt").splitlines()]
    assert told[1:] == ["config cloudbase-init start= auto", "start cloudbase-init"]
    assert first.complete == ["complete"]
    assert not (first.place / "services.txt").exists()


def test_without_sysprep_services_start_at_once(wine: Wine, tmp_path: Path) -> None:
    installed = Installation(wine)
    first = installing(wine, tmp_path, sysprep=False)
    first.start()
    assert first.text("sc.txt").splitlines() == ["config cloudbase-init start= auto", "start cloudbase-init"]
    assert installed.is_tidy and first.complete == ["complete"]


@pytest.mark.parametrize(
    ("code", "state"), [(0x80073CF2, GENERALIZED), (5, GENERALIZED), (0, "IMAGE_STATE_UNDEPLOYABLE")]
)
def test_a_sysprep_that_did_not_generalize_has_failed(wine: Wine, tmp_path: Path, code: int, state: str) -> None:
    installed = Installation(wine, code=code, state=state)
    scripts = {SYSPREP: script_of("windows-autounattend", "99-sysprep.cmd")}
    first = FirstBoot(wine, tmp_path, scripts, DIB_FIRSTBOOT_TRIES="2", DIB_WINDOWS_SYSPREP="1")
    first.start()
    assert first.complete == ["complete", "failed 0099-windows-autounattend-sysprep.cmd"]
    assert first.text("log.txt").count("ended with") == 2
    assert not installed.copy.exists()


def test_a_restart_that_is_due_comes_before_sysprep(wine: Wine, tmp_path: Path) -> None:
    Installation(wine)
    scripts = {"10-x.cmd": "exit /b 3010\n", SYSPREP: script_of("windows-autounattend", "99-sysprep.cmd")}
    first = FirstBoot(wine, tmp_path, scripts, DIB_WINDOWS_SYSPREP="1")
    first.start()
    assert not (first.place / "sysprep-begun.txt").exists()
    assert "restarts" in first.text("log.txt")
    first.start()
    assert (first.place / "sysprep-begun.txt").exists()


@pytest.mark.parametrize(
    ("answer", "is_copied", "code"), [(0, False, 0), (0, True, 0), (5, True, 3), (0x80070005, False, 3)]
)
def test_setup_is_ended_where_access_can_not_be_given(wine: Wine, answer: int, is_copied: bool, code: int) -> None:
    answering(wine.windows / "system32" / "phony-icacls.exe", answer)
    place = wine.prefix / "drive_c" / "ours"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    imports = ['reg.exe import "%~dp0missing.reg"', 'reg.exe import "%~dp0there.reg"']
    copy = wine.windows / "ConfigSetRoot"
    shutil.rmtree(copy, ignore_errors=True)
    if is_copied:
        copy.mkdir()
    (place / "prepare.cmd").write_bytes(setup_script.script(["phony-icacls.exe x"], imports))
    (place / "there.reg").write_bytes("Windows Registry Editor Version 5.00\r\n\r\n".encode("utf-16"))
    assert wine.script(r"C:\ours\prepare.cmd") == code
    failed = [line for line in (place / "log.txt").read_text().splitlines() if line.strip().endswith("has failed")]
    assert len(failed) == 1 and "missing.reg" in failed[0]


@pytest.mark.parametrize(("answer", "code"), [(0, 1), (1, 2), (0xC0000005, 2)])
def test_setup_is_told_to_restart_and_go_on_or_to_run_it_again(
    wine: Wine, tmp_path: Path, answer: int, code: int
) -> None:
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.writestr("bin/OpenStackService.exe", "x")
    one = subject(tmp_path)
    one.apply("cloudbase-init", DIB_CLOUDBASE_INIT_ZIP=str(tmp_path / "c.zip"), DIB_CLOUDBASE_INIT_SPECIALIZE="1")
    cloudbase = Path("Program Files/Cloudbase Solutions/Cloudbase-Init")
    shutil.copytree(one.planted.file(str(cloudbase)), wine.prefix / "drive_c" / cloudbase, dirs_exist_ok=True)
    answering(wine.prefix / "drive_c" / cloudbase / "Python" / "python.exe", answer)
    answers = one.planted.file("Windows/Panther/unattend.xml").read_text()
    command = re.search(r"<Path>(.*specialize.*)</Path>", answers)
    assert command is not None
    caller = wine.prefix / "drive_c" / "caller.cmd"
    caller.write_text(f"@echo off\n{command[1]}\nexit /b %ERRORLEVEL%\n")
    assert wine.script(r"C:\caller.cmd") == code
