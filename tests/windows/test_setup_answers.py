"""The answers that Windows Setup is given: the disk, the edition, drivers on whatever letter."""

from __future__ import annotations

import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from dib_py.errors import UsageError
from dib_py.windows import answer_file
from dib_py.windows.generations import GENERATIONS, Generation
from dib_py.windows.setup_answers import SetupChoices, answers, commands

SERVER = next(one for one in GENERATIONS if one.name == "2022")
CLIENT = next(one for one in GENERATIONS if one.name == "11")
SPACES = {"u": answer_file.NAMESPACE, "wcm": answer_file.WCM}


def setup(choices: SetupChoices) -> ET.Element:
    root = answer_file.empty()
    answer_file.merge(root, answers(choices), "amd64")
    return root


def texts(root: ET.Element, path: str) -> list[str]:
    return [found.text or "" for found in root.findall(path, SPACES)]


def test_a_disk_for_uefi_ends_with_the_partition_that_takes_the_rest() -> None:
    root = setup(SetupChoices(SERVER))
    assert texts(root, ".//u:CreatePartition/u:Type") == ["EFI", "MSR", "Primary"]
    assert texts(root, ".//u:CreatePartition/u:Size") == ["260", "16"]
    assert texts(root, ".//u:CreatePartition/u:Extend") == ["true"]
    assert texts(root, ".//u:ModifyPartition/u:Format") == ["FAT32", "NTFS"]
    assert texts(root, ".//u:InstallTo/u:PartitionID") == ["3"]


def test_a_disk_for_a_bios_has_an_active_partition_to_start_from() -> None:
    root = setup(SetupChoices(SERVER, uefi=False))
    assert texts(root, ".//u:CreatePartition/u:Type") == ["Primary", "Primary"]
    assert texts(root, ".//u:ModifyPartition[u:Active='true']/u:PartitionID") == ["1"]
    assert texts(root, ".//u:InstallTo/u:PartitionID") == ["2"]


@pytest.mark.parametrize(
    ("edition", "key"), [("2", "/IMAGE/INDEX"), ("Windows Server 2022 SERVERSTANDARD", "/IMAGE/NAME")]
)
def test_an_edition_is_chosen_by_number_or_name(edition: str, key: str) -> None:
    root = setup(SetupChoices(SERVER, edition=edition))
    assert texts(root, ".//u:MetaData/u:Key") == [key]
    assert texts(root, ".//u:MetaData/u:Value") == [edition]


def test_without_an_edition_the_product_key_chooses() -> None:
    root = setup(SetupChoices(SERVER, product_key="AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"))
    assert root.find(".//u:InstallFrom", SPACES) is None
    assert texts(root, ".//u:ProductKey/u:Key") == ["AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"]


def test_drivers_are_looked_for_on_every_letter_but_that_of_the_disk() -> None:
    found = texts(setup(SetupChoices(SERVER, drivers="drivers")), ".//u:PathAndCredentials/u:Path")
    assert found[:2] == [r"D:\drivers", r"E:\drivers"]
    assert len(found) == len(set(found)) == 11
    assert setup(SetupChoices(SERVER)).find(".//u:DriverPaths", SPACES) is None


@pytest.mark.parametrize(("generation", "count"), [(SERVER, 0), (CLIENT, 3)])
def test_windows_11_does_not_look_for_what_virtual_machines_lack(generation: Generation, count: int) -> None:
    found = texts(setup(SetupChoices(generation)), ".//u:RunSynchronousCommand/u:Path")
    assert len(found) == count
    assert all(line.startswith(r"reg.exe add HKLM\SYSTEM\Setup\LabConfig /v Bypass") for line in found)


def test_components_and_lists_are_as_setup_wants_them(tmp_path: Path) -> None:
    root = setup(
        SetupChoices(CLIENT, edition="Windows 11 Pro", drivers="drivers", language="de-DE", keyboard="0407:00000407")
    )
    answer_file.merge(root, commands("specialize", ["one.exe", "two.exe"]), "amd64")
    file = tmp_path / "Autounattend.xml"
    file.write_bytes(answer_file.written(root))
    subprocess.run(["xmllint", "--noout", file], check=True)
    for component in root.iter(f"{{{answer_file.NAMESPACE}}}component"):
        assert component.get("processorArchitecture") == "amd64"
        assert component.get("publicKeyToken") == "31bf3856ad364e35"
    assert texts(root, ".//u:settings[@pass='specialize']//u:Order") == ["1", "2"]
    assert texts(root, ".//u:settings[@pass='specialize']//u:WillReboot") == ["OnRequest", "OnRequest"]
    assert texts(root, ".//u:settings[@pass='windowsPE']//u:WillReboot") == []
    assert texts(root, ".//u:InputLocale") == ["0407:00000407"]
    assert texts(root, ".//u:SetupUILanguage/u:UILanguage") == ["de-DE"]


@pytest.mark.parametrize("value", ["Pro\udce9", "Pro\a"])
def test_what_no_answer_file_can_hold_is_told(value: str) -> None:
    with pytest.raises(UsageError, match="DIB_WINDOWS_EDITION holds"):
        SetupChoices.of({"DIB_WINDOWS_GENERATION": "2022", "DIB_WINDOWS_EDITION": value})
