"""What every target promises: classes of tests that the guestfs and the host target pass alike.

A test module makes a subclass of each (``RunContract``, ``FilesContract``, ``TreeContract``, ``DiskContract``,
``CachesContract``) and has a module-wide fixture ``target``: open, on a disk made from :func:`small_layout`, its root
mounted and :func:`minimal_debian` unpacked in it, with nothing else open. Before it was entered, :func:`cache_tree` was
attached; before the tree was unpacked, :func:`use_early_caches` was called. Tests share that tree, so each keeps to
names of its own.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from dib_py.disk.layout import Filesystem, Layout, Partition, PartitionTable
from dib_py.errors import DibError
from dib_py.target import CacheTree, HookTimeout, Mount, Target

ENV = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LC_ALL": "C"}
DISK_SIZE = 2 * 1024**3


def small_layout() -> Layout:
    """An MBR disk with one bootable ext4 partition, ``root``."""
    return Layout(
        name="image0",
        size=DISK_SIZE,
        table=PartitionTable("mbr", 1024**2, (Partition("root", 1, None, "0x83", bootable=True),)),
        filesystems=(
            Filesystem(
                "mkfs_root",
                "root",
                "ext4",
                "cloudimg-rootfs",
                "7e2f5e9c-2c3d-4d1e-9f53-1c8f0c4ad001",
                mount_point="/",
                fstab_options="defaults",
                fstab_pass=1,
            ),
        ),
    )


def minimal_debian() -> Path:
    """A tar archive of a minimal Debian, made once for each machine and kept beside other temporary files."""
    named = os.environ.get("DIB_PY_TEST_MINBASE")
    archive = Path(named) if named else Path(tempfile.gettempdir()) / "fixtures" / "minbase.tar"
    if archive.exists():
        return archive
    archive.parent.mkdir(parents=True, exist_ok=True)
    with archive.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            fresh = archive.with_suffix(f".{os.getpid()}.tar")
            try:
                subprocess.run(["mmdebstrap", "--variant=minbase", "bookworm", str(fresh)], check=True, timeout=900)
            except (OSError, subprocess.SubprocessError) as error:
                pytest.skip(f"needs a minimal Debian tree: {error}")
            fresh.rename(archive)
    return archive


def cache_tree(directory: Path) -> CacheTree:
    """Two caches of a build in ``directory``; one has a file that is a hard link of ``kept`` beside them."""
    tree = CacheTree(directory / "build", ("/var/cache/apt", "/var/cache/made"), ("/var/cache/apt",))
    for path in tree.paths:
        tree.source(path).mkdir(parents=True)
    (directory / "kept").write_text("downloaded before\n")
    (tree.source("/var/cache/apt") / "archives").mkdir()
    os.link(directory / "kept", tree.source("/var/cache/apt") / "archives" / "had.deb")
    return tree


def use_early_caches(target: Target) -> None:
    """What a bootstrap does with the cache of an empty guest."""
    with target.tree() as root:
        cache = root / "var/cache/apt"
        code, printed = host_script(target, f"cat {cache}/archives/had.deb; echo early > {cache}/archives/early.deb")
    assert (code, printed) == (0, "downloaded before\n")
    if target.exists("/var/cache/apt"):
        assert target.listdir("/var/cache/apt") == []


def script(target: Target, text: str, *, env: Mapping[str, str] = ENV, timeout: float = 120) -> tuple[int, str]:
    """Exit code and output of a shell script in the guest."""
    printed = bytearray()
    code = target.run(["/bin/sh", "-c", text], env=env, output=printed.extend, timeout=timeout)
    return code, printed.decode(errors="replace")


def host_script(target: Target, text: str, **env: str) -> tuple[int, str]:
    """Exit code and output of a host-side shell script; ``tree()`` must be open."""
    printed = bytearray()
    variables = {"PATH": os.environ["PATH"], **env}
    code = target.run_host(["/bin/bash", "-c", text], env=variables, output=printed.extend, timeout=120)
    return code, printed.decode(errors="replace")


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hooks")
    phase = directory / "install.d"
    phase.mkdir()
    hook = phase / "10-sibling"
    hook.write_text('#!/bin/bash\nset -eu\ncat "$(dirname "$0")/../data"\n')
    hook.chmod(0o755)
    (directory / "data").write_text("seen through the siblings\n")
    return directory


class InGuest:
    """Keeps the guest's mounts open for all tests of a class."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _mounts(cls, target: Target, hooks: Path) -> Iterator[None]:
        with target.guest_mounts(hooks):
            yield


