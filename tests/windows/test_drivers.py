r"""Drivers in phony guests: what is in hives and on the volume afterwards, read by other programs.

The expected exports are typed from the published descriptions of what ``DISM /Add-Driver``, virt-v2v and distrobuilder
leave in an image, not from what the engine wrote.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from dib_py import process
from dib_py.errors import BaseError, FileError, HostError
from dib_py.windows.drivers import Drivers, parse, reads
from dib_py.windows.hive import Value
from tests.windows import virtio_media
from tests.windows.applying import Subject, read, subject
from tests.windows.phony import Case, Guest

STORAGE = "{4d36e97b-e325-11ce-bfc1-08002be10318}"
LABEL = r"viostor\.inf_amd64_[0-9a-f]{16}"


@pytest.fixture(scope="module")
def virtio_win(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory, which is opened faster than an ISO, with what these tests ask for."""
    generations = ["w7", "2k12", "2k12R2", "2k16", "2k19", "2k22", "w11"]
    return virtio_media.write_directory(virtio_media.media(generations), tmp_path_factory.mktemp("media"))


def key(export: str, path: str) -> dict[str, str]:
    """The values of one key in a text of regedit, each in the spelling of the text."""
    for block in export.split("\n\n"):
        lines = block.replace("\\\n", "").strip().splitlines()
        if lines and lines[0].casefold() == f"[{path}]".casefold():
            return dict(line.split("=", 1) for line in lines[1:])
    raise AssertionError(f"{path} is not there")


def text(value: str) -> str:
    """The text of a string in a text of regedit, whose units are hexadecimal bytes."""
    kind, _, digits = value.partition(":")
    assert kind in ("hex(1)", "hex(2)", "hex(7)"), value
    return bytes.fromhex(digits.replace(",", "")).decode("utf-16-le").rstrip("\0").replace("\0", ";")


def content(guest: Subject) -> dict[str, bytes]:
    """Every file of the guest, byte for byte, hives as well."""
    root = guest.planted.system
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def label(export: str) -> str:
    return re.findall(rf"\\DriverPackages\\({LABEL})\]", export)[0]


