"""The built-in elements for Windows, applied to phony guests: what is written, typed from what is known of Windows."""

from __future__ import annotations

import configparser
import re
import zipfile
from pathlib import Path

import pytest
import tree_sitter_powershell
from tree_sitter import Language, Parser

from dib_py import process
from dib_py.errors import BaseError, FileError
from dib_py.windows.firewall import RULES
from dib_py.windows.hive import DWORD, MULTI_SZ
from tests.windows.applying import ELEMENTS, Subject, read, subject
from tests.windows.phony import COMPLETE, Case, Guest

CONTROL = r"HKLM\SYSTEM\CurrentControlSet\Control"
SERVICES = r"HKLM\SYSTEM\CurrentControlSet\Services"
POLICIES = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Policies\System"
SCHEMES = rf"{CONTROL}\Power\User\PowerSchemes"
HIGH_PERFORMANCE = "8c5e7fda-e8bf-4a96-9a85-a6e23a8c635c"
DISPLAY_TIMEOUT = r"7516b95f-f776-4464-8c53-06167f40cc99\3c0bc021-c8a8-4e07-a973-6b14cbcb2b7e"
FIRST_BOOT = "Windows/Setup/FirstBoot"
CLOUDBASE = "Program Files/Cloudbase Solutions/Cloudbase-Init"