class RunContract(InGuest):
    """Scripts in the guest."""

    def test_exit_code_and_output(self, target: Target) -> None:
        assert script(target, "echo out; echo err >&2; exit 7") == (7, "out\nerr\n")

    def test_a_hook_finds_its_siblings(self, target: Target) -> None:
        printed = bytearray()
        code = target.run(["/tmp/in_target.d/install.d/10-sibling"], env=ENV, output=printed.extend)
        assert (code, printed) == (0, b"seen through the siblings\n")

    def test_hooks_are_read_only(self, target: Target) -> None:
        code, _ = script(target, "echo x > /tmp/in_target.d/data")
        assert code != 0

    def test_environment_is_exactly_the_one_given(self, target: Target) -> None:
        env = {**ENV, "DIB_ODD": "a 'b' \"c\"\nd $e `f` \\", "BASH_FUNC_greet%%": "() { echo hello; }"}
        printed = bytearray()
        code = target.run(["bash", "-c", "greet; exec env -0"], env=env, output=printed.extend)
        assert code == 0
        greeting, _, dump = printed.partition(b"\n")
        assert greeting == b"hello"
        seen = dict(entry.split("=", 1) for entry in dump.decode().split("\0") if entry)
        assert seen["DIB_ODD"] == env["DIB_ODD"]
        shell_sets = {"PWD", "OLDPWD", "SHLVL", "_"}
        assert set(seen) - shell_sets == set(env)

    def test_programs_are_found_on_the_path_given(self, target: Target) -> None:
        path = "$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # as diskimage-builder has it
        assert target.run(["true"], env={"PATH": path}, output=lambda chunk: None) == 0

    def test_missing_program(self, target: Target) -> None:
        assert target.run(["no-such-program"], env=ENV, output=lambda chunk: None) == 127

    def test_working_directory(self, target: Target) -> None:
        assert script(target, "pwd") == (0, "/\n")
        printed = bytearray()
        assert target.run(["pwd"], env=ENV, output=printed.extend, cwd="/usr/bin") == 0
        assert printed == b"/usr/bin\n"

    def test_input(self, target: Target) -> None:
        printed = bytearray()
        assert target.run(["cat"], env=ENV, output=printed.extend, input=b"x" * 200_000) == 0
        assert printed == b"x" * 200_000

    def test_standard_input_is_empty(self, target: Target) -> None:
        assert script(target, "cat; echo end", timeout=60) == (0, "end\n")

    def test_killed_by_a_signal(self, target: Target) -> None:
        assert script(target, "kill -9 $$")[0] == 137
        assert script(target, "kill -TERM $$")[0] == 143

    def test_killing_everything_harms_only_the_hook(self, target: Target) -> None:
        assert script(target, "trap '' TERM; kill -9 -1; exit 3")[0] in (3, 137)
        assert script(target, "kill -TERM 0; sleep 5")[0] == 143
        assert script(target, "echo still here") == (0, "still here\n")

    def test_output_streams(self, target: Target) -> None:
        arrivals: list[tuple[float, bytes]] = []
        code = target.run(
            ["/bin/sh", "-c", "echo first; sleep 3; echo last"],
            env=ENV,
            output=lambda chunk: arrivals.append((time.monotonic(), chunk)),
        )
        ended = time.monotonic()
        assert code == 0
        assert b"".join(chunk for _, chunk in arrivals) == b"first\nlast\n"
        assert ended - arrivals[0][0] > 2

    def test_invalid_utf8_and_nul_come_through(self, target: Target) -> None:
        printed = bytearray()
        code = target.run(["printf", r"\377\376\000\n"], env=ENV, output=printed.extend)
        assert (code, printed) == (0, b"\xff\xfe\x00\n")

    def test_timeout_ends_everything(self, target: Target) -> None:
        started = time.monotonic()
        with pytest.raises(HookTimeout):
            script(target, "(trap '' TERM; sleep 600) & trap '' TERM; sleep 600", timeout=3)
        assert time.monotonic() - started < 120
        assert script(target, "for p in /proc/[0-9]*/comm; do cat $p 2>/dev/null; done")[1].count("sleep\n") == 0

    def test_a_daemon_left_behind_does_not_hold_the_step(self, target: Target) -> None:
        started = time.monotonic()
        assert script(target, "setsid sleep 600 & echo started") == (0, "started\n")
        assert time.monotonic() - started < 120
        assert script(target, "for p in /proc/[0-9]*/comm; do cat $p 2>/dev/null; done")[1].count("sleep\n") == 0

    def test_guest_mounts(self, target: Target) -> None:
        code, printed = script(
            target,
            "cat /proc/self/comm; test -c /dev/null && echo hi > /dev/null && test -d /dev/pts && head -c1 /dev/zero"
            " | wc -c; test -r /dev/fd/0 && echo fd; touch /sys/x 2>/dev/null || echo read-only; ls /sys | head -1",
        )
        assert code == 0
        lines = printed.split("\n")
        assert lines[:4] == ["cat", "1", "fd", "read-only"]
        assert lines[4]

    def test_what_a_hook_mounts_later_hooks_see(self, target: Target) -> None:
        assert script(target, "mkdir /srv/bound && mount --bind /etc /srv/bound")[0] == 0
        assert script(target, "test -e /srv/bound/debian_version && umount /srv/bound")[0] == 0
        assert script(target, "test -e /srv/bound/debian_version")[0] == 1


