"""What sysprep removes, operation by operation, and what it leaves."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .distributions import ALPINE, CENTOS7, DEBIAN, FEDORA, RHEL, Distribution, everything, twice

if TYPE_CHECKING:
    from .conftest import Guest

FIRST, LAST, IDENTITY = "pre-install.d/05-sysprep", "finalise.d/98-sysprep", "finalise.d/99-clear-machine-id"
TABLE = Path(__file__).resolve().parents[2] / "elements/sysprep/sysprep-operations/table"
MACHINE = "0123456789abcdef0123456789abcdef\n"

# operation: what it removes (of a machine of its distribution), and what of the same places it leaves
BEFORE: dict[str, tuple[Distribution, list[str], list[str]]] = {
    "abrt-data": (FEDORA, ["/var/spool/abrt/ccpp-1/core"], []),
    "crash-data": (FEDORA, ["/var/crash/127.0.0.1/vmcore", "/var/log/dump/x"], []),
    "cron-spool": (DEBIAN, ["/var/spool/cron/crontabs/root", "/var/spool/at/a0001"], ["/var/spool/at/.SEQ"]),
    "dhcp-server-state": (FEDORA, ["/var/lib/dhcpd/dhcpd.leases"], []),
    "dovecot-data": (DEBIAN, ["/var/lib/dovecot/instances"], []),
    "ipa-client": (FEDORA, ["/etc/ipa/ca.crt", "/etc/pki/ca-trust/source/anchors/ipa-ca.crt"], ["/etc/ipa/nssdb"]),
    "kerberos-hostkeytab": (DEBIAN, ["/etc/krb5.keytab"], ["/etc/krb5.conf"]),
    "mail-spool": (DEBIAN, ["/var/spool/mail/root"], []),
    "net-nmconn": (FEDORA, ["/etc/NetworkManager/system-connections/eth0.nmconnection"], []),
    "puppet-data-log": (DEBIAN, ["/var/log/puppet/a.log", "/var/lib/puppet/ssl/certs/x.pem"], []),
    "samba-db-log": (DEBIAN, ["/var/lib/samba/private/secrets.tdb", "/var/log/samba/log.smbd"], []),
    "ssh-userdir": (DEBIAN, ["/root/.ssh/authorized_keys", "/home/joe/.ssh/id_rsa"], ["/home/joe/.profile"]),
    "sssd-db-log": (FEDORA, ["/var/lib/sss/db/cache_x.ldb", "/var/log/sssd/sssd.log"], []),
}
AFTER: dict[str, tuple[Distribution, list[str], list[str]]] = {
    "backup-files": (DEBIAN, ["/etc/fstab.bak", "/root/x~", "/var/lib/y.bak"], ["/etc/fstab", "/opt/x.bak"]),
    "bash-history": (DEBIAN, ["/root/.bash_history", "/home/joe/.bash_history"], ["/root/.bashrc"]),
    "blkid-tab": (DEBIAN, ["/etc/blkid.tab", "/etc/blkid/blkid.tab.old"], []),
    "dhcp-client-state": (DEBIAN, ["/var/lib/dhcp/dhclient.eth0.leases", "/var/lib/dhclient/x"], []),
    "logfiles": (
        CENTOS7,
        ["/var/log/boot.log-1", "/var/log/secure", "/var/log/audit/audit.log", "/root/anaconda-ks.cfg"],
        ["/var/log/README", "/root/.bashrc"],
    ),
    "lvm-system-devices": (FEDORA, ["/etc/lvm/devices/system.devices"], ["/etc/lvm/lvm.conf"]),
    "package-manager-cache": (
        FEDORA,
        ["/var/cache/dnf/fedora/repodata/x.xml", "/var/cache/yum/x86_64/7/a.rpm", "/var/cache/apt/archives/a.deb"],
        ["/var/cache/ldconfig/aux-cache"],
    ),
    "pam-data": (FEDORA, ["/run/faillock/root"], []),
    "passwd-backups": (DEBIAN, ["/etc/passwd-", "/etc/shadow-", "/etc/subuid-"], ["/etc/shadow"]),
    "rh-subscription-manager": (RHEL, ["/etc/pki/consumer/key.pem", "/etc/pki/entitlement/1.pem"], ["/etc/pki/x"]),
    "rhn-systemid": (RHEL, ["/etc/sysconfig/rhn/systemid"], ["/etc/sysconfig/rhn/up2date"]),
    "rpm-db": (CENTOS7, ["/var/lib/rpm/__db.001"], ["/var/lib/rpm/Packages"]),
    "smolt-uuid": (CENTOS7, ["/etc/sysconfig/hw-uuid", "/etc/smolt/uuid"], []),
    "ssh-hostkeys": (CENTOS7, ["/etc/ssh/ssh_host_rsa_key", "/etc/ssh/ssh_host_rsa_key.pub"], ["/etc/ssh/moduli"]),
    "tmp-files": (DEBIAN, ["/var/tmp/x", "/var/tmp/d/y"], ["/tmp/grub/install"]),
    "utmp": (DEBIAN, ["/run/utmp"], []),
    "yum-uuid": (CENTOS7, ["/var/lib/yum/uuid"], ["/var/lib/yum/history/x"]),
    "zsh-history": (DEBIAN, ["/root/.zsh_history"], ["/root/.zshrc"]),
}
IN_FILES = {"net-hostname", "net-hwaddr", "pacct-log", "udev-persistent-net", "machine-id"}  # tests of their own


def operations() -> dict[str, str]:
    """When each operation of the table is done."""
    lines = [line.split() for line in TABLE.read_text().splitlines() if line and not line.startswith("#")]
    return {name: when for when, name, *_ in lines}


def test_every_operation_is_tested() -> None:
    assert set(operations()) == {*BEFORE, *AFTER, *IN_FILES}
    assert {name for name, when in operations().items() if when == "first"} == {*BEFORE, "net-hostname", "net-hwaddr"}


@pytest.mark.skipif(shutil.which("virt-sysprep") is None, reason="needs virt-sysprep")
def test_all_that_virt_sysprep_does_by_default_is_there() -> None:
    listed = subprocess.run(["virt-sysprep", "--list-operations"], capture_output=True, text=True, check=True).stdout
    defaults = {line.split()[0] for line in listed.splitlines() if " * " in line}
    assert len(defaults) > 30
    assert defaults - {"customize", "script", "lvm-uuids"} <= set(operations())


@pytest.mark.parametrize("name", [*BEFORE, *AFTER])
def test_an_operation(guest: Guest, name: str) -> None:
    distribution, gone, stays = {**BEFORE, **AFTER}[name]
    guest.merge("sysprep")
    distribution.lay(guest)
    guest.fake("update-ca-trust")
    for path in gone + stays:
        guest.write(path, "x\n")
    hook = FIRST if name in BEFORE else LAST
    other = LAST if name in BEFORE else FIRST
    guest.hook(hook, DIB_SYSPREP_OPERATIONS=f"defaults, -{name}")
    before = everything(guest)
    assert [path for path in gone if not guest.exists(path)] == [], "it is switched off"
    guest.hook(other, DIB_SYSPREP_OPERATIONS=name)
    assert everything(guest) == before, "it is done at the other time"
    assert twice(guest, hook, DIB_SYSPREP_OPERATIONS=name) == f"sysprep: {name}\n"
    assert [path for path in gone if guest.exists(path)] == []
    assert [path for path in stays if not guest.exists(path)] == []
    assert guest.calls == (["update-ca-trust"] if name == "ipa-client" else [])


def test_addresses_and_names_in_ifcfg_files(guest: Guest) -> None:
    guest.merge("sysprep")
    CENTOS7.lay(guest)
    path = "/etc/sysconfig/network-scripts/ifcfg-eth0"
    guest.write(path, "DEVICE=eth0\nHWADDR=52:54:00:12:34:56\nHOSTNAME=a\nDHCP_HOSTNAME=b\n")
    assert twice(guest, FIRST) == "sysprep: net-hostname\nsysprep: net-hwaddr\n"
    assert guest.read(path) == "DEVICE=eth0\n"


def test_files_that_stay_and_are_empty(guest: Guest) -> None:
    guest.merge("sysprep")
    CENTOS7.lay(guest)
    guest.write("/etc/udev/rules.d/70-persistent-net.rules", 'NAME="eth0"\n')
    guest.write("/var/account/pacct", "x")
    guest.write("/var/account/pacct-1.gz", "x")
    twice_output = guest.hook(LAST).stdout
    assert "sysprep: pacct-log\nsysprep: udev-persistent-net\n" in twice_output
    assert guest.read("/etc/udev/rules.d/70-persistent-net.rules") == ""
    assert {path.name: path.read_text() for path in (guest.root / "var/account").iterdir()} == {"pacct": ""}


@pytest.mark.parametrize(
    ("distribution", "after"), [(DEBIAN, "uninitialized\n"), (ALPINE, None)], ids=["systemd", "not"]
)
def test_machine_identity(guest: Guest, distribution: Distribution, after: str | None) -> None:
    guest.merge("sysprep")
    distribution.lay(guest)
    guest.write("/etc/machine-id", MACHINE)
    guest.write("/var/lib/dbus/machine-id", MACHINE)
    guest.hook(IDENTITY, DIB_SYSPREP_OPERATIONS="defaults,-machine-id")
    assert guest.read("/etc/machine-id") == MACHINE
    twice(guest, IDENTITY)
    assert not guest.exists("/var/lib/dbus/machine-id")
    assert (guest.read("/etc/machine-id") if guest.exists("/etc/machine-id") else None) == after


def test_host_keys_that_nobody_would_make_again_stay(guest: Guest) -> None:
    guest.merge("sysprep")
    DEBIAN.lay(guest)
    guest.write("/etc/ssh/ssh_host_rsa_key", "x")
    assert "runtime-ssh-host-keys would" in guest.hook(LAST).stderr
    assert guest.exists("/etc/ssh/ssh_host_rsa_key")
    guest.write("/usr/local/sbin/runtime-ssh-host-keys.sh", "")
    guest.hook(LAST)
    assert not guest.exists("/etc/ssh/ssh_host_rsa_key")


def test_a_cache_of_the_machine_that_builds_is_not_emptied(guest: Guest) -> None:
    guest.merge("sysprep")
    for name in ("kept", "gone"):
        guest.write(f"/var/cache/{'yum' if name == 'kept' else 'dnf'}/{name}.rpm", "x")
    guest.run("/bin/bash", "-c", f"mount --bind /var/cache/yum /var/cache/yum && /tmp/in_target.d/{LAST}")
    assert guest.exists("/var/cache/yum/kept.rpm")
    assert not guest.exists("/var/cache/dnf/gone.rpm")


def test_packages_of_apt_stay_where_that_was_asked_for(guest: Guest) -> None:
    guest.merge("sysprep")
    guest.write("/var/cache/apt/archives/a.deb", "x")
    (guest.root / "var/cache/apt/archives/partial").mkdir()
    guest.hook(LAST, DIB_DISABLE_APT_CLEANUP="1")
    assert guest.exists("/var/cache/apt/archives/a.deb")
    guest.hook(LAST)
    assert [path.name for path in (guest.root / "var/cache/apt/archives").iterdir()] == ["partial"]


@pytest.mark.parametrize("wanted", ["-defaults", "all,-all", "utmp,-utmp"])
def test_none_at_all(guest: Guest, wanted: str) -> None:
    guest.merge("sysprep")
    guest.write("/root/.bash_history", "x")
    guest.write("/run/utmp", "x")
    guest.hook(LAST, DIB_SYSPREP_OPERATIONS=wanted)
    assert guest.exists("/root/.bash_history")
    assert guest.exists("/run/utmp")


@pytest.mark.parametrize("wanted", ["logfile", "defaults,-logfile"])
def test_an_operation_that_is_not_there_ends_the_build(guest: Guest, wanted: str) -> None:
    guest.merge("sysprep")
    result = guest.hook(FIRST, check=False, DIB_SYSPREP_OPERATIONS=wanted)
    assert result.returncode == 1
    assert "no operation 'logfile'" in result.stderr
    assert " logfiles " in result.stderr
