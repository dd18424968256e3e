"""no-leftovers and clean-shutdown: what is read of an image that does not run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dib_py.verify.checks import Filesystem
from dib_py.verify.checks.clean_shutdown import CleanShutdown
from dib_py.verify.checks.no_leftovers import NoLeftovers
from dib_py.verify.filesystem import State
from dib_py.verify.leftovers import leftovers
from dib_py.verify.result import Outcome
from dib_py.windows import answer_file
from tests.verify.checks.fakes import CLEAN, Reader, Subject

# what a delivered image may well have
CLEAN_IMAGE = {
    "/etc/os-release": "ID=debian\n",
    "/etc/machine-id": "uninitialized\n",
    "/var/lib/dbus/machine-id": "-> /etc/machine-id",
    "/etc/resolv.conf": "-> ../run/systemd/resolve/stub-resolv.conf",
    "/etc/ssh/sshd_config": "Include /etc/ssh/sshd_config.d/*.conf\n",
    "/etc/ssh/moduli": "# 20230101 2 6 100\n",
    "/var/log/dpkg.log": "",
    "/var/log/README": "systemd logs to the journal",
    "/var/cache/debconf/templates.dat": "x" * 2_000_000,
    "/var/cache/apt/archives/lock": "",
    "/etc/network/interfaces": "source /etc/network/interfaces.d/*\n",
    "/etc/udev/rules.d/70-persistent-net.rules": "# written by the generator for 52:54:00:12:34:56\n",
    "/etc/sysconfig/network-scripts/ifcfg-lo": "DEVICE=lo\nIPADDR=127.0.0.1\n",
    "/root/.bashrc": "# ~/.bashrc\n",
}


def image(**changed: str) -> Reader:
    return Reader({**CLEAN_IMAGE, **changed})


def test_a_clean_image() -> None:
    finding = NoLeftovers().run(Subject(image=image()))
    assert finding.outcome is Outcome.PASSED
    assert finding.evidence[0].text == "/dev/sda1 ext4 /"


@pytest.mark.parametrize(
    ("path", "text", "kind", "where"),
    [
        ("/etc/ssh/ssh_host_rsa_key", "-----BEGIN", "ssh host keys", "/etc/ssh/ssh_host_rsa_key"),
        ("/etc/ssh/ssh_host_ed25519_key.pub", "ssh-ed25519", "ssh host keys", "/etc/ssh/ssh_host_ed25519_key.pub"),
        ("/etc/machine-id", "a" * 32 + "\n", "machine id", "/etc/machine-id: " + "a" * 32),
        ("/var/lib/dbus/machine-id", "b" * 32, "machine id", "/var/lib/dbus/machine-id: " + "b" * 32),
        (
            "/etc/udev/rules.d/70-persistent-net.rules",
            'SUBSYSTEM=="net", ATTR{address}=="52:54:00:12:34:56", NAME="eth0"\n',
            "MAC addresses",
            "/etc/udev/rules.d/70-persistent-net.rules: 52:54:00:12:34:56",
        ),
        (
            "/etc/sysconfig/network-scripts/ifcfg-eth0",
            "HWADDR=52:54:00:AB:CD:EF\n",
            "MAC addresses",
            "/etc/sysconfig/network-scripts/ifcfg-eth0: 52:54:00:AB:CD:EF",
        ),
        (
            "/etc/netplan/50-cloud-init.yaml",
            'macaddress: "52:54:00:12:34:56"\n',
            "MAC addresses",
            "/etc/netplan/50-cloud-init.yaml: 52:54:00:12:34:56",
        ),
        ("/var/log/apt/history.log", "Start-Date", "logs", "/var/log/apt/history.log (10 bytes)"),
        ("/var/log/journal/abc/system.journal", "LPKSHHRH", "logs", "/var/log/journal/abc/system.journal (8 bytes)"),
        ("/var/cache/apt/archives/big.deb", "x" * 1_500_000, "caches", "/var/cache/apt (1.4 MiB)"),
        (
            "/etc/resolv.conf",
            "nameserver 10.1.2.3\n",
            "the resolver of the build",
            "/etc/resolv.conf: nameserver 10.1.2.3",
        ),
        (
            "/etc/resolv.conf",
            "search build.example.com\n",
            "the resolver of the build",
            "/etc/resolv.conf: search build.example.com",
        ),
        ("/etc/resolv.conf.ORIG", "", "the resolver of the build", "/etc/resolv.conf.ORIG"),
        ("/var/lib/systemd/random-seed", "x", "state of a machine", "/var/lib/systemd/random-seed"),
        ("/var/lib/dhcp/dhclient.eth0.leases", "x", "state of a machine", "/var/lib/dhcp/dhclient.eth0.leases"),
        ("/var/lib/cloud/instances/i-1/sem/x", "x", "state of a machine", "/var/lib/cloud/instances/i-1/sem/x"),
        ("/root/.bash_history", "ls", "state of a machine", "/root/.bash_history"),
        ("/tmp/in_target.d/x", "x", "temporary files", "/tmp/in_target.d"),
    ],
)
def test_a_leftover(path: str, text: str, kind: str, where: str) -> None:
    found = leftovers(image(**{path: text}))
    assert [(one.kind, one.where) for one in found] == [(kind, where)]
    finding = NoLeftovers().run(Subject(image=image(**{path: text})))
    assert (finding.outcome, finding.reason) == (Outcome.FAILED, f"left in the image: {kind}")
    assert where in finding.evidence[0].text


def test_what_mkfs_makes_is_no_leftover_while_nothing_is_in_it() -> None:
    assert leftovers(image(**{"/tmp/lost+found": "", "/var/tmp/lost+found": ""})) == []
    (found,) = leftovers(image(**{"/tmp/lost+found/#123": "x"}))
    assert (found.kind, found.where) == ("temporary files", "/tmp/lost+found")


def test_a_resolver_of_the_guests_own() -> None:
    assert leftovers(image(**{"/etc/resolv.conf": "nameserver 127.0.0.53\nnameserver ::1\n"})) == []


def test_an_image_without_a_system_is_not_clean() -> None:
    reader = Reader({}, system="", problem="no operating system was found on it")
    finding = NoLeftovers().run(Subject(image=reader))
    assert finding.outcome is Outcome.FAILED
    assert finding.reason == "there is nothing to look at: no operating system was found on it"


def test_what_can_not_be_read_is_not_clean() -> None:
    reader = image()
    reader.problem = "what fstab mounts at /var can't be mounted"
    finding = NoLeftovers().run(Subject(image=reader))
    assert (finding.outcome, "/var" in finding.reason) == (Outcome.NOT_RUN, True)


WINDOWS = {
    "/Windows/System32/ntoskrnl.exe": "MZ",
    "/Windows/System32/config/SOFTWARE": "regf",
    "/Windows/System32/winevt/Logs/System.evtx": "x" * 69_632,
}
IMAGE_STATE = r"Microsoft\Windows\CurrentVersion\Setup\State\ImageState"
OOBE, COMPLETE = "IMAGE_STATE_GENERALIZE_RESEAL_TO_OOBE", "IMAGE_STATE_COMPLETE"
SPECIALIZED = "IMAGE_STATE_SPECIALIZE_RESEAL_TO_OOBE"
PANTHER = "/Windows/Panther/unattend.xml"
OURS = answer_file.written(answer_file.empty()).decode()


def windows(image_state: str = OOBE, **more: str) -> Reader:
    return Reader({**WINDOWS, **more}, system="windows", registry={IMAGE_STATE: image_state})


def test_a_clean_windows() -> None:
    assert leftovers(windows()) == []


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/hiberfil.sys", "what was written out of memory"),
        ("/PAGEFILE.SYS", "what was written out of memory"),
        ("/ProgramData/ssh/ssh_host_rsa_key", "ssh host keys"),
        ("/Windows/SoftwareDistribution/Download/abc/update.cab", "caches"),
        ("/Windows/Temp/setup.tmp", "temporary files"),
        ("/Windows/Panther/Unattend.xml", "answers of a setup"),
        ("/Windows/Panther/Unattend/unattend.xml", "answers of a setup"),
    ],
)
def test_a_leftover_of_windows(path: str, kind: str) -> None:
    found = leftovers(windows(**{path: "x"}))
    assert [(one.kind, one.where) for one in found] == [(kind, path)]


@pytest.mark.parametrize(("image_state", "said"), [(COMPLETE, f"is {COMPLETE}"), ("", "is not there")])
def test_a_windows_that_was_not_generalized(image_state: str, said: str) -> None:
    (found,) = leftovers(windows(image_state))
    assert found.kind == "machine id" and f"ImageState {said}" in found.where


def test_an_answer_file_of_elements_is_no_leftover_where_setup_will_read_it() -> None:
    assert leftovers(windows(**{PANTHER: OURS})) == []
    assert [one.kind for one in leftovers(windows(SPECIALIZED, **{PANTHER: OURS}))] == ["machine id"]
    kinds = {one.kind: one.where for one in leftovers(windows(COMPLETE, **{PANTHER: OURS}))}
    assert kinds.keys() == {"answers of a setup", "machine id"} and kinds["answers of a setup"] == PANTHER


# -- clean-shutdown
DIRTY = Filesystem("/dev/sdc1", "ext4", "", "/", State(False, "its journal must be replayed (needs_recovery)"))
ESP = Filesystem("/dev/sdc15", "vfat", "UEFI", "/boot/efi", State(False, "its boot sector says dirty"))
XFS = Filesystem("/dev/sdc2", "xfs", "", "/srv", State(None, "there is no xfs_logprint"))
MUTE = Filesystem("/dev/sdc1", "zfs", "", "/", State(None, "zfs does not say whether it is clean"))


@pytest.mark.parametrize(
    ("filesystems", "outcome", "reason"),
    [
        ((CLEAN,), Outcome.PASSED, ""),
        (
            (DIRTY,),
            Outcome.FAILED,
            "not every filesystem is clean: /: its journal must be replayed (needs_recovery)",
        ),
        (
            (CLEAN, ESP),
            Outcome.FAILED,
            "not every filesystem is clean: /boot/efi: its boot sector says dirty",
        ),
        ((), Outcome.FAILED, "no root filesystem is found on the disk any more"),
        ((MUTE,), Outcome.NOT_RUN, "not every filesystem can be judged: /: zfs does not say whether it is clean"),
        ((CLEAN, XFS), Outcome.NOT_RUN, "not every filesystem can be judged: /srv: there is no xfs_logprint"),
        ((CLEAN, replace(XFS, path="")), Outcome.PASSED, ""),
    ],
)
def test_clean_shutdown(filesystems: tuple[Filesystem, ...], outcome: Outcome, reason: str) -> None:
    finding = CleanShutdown().run(Subject(disk=Reader({}, filesystems=filesystems)))
    assert (finding.outcome, finding.reason) == (outcome, reason)