class FilesContract(InGuest):
    """The engine's own work in the tree."""

    def test_write_read(self, target: Target) -> None:
        target.write("/etc/written", b"\x00\xff data", mode=0o640)
        assert target.read("/etc/written") == b"\x00\xff data"
        target.write("/etc/written", b"new", mode=0o600)
        assert target.read("/etc/written") == b"new"
        assert script(target, "stat -c %a:%u:%g /etc/written")[1] == "600:0:0\n"

    def test_exists_and_remove(self, target: Target) -> None:
        target.make_directory("/srv/one/two/three", 0o700)
        target.make_directory("/srv/one/two/three", 0o700)
        assert target.exists("/srv/one/two/three")
        target.write("/srv/one/two/file", b"")
        assert sorted(target.listdir("/srv/one/two")) == ["file", "three"]
        target.rename("/srv/one/two/file", "/srv/one/renamed")
        assert target.exists("/srv/one/renamed")
        target.remove("/srv/one")
        target.remove("/srv/one")
        assert not target.exists("/srv/one")

    def test_missing_file_is_an_error(self, target: Target) -> None:
        with pytest.raises(DibError):
            target.read("/srv/no-such-file")

    def test_links_resolve_inside_the_guest(self, target: Target) -> None:
        target.make_directory("/srv/links")
        assert (
            script(target, "ln -s /srv/links/real /srv/links/absolute; ln -s ../../../../../etc /srv/links/up")[0] == 0
        )
        target.write("/srv/links/absolute", b"through the link")
        assert target.read("/srv/links/real") == b"through the link"
        assert target.is_symlink("/srv/links/absolute")
        assert not target.is_symlink("/srv/links/real")
        assert target.read("/srv/links/up/os-release") == target.read("/etc/os-release")
        target.remove("/srv/links/absolute")
        assert not target.is_symlink("/srv/links/absolute")
        assert target.exists("/srv/links/real")

    def test_a_dangling_link_does_not_exist(self, target: Target) -> None:
        assert script(target, "ln -s /nowhere/at/all /srv/dangling")[0] == 0
        assert not target.exists("/srv/dangling")
        assert target.is_symlink("/srv/dangling")
        target.rename("/srv/dangling", "/srv/dangling.ORIG")
        assert target.is_symlink("/srv/dangling.ORIG")
        target.remove("/srv/dangling.ORIG")
        assert not target.is_symlink("/srv/dangling.ORIG")

    def test_copy_in(self, target: Target, tmp_path: Path) -> None:
        tree = tmp_path / "tree"
        (tree / "sub").mkdir(parents=True)
        (tree / "sub" / "run").write_text("#!/bin/sh\n")
        (tree / "sub" / "run").chmod(0o755)
        (tree / "link").symlink_to("/etc/os-release")
        target.make_directory("/srv/copied")
        target.copy_in(tree, "/srv/copied")
        target.copy_in(tree / "sub" / "run", "/srv/copied")
        assert script(target, "cd /srv/copied && stat -c %a tree/sub/run run && readlink tree/link")[1] == (
            "755\n755\n/etc/os-release\n"
        )

    def test_tar_keeps_owners_modes_and_attributes(self, target: Target, tmp_path: Path) -> None:
        archive = tmp_path / "in.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("file")
            info.uid, info.gid, info.mode = 1234, 4321, 0o4711
            info.pax_headers = {"SCHILY.xattr.user.colour": "blue"}
            tar.addfile(info)
        target.make_directory("/srv/tar")
        target.tar_in(archive, "/srv/tar")
        assert script(target, "stat -c %a:%u:%g /srv/tar/file")[1] == "4711:1234:4321\n"
        back = tmp_path / "out.tar"
        target.write("/srv/tar/left-out", b"")
        target.tar_out("/srv/tar", back, exclude=["./left-out"])
        with tarfile.open(back) as tar:
            members = {member.name.lstrip("./"): member for member in tar}
        assert "left-out" not in members
        member = members["file"]
        assert (member.uid, member.gid, member.mode) == (1234, 4321, 0o4711)
        assert member.pax_headers["SCHILY.xattr.user.colour"] == "blue"