def test_storage_is_armed_in_every_control_set_that_may_be_started(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022", control_set=2, default_control_set=3))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("SYSTEM")
    for control_set in ("ControlSet002", "ControlSet003"):
        for name, bus in (("viostor", "00000001"), ("vioscsi", "0000000a")):
            service = key(export, rf"SYSTEM\{control_set}\Services\{name}")
            assert (service['"Type"'], service['"Start"'], service['"ErrorControl"']) == (
                *("dword:00000001", "dword:00000000", "dword:00000001"),
            )
            assert text(service['"Group"']) == "SCSI miniport"
            assert service['"ImagePath"'].startswith("hex(2):")
            assert text(service['"ImagePath"']) == rf"system32\drivers\{name}.sys"
            assert service['"Tag"'] == "dword:00000021"
            assert text(service['"Owners"']) == f"oem-{name}.inf"
            parameters = rf"SYSTEM\{control_set}\Services\{name}\Parameters"
            assert key(export, parameters) == {'"BusType"': f"dword:{bus}"}
            assert key(export, rf"{parameters}\PnpInterface") == {'"5"': "dword:00000001"}
            events = key(export, rf"SYSTEM\{control_set}\Services\EventLog\System\{name}")
            assert text(events['"EventMessageFile"']) == r"%SystemRoot%\System32\IoLogMsg.dll"
            assert events['"TypesSupported"'] == "dword:00000007"
    assert "ControlSet001" not in export


def test_the_driver_database_has_what_dism_leaves_there(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("SYSTEM")
    database, package = r"SYSTEM\DriverDatabase", label(export)
    for id, rank in {
        "VEN_1AF4&DEV_1001": "02",
        "VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00": "01",
        "VEN_1AF4&DEV_1042": "02",
        "VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01": "01",
    }.items():
        found = key(export, rf"{database}\DeviceIds\PCI\{id}")
        assert found['"oem-viostor.inf"'] == f"hex(3):{rank},ff,00,00"
        descriptor = key(export, rf"{database}\DriverPackages\{package}\Descriptors\PCI\{id}")
        assert {name: text(value) for name, value in descriptor.items()} == {
            '"Configuration"': "scsi_inst",
            '"Description"': "%device.devicedesc%",
            '"Manufacturer"': "%vendor%",
        }
    assert key(export, rf"{database}\DeviceIds\{STORAGE}")['"oem-viostor.inf"'] == "hex(0):"
    files = key(export, rf"{database}\DriverInfFiles\oem-viostor.inf")
    assert {name: text(value) for name, value in files.items()} == {
        "@": package,
        '"Active"': package,
        '"Configurations"': "scsi_inst",
    }
    assert files["@"].startswith("hex(7):") and files['"Active"'].startswith("hex(1):")
    about = key(export, rf"{database}\DriverPackages\{package}")
    assert about['"Version"'] == (  # as a real Windows has it for this class, date and version
        "hex(3):00,ff,09,00,00,00,00,00,7b,e9,36,4d,25,e3,ce,11,bf,c1,08,00,2b,e1,03,18,"
        "00,c0,97,8c,0f,e7,d7,01,fc,53,68,00,5a,00,64,00,00,00,00,00,00,00,00,00"
    )
    assert (about['"SignerScore"'], about['"StatusFlags"']) == ("dword:0d000005", "dword:00000012")
    assert {name: text(about[f'"{name}"']) for name in ("Catalog", "InfName", "OemPath", "Provider", "SignerName")} == {
        "Catalog": "viostor.cat",
        "InfName": "viostor.inf",
        "OemPath": r"C:\Program Files\Virtio-Win\viostor",
        "Provider": "Red Hat, Inc.",
        "SignerName": "Microsoft Windows Hardware Compatibility Publisher",
    }
    assert text(about["@"]) == "oem-viostor.inf"
    stored = guest.planted.file(f"Windows/System32/DriverStore/FileRepository/{package}")
    size = sum(file.stat().st_size for file in stored.iterdir())
    assert about['"FileSize"'] == "hex(b):" + ",".join(f"{byte:02x}" for byte in struct.pack("<Q", size))
    configuration = rf"{database}\DriverPackages\{package}\Configurations\scsi_inst"
    assert key(export, configuration)['"ConfigFlags"'] == "dword:00000000"
    assert key(export, configuration)['"ConfigScope"'] == "dword:00000007"
    assert text(key(export, configuration)['"Service"']) == "viostor"
    interrupts = rf"{configuration}\Device\Interrupt Management"
    assert key(export, rf"{interrupts}\MessageSignaledInterruptProperties") == {
        '"MSISupported"': "dword:00000001",
        '"MessageNumberLimit"': "dword:00000100",
    }
    assert key(export, rf"{interrupts}\Affinity Policy") == {'"DevicePolicy"': "dword:00000005"}
    assert key(export, rf"{configuration}\Services\viostor\Parameters") == {'"BusType"': "dword:00000001"}
    strings = key(export, rf"{database}\DriverPackages\{package}\Strings")
    assert text(strings['"vendor"']) == "Red Hat, Inc."


def test_nothing_else_of_the_hives_is_touched(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path)
    hives = ("SYSTEM", "SOFTWARE", "DRIVERS")
    before = {block for name in hives for block in guest.export(name).split("\n\n")}
    guest.apply(element(tmp_path, f"source: {virtio_win}\nstage: Virtio\ndrivers: [viostor]\n"))
    system = guest.export("SYSTEM")
    after = {block for name in hives for block in guest.export(name).split("\n\n")}
    package = rf"DriverDatabase\DriverPackages\{label(system)}"
    names = {"1001": "SUBSYS_00021AF4&REV_00", "1042": "SUBSYS_11001AF4&REV_01"}
    ids = [f"VEN_1AF4&DEV_{name}{rest}" for name, exact in names.items() for rest in ("", f"&{exact}")]
    interrupts = rf"{package}\Configurations\scsi_inst\Device\Interrupt Management"
    locked = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles"
    assert {block.strip().splitlines()[0][1:-1] for block in after - before} == {
        rf"{locked}\%SystemRoot%/System32/drivers/viostor.sys",
        r"SYSTEM\ControlSet001\Services\EventLog\System\viostor",
        r"SYSTEM\ControlSet001\Services\viostor",
        r"SYSTEM\ControlSet001\Services\viostor\Parameters",
        r"SYSTEM\ControlSet001\Services\viostor\Parameters\PnpInterface",
        r"SYSTEM\DriverDatabase",
        rf"SYSTEM\DriverDatabase\DeviceIds\{STORAGE}",
        *(rf"SYSTEM\DriverDatabase\DeviceIds\PCI\{id}" for id in ids),
        r"SYSTEM\DriverDatabase\DriverInfFiles\oem-viostor.inf",
        rf"SYSTEM\{package}",
        rf"SYSTEM\{package}\Configurations",
        rf"SYSTEM\{package}\Configurations\scsi_inst",
        rf"SYSTEM\{package}\Configurations\scsi_inst\Device",
        rf"SYSTEM\{interrupts}",
        rf"SYSTEM\{interrupts}\Affinity Policy",
        rf"SYSTEM\{interrupts}\MessageSignaledInterruptProperties",
        rf"SYSTEM\{package}\Configurations\scsi_inst\Services",
        rf"SYSTEM\{package}\Configurations\scsi_inst\Services\viostor",
        rf"SYSTEM\{package}\Configurations\scsi_inst\Services\viostor\Parameters",
        rf"SYSTEM\{package}\Configurations\scsi_inst\Services\viostor\Parameters\PnpInterface",
        rf"SYSTEM\{package}\Descriptors",
        rf"SYSTEM\{package}\Descriptors\PCI",
        *(rf"SYSTEM\{package}\Descriptors\PCI\{id}" for id in ids),
        rf"SYSTEM\{package}\Strings",
    }
    assert {block.strip().splitlines()[0] for block in before - after} == {r"[SYSTEM\DriverDatabase]"}


def test_a_driver_that_is_started_later_has_its_service_and_framework(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2019"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("SYSTEM")
    service = key(export, r"SYSTEM\ControlSet001\Services\VirtioSerial")
    assert (service['"Start"'], text(service['"ImagePath"'])) == (
        *("dword:00000003", r"\SystemRoot\System32\drivers\vioser.sys"),
    )
    assert text(service['"DisplayName"']) == "@oem-vioser.inf,%Device.Service%;VirtIO vioser Service"
    framework = key(export, r"SYSTEM\ControlSet001\Services\VirtioSerial\Parameters\Wdf")
    assert text(framework['"KmdfLibraryVersion"']) == "1.15"
    package = re.findall(r"\\DriverPackages\\(vioser\.inf_amd64_[0-9a-f]{16})\]", export)[0]
    assert key(export, rf"SYSTEM\DriverDatabase\DriverPackages\{package}")['"SignerScore"'] == "dword:0d000004"
    scope = key(export, rf"SYSTEM\DriverDatabase\DriverPackages\{package}\Configurations\Device_Install.NT")
    assert scope['"ConfigScope"'] == "dword:00000107"


def test_cards_that_windows_starts_without_are_only_announced(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("DRIVERS")
    for inf, id, rank in (
        ("oem-netkvm.inf", "VEN_1AF4&DEV_1041", "02,ff"),
        ("oem-viogpudo.inf", "VEN_1AF4&DEV_1050&SUBSYS_11001AF4&REV_01", "01,f9"),
    ):
        assert key(export, rf"DRIVERS\DriverDatabase\DeviceIds\PCI\{id}")[f'"{inf}"'] == f"hex(3):{rank},00,00"
        assert set(key(export, rf"DRIVERS\DriverDatabase\DriverInfFiles\{inf}")) == {"@", '"Active"'}
    assert "Descriptors" not in export and "Configurations" not in export
    system = guest.export("SYSTEM")
    assert "netkvm" not in system and "VioGpuDod" not in system
    assert not guest.planted.file("Windows/System32/drivers/netkvm.sys").exists()


def test_windows_2012_has_one_driver_database(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2012"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    assert not guest.planted.hive_file("DRIVERS").exists()
    found = key(guest.export("SYSTEM"), r"SYSTEM\DriverDatabase\DeviceIds\PCI\VEN_1AF4&DEV_1000")
    assert found['"oem-netkvm.inf"'] == "hex(3):02,ff,00,00"


def test_numbers_of_inf_files_that_are_taken_stay_taken(tmp_path: Path, virtio_win: Path) -> None:
    later = 140_000_000_000_000_000  # of the year 2044, after any driver of the medium
    values = [Value.binary("OemInfMap", b"\x60\x01"), Value.binary("UpdateDate", struct.pack("<Q", later))]
    guest = subject(tmp_path, Guest("2022", extra={"SYSTEM": {"DriverDatabase": values}}))
    hive = guest.planted.hive("SYSTEM")
    hive.set("DriverDatabase", values)
    hive.commit()
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    database = guest.planted.hive("SYSTEM").values("DriverDatabase")
    assert database["OemInfMap"].data == b"\xe0\x01"
    assert database["UpdateDate"].number == later


def test_files_are_where_windows_loads_them_and_where_it_looks_for_more(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022", case=Case.MIXED))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    windows = guest.open().volume
    package = virtio_media.package(virtio_media.DRIVERS[0], "2k22", "amd64")
    [stored] = [name for name in windows.names("/Windows/System32/DriverStore/FileRepository") if "viostor" in name]
    assert windows.names(f"/Windows/System32/DriverStore/FileRepository/{stored}") == [
        *("viostor.cat", "viostor.inf", "viostor.sys"),
    ]
    for path in (
        "/Windows/System32/drivers/viostor.sys",
        f"/Windows/System32/DriverStore/FileRepository/{stored}/viostor.sys",
        "/Program Files/Virtio-Win/viostor/viostor.sys",
    ):
        assert windows.read(path) == package["viostor.sys"]
    assert windows.read("/Windows/INF/oem-viostor.inf") == package["viostor.inf"]
    assert "blnsvr.exe" in windows.names("/Program Files/Virtio-Win/Balloon")
    stage = "/Program Files/Virtio-Win"
    staged = [name for driver in windows.names(stage) for name in windows.names(f"{stage}/{driver}")]
    assert not [name for name in staged if name.endswith(".pdb") or name.startswith("vioprot")]
    everything = [path.name.casefold() for path in guest.planted.system.rglob("*")]
    assert everything.count("windows") == 2  # the system root, and the directory of the users' settings


def test_only_plug_and_play_may_replace_files(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    path = r"SOFTWARE\Microsoft\Windows\CurrentVersion\Setup\PnpLockdownFiles\%SystemRoot%/System32/drivers/viostor.sys"
    locked = key(guest.export("SOFTWARE"), path)
    assert locked['"Class"'] == "dword:00000004"
    assert text(locked['"Owners"']) == "oem-viostor.inf"
    assert re.fullmatch(
        rf"%SystemRoot%\\System32\\DriverStore\\FileRepository\\{LABEL}\\viostor\.sys", text(locked['"Source"'])
    )


def test_windows_7_looks_its_disk_up_among_critical_devices(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("7", uefi=False))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("SYSTEM")
    for service, id in (
        ("viostor", "PCI#VEN_1AF4&DEV_1001&REV_00"),
        ("viostor", "PCI#VEN_1AF4&DEV_1001&SUBSYS_00021AF4&REV_00"),
        ("viostor", "PCI#VEN_1AF4&DEV_1042&REV_01"),
        ("viostor", "PCI#VEN_1AF4&DEV_1042&SUBSYS_11001AF4&REV_01"),
        ("vioscsi", "PCI#VEN_1AF4&DEV_1004&SUBSYS_00081AF4&REV_00"),
        ("vioscsi", "PCI#VEN_1AF4&DEV_1048&SUBSYS_11001AF4&REV_01"),
    ):
        found = key(export, rf"SYSTEM\ControlSet001\Control\CriticalDeviceDatabase\{id}")
        assert {name: text(value) for name, value in found.items()} == {
            '"Service"': service,
            '"ClassGUID"': "{4D36E97B-E325-11CE-BFC1-08002BE10318}",
        }
    assert "DriverDatabase" not in export
    assert "PCI#VEN_1AF4&DEV_1000" not in export  # the network card is not needed to start
    names = guest.open().volume.names("/Windows/INF")
    assert {"oem-viostor.inf", "viostor.cat", "viostor.sys", "wdfcoinstaller01009.dll"} <= set(names)
    searched = guest.planted.hive("SOFTWARE").value(r"Microsoft\Windows\CurrentVersion", "DevicePath")
    assert searched is not None
    assert searched.text.split(";")[:2] == [r"%SystemRoot%\inf", r"C:\Program Files\Virtio-Win\viostor"]


def test_chntpw_reads_the_hives_too(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path, Guest("2022"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    out = tmp_path / "out.reg"
    process.run(["reged", "-x", guest.planted.hive_file("SYSTEM"), "HKLM", r"\ControlSet001\Services\viostor", out])
    lines = out.read_text().splitlines()
    assert '"Start"=dword:00000000' in lines
    assert '"Group"="SCSI miniport"' in lines
    assert r"[HKLM\ControlSet001\Services\viostor\Parameters\PnpInterface]" in lines


def test_a_left_override_does_not_keep_storage_from_starting(tmp_path: Path, virtio_win: Path) -> None:
    override = {r"ControlSet001\Services\viostor\StartOverride": [Value.dword("0", 3)]}
    guest = subject(tmp_path, Guest("2022", extra={"SYSTEM": override}))
    assert "StartOverride" in guest.export("SYSTEM")
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    assert "StartOverride" not in guest.export("SYSTEM")


def test_who_owned_a_service_before_still_does(tmp_path: Path, virtio_win: Path) -> None:
    service = {r"ControlSet001\Services\viostor": [Value.dword("Start", 3), Value.strings("Owners", ["oem3.inf"])]}
    guest = subject(tmp_path, Guest("2022", extra={"SYSTEM": service}))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    found = key(guest.export("SYSTEM"), r"SYSTEM\ControlSet001\Services\viostor")
    assert (found['"Start"'], text(found['"Owners"'])) == ("dword:00000000", "oem3.inf;oem-viostor.inf")


def test_entries_of_virt_v2v_make_way(tmp_path: Path, virtio_win: Path) -> None:
    id = "VEN_1AF4&DEV_1042&REV_01"
    foreign = {
        r"DriverDatabase\DriverInfFiles\guestor.inf": [Value.string("Active", "guestor.inf_tmp")],
        r"DriverDatabase\DriverPackages\guestor.inf_tmp\Configurations\guestor_conf": [Value.dword("ConfigFlags", 0)],
        rf"DriverDatabase\DeviceIds\PCI\{id}": [Value.binary("guestor.inf", b"\1\xff\0\0")],
    }
    guest = subject(tmp_path, Guest("2022", extra={"SYSTEM": foreign}))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    assert "guestor" not in guest.export("SYSTEM")


@pytest.mark.parametrize("generation", ["7", "2012", "2022", "11"])
def test_the_same_again_changes_nothing(tmp_path: Path, virtio_win: Path, generation: str) -> None:
    guest = subject(tmp_path, Guest(generation))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    before = content(guest)
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    assert content(guest) == before


@pytest.mark.parametrize("form", ["directory", "distribution", "image in a directory", "iso9660", "joliet"])
def test_every_form_of_a_medium_gives_the_same_guest(tmp_path: Path, virtio_win: Path, form: str) -> None:
    files = virtio_media.media(["2k16"])
    plain = subject(tmp_path / "plain", Guest("2016"))
    plain.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    medium = tmp_path / "medium"
    if form == "directory":
        virtio_media.write_directory({path.swapcase(): content for path, content in files.items()}, medium)
    elif form == "distribution":
        virtio_media.write_directory(virtio_media.distribution(files), medium)
    else:
        medium.mkdir()
        image = medium / "virtio-win-0.1.ISO"
        virtio_media.write_iso(files, image, rock_ridge=form == "image in a directory", joliet=form != "iso9660")
        medium = medium if form == "image in a directory" else image
    other = subject(tmp_path / "other", Guest("2016"))
    other.apply("virtio", DIB_VIRTIO_WIN=str(medium))
    assert content(other) == content(plain)


def test_a_tree_by_generation_alone_is_enough(tmp_path: Path) -> None:
    files = virtio_media.distribution(virtio_media.media(["2k22"]))
    by_os = {path: content for path, content in files.items() if path.startswith("drivers/by-os/")}
    guest = subject(tmp_path, Guest("2022"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_media.write_directory(by_os, tmp_path / "medium")))
    names = guest.open().volume.names("/Program Files/Virtio-Win/vioserial")
    assert names == ["vioser.cat", "vioser.inf", "vioser.sys"]


@pytest.mark.parametrize(
    ("generation", "there", "taken"),
    [
        ("2025", ["2k22", "w10"], "2k22"),
        ("2025", ["w10"], "w10"),
        ("11", ["w10", "2k22"], "w10"),
        ("7", ["2k8R2"], "2k8r2"),
    ],
)
def test_an_older_medium_has_the_next_best_and_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], generation: str, there: list[str], taken: str
) -> None:
    medium = virtio_media.write_directory(virtio_media.media(there), tmp_path / "medium")
    guest = subject(tmp_path, Guest(generation))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(medium))
    said = capsys.readouterr().out
    assert f"warning: viostor: the medium has none for this Windows; that for {taken} is taken" in said


def test_optional_drivers_are_left_out_and_it_is_said(
    tmp_path: Path, virtio_win: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject(tmp_path, Guest("2012 R2")).apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    said = capsys.readouterr().out
    assert f"left out viofs: {virtio_win} has none for this Windows" in said
    assert f"qemufwcfg 100.90.104.21500 from {virtio_win}/qemufwcfg/2k12R2/amd64/qemufwcfg.inf" in said


def refused(guest: Subject, medium: Path, **variables: str) -> str:
    before = content(guest)
    with pytest.raises(BaseError) as failure:
        guest.apply("virtio", DIB_VIRTIO_WIN=str(medium), **variables)
    assert content(guest) == before
    return f"{failure.value}\n{failure.value.hint}"


def test_a_medium_without_a_driver_for_the_image_is_refused(tmp_path: Path) -> None:
    medium = virtio_media.write_directory(virtio_media.media(["2k22", "w10"]), tmp_path / "medium")
    said = refused(subject(tmp_path, Guest("7")), medium)
    assert f"{medium} has the driver viostor not for Windows 7 on amd64 (w7), but for 2k22/amd64, w10/amd64" in said


def test_a_medium_without_a_driver_at_all_is_refused(tmp_path: Path) -> None:
    medium = virtio_media.write_directory(virtio_media.media(["2k22"], ["viostor"]), tmp_path / "medium")
    with pytest.raises(FileError, match=f"DIB_VIRTIO_WIN: {medium} has no driver vioscsi, NetKVM"):
        read(["virtio"], {"DIB_VIRTIO_WIN": str(medium)})


def test_a_policy_against_drivers_is_refused_unless_asked_for(tmp_path: Path, virtio_win: Path) -> None:
    restrictions = {r"Policies\Microsoft\Windows\DeviceInstall\Restrictions": [Value.dword("DenyUnspecified", 1)]}
    guest = subject(tmp_path, Guest("2022", extra={"SOFTWARE": restrictions}))
    assert "a policy forbids the installation of drivers (DenyUnspecified" in refused(guest, virtio_win)
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win), DIB_WINDOWS_IGNORE_DRIVER_POLICY="1")
    assert "viostor" in guest.export("SYSTEM")


def _signed(digest: bytes) -> bytes:
    """The beginning of a catalog: PKCS #7 SignedData with this digest algorithm."""
    return bytes.fromhex("3082 1000 06092a864886f70d010702 a0821000 30821000 020101 310f 300d") + digest + b"\5\0"


@pytest.mark.parametrize(
    ("digest", "package", "is_refused"),
    [
        ("0609608648016503040201", "Package_for_KB2999226~31bf3856ad364e35~amd64~~6.1.1.7", True),
        ("0609608648016503040201", "Package_for_KB3033929~31bf3856ad364e35~amd64~~6.1.1.1", False),
        ("06052b0e03021a", "Package_for_KB2999226~31bf3856ad364e35~amd64~~6.1.1.7", False),
    ],
)
def test_windows_7_must_be_able_to_verify_signatures(
    tmp_path: Path, digest: str, package: str, is_refused: bool
) -> None:
    files = {
        path: _signed(bytes.fromhex(digest)) if path.endswith(".cat") else content
        for path, content in virtio_media.media(["w7"]).items()
    }
    medium = virtio_media.write_directory(files, tmp_path / "medium")
    servicing = r"Microsoft\Windows\CurrentVersion\Component Based Servicing\Packages"
    guest = subject(tmp_path, Guest("7", uefi=False, extra={"SOFTWARE": {rf"{servicing}\{package}": []}}))
    if is_refused:
        assert "the driver viostor is signed with SHA-2, which this Windows 7 can't verify" in refused(guest, medium)
    else:
        guest.apply("virtio", DIB_VIRTIO_WIN=str(medium))


def test_another_release_takes_the_place_of_the_one_before(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path)
    files = {
        path: content.replace(b"12/02/2021,100.90", b"01/02/2020,100.80") if path.endswith("viostor.inf") else content
        for path, content in virtio_media.media(["2k22"]).items()
    }
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_media.write_directory(files, tmp_path / "old")))
    old = label(guest.export("SYSTEM"))
    guest.apply("virtio", DIB_VIRTIO_WIN=str(virtio_win))
    export = guest.export("SYSTEM")
    assert label(export) != old and old not in export
    store = guest.open().volume.names("/Windows/System32/DriverStore/FileRepository")
    assert [name for name in store if name.startswith("viostor")] == [label(export)]


def test_a_driver_without_signatures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = {path: content for path, content in virtio_media.media(["2k22"]).items() if not path.endswith("scsi.cat")}
    medium = virtio_media.write_directory(files, tmp_path / "medium")
    subject(tmp_path).apply("virtio", DIB_VIRTIO_WIN=str(medium))
    assert capsys.readouterr().out.count("has no catalog of signatures: Windows may refuse to load it") == 1


def test_a_damaged_medium_is_refused(tmp_path: Path) -> None:
    files = virtio_media.media(["2k22"])
    del files["viostor/2k22/amd64/viostor.sys"], files["amd64/2k22/viostor.sys"]
    medium = virtio_media.write_directory(files, tmp_path / "medium")
    with pytest.raises(HostError, match=r"viostor\.inf names viostor\.sys, which is not there"):
        subject(tmp_path).apply("virtio", DIB_VIRTIO_WIN=str(medium))


def test_what_is_no_image_is_told(tmp_path: Path) -> None:
    (tmp_path / "virtio-win.iso").write_bytes(b"<html>not found</html>")
    with pytest.raises(FileError, match=r"DIB_VIRTIO_WIN: .*virtio-win\.iso is no ISO image that can be read$"):
        read(["virtio"], {"DIB_VIRTIO_WIN": str(tmp_path / "virtio-win.iso")})
    with pytest.raises(FileError, match=r"DIB_VIRTIO_WIN: .*virtio-win\.iso is no ISO image that can be read$"):
        read(["qga"], {"DIB_VIRTIO_WIN": str(tmp_path / "virtio-win.iso")})


def element(tmp_path: Path, text: str) -> Path:
    directory = tmp_path / "mine"
    directory.mkdir(exist_ok=True)
    (directory / "drivers.yaml").write_text(text)
    return directory


def test_a_third_party_brings_a_driver_without_directories_for_generations(tmp_path: Path) -> None:
    driver = virtio_media.DRIVERS[4]  # one that is not started at boot by itself
    files = {f"card/{name}": content for name, content in virtio_media.package(driver, "w10", "amd64").items()}
    medium = virtio_media.write_directory(files, tmp_path / "medium")
    mine = element(tmp_path, f"source: {medium}\nstage: Drivers of mine\ndrivers:\n- {{name: card, boot: true}}\n")
    guest = subject(tmp_path)
    guest.apply(mine)
    service = key(guest.export("SYSTEM"), r"SYSTEM\ControlSet001\Services\VirtioSerial")
    assert (service['"Start"'], text(service['"ImagePath"'])) == ("dword:00000000", r"system32\drivers\vioser.sys")
    assert (guest.planted.system / "Drivers of mine/card/vioser.inf").is_file()
    other = subject(tmp_path / "x86", Guest("10", architecture="x86"))
    with pytest.raises(BaseError, match=r"the driver card not for Windows 10 on x86 \(w10\), but for others"):
        other.apply(mine)


def test_a_boot_driver_can_be_kept_from_starting_at_boot(tmp_path: Path, virtio_win: Path) -> None:
    guest = subject(tmp_path)
    guest.apply(element(tmp_path, f"source: {virtio_win}\ndrivers:\n- {{name: vioscsi, boot: false}}\n"))
    assert "vioscsi" not in guest.export("SYSTEM")
    assert "oem-vioscsi.inf" in guest.export("DRIVERS")
    assert (guest.planted.system / "Program Files/Drivers/vioscsi/vioscsi.inf").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("DefaultDestDir = 12", "DefaultDestDir = 66002"), "puts vioser.sys where only a Windows that runs knows"),
        (("AddService = VirtioSerial", "AddService = "), "has no service that could start at boot"),
    ],
)
def test_a_driver_that_cannot_be_started_at_boot_is_refused(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    files = virtio_media.package(virtio_media.DRIVERS[4], "w10", "amd64")
    files["vioser.inf"] = files["vioser.inf"].decode().replace(*change).encode()
    virtio_media.write_directory({f"card/{name}": content for name, content in files.items()}, tmp_path / "mine")
    with pytest.raises(HostError, match=message):
        subject(tmp_path).apply(element(tmp_path, "source: .\ndrivers: [{name: card, boot: true}]\n"))
    later = tmp_path / "mine/drivers.yaml"
    later.write_text("source: .\ndrivers: [{name: card, boot: false}]\n")
    subject(tmp_path / "later").apply(later.parent)


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("source: /nowhere\n", "drivers.yaml:1: drivers is missing"),
        ("drivers: []\n", "drivers.yaml:1: either source or fetched says where the drivers are"),
        ("source: /\nfetched: a\ndrivers: []\n", "drivers.yaml:1: either source or fetched says where the drivers are"),
        ("source: /nowhere\ndrivers: []\n", "drivers.yaml:1: there is no /nowhere, from which drivers are taken"),
        ("source: here\ndrivers: []\n", "/mine/here, from which drivers are taken"),
        ("source: ''\ndrivers: []\n", "drivers.yaml:1: source is empty"),
        ("source: /\nstage: a/b?\ndrivers: []\n", "drivers.yaml:2: a/b?: Windows does not allow a file named 'b?'"),
        ("source: /\nstage: '\\'\ndrivers: []\n", "drivers.yaml:2: stage must be a directory of C:, not C: itself"),
        ("source: /\ndrivers:\n- {name: a, boots: true}\n", "drivers.yaml:3: unknown key boots"),
        ("source: /\ndrivers:\n- {name: a, boot: maybe}\n", "drivers.yaml:3: must be true or false, not 'maybe'"),
        ("source: /\ndrivers:\n- a/b\n", "drivers.yaml:3: 'a/b' is no driver's name"),
        ("source: ${DIB_MINE}\ndrivers: []\n", "drivers.yaml:1: variable DIB_MINE is not set"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path: Path, yaml: str, message: str) -> None:
    path = element(tmp_path, yaml) / "drivers.yaml"
    with pytest.raises(FileError) as failure:
        parse(path, {})
    assert str(failure.value).endswith(message)


def test_paths_are_those_of_the_user_or_of_the_element(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = element(tmp_path, "source: ${DIB_MINE:-brought}\ndrivers: []\n") / "drivers.yaml"
    (path.parent / "brought").mkdir()
    virtio_media.write_iso(virtio_media.media(["2k22"], ["viostor"]), tmp_path / "given.iso")
    monkeypatch.chdir(tmp_path)
    brought, given = parse(path, {}), parse(path, {"DIB_MINE": "given.iso"})
    assert (brought.source, list(reads(brought))) == (path.parent / "brought", [path.parent / "brought"])
    assert (given.source, list(reads(given))) == (tmp_path / "given.iso", [])  # a variable's file is counted as such


def test_conditions_and_hooks_that_fetch(tmp_path: Path) -> None:
    mine = element(tmp_path, "fetched: media\ndrivers:\n- {name: smbus, when: DIB_A = 1}\n- vioscsi\n")
    found: Drivers = parse(mine / "drivers.yaml", {"DIB_A": "0"})
    assert ([one.name for one in found.wanted], list(reads(found))) == (["vioscsi"], [])
    virtio_media.write_directory(virtio_media.media(["2k22"]), tmp_path / "hooks/media")
    guest = subject(tmp_path)
    guest.apply(mine, DIB_A="0", TMP_HOOKS_PATH=str(tmp_path / "hooks"))
    assert "vioscsi" in guest.export("SYSTEM")
