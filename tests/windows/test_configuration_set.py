"""Elements that are written for images, on a medium for Windows Setup: what each becomes there."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pycdlib
import pytest

from dib_py.errors import BaseError
from dib_py.windows import answer_file, iso_image, reg_file
from dib_py.windows.configuration_set import ConfigurationSet, compose
from dib_py.windows.generations import GENERATIONS
from dib_py.windows.hive import Hive, Value
from dib_py.windows.new_hive import hive
from dib_py.windows.setup_answers import SetupChoices
from tests.windows import virtio_media
from tests.windows.applying import read

SPACES = {"u": answer_file.NAMESPACE}
OURS = "$OEM$/$$/Setup/dib-py"
ANSWERS = f"""\
<unattend xmlns="{answer_file.NAMESPACE}">
  <settings pass="oobeSystem">
    <component name="Microsoft-Windows-Shell-Setup"><OOBE><HideEULAPage>true</HideEULAPage></OOBE></component>
  </settings>
  <settings pass="specialize">
    <component name="Microsoft-Windows-Deployment">
      <RunSynchronous xmlns:wcm="{answer_file.WCM}">
        <RunSynchronousCommand wcm:action="add"><Order>1</Order><Path>theirs.exe</Path></RunSynchronousCommand>
      </RunSynchronous>
    </component>
  </settings>