class PackContract:
    """All of the guest's files as one archive."""

    def test_pack_keeps_what_files_are(self, target: Target, hooks: Path, tmp_path: Path) -> None:
        made = (
            "mkdir /srv/packed && cd /srv/packed && truncate -s 8M sparse &&"
            " echo x | dd of=sparse bs=1 seek=5000000 conv=notrunc 2>/dev/null && mknod null c 1 3 && mkfifo pipe &&"
            r" echo odd >$(printf 'b\351') && echo one >one && ln one two && chown 1234:4321 one && chmod 4711 one &&"
            " ln -s /etc/os-release link && touch -d @1000000000.5 one && mkdir -m 1777 sticky"
        )
        archive = tmp_path / "attributes.tar"
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            member = tarfile.TarInfo("attributes")
            member.pax_headers = {"SCHILY.xattr.user.colour": "blue", "SCHILY.xattr.trusted.t": "x"}
            tar.addfile(member)
        with target.guest_mounts(hooks):
            assert script(target, made) == (0, "")
        target.tar_in(archive, "/srv/packed")

        packed = tmp_path / "packed.tar"
        with packed.open("wb") as file:
            target.pack(file.write)

        with tarfile.open(packed, errors="surrogateescape") as tar:
            found = {member.name: member for member in tar}
        inside = {name[len("./srv/packed/") :]: found[name] for name in found if name.startswith("./srv/packed/")}
        expected = ["attributes", "b\udce9", "link", "null", "one", "pipe", "sparse", "sticky", "two"]
        assert list(inside) == expected  # in order
        assert (inside["sparse"].issparse(), inside["sparse"].size) == (True, 8 * 1024**2)
        assert (inside["null"].ischr(), inside["null"].devmajor, inside["null"].devminor) == (True, 1, 3)
        assert inside["pipe"].isfifo()
        one = inside["one"]
        assert (one.uid, one.gid, one.mode, one.mtime) == (1234, 4321, 0o4711, 1000000000.5)
        assert (inside["two"].islnk(), inside["two"].linkname) == (True, "./srv/packed/one")
        assert (inside["link"].issym(), inside["link"].linkname) == (True, "/etc/os-release")
        assert inside["sticky"].mode == 0o1777
        attributes = inside["attributes"].pax_headers
        assert (attributes["SCHILY.xattr.user.colour"], attributes["SCHILY.xattr.trusted.t"]) == ("blue", "x")
        assert "./lost+found" not in found
        assert "./proc" in found
        assert not [name for name in found if name.startswith(("./proc/", "./sys/", "./dev/pts/", "./tmp/in_target.d"))]


