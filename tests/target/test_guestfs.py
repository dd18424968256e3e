"""The guestfs target keeps the contract of all targets, and its own promises; one appliance serves all tests here."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dib_py import mount_table
from dib_py.disk import Disk
from dib_py.disk.storage_daemon import serving
from dib_py.errors import TargetError
from dib_py.events import Event, Events, Message
from dib_py.settings import Settings
from dib_py.target import CacheTree
from dib_py.target.guestfs import GuestfsTarget, reachable
from dib_py.target.guestfs_appliance import Appliance, Machine

sys.path.insert(0, str(Path(__file__).parent))
import contract

pytestmark = [pytest.mark.appliance, pytest.mark.root]

hooks = contract.hooks


@pytest.fixture(scope="module")
def events() -> list[Event]:
    return []


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    directory = tmp_path_factory.mktemp("disk")
    with (
        serving(directory) as daemon,
        Disk.create(daemon, directory, size=contract.DISK_SIZE, capacity=64 * 1024**3) as disk,
    ):
        yield disk


@pytest.fixture(scope="module")
def caches(tmp_path_factory: pytest.TempPathFactory) -> CacheTree:
    return contract.cache_tree(tmp_path_factory.mktemp("caches"))


@pytest.fixture(scope="module")
def target(
    disk: Disk, tmp_path_factory: pytest.TempPathFactory, events: list[Event], caches: CacheTree
) -> Iterator[GuestfsTarget]:
    directory = tmp_path_factory.mktemp("build")
    layout = contract.small_layout()
    target = GuestfsTarget(disk, directory, Settings(memory=1536), Events(events.append))
    target.attach(caches)
    with target:
        target.create(layout)
        target.mount([mount for mount in target.layout_mounts(layout) if mount.path == "/"])
        contract.use_early_caches(target)
        with target.tree() as root:  # as root.d does it: a plain directory, and a mount that is left behind
            unpack = f"tar -xpf {contract.minimal_debian()} --numeric-owner --xattrs -C {root}"
            assert contract.host_script(target, f"{unpack} && mount -t proc proc {root}/proc")[0] == 0
        assert target.listdir("/proc") == []
        yield target
        target.unmount()


class TestRun(contract.RunContract):
    pass


class TestFiles(contract.FilesContract):
    pass


class TestPack(contract.PackContract):
    pass


class TestTree(contract.TreeContract):
    pass


class TestDisk(contract.DiskContract):
    pass


class TestCaches(contract.CachesContract):
    def test_what_is_new_comes_to_this_machine_at_the_end(
        self, target: GuestfsTarget, caches: CacheTree, hooks: Path
    ) -> None:
        archives = caches.source("/var/cache/apt") / "archives"
        with target.guest_mounts(hooks):
            text = (
                "cd /var/cache/apt/archives; printf 0123456789 > a_1%3a2+b~1.deb; echo x > 'no \"name'; rm -f had.deb"
            )
            assert contract.script(target, text)[0] == 0
        assert {path.name for path in archives.glob("*.deb")} == {"early.deb", "had.deb"}
        target._take_back_caches()  # as the target's end does
        assert {path.name for path in archives.glob("*.deb")} == {"early.deb", "had.deb", "new.deb", "a_1%3a2+b~1.deb"}
        assert (archives / "a_1%3a2+b~1.deb").read_text() == "0123456789"
        assert (archives / "had.deb").read_text() == "downloaded before\n"


class TestGuest(contract.InGuest):
    """What the host target does not have to prove."""

    def test_first_line_is_there_long_before_the_end(self, target: GuestfsTarget) -> None:
        arrivals: list[float] = []
        text = "echo first; sleep 6; echo last"
        target.run(["/bin/sh", "-c", text], env=contract.ENV, output=lambda chunk: arrivals.append(time.monotonic()))
        assert time.monotonic() - arrivals[0] >= 5

    @pytest.mark.slow
    def test_a_lot_of_output(self, target: GuestfsTarget) -> None:
        size = 100_000_000
        seen = 0

        def count(chunk: bytes) -> None:
            nonlocal seen
            seen += len(chunk)

        assert target.run(["head", "-c", str(size), "/dev/urandom"], env=contract.ENV, output=count, timeout=120) == 0
        assert seen == size

    def test_what_looks_like_an_end_is_output(self, target: GuestfsTarget) -> None:
        printed = bytearray()
        text = r"printf '\0dib-end 0123 0\n\0dib-end '"
        assert target.run(["/bin/sh", "-c", text], env=contract.ENV, output=printed.extend) == 0
        assert printed == b"\0dib-end 0123 0\n\0dib-end "

    def test_an_error_of_the_listener_ends_the_program(self, target: GuestfsTarget) -> None:
        def break_off(chunk: bytes) -> None:
            raise KeyboardInterrupt

        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            target.run(["/bin/sh", "-c", "echo x; sleep 600"], env=contract.ENV, output=break_off)
        assert time.monotonic() - started < 120
        assert contract.script(target, "ls -d /proc/[0-9]* | wc -l")[1].strip() in ("3", "4", "5")

    def test_signals_have_their_usual_effect(self, target: GuestfsTarget) -> None:
        for name, number in (("INT", 2), ("QUIT", 3), ("HUP", 1), ("PIPE", 13)):
            assert contract.script(target, f"kill -{name} $$; echo survived") == (128 + number, "")

    def test_large_environment(self, target: GuestfsTarget) -> None:
        env = {**contract.ENV, **{f"V{number}": "x" * 1000 for number in range(300)}}
        printed = bytearray()
        assert target.run(["env", "-0"], env=env, output=printed.extend) == 0
        assert printed.count(b"x" * 1000) == 300

    def test_nul_in_a_variable_is_refused(self, target: GuestfsTarget) -> None:
        with pytest.raises(TargetError, match="NUL"):
            target.run(["true"], env={"A": "b\0c"}, output=lambda chunk: None)

    def test_terminals(self, target: GuestfsTarget) -> None:
        code, printed = contract.script(target, "script -qec 'tty; test -t 0' /dev/null </dev/null")
        assert (code, printed.split()) == (0, ["/dev/pts/0"])

    @pytest.mark.slow
    def test_network(self, target: GuestfsTarget) -> None:
        if target.exists("/etc/resolv.conf"):
            target.rename("/etc/resolv.conf", "/etc/resolv.conf.ORIG")
        target.write("/etc/resolv.conf", target.resolver())
        text = "apt-get -o Acquire::Languages=none update"
        code, printed = contract.script(target, text, timeout=300)
        assert code == 0, printed
        assert "Reading package lists" in printed

    def test_a_shell_on_the_terminal(self, target: GuestfsTarget) -> None:
        child, terminal = pty.fork()
        if child == 0:
            code = 99
            with contextlib.suppress(BaseException):
                code = target.shell(["/bin/bash", "--norc"], env=contract.ENV, terminal=0, in_guest=True)
            os._exit(code)
        try:
            seen = _read_until(terminal, b"# ")
            # what prints is in the foreground by then: an interrupt that comes before, bash forgets
            os.write(terminal, b"sh -c 'echo answer $((6*7)); exec sleep 100'\n")
            seen += _read_until(terminal, b"answer 42")
            os.write(terminal, b"\x03")
            seen += _read_until(terminal, b"# ")
            os.write(terminal, b"exit 5\n")
            _read_to_the_end(terminal)
        except BaseException:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            raise
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
        assert b"no job control" not in seen


def _read_to_the_end(terminal: int) -> None:
    while select.select([terminal], [], [], 60)[0]:
        try:
            os.read(terminal, 4096)
        except OSError:  # the other side was closed
            return


def _read_until(terminal: int, wanted: bytes) -> bytes:
    seen = b""
    while wanted not in seen:
        assert select.select([terminal], [], [], 60)[0], seen
        seen += os.read(terminal, 4096)
    return seen


def test_devices_are_the_real_ones(target: GuestfsTarget, hooks: Path) -> None:
    with target.guest_mounts(hooks):
        assert contract.script(target, "mkdir /srv/left && mount --bind /etc /srv/left")[0] == 0
        with pytest.raises(TargetError, match="guest's mounts"):
            target.expose_devices(None)
    names = target.expose_devices(contract.small_layout())
    assert set(names) == {"image0", "root"}
    assert names["root"] == names["image0"] + "1"
    assert target.expose_devices(None) == {"image0": names["image0"], "1": names["root"]}
    assert target.listdir("/srv/left") == []
    text = 'test -b "$1" && test -b "$2" && grep " / " /proc/mounts && test -e /dev/disk/by-label/cloudimg-rootfs'
    printed = bytearray()
    with target.guest_mounts(hooks):
        argv = ["/bin/sh", "-c", text, "sh", *names.values()]
        assert target.run(argv, env=contract.ENV, output=printed.extend) == 0
    assert printed.decode().startswith(names["root"] + " ")


class TestHostTree:
    def test_cache_mounts_are_left_out_and_others_refused(
        self, target: GuestfsTarget, events: list[Event], tmp_path: Path
    ) -> None:
        (tmp_path / "cached.deb").touch()
        with target.tree() as root:
            mount = f'mkdir -p "{root}/tmp/yum" && mount --bind {tmp_path} "{root}/tmp/yum"'
            assert contract.host_script(target, mount)[0] == 0
            assert (root / "tmp/yum/cached.deb").exists()
            assert any("/tmp/yum" in event.text for event in events if isinstance(event, Message))
        assert target.listdir("/tmp/yum") == []
        with target.tree() as root, pytest.raises(TargetError, match="/srv, which can't reach"):
            contract.host_script(target, f'mount --bind {tmp_path} "{root}/srv"')
        assert not target.exists("/srv/cached.deb")
        assert not list(root.parent.glob("*/srv/cached.deb"))

    def test_files_through_the_open_tree(self, target: GuestfsTarget) -> None:
        with target.tree() as root:
            target.write("/srv/between", b"1")
            assert (root / "srv/between").read_bytes() == b"1"
            assert target.read("/etc/os-release")
            assert target.usage()[0] > 0
            target.sync()
        assert target.read("/srv/between") == b"1"

    def test_a_directory_instead_of_a_file_and_the_other_way(self, target: GuestfsTarget) -> None:
        target.make_directory("/srv/was/deep/directory")
        target.write("/srv/was-file", b"")
        target.write("/srv/kept", b"kept")
        with target.tree():
            pass
        with target.tree() as root:
            text = (
                f'cd "{root}/srv" && rm -r was && echo now > was && rm was-file && mkdir -p was-file/a && mv kept moved'
            )
            assert contract.host_script(target, text)[0] == 0
        assert target.read("/srv/was") == b"now\n"
        assert target.listdir("/srv/was-file") == ["a"]
        assert target.read("/srv/moved") == b"kept"
        assert not target.exists("/srv/kept")

    def test_capabilities_and_hard_links(self, target: GuestfsTarget, hooks: Path) -> None:
        capability = "0x0100000200200000000000000000000000000000"  # cap_net_raw=ep
        with target.tree() as root:
            text = f'cd "{root}/srv" && touch capable && ln capable linked'
            assert contract.host_script(target, text)[0] == 0
            os.setxattr(root / "srv/capable", "security.capability", bytes.fromhex(capability[2:]))
        with target.guest_mounts(hooks):
            assert contract.script(target, "stat -c %h /srv/linked; test /srv/linked -ef /srv/capable")[1] == "2\n"
        names = target._appliance.call(lambda g: [one["attrname"] for one in g.getxattrs("/srv/capable")])
        assert "security.capability" in names
        assert not any("overlay" in name for name in names)

    def test_an_error_inside_leaves_nothing(self, target: GuestfsTarget) -> None:
        with pytest.raises(ZeroDivisionError), target.tree() as root:
            (root / "srv/unwanted").touch()
            raise ZeroDivisionError
        assert not target.exists("/srv/unwanted")
        assert not any(root.parent in point.parents for point in mount_table.points())
        with target.tree() as root:
            assert (root / "etc/passwd").exists()


def test_appliance_that_does_not_start(disk: Disk, tmp_path: Path) -> None:
    appliance = Appliance(disk.nbd(), tmp_path, Machine(launch_timeout=1.0))
    started = time.monotonic()
    with pytest.raises(TargetError, match="did not start within 1 s"):
        appliance.launch()
    appliance.close()
    assert time.monotonic() - started < 120


def test_proxies_on_this_machine_are_reached_from_the_appliance() -> None:
    env = {
        "http_proxy": "http://localhost:3128",
        "HTTPS_PROXY": "http://user:pw@127.0.0.1:3128/",
        "ftp_proxy": "http://[::1]",
        "all_proxy": "socks5://proxy.example:1",
        "no_proxy": "localhost",
        "OTHER": "http://localhost/",
    }
    assert reachable(env) == {
        **env,
        "http_proxy": "http://169.254.2.2:3128",
        "HTTPS_PROXY": "http://user:pw@169.254.2.2:3128/",
        "ftp_proxy": "http://169.254.2.2",
    }