</unattend>
"""
FILES = {
    "registry.d/10-settings.reg": "Windows Registry Editor Version 5.00\r\n\r\n"
    "[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Test]\r\n"
    '"number"=dword:00000005\r\n"gone"=-\r\n\r\n'
    "[-HKEY_LOCAL_MACHINE\\SOFTWARE\\Unwanted]\r\n\r\n"
    '[HKEY_CURRENT_USER\\Control Panel\\Desktop]\r\n"Wallpaper"="C:\\\\w.bmp"\r\n',
    "firewall.yaml": "- {name: web, rule: {protocol: tcp, ports: 80}}\n",
    "files/Windows/System32/tool.txt": "a tool",
    "files/ProgramData/app/app.conf": "of an application",
    "firstboot.d/10-install.cmd": "echo %DIB_SECRET%\n",
    "unattend.d/10-answers.xml": ANSWERS,
}


@pytest.fixture
def element(tmp_path: Path) -> Path:
    place = tmp_path / "elements/sample"
    for name, text in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text, newline="")
    return place


@pytest.fixture
def composed(tmp_path: Path, element: Path) -> Callable[..., ConfigurationSet]:
    def compose_it(*elements: Path | str, generation: str = "2022", **variables: str) -> ConfigurationSet:
        variables = {"DIB_SECRET": "hidden", **variables}
        choices = SetupChoices(next(one for one in GENERATIONS if one.name == generation))
        declared = read(elements or (element,), variables)
        scratch = tmp_path / "scratch"
        scratch.mkdir()
        return compose(declared, choices, "amd64", scratch, variables)

    return compose_it


def lines(made: ConfigurationSet) -> list[str]:
    """The commands of the specialize pass, in their order."""
    root = ET.parse(made.tree / "Autounattend.xml").getroot()
    return [one.text or "" for one in root.findall(".//u:settings[@pass='specialize']//u:Path", SPACES)]


def prepared(made: ConfigurationSet) -> list[str]:
    """The lines of the script that Setup runs before anything else, but for their log and what follows."""
    text = (made.tree / OURS / "prepare.cmd").read_bytes().decode()
    assert text.isascii()
    return [line.partition(' >>"%~dp0log.txt" 2>&1')[0] for line in text.split("\r\n")]


def test_files_go_where_setup_copies_them_from(composed: Callable[..., ConfigurationSet]) -> None:
    tree = composed().tree
    assert (tree / "$OEM$/$$/System32/tool.txt").read_text() == "a tool"
    assert (tree / "$OEM$/$1/ProgramData/app/app.conf").read_text() == "of an application"
    assert not [path for path in tree.rglob("*") if path.name in ("SYSTEM", "SOFTWARE", "NTUSER.DAT")]


def test_keys_are_imported_under_their_running_names(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    text = (made.tree / OURS / "machine.reg").read_bytes().decode("utf-16")
    assert (
        '[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Control\\Test]\r\n"number"=dword:00000005\r\n"gone"=-' in text
    )
    assert "[-HKEY_LOCAL_MACHINE\\SOFTWARE\\Unwanted]" in text
    assert "|LPort=80|" in text  # the firewall's rule
    assert "ControlSet001" not in text
    assert "ImageState" not in text  # what only says what the guest is to be
    assert r'"%SystemRoot%\System32\reg.exe" import "%~dp0machine.reg"' in prepared(made)
    assert lines(made)[0] == r"cmd.exe /d /c %SystemRoot%\Setup\dib-py\prepare.cmd"


def test_what_is_for_users_goes_to_the_profile_of_new_ones(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    text = (made.tree / OURS / "users.reg").read_bytes().decode("utf-16")
    assert "[HKEY_USERS\\dib-py\\Control Panel\\Desktop]" in text
    told = [line for line in prepared(made) if line.startswith('"')]
    load = next(number for number, line in enumerate(told) if '" load ' in line)
    assert [line.split()[1] for line in told[load : load + 3]] == ["load", "import", "unload"]


def test_the_files_of_keys_are_what_another_program_reads(
    composed: Callable[..., ConfigurationSet], tmp_path: Path
) -> None:
    made = composed()
    empty = tmp_path / "SYSTEM"
    keys = {r"CurrentControlSet\Services\SharedAccess\Parameters\FirewallPolicy": (), r"CurrentControlSet\Control": ()}
    empty.write_bytes(hive(keys))
    text = (made.tree / OURS / "machine.reg").read_bytes().decode("utf-16")
    blocks = [block for block in text.split("\r\n\r\n") if "\\SYSTEM\\" in block]
    wanted = tmp_path / "system.reg"
    wanted.write_text("\r\n\r\n".join([reg_file.HEADER, *blocks, ""]), newline="")
    prefix = r"HKEY_LOCAL_MACHINE\SYSTEM"
    subprocess.run(["hivexregedit", "--merge", "--prefix", prefix, empty, wanted], check=True)
    assert Hive(empty).value(r"CurrentControlSet\Control\Test", "number") == Value.dword("number", 5)


def test_answers_are_setups_own_and_those_of_elements(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    file = made.tree / "Autounattend.xml"
    subprocess.run(["xmllint", "--noout", file], check=True)
    root = ET.parse(file).getroot()
    assert [one.get("pass") for one in root.findall("u:settings", SPACES)] == ["windowsPE", "specialize", "oobeSystem"]
    assert root.findtext(".//u:UseConfigurationSet", namespaces=SPACES) == "true"
    assert lines(made)[-1] == "theirs.exe"  # after the keys are there
    orders = [one.text for one in root.findall(".//u:settings[@pass='specialize']//u:Order", SPACES)]
    assert orders == [str(number + 1) for number in range(len(orders))]
    deployed = ET.parse(made.tree / OURS / "unattend.xml").getroot()
    assert [one.get("pass") for one in deployed.findall("u:settings", SPACES)] == ["specialize", "oobeSystem"]


def test_menus_have_the_language_of_the_installation(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed("windows-autounattend", "unattend", DIB_LOCALE="de-DE")
    deployed = ET.parse(made.tree / OURS / "unattend.xml").getroot()
    assert {one.text for one in deployed.iterfind(".//u:UILanguage", SPACES)} == {"de-DE"}


def test_first_boot_is_set_up_and_closed_to_users(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    assert (made.tree / "$OEM$/$$/Setup/Scripts/SetupComplete.cmd").is_file()
    scripts = made.tree / "$OEM$/$$/Setup/FirstBoot"
    assert len(list((scripts / "scripts").iterdir())) == 1
    assert "hidden" in next((scripts / "environment").iterdir()).read_text()
    assert granted(made, r"%SystemRoot%\Setup\FirstBoot") == ["S-1-5-18:(OI)(CI)F", "S-1-5-32-544:(OI)(CI)F"]


def granted(made: ConfigurationSet, place: str) -> list[str]:
    """Who is granted what of a place; nothing where it keeps what its folder gives it."""
    found = [line for line in prepared(made) if f'icacls.exe" "{place}" /inheritance:r' in line]
    assert len(found) <= 1
    return [word.removeprefix("*") for line in found for word in line.split() if word.startswith("*")]


def test_what_is_copied_has_the_access_that_it_has_in_an_image(
    composed: Callable[..., ConfigurationSet], element: Path
) -> None:
    (element / "files/App").mkdir()
    (element / "files/App/100%.txt").write_text("for everybody")
    (element / "files/Program Files/App").mkdir(parents=True)
    (element / "files/Program Files/App/app.exe").write_bytes(b"MZ")
    (element / "files/ProgramData/ssh").mkdir()
    (element / "files/ProgramData/ssh/administrators_authorized_keys").write_text("ssh-ed25519 AAAA")
    (element / "files.yaml").write_text("- {path: 'C:\\App\\secret.txt', content: hidden, access: private}\n")
    made = composed()
    public = ["S-1-5-18:(OI)(CI)F", "S-1-5-32-544:(OI)(CI)F", "S-1-1-0:(OI)(CI)RX"]
    assert granted(made, r"%SystemDrive%\App") == public
    assert granted(made, r"%SystemDrive%\App\secret.txt") == ["S-1-5-18:F", "S-1-5-32-544:F"]
    assert granted(made, r"%SystemDrive%\ProgramData\app") == public
    assert granted(made, r"%SystemDrive%\ProgramData\ssh") == ["S-1-5-18:(OI)(CI)F", "S-1-5-32-544:(OI)(CI)F"]
    for kept in (r"%SystemDrive%\Program Files\App", r"%SystemRoot%\System32\tool.txt", r"%SystemRoot%\Setup"):
        assert granted(made, kept) == []


def test_what_is_there_for_setup_only_nobody_else_reads(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    assert granted(made, r"%SystemRoot%\Setup\dib-py") == ["S-1-5-18:(OI)(CI)F", "S-1-5-32-544:(OI)(CI)F"]
    copy = granted(made, r"%SystemRoot%\ConfigSetRoot")  # of the whole medium, by Setup
    assert copy == ["S-1-5-18:(OI)(CI)F", "S-1-5-32-544:(OI)(CI)F"]
    first = [line for line in prepared(made) if "icacls.exe" in line]
    assert "ConfigSetRoot" in first[0] and "dib-py" in first[1]  # before anything else is done


def test_setup_ends_where_access_can_not_be_given(composed: Callable[..., ConfigurationSet]) -> None:
    made = composed()
    text = (made.tree / OURS / "prepare.cmd").read_bytes().decode().split("\r\n")
    after = {line: following for line, following in itertools.pairwise(text) if line.startswith('"%SystemRoot%')}
    given = [following for line, following in after.items() if "icacls.exe" in line]
    assert given == ['if not "%ERRORLEVEL%"=="0" set "CODE=3"'] * len(given)
    imported = [following.partition(" echo ")[2][:8] for line, following in after.items() if "reg.exe" in line]
    assert imported == ["reg.exe "] * 4
    assert text[-2] == "exit /b %CODE%"
    root = ET.parse(made.tree / "Autounattend.xml").getroot()
    ours = root.find(".//u:settings[@pass='specialize']//u:RunSynchronousCommand", SPACES)
    assert ours is not None and ours.findtext("u:WillReboot", namespaces=SPACES) == "OnRequest"


def test_drivers_that_fit_are_taken_with_all_their_files(
    composed: Callable[..., ConfigurationSet], tmp_path: Path
) -> None:
    media = tmp_path / "virtio-win.iso"
    virtio_media.write_iso(virtio_media.media(["2k22", "w10"]), media)
    made = composed("virtio", DIB_VIRTIO_WIN=str(media))
    assert {"viostor", "vioscsi", "NetKVM"} <= {path.name for path in (made.tree / "drivers").iterdir()}
    files = {path.name for path in (made.tree / "drivers/viostor").iterdir()}
    assert {"viostor.inf", "viostor.cat", "viostor.sys"} <= files
    text = (made.tree / "Autounattend.xml").read_text()
    assert r"<Path>E:\drivers</Path>" in text
    assert any(line.startswith("driver viostor ") for line in made.told)


def test_a_medium_without_drivers_for_that_windows_is_refused(
    composed: Callable[..., ConfigurationSet], tmp_path: Path
) -> None:
    media = tmp_path / "virtio-win.iso"
    virtio_media.write_iso(virtio_media.media(["w7"]), media)
    with pytest.raises(BaseError, match="viostor"):
        composed("virtio", DIB_VIRTIO_WIN=str(media))


def test_the_iso_has_the_tree_under_its_names(composed: Callable[..., ConfigurationSet], tmp_path: Path) -> None:
    made = composed()
    file = tmp_path / "config.iso"
    iso_image.write(made.tree, file, "DIB_CONFIG")
    image = pycdlib.PyCdlib()
    image.open(str(file))
    found = {f"{top.rstrip('/')}/{name}" for top, _, names in image.walk(udf_path="/") for name in names}
    image.close()
    expected = {f"/{path.relative_to(made.tree).as_posix()}" for path in made.tree.rglob("*") if path.is_file()}
    assert expected == found - {"/README.TXT"}
    assert "/Autounattend.xml" in found