class TreeContract:
    """Host-side hooks on the tree."""

    def test_what_a_host_hook_writes_is_in_the_guest(self, target: Target, hooks: Path) -> None:
        with target.tree() as root:
            code, printed = host_script(
                target,
                'cat "$TARGET_ROOT/etc/debian_version" && mkdir "$TARGET_ROOT/srv/host" &&'
                ' echo data > "$TARGET_ROOT/srv/host/file" && chown 12:34 "$TARGET_ROOT/srv/host/file" &&'
                ' chmod 4755 "$TARGET_ROOT/srv/host/file" && ln -s /abs "$TARGET_ROOT/srv/host/link"',
                TARGET_ROOT=str(root),
            )
        assert code == 0
        assert printed.strip()
        assert target.read("/srv/host/file") == b"data\n"
        with target.guest_mounts(hooks):
            assert script(target, "cd /srv/host && stat -c %a:%u:%g file; readlink link")[1] == "4755:12:34\n/abs\n"

    def test_deletions_and_replacements(self, target: Target) -> None:
        target.make_directory("/srv/gone/below")
        target.write("/srv/replaced", b"old")
        with target.tree() as root:
            code, _ = host_script(
                target,
                'rm -r "$T/srv/gone" && rm "$T/srv/replaced" && mkdir "$T/srv/replaced" && : > "$T/srv/replaced/new"',
                T=str(root),
            )
        assert code == 0
        assert not target.exists("/srv/gone")
        assert target.listdir("/srv/replaced") == ["new"]

    def test_exit_code_and_timeout(self, target: Target) -> None:
        with target.tree():
            assert host_script(target, "exit 9")[0] == 9
            assert host_script(target, "kill -9 $$")[0] == 137
            with pytest.raises(HookTimeout):
                target.run_host(["sleep", "600"], env=dict(os.environ), output=lambda chunk: None, timeout=1)

    def test_working_directory_and_sudo(self, target: Target, tmp_path: Path) -> None:
        printed = bytearray()
        with target.tree():
            code = target.run_host(
                ["bash", "-c", "pwd; sudo -E -- bash -c 'id -u'"],
                env={"PATH": os.environ["PATH"]},
                output=printed.extend,
                cwd=tmp_path,
            )
        assert (code, printed.decode()) == (0, f"{tmp_path}\n0\n")


class DiskContract(InGuest):
    """The disk under the tree."""

    def test_usage_follows_what_is_written(self, target: Target) -> None:
        size, free, _ = target.usage()
        assert 0 < free < size <= DISK_SIZE
        target.write("/srv/large", os.urandom(20 * 1024**2))
        target.sync()
        assert target.usage()[1] <= free - 19 * 1024**2
        target.remove("/srv/large")
        target.sync()
        target.trim()

    def test_usage_can_be_asked_while_a_script_runs(self, target: Target) -> None:
        sizes: list[int] = []
        watcher = threading.Timer(1, lambda: sizes.append(target.usage()[0]))
        watcher.start()
        assert script(target, "sleep 3")[0] == 0
        watcher.join(30)
        assert sizes

    def test_unknown_mount_is_refused(self, target: Target) -> None:
        with pytest.raises(DibError):
            target.mount([Mount("no-such-device", "/mnt", "ext4")])


class CachesContract:
    """The caches of :func:`cache_tree`, after :func:`use_early_caches`."""

    def test_the_guest_has_them_and_the_image_does_not(self, target: Target, hooks: Path) -> None:
        before = target.listdir("/var/cache/apt")
        text = """
            cd /var/cache/apt/archives && cat had.deb && ! test -e /var/cache/made/anything &&
            mkdir -p partial && chown 42 partial && chmod 700 partial &&
            echo new > partial/new.deb && mv partial/new.deb new.deb && rm had.deb && ls -d [hnp]*
        """
        with target.guest_mounts(hooks):
            assert script(target, text) == (0, "downloaded before\nnew.deb\npartial\n")
        assert target.listdir("/var/cache/apt") == before
        assert target.listdir("/var/cache/made") == []
        with target.guest_mounts(hooks):
            assert script(target, "cat /var/cache/apt/archives/new.deb") == (0, "new\n")

    def test_a_directory_that_no_cache_can_be_put_on(self, target: Target, hooks: Path) -> None:
        target.rename("/var/cache/made", "/var/cache/elsewhere")
        target.write("/var/cache/made", b"no directory")
        with target.guest_mounts(hooks):
            assert script(target, "cat /var/cache/made; test -e /var/cache/apt/archives/new.deb") == (0, "no directory")
        target.remove("/var/cache/made")
        target.rename("/var/cache/elsewhere", "/var/cache/made")

    def test_a_hook_that_unmounts_one(self, target: Target, hooks: Path) -> None:
        with target.guest_mounts(hooks):
            assert script(target, "umount /var/cache/made && rmdir /var/cache/made")[0] == 0
        with target.guest_mounts(hooks):
            assert script(target, "mountpoint -q /var/cache/made && mountpoint -q /var/cache/apt")[0] == 0

    def test_host_side_hooks_of_a_guest_do_not_see_them(self, target: Target) -> None:
        with target.tree() as root:
            assert host_script(target, f"test -e {root}/var/cache/apt/archives/new.deb")[0] == 1