# element, variables, and what is in the registry afterwards
SETTINGS: list[tuple[str, dict[str, str], dict[tuple[str, str], object]]] = [
    (
        "rdp",
        {},
        {
            (rf"{CONTROL}\Terminal Server", "fDenyTSConnections"): 0,
            (rf"{CONTROL}\Terminal Server\WinStations\RDP-Tcp", "UserAuthentication"): 1,
            (rf"{CONTROL}\Terminal Server\WinStations\RDP-Tcp", "SecurityLayer"): 2,
            (rf"{CONTROL}\Terminal Server\WinStations\RDP-Tcp", "PortNumber"): 0xD3D,
            (rf"{SERVICES}\TermService", "Start"): 2,
            (r"HKLM\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services", "KeepAliveEnable"): None,
        },
    ),
    (
        "rdp",
        {"DIB_RDP_NLA": "0", "DIB_RDP_KEEPALIVE_MINUTES": "5"},
        {
            (rf"{CONTROL}\Terminal Server\WinStations\RDP-Tcp", "UserAuthentication"): 0,
            (r"HKLM\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services", "KeepAliveEnable"): 1,
            (r"HKLM\SOFTWARE\Policies\Microsoft\Windows NT\Terminal Services", "KeepAliveInterval"): 5,
        },
    ),
    (
        "execution-policy",
        {},
        {
            (
                rf"HKLM\SOFTWARE\{view}Microsoft\PowerShell\1\ShellIds\Microsoft.PowerShell",
                "ExecutionPolicy",
            ): "RemoteSigned"
            for view in ("", "Wow6432Node\\")
        },
    ),
    ("clock-utc", {}, {(rf"{CONTROL}\TimeZoneInformation", "RealTimeIsUniversal"): 1}),
    (
        "timezone",
        {},
        {
            (rf"{CONTROL}\TimeZoneInformation", "TimeZoneKeyName"): "UTC",
            (rf"{CONTROL}\TimeZoneInformation", "Bias"): 0,
            (rf"{CONTROL}\TimeZoneInformation", "StandardName"): "@tzres.dll,-932",
        },
    ),
    (
        "locale",
        {"DIB_LOCALE_LAYOUT": "00000807"},
        {
            (r"HKCU\Keyboard Layout\Preload", "1"): "00000807",
            (r"HKU\.DEFAULT\Keyboard Layout\Preload", "1"): "00000807",
        },
    ),
    (
        "locale",
        {"DIB_LOCALE_KEYBOARD": "0807:0000100c"},
        {
            (r"HKCU\Keyboard Layout\Preload", "1"): "0000100c",
            (r"HKU\.DEFAULT\Keyboard Layout\Preload", "1"): "0000100c",
        },
    ),
    (
        "power",
        {},
        {
            (rf"{CONTROL}\Power", "HibernateEnabled"): 0,
            (rf"{CONTROL}\Power", "HibernateEnabledDefault"): 0,
            (rf"{CONTROL}\Session Manager\Power", "HiberbootEnabled"): 0,
            (SCHEMES, "ActivePowerScheme"): HIGH_PERFORMANCE,
            (
                rf"{SCHEMES}\{HIGH_PERFORMANCE}\{DISPLAY_TIMEOUT}",
                "ACSettingIndex",
            ): 0,
        },
    ),
    (
        "power",
        {"DIB_POWER_SCHEME": "balanced"},
        {(SCHEMES, "ActivePowerScheme"): "381b4222-f694-41f0-9685-ff5bb260df2e"},
    ),
    ("page-file", {}, {(rf"{CONTROL}\Session Manager\Memory Management", "PagingFiles"): [r"?:\pagefile.sys"]}),
    ("page-file", {"DIB_PAGE_FILE": "none"}, {(rf"{CONTROL}\Session Manager\Memory Management", "PagingFiles"): []}),
    (
        "page-file",
        {"DIB_PAGE_FILE": r"D:\p.sys 16 32"},
        {(rf"{CONTROL}\Session Manager\Memory Management", "PagingFiles"): [r"D:\p.sys 16 32"]},
    ),
    ("no-first-logon-animation", {}, {(POLICIES, "EnableFirstLogonAnimation"): 0}),
    ("san-policy", {}, {(rf"{SERVICES}\partmgr\Parameters", "SanPolicy"): 1}),
    (
        "crash-dump",
        {"DIB_CRASH_DUMP": "auto", "DIB_CRASH_DUMP_RESTART": "0"},
        {
            (rf"{CONTROL}\CrashControl", "CrashDumpEnabled"): 7,
            (rf"{CONTROL}\CrashControl", "AutoReboot"): 0,
            (rf"{CONTROL}\CrashControl", "NMICrashDump"): 1,
        },
    ),
    (
        "updates-policy",
        {"DIB_UPDATES_POLICY": "never"},
        {(r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU", "NoAutoUpdate"): 1},
    ),
    (
        "updates-policy",
        {"DIB_UPDATES_POLICY": "install"},
        {
            (r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU", "NoAutoUpdate"): 0,
            (r"HKLM\SOFTWARE\Policies\Microsoft\Windows\WindowsUpdate\AU", "AUOptions"): 4,
        },
    ),
    (
        "server-manager-off",
        {},
        {
            (r"HKLM\SOFTWARE\Microsoft\ServerManager", "DoNotOpenServerManagerAtLogon"): 1,
            (r"HKCU\Software\Microsoft\ServerManager", "DoNotOpenServerManagerAtLogon"): 1,
        },
    ),
    (
        "wallpaper",
        {"DIB_WALLPAPER_COLOR": "10 20 30"},
        {
            (r"HKCU\Control Panel\Colors", "Background"): "10 20 30",
            (r"HKCU\Control Panel\Desktop", "Wallpaper"): "",
        },
    ),
    (
        "winrm",
        {},
        {(rf"{SERVICES}\WinRM", "Start"): 2, (POLICIES, "LocalAccountTokenFilterPolicy"): 1},
    ),
    (
        "product-key",
        {"DIB_KMS_SERVER": "kms.example.org"},
        {
            (
                r"HKLM\SOFTWARE\Microsoft\Windows NT\CurrentVersion\SoftwareProtectionPlatform",
                "KeyManagementServiceName",
            ): "kms.example.org"
        },
    ),
]
SINCE_8 = {"winrm"}
PRODUCT_KEY = "VDYBN-27WPP-V4HQT-9VMD4-VMK7H"
GUESTS = {
    "2022": Guest("2022"),
    "7-complete": Guest("7", uefi=False, image_state=COMPLETE, control_set=2, default_control_set=3),
    "11-mixed": Guest("11", case=Case.MIXED, image_state=COMPLETE),
    "2012-elsewhere": Guest("2012", uefi=False, system_root="WINNT"),
}


def stored(one: Subject, key: str, name: str) -> object:
    value = one.open().registry.value(key, name)
    if value is None:
        return None
    if value.type == DWORD:
        return value.number
    return value.texts if value.type == MULTI_SZ else value.text


@pytest.mark.parametrize("guest", GUESTS.values(), ids=GUESTS)
@pytest.mark.parametrize(
    ("element", "variables", "wanted"), SETTINGS, ids=[f"{name}-{len(given)}" for name, given, _ in SETTINGS]
)
def test_settings(
    tmp_path: Path, element: str, variables: dict[str, str], wanted: dict[tuple[str, str], object], guest: Guest
) -> None:
    one = subject(tmp_path, guest)
    if element in SINCE_8 and guest.generation == "7":
        with pytest.raises(BaseError, match="Windows 8 and Server 2012"):
            one.apply(element, **variables)
        return
    one.apply(element, **variables)
    assert {place: stored(one, *place) for place in wanted} == wanted
    first = one.state()
    one.apply(element, **variables)
    assert one.state() == first


def test_every_control_set_gets_the_settings(tmp_path: Path) -> None:
    one = subject(tmp_path, GUESTS["7-complete"])
    one.apply("clock-utc")
    hive = one.planted.hive("SYSTEM")
    for name in ("ControlSet002", "ControlSet003"):
        value = hive.value(rf"{name}\Control\TimeZoneInformation", "RealTimeIsUniversal")
        assert value is not None and value.number == 1


@pytest.mark.parametrize(
    ("element", "variables", "message"),
    [
        ("execution-policy", {"DIB_EXECUTION_POLICY": "Unsigned"}, "'Unsigned' is none of AllSigned"),
        ("power", {"DIB_POWER_SCHEME": "fast"}, "'fast' is none of high-performance"),
        ("san-policy", {"DIB_SAN_POLICY": "1"}, "'1' is none of online-all"),
        ("crash-dump", {"DIB_CRASH_DUMP": "tiny"}, "'tiny' is none of none, complete"),
        ("updates-policy", {"DIB_UPDATES_POLICY": "off"}, "'off' is none of never"),
        ("rdp", {"DIB_RDP_NLA": "yes"}, "'yes' is none of 0, 1"),
        ("rdp", {"DIB_RDP_PORT": "many"}, "'many'"),
        ("rdp", {"DIB_RDP_REMOTE": "friends"}, "'friends' are no addresses"),
        ("wallpaper", {"DIB_WALLPAPER": "/nowhere.jpg"}, "nowhere.jpg cannot be read"),
        ("ssh", {}, "DIB_SSH_PACKAGE is not set"),
        ("admin-password", {}, "DIB_ADMIN_PASSWORD is not set"),
        ("cloudbase-init", {}, "DIB_CLOUDBASE_INIT_MSI is not set"),
        ("qga", {"DIB_VIRTIO_WIN": "/nowhere"}, "nowhere"),
        ("timezone", {"DIB_TIMEZONE": "Europe/Berlin"}, "not one of Windows' time zones"),
        ("locale", {"DIB_LOCALE": "deutsch"}, "DIB_LOCALE is 'deutsch', not"),
        ("product-key", {"DIB_PRODUCT_KEY": "AAAA"}, "DIB_PRODUCT_KEY is not a product key"),
        ("unattend", {"DIB_TIMEZONE": "Berlin"}, "not one of Windows' time zones"),
        ("unattend", {"DIB_COMPUTER_NAME": "a" * 16}, "not a computer's name"),
        ("unattend", {"DIB_LOCALE_UI": "deutsch"}, "DIB_LOCALE_UI is 'deutsch', not"),
        ("unattend", {"DIB_PRODUCT_KEY": "AAAA"}, "DIB_PRODUCT_KEY is not a product key"),
        ("unattend", {"DIB_LOCALE_KEYBOARD": "german"}, "'german', not a keyboard's language and layout"),
        ("unattend", {"DIB_UNATTEND_PROTECT": "0"}, "DIB_UNATTEND_PROTECT is '0', not"),
        ("unattend", {"DIB_RDP_NLA": "yes"}, "DIB_RDP_NLA is 'yes', not"),
        ("unattend", {"DIB_UNATTEND_ICMP": "no"}, "DIB_UNATTEND_ICMP is 'no', not"),
        ("unattend", {"DIB_UNATTEND_RDP": "no"}, "DIB_UNATTEND_RDP is 'no', not"),
        ("unattend", {"DIB_UNATTEND_SKIP_OOBE": "no"}, "DIB_UNATTEND_SKIP_OOBE is 'no', not"),
        ("unattend", {"DIB_ICMP_REMOTE": "friends"}, "DIB_ICMP_REMOTE is 'friends', not addresses"),
        ("unattend", {"DIB_ICMP_REMOTE": "2001:db8::/32"}, "the rule is for IPv4"),
        ("unattend", {"DIB_ICMP_REMOTE": "any,10.0.0.0/8"}, "netsh would not take it"),
        ("unattend", {"DIB_ICMP_REMOTE": ",".join(["10.10.10.10/32"] * 12)}, "Windows takes 259"),
        ("admin-password", {"DIB_ADMIN_PASSWORD": "p\udce9"}, "DIB_ADMIN_PASSWORD holds what is no UTF-8 text"),
        ("locale", {"DIB_LOCALE_KEYBOARD": "de-CH"}, "DIB_LOCALE_KEYBOARD is 'de-CH', not"),
        ("locale", {"DIB_LOCALE_LAYOUT": "807"}, "DIB_LOCALE_LAYOUT is '807', not"),
        ("locale", {"DIB_LOCALE_GEOID": '2"/>'}, "DIB_LOCALE_GEOID is '2\"/>', not"),
        ("page-file", {"DIB_PAGE_FILE": "no"}, "DIB_PAGE_FILE is 'no', not"),
        ("page-file", {"DIB_PAGE_FILE": r"C:\pagefile.sys"}, "DIB_PAGE_FILE is 'C:\\pagefile.sys', not"),
        ("cloudbase-init", {"DIB_CLOUDBASE_INIT_SPECIALIZE": "yes"}, "DIB_CLOUDBASE_INIT_SPECIALIZE is 'yes', not"),
        ("cloudbase-init", {"DIB_CLOUDBASE_INIT_SPECIALIZE": "1"}, "the installer is run at first boot only"),
        ("windows-autounattend", {"DIB_LOCALE_KEYBOARD": "german"}, "'german', not a keyboard's language and layout"),
        ("windows-autounattend", {"DIB_WINDOWS_SYSPREP": "no"}, "DIB_WINDOWS_SYSPREP is 'no', not"),
        ("windows-autounattend", {"DIB_LOCALE": "deutsch"}, "DIB_LOCALE is 'deutsch', not"),
        ("firstboot", {"DIB_FIRSTBOOT_TRIES": "x"}, "DIB_FIRSTBOOT_TRIES is 'x'"),
    ],
)
def test_what_makes_no_sense_is_told_before_anything_happens(
    element: str, variables: dict[str, str], message: str
) -> None:
    with pytest.raises(FileError, match=re.escape(message)):
        read([element], variables)


@pytest.mark.parametrize(
    ("element", "hint"),
    [("cloudbase-init", "export DIB_CLOUDBASE_INIT_MSI="), ("ssh", "export DIB_SSH_PACKAGE=")],
)
def test_what_a_user_has_to_download_is_told(element: str, hint: str) -> None:
    with pytest.raises(FileError) as caught:
        read([element], {})
    assert caught.value.hint.startswith("download ") and hint in caught.value.hint
    assert "write" not in caught.value.hint


def test_remote_desktop_and_ping_are_let_in_by_windows_own_rules(tmp_path: Path) -> None:
    one = subject(tmp_path)
    one.apply("rdp", "icmp")
    rules = {name: value.text for name, value in one.open().registry.values(RULES).items()}
    assert rules == {
        "RemoteDesktop-UserMode-In-TCP": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=6|LPort=3389|"
        "App=%SystemRoot%\\system32\\svchost.exe|Svc=termservice|Name=@FirewallAPI.dll,-28775|"
        "Desc=@FirewallAPI.dll,-28756|EmbedCtxt=@FirewallAPI.dll,-28752|",
        "RemoteDesktop-UserMode-In-UDP": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=17|LPort=3389|"
        "App=%SystemRoot%\\system32\\svchost.exe|Svc=termservice|Name=@FirewallAPI.dll,-28776|"
        "Desc=@FirewallAPI.dll,-28777|EmbedCtxt=@FirewallAPI.dll,-28752|",
        "FPS-ICMP4-ERQ-In": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=1|ICMP4=8:*|Name=@FirewallAPI.dll,-28543|"
        "Desc=@FirewallAPI.dll,-28547|EmbedCtxt=@FirewallAPI.dll,-28502|",
        "FPS-ICMP6-ERQ-In": "v2.10|Action=Allow|Active=TRUE|Dir=In|Protocol=58|ICMP6=128:*|"
        "Name=@FirewallAPI.dll,-28545|Desc=@FirewallAPI.dll,-28547|EmbedCtxt=@FirewallAPI.dll,-28502|",
    }


def test_page_and_hibernation_files_are_removed(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(resumed=True, case=Case.UPPER))
    assert one.planted.file("hiberfil.sys").exists() and one.planted.file("pagefile.sys").exists()
    one.apply("power", "page-file")
    assert not one.planted.file("hiberfil.sys").exists()
    assert not one.planted.file("pagefile.sys").exists()


def test_a_picture_lies_where_the_registry_says(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8picture")
    one = subject(tmp_path)
    one.apply("wallpaper", DIB_WALLPAPER=str(tmp_path / "a.jpg"), DIB_WALLPAPER_STYLE="fit")
    place = stored(one, r"HKCU\Control Panel\Desktop", "Wallpaper")
    assert isinstance(place, str)
    assert one.planted.file(place.removeprefix("C:\\").replace("\\", "/")).read_bytes() == b"\xff\xd8picture"
    assert stored(one, r"HKCU\Control Panel\Desktop", "WallpaperStyle") == "6"


def test_the_language_s_files_are_xml_and_only_those_that_are_wanted(tmp_path: Path) -> None:
    one = subject(tmp_path)
    one.apply("locale", DIB_LOCALE="de-CH", DIB_LOCALE_KEYBOARD="0807:00000807", DIB_LOCALE_GEOID="223")
    files = sorted(one.planted.file(f"{FIRST_BOOT}/files").iterdir())
    assert [file.name for file in files] == ["locale-place.xml", "locale.xml"]
    for file in files:
        process.run(["xmllint", "--noout", file])
    assert 'ID="0807:00000807"' in files[1].read_text()
    assert 'GeoID Value="223"' in files[0].read_text()


def package(path: Path, files: dict[str, str]) -> str:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return str(path)


def test_ssh(tmp_path: Path) -> None:
    zipped = package(tmp_path / "ssh.zip", {"OpenSSH-Win64/sshd.exe": "exe", "OpenSSH-Win64/a/b.txt": "text"})
    one = subject(tmp_path)
    one.apply("ssh", DIB_SSH_PACKAGE=zipped, DIB_SSH_AUTHORIZED_KEYS="ssh-ed25519 AAAA me\nssh-ed25519 BBBB you")
    sshd = one.planted.file("Program Files/OpenSSH/sshd.exe")
    assert sshd.read_text() == "exe" and sshd.stat().st_mode & 0o777 == 0o755
    keys = one.planted.file("ProgramData/ssh/administrators_authorized_keys")
    assert keys.read_text() == "ssh-ed25519 AAAA me\nssh-ed25519 BBBB you\n"
    assert keys.stat().st_mode & 0o777 == 0o700
    assert stored(one, rf"{SERVICES}\sshd", "ImagePath") == r'"%ProgramFiles%\OpenSSH\sshd.exe"'
    assert stored(one, rf"{SERVICES}\sshd", "Start") == 2
    rule = one.open().registry.value(RULES, "dib-ssh")
    assert rule is not None and "|LPort=22|" in rule.text


def test_the_agent_comes_from_the_medium_for_the_guest_s_architecture(tmp_path: Path) -> None:
    for name in ("qemu-ga-x86_64.msi", "qemu-ga-i386.msi"):
        path = tmp_path / "virtio" / "Guest-Agent" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    for number, (architecture, name) in enumerate((("amd64", "qemu-ga-x86_64.msi"), ("x86", "qemu-ga-i386.msi"))):
        one = subject(tmp_path / str(number), Guest("10", architecture=architecture))
        one.apply("qga", DIB_VIRTIO_WIN=str(tmp_path / "virtio"))
        installer = one.planted.file(f"{FIRST_BOOT}/files/qemu-ga.msi")
        assert installer.read_text() == name
        assert installer.stat().st_mode & 0o777 == 0o700
        assert one.planted.file(f"{FIRST_BOOT}/scripts/0040-qga-qga.cmd").exists()


def test_cloudbase_init_by_its_installer(tmp_path: Path) -> None:
    (tmp_path / "c.msi").write_text("msi")
    one = subject(tmp_path, Guest(image_state=COMPLETE))
    given = {"DIB_CLOUDBASE_INIT_USER": "boss", "DIB_CLOUDBASE_INIT_EXTRA": "allow_reboot=true"}
    one.apply("cloudbase-init", DIB_CLOUDBASE_INIT_MSI=str(tmp_path / "c.msi"), **given)
    assert one.planted.file(f"{FIRST_BOOT}/files/CloudbaseInitSetup.msi").read_text() == "msi"
    conf = one.planted.file(f"{CLOUDBASE}/conf/cloudbase-init.conf").read_text().replace("\r\n", "\n")
    assert conf.startswith("[DEFAULT]\nusername=boss\ngroups=Administrators\n")
    assert "\nlogging_serial_port_settings=COM1,115200,N,8\n" in conf
    assert "volumes_to_extend" not in conf
    assert "\nmetadata_services=cloudbaseinit.metadata.services.configdrive.ConfigDriveService,\n" in conf
    assert "windows.extendvolumes.ExtendVolumesPlugin,\n" in conf
    assert conf.endswith("\nallow_reboot=true\n")
    early = one.planted.file(f"{CLOUDBASE}/conf/cloudbase-init-unattend.conf").read_text()
    assert "stop_service_on_exit=false" in early and "CreateUserPlugin" not in early
    assert stored(one, rf"{SERVICES}\cloudbase-init", "ImagePath") is None
    assert not one.planted.file("Windows/Panther/unattend.xml").exists()
    assert not one.planted.file(f"{CLOUDBASE}/conf/specialize.cmd").exists()
    given_to_it = one.planted.file(f"{FIRST_BOOT}/environment/0070-cloudbase-init-cloudbase-init.cmd.cmd").read_text()
    assert "set DIB_CLOUDBASE_INIT_SERIAL=COM1\n" in given_to_it


def test_cloudbase_init_by_its_archive(tmp_path: Path) -> None:
    zipped = package(tmp_path / "c.zip", {"bin/OpenStackService.exe": "x", "Python/python.exe": "y"})
    one = subject(tmp_path)
    one.apply("cloudbase-init", DIB_CLOUDBASE_INIT_ZIP=zipped, DIB_CLOUDBASE_INIT_SPECIALIZE="1")
    assert one.planted.file(f"{CLOUDBASE}/Python/python.exe").read_text() == "y"
    assert not one.planted.file(f"{FIRST_BOOT}/files/CloudbaseInitSetup.msi").exists()
    command = stored(one, rf"{SERVICES}\cloudbase-init", "ImagePath")
    base = r"%ProgramFiles%\Cloudbase Solutions\Cloudbase-Init"
    assert command == (
        rf'"{base}\bin\OpenStackService.exe" cloudbase-init "{base}\Python\python.exe" '
        rf'"{base}\Python\cloudbase-init.py" --config-file "{base}\conf\cloudbase-init.conf"'
    )
    answers = one.planted.file("Windows/Panther/unattend.xml").read_text()
    assert rf'cmd.exe /d /c ""{base}\conf\specialize.cmd""' in answers
    assert "cloudbase-init-unattend.conf" in one.planted.file(f"{CLOUDBASE}/conf/specialize.cmd").read_text()


def test_the_configuration_is_what_its_reader_takes(tmp_path: Path) -> None:
    (tmp_path / "c.msi").write_text("msi")
    one = subject(tmp_path)
    one.apply("cloudbase-init", DIB_CLOUDBASE_INIT_MSI=str(tmp_path / "c.msi"), DIB_CLOUDBASE_INIT_VOLUMES="1,2")
    assert "volumes_to_extend=1,2" in one.planted.file(f"{CLOUDBASE}/conf/cloudbase-init.conf").read_text()
    for name in ("cloudbase-init.conf", "cloudbase-init-unattend.conf"):
        parser = configparser.RawConfigParser()
        parser.read(one.planted.file(f"{CLOUDBASE}/conf/{name}"))
        for option in ("metadata_services", "plugins"):
            classes = [part.strip() for part in parser["DEFAULT"][option].split(",")]
            assert len(classes) >= 3
            assert all(re.fullmatch(r"cloudbaseinit(\.\w+)+", one) for one in classes)


def answers(one: Subject) -> str:
    place = one.planted.file("Windows/Panther/unattend.xml")
    process.run(["xmllint", "--noout", "--relaxng", Path(__file__).with_name("unattend.rng"), place])
    return place.read_text()


def test_the_answer_file_answers_all_that_is_asked(tmp_path: Path) -> None:
    one = subject(tmp_path)
    one.apply(
        "unattend",
        "admin-password",
        DIB_ADMIN_PASSWORD="P@ssw0rd",
        DIB_COMPUTER_NAME="win",
        DIB_PRODUCT_KEY=PRODUCT_KEY,
    )
    text = answers(one)
    for part in (
        "<ComputerName>win</ComputerName>",
        "<TimeZone>UTC</TimeZone>",
        f"<ProductKey>{PRODUCT_KEY}</ProductKey>",
        "<fDenyTSConnections>false</fDenyTSConnections>",
        "<Group>@FirewallAPI.dll,-28752</Group>",
        "<Extend>true</Extend>",
        "<SkipMachineOOBE>true</SkipMachineOOBE>",
        "<PlainText>false</PlainText>",
        "protocol=icmpv4:8,any remoteip=any<",
    ):
        assert part in text, part
    assert "P@ssw0rd" not in text
    first = one.state()
    one.apply(
        "unattend",
        "admin-password",
        DIB_ADMIN_PASSWORD="P@ssw0rd",
        DIB_COMPUTER_NAME="win",
        DIB_PRODUCT_KEY=PRODUCT_KEY,
    )
    assert one.state() == first


def test_the_answer_file_says_nothing_that_was_not_wanted(tmp_path: Path) -> None:
    one = subject(tmp_path)
    one.apply("unattend", DIB_UNATTEND_RDP="0", DIB_UNATTEND_ICMP="0", DIB_UNATTEND_SKIP_OOBE="0")
    text = answers(one)
    for part in ("fDenyTSConnections", "FirewallGroup", "RunSynchronous", "SkipMachineOOBE", "ProductKey"):
        assert part not in text, part
    hidden = re.findall(r"<(Hide\w+)>true<", text)
    assert hidden == sorted(hidden) and len(hidden) == 5  # the order that they have in Microsoft's schema


@pytest.mark.parametrize(
    ("variables", "opened"),
    [
        ({}, True),
        ({"DIB_RDP_REMOTE": "10.0.0.0/8"}, False),
        ({"DIB_RDP_PORT": "3390"}, False),
        ({"DIB_RDP_REMOTE": "10.0.0.0/8", "DIB_RDP_PORT": "3390"}, False),
    ],
)
def test_the_answer_file_opens_no_more_than_the_elements_for_it_do(
    tmp_path: Path, variables: dict[str, str], opened: bool
) -> None:
    one = subject(tmp_path)
    one.apply("unattend", "rdp", "icmp", DIB_ICMP_REMOTE="10.0.0.0/8, LocalSubnet", **variables)
    text = answers(one)
    assert ("Networking-MPSSVC-Svc" in text) == opened
    assert "<fDenyTSConnections>false</fDenyTSConnections>" in text
    assert "protocol=icmpv4:8,any remoteip=10.0.0.0/8,LocalSubnet<" in text
    rules = one.open().registry.values(RULES)
    assert "|RA4=10.0.0.0/255.0.0.0|RA4=LocalSubnet|" in rules["FPS-ICMP4-ERQ-In"].text
    assert ("dib-rdp-tcp" in rules) == ("DIB_RDP_PORT" in variables)


@pytest.mark.parametrize("element", ["unattend", "admin-password", "win-sysprep-check"])
def test_a_complete_image_is_refused_where_it_would_not_help(tmp_path: Path, element: str) -> None:
    one = subject(tmp_path, Guest(image_state=COMPLETE))
    before = one.state()
    with pytest.raises(BaseError):
        one.apply(element, DIB_ADMIN_PASSWORD="P@ssw0rd")
    assert one.state() == before


def test_an_upgraded_image_is_no_template(tmp_path: Path) -> None:
    subject(tmp_path).apply("win-sysprep-check")
    with pytest.raises(BaseError, match=r"Windows\.old"):
        subject(tmp_path / "2", Guest(files={"Windows.old/x": b""})).apply("win-sysprep-check")


@pytest.mark.parametrize("generation", ["2012", "2025"])
def test_growing_c(tmp_path: Path, generation: str) -> None:
    one = subject(tmp_path, Guest(generation))
    one.apply("grow-root")
    script = one.planted.file("Windows/Setup/GrowRoot/grow-root.ps1")
    assert script.stat().st_mode & 0o777 == 0o755
    assert one.planted.file(f"{FIRST_BOOT}/scripts/0060-grow-root-grow-root.cmd").exists()
    with pytest.raises(BaseError, match="storage commands"):
        subject(tmp_path / "2", Guest("7", uefi=False)).apply("grow-root")


SECRETS = {"DIB_PRODUCT_KEY": "AAAAA-BBBBB-CCCCC-DDDDD-EEEEE"}


def test_a_key_lies_only_where_nobody_else_looks(tmp_path: Path) -> None:
    one = subject(tmp_path, Guest(image_state=COMPLETE))
    one.apply("product-key", **SECRETS)
    with_it = [
        path
        for path in one.planted.system.rglob("*")
        if path.is_file() and SECRETS["DIB_PRODUCT_KEY"].encode() in path.read_bytes()
    ]
    assert [path.name for path in with_it] == ["0030-product-key-product-key.cmd.cmd"]
    assert with_it[0].stat().st_mode & 0o777 == 0o700


def test_all_together_on_one_guest_twice(tmp_path: Path) -> None:
    (tmp_path / "c.msi").write_text("msi")
    names = sorted({name for name, _, _ in SETTINGS} | {"icmp", "unattend", "firstboot", "grow-root", "cloudbase-init"})
    one = subject(tmp_path, Guest("2022", case=Case.MIXED))
    variables = {"DIB_CLOUDBASE_INIT_MSI": str(tmp_path / "c.msi")}
    one.apply(*names, **variables)
    first, exports = one.state(), [one.export(hive) for hive in ("SYSTEM", "SOFTWARE")]
    one.apply(*names, **variables)
    assert [one.export(hive) for hive in ("SYSTEM", "SOFTWARE")] == exports
    assert one.state() == first
    scripts = one.open().volume.names(f"{FIRST_BOOT}/scripts")
    assert scripts[0] == "0000-firstboot-firstboot.cmd"


@pytest.mark.parametrize("path", sorted(ELEMENTS.glob("*/firstboot.d/*.cmd")), ids=lambda path: path.name)
def test_scripts_leave_no_variables_behind_and_say_what_they_do(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0] == "@echo off" and lines[1].startswith("rem ")
    text = "\n".join(lines)
    labels = set(re.findall(r"^:(\w+)", text, re.MULTILINE))
    assert set(re.findall(r"(?:goto|call) :?(\w+)\s*$", text, re.MULTILINE)) - {"exit"} <= labels | {"eof"}
    assert max(map(len, lines)) <= 150


@pytest.mark.parametrize("path", sorted(ELEMENTS.rglob("*.ps1")), ids=lambda path: path.name)
def test_powershell_scripts_are_powershell(path: Path) -> None:
    parser = Parser(Language(tree_sitter_powershell.language()))
    assert not parser.parse(path.read_bytes()).root_node.has_error
    assert parser.parse(path.read_bytes() + b"\nif ($x { }").root_node.has_error
    assert path.read_text().startswith("# ")
