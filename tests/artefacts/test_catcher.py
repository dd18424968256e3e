"""The catcher on real overlays, in mount namespaces as a build's worker has them."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings

from dib_py import namespaces
from dib_py.errors import DiskError
from tests.artefacts.builds import Build, hook, inside
from tests.artefacts.random_trees import OPERATIONS, Operation, carry_out, copy, in_own_mounts, snapshot

pytestmark = pytest.mark.root


def test_hooks_see_and_change_what_is_there_but_nobody_else_does(tmp_path: Path) -> None:
    build = Build(tmp_path)
    for name in ("kept", "appended", "removed", "renamed"):
        (build.cwd / name).write_text(f"{name}\n")
    (build.cwd / "directory").mkdir()
    (build.cwd / "directory/old").touch()
    before = snapshot(build.cwd)

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            hook("test $(cat kept) = kept; echo more >> appended; rm removed; mv renamed other; rm -r directory")
            hook("mkdir directory; echo new > directory/new; test ! -e directory/old; chmod 750 .")
            assert snapshot(build.cwd) != before
            in_own_mounts(lambda: None)  # namespaces can still be made
        assert snapshot(build.cwd) == before
        assert Path("kept").exists()
        published = catcher.publish()
        names = sorted(str(path.relative_to(build.cwd)) for path in published)
        assert names == ["appended", "directory/new", "other", "removed", "renamed"]
        assert not (build.cwd / "directory/old").exists()
        assert (build.cwd / "appended").read_text() == "appended\nmore\n"
        assert (build.cwd / "directory/new").read_text() == "new\n"
        assert stat.S_IMODE(build.cwd.stat().st_mode) == 0o750
        assert not (build.cwd / "removed").exists() and not (build.cwd / "renamed").exists()
        attributes = os.listxattr(build.cwd / "appended") + os.listxattr(build.cwd / "other")
        assert not [name for name in attributes if "overlay" in name]

    inside(work)


def test_a_build_that_fails_publishes_nothing(tmp_path: Path) -> None:
    build = Build(tmp_path)
    (build.cwd / "old").write_text("old")

    def work() -> None:
        with suppress(ZeroDivisionError), build.catcher().caught():
            hook("echo new > new; rm old")
            raise ZeroDivisionError

    inside(work)
    assert [path.name for path in build.cwd.iterdir()] == ["old"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_build_that_is_killed_publishes_nothing(tmp_path: Path, number: int) -> None:
    build = Build(tmp_path)

    def work() -> None:
        with build.catcher().caught():
            hook("echo new > new")
            os.kill(os.getpid(), number)

    with pytest.raises(AssertionError):
        inside(work)
    assert not list(build.cwd.iterdir())


def test_each_step_has_what_it_did_itself(tmp_path: Path) -> None:
    build = Build(tmp_path, output="images")
    (build.cwd / "old").touch()

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook(f"echo 1 > one; mkdir {build.hooks}/install.d; cd {build.build}; echo x > manifest; mkdir mnt/x")
            first = catcher.collect(tmp_path / "1.tar")
            assert first == ("build/manifest", "cwd/one", "hooks/install.d")
            assert catcher.collect(tmp_path / "2.tar") == ()
            assert not (tmp_path / "2.tar").exists()
            hook(
                f"cat one old > /dev/null; rm one old; echo k > {build.output}/image.vmlinuz; rm {build.build}/manifest"
            )
            third = catcher.collect(tmp_path / "3.tar")
            assert third == ("build/manifest", "cwd/old", "cwd/one", "output/image.vmlinuz")
            (build.hooks / "engine").touch()
            catcher.mark()
            hook("true")
            assert catcher.collect(tmp_path / "4.tar") == ()

    inside(work)


@pytest.mark.parametrize(
    ("cwd", "output"),
    [("here", "here"), ("here", "here/deep/images"), ("here/deep/down", "here"), ("here", "there"), ("here", "link")],
)
def test_areas_may_be_the_same_or_lie_in_one_another(tmp_path: Path, cwd: str, output: str) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "link").symlink_to("here")
    build = Build(tmp_path, cwd=cwd, output=output)
    (build.output / "old").write_text("old")

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook(f"echo c > from-cwd; echo o > {build.output}/from-output; rm {build.output}/old")
            names = catcher.collect(tmp_path / "1.tar")
        assert (build.output / "old").exists()
        assert len(names) == 3
        catcher.publish()

    inside(work)
    assert (build.cwd / "from-cwd").read_text() == "c\n"
    assert (build.output / "from-output").read_text() == "o\n"
    assert not (build.output / "old").exists()


def test_the_inner_area_has_what_is_in_both(tmp_path: Path) -> None:
    build = Build(tmp_path, cwd="here", output="here/images")

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook("echo > images/x; echo > y")
            assert catcher.collect(tmp_path / "1.tar") == ("cwd/y", "output/x")

    inside(work)


def test_what_is_mounted_and_what_goes_through_stays_the_real_thing(tmp_path: Path) -> None:
    build = Build(tmp_path, build="here/tmp/build")
    cache = build.cwd / ".cache/dib-py"

    def work() -> None:
        point = build.cwd / "mounted"
        point.mkdir()
        namespaces.mount("tmpfs", point, "tmpfs")
        (point / "in").mkdir()
        namespaces.mount("tmpfs", point / "in", "tmpfs")
        (build.cwd / "file").touch()
        (build.cwd / "other").write_text("other")
        namespaces.mount(build.cwd / "other", build.cwd / "file", flags=namespaces.MS_BIND)
        catcher = build.catcher([cache, tmp_path / "elsewhere"])
        with catcher.caught():
            catcher.mark()
            hook("echo 1 > mounted/1; echo 2 > mounted/in/2; echo 3 > .cache/dib-py/3; test $(cat file) = other")
            hook(f"echo 4 > tmp/build/4; mount -t tmpfs none {build.build}/mnt; touch {build.build}/mnt/5")
            assert (build.build / "mnt/5").exists()  # what a hook mounts is seen by the others
            assert catcher.collect(tmp_path / "1.tar") == ("build/4",)
            namespaces.umount(build.build / "mnt")
        assert (point / "1").exists() and (point / "in/2").exists() and (cache / "3").exists()
        assert catcher.publish() == []

    inside(work)
    assert (build.build / "4").exists()
    assert not (tmp_path / "elsewhere").exists()


def test_a_mount_of_the_outside_reaches_a_place_that_goes_through(tmp_path: Path) -> None:
    """The storage daemon mounts the disk in the build's directory, outside of the worker's namespace."""
    build = Build(tmp_path, build="here/build")

    def outer() -> None:
        namespaces.mount(build.build, build.build, flags=namespaces.MS_BIND)
        namespaces.propagation(build.build, namespaces.MS_SHARED)
        ready, go = os.pipe(), os.pipe()

        def worker() -> None:
            with build.catcher().caught():
                os.write(ready[1], b"r")
                os.read(go[0], 1)
                deadline = time.monotonic() + 60
                while not (build.build / "mnt/from-outside").exists():
                    assert time.monotonic() < deadline, "the mount did not arrive"
                    time.sleep(0.01)

        child = os.fork()
        if child == 0:
            try:
                in_own_mounts(worker)
                os._exit(0)
            finally:
                os._exit(1)
        os.read(ready[0], 1)
        namespaces.mount("tmpfs", build.build / "mnt", "tmpfs")
        (build.build / "mnt/from-outside").touch()
        os.write(go[1], b"g")
        assert os.waitpid(child, 0)[1] == 0

    inside(outer)


def test_a_directory_that_was_made_for_the_cache_goes_if_nothing_is_in_it(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        with build.catcher([build.cwd / ".cache/dib-py/layers"]).caught():
            assert (build.cwd / ".cache/dib-py/layers").is_dir()
        assert not (build.cwd / ".cache").exists()

    inside(work)


def test_what_cannot_be_covered_is_told_once_and_not_caught(tmp_path: Path) -> None:
    build = Build(tmp_path, output="images")

    def work() -> None:
        build.cwd = Path("/")
        (build.output / "f").touch()
        catcher = build.catcher()
        with catcher.caught():
            assert catcher.uncaught == ("cwd",)
            catcher.mark()
            hook(f"echo x > {build.output}/g")
            assert catcher.collect(tmp_path / "1.tar") == ("output/g",)
        assert len(build.said) == 1 and "not kept" in build.said[0], build.said

    inside(work)


def test_an_area_in_a_cache_is_not_caught(tmp_path: Path) -> None:
    build = Build(tmp_path, cwd="cache/images", output="cache/images")

    def work() -> None:
        catcher = build.catcher([tmp_path / "cache"])
        with catcher.caught():
            assert set(catcher.uncaught) == {"cwd", "output"}
            hook("echo x > x")
            assert (build.cwd / "x").exists()
        assert catcher.publish() == []
        assert len(build.said) == 1

    inside(work)
    assert (build.cwd / "x").exists()


def test_a_filesystem_that_overlayfs_refuses_is_told(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        namespaces.mount("proc", build.build, "proc")  # nothing can be made there
        catcher = build.catcher()
        catcher._scratch = Path("/proc/nowhere")
        with catcher.caught():
            assert set(catcher.uncaught) == {"cwd", "output"}
        assert "not kept" in build.said[0]

    inside(work)


def test_devices_and_sockets_beside_the_image_do_no_harm(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook(
                "mknod null c 1 3; mkfifo pipe; ln -s nowhere link; : > hidden; "
                "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('socket')\"; "
                "python3 -c \"import socket; socket.socket(socket.AF_UNIX).bind('$0')\"".replace(
                    "$0", f"{build.hooks}/s"
                )
            )
            assert catcher.collect(tmp_path / "1.tar") == ("cwd/hidden", "cwd/link", "cwd/null", "cwd/pipe")
        names = sorted(path.name for path in catcher.publish())
        assert names == ["hidden", "link", "null", "pipe"]
        assert (build.cwd / "null").stat().st_rdev == os.makedev(1, 3)

    inside(work)


def test_big_files_are_caught_and_published(tmp_path: Path) -> None:
    build, again = Build(tmp_path / "first"), Build(tmp_path / "second")
    size = 100 * 1024**2

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook(f"head -c {size} /dev/zero | tr '\\0' x > image.initrd")
            catcher.collect(tmp_path / "1.tar")
        catcher = again.catcher()
        with catcher.caught():
            catcher.replay(tmp_path / "1.tar")
        catcher.publish()

    inside(work)
    assert (again.cwd / "image.initrd").stat().st_size == size
    subprocess.run(["sh", "-c", f"tr -d x < {again.cwd}/image.initrd | cmp - /dev/null"], check=True, timeout=60)


def test_a_build_directory_in_the_area_is_real_by_all_its_names(tmp_path: Path) -> None:
    build = Build(tmp_path, build="private/build")
    (build.cwd / "dib_build.1/hooks").mkdir(parents=True)

    def work() -> None:
        namespaces.mount(build.cwd / "dib_build.1", build.build, flags=namespaces.MS_BIND)
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook(f"echo x > dib_build.1/one; echo y > {build.build}/two")
            assert catcher.collect(tmp_path / "1.tar") == ("build/one", "build/two")

    inside(work)


def test_an_archive_that_does_not_fit_is_told_and_removed(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        store = tmp_path / "store"
        store.mkdir()
        namespaces.mount("tmpfs", store, "tmpfs", data="size=64k")
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook("head -c 1M /dev/zero > big")
            with pytest.raises(DiskError, match="No space"):
                catcher.collect(store / "1.tar")
        assert not list(store.iterdir())

    inside(work)


def test_a_replay_that_cannot_be_done_is_told(tmp_path: Path) -> None:
    build = Build(tmp_path)
    (tmp_path / "a.tar").write_text("no archive")

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught(), pytest.raises(DiskError, match="restored"):
            catcher.replay(tmp_path / "a.tar")

    inside(work)


def test_a_log_that_somebody_else_wrote_to_is_not_set_back(tmp_path: Path) -> None:
    build = Build(tmp_path)
    (build.cwd / "log").write_text("1\n")

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            catcher.mark()
            hook("echo 2 >> log; echo new > new")
            catcher.collect(tmp_path / "1.tar")
        assert catcher.conflict([tmp_path / "1.tar"]) is None
        catcher.publish()
        assert catcher.conflict([None, tmp_path / "1.tar"]) is None
        with (build.cwd / "log").open("a") as log:
            log.write("3\n")
        found = catcher.conflict([None, tmp_path / "1.tar"])
        assert found is not None and found.index == 1

    inside(work)


def test_it_works_in_a_user_namespace(tmp_path: Path) -> None:
    build, again = Build(tmp_path / "first"), Build(tmp_path / "second")
    (build.cwd / "old").touch()

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            assert catcher.uncaught == (), build.said
            catcher.mark()
            hook("rm old; mkdir old; echo x > old/x; ln old/x y")
            assert catcher.collect(tmp_path / "1.tar") == ("cwd/old", "cwd/old/x", "cwd/y")
        catcher.publish()
        catcher = again.catcher()
        with catcher.caught():
            catcher.replay(tmp_path / "1.tar")
        catcher.publish()

    in_own_mounts(work, namespaces.CLONE_NEWUSER)
    for path in build.build.rglob("*"):  # its owner, who is nobody's root, can remove it
        assert not path.is_dir() or stat.S_IMODE(path.stat().st_mode) & 0o700 == 0o700
    assert snapshot(build.cwd, directory_times=False) == snapshot(again.cwd, directory_times=False)
    assert (again.cwd / "old/x").read_text() == "x\n"


def test_a_user_is_told_of_mounts_that_keep_a_directory_from_being_covered(tmp_path: Path) -> None:
    build = Build(tmp_path)
    (build.cwd / "mounted").mkdir()

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            assert set(catcher.uncaught) == {"cwd", "output"}
            hook("echo x > x; echo y > mounted/y")
        assert len(build.said) == 1

    def outer() -> None:
        namespaces.mount("tmpfs", build.cwd / "mounted", "tmpfs", data="mode=777")
        in_own_mounts(work, namespaces.CLONE_NEWUSER)
        assert (build.cwd / "mounted/y").exists()

    inside(outer)
    assert (build.cwd / "x").exists()


@settings(max_examples=25)
@given(OPERATIONS, OPERATIONS, OPERATIONS)
def test_replayed_steps_leave_what_the_steps_left(
    start: list[Operation], first: list[Operation], second: list[Operation]
) -> None:
    with tempfile.TemporaryDirectory() as directory:
        build, again = Build(Path(directory, "first")), Build(Path(directory, "second"))
        for root in (build.cwd, build.hooks):
            carry_out(root, start)
        for one in (build.cwd, build.hooks):
            target = again.root / one.relative_to(build.root)
            target.rmdir()
            copy(one, target)

        def work() -> None:
            catcher = build.catcher()
            with catcher.caught():
                catcher.mark()
                for number, operations in enumerate((first, second)):
                    for root in (build.cwd, build.hooks):
                        carry_out(root, operations)
                    catcher.collect(Path(directory, f"{number}.tar"))
                seen = snapshot(build.cwd, links=False, directory_times=False)
            replaying = again.catcher()
            with replaying.caught():
                for number in range(2):
                    if (archive := Path(directory, f"{number}.tar")).exists():
                        replaying.replay(archive)
                assert snapshot(again.cwd, links=False, directory_times=False) == seen
            assert snapshot(again.hooks, directory_times=False) == snapshot(build.hooks, directory_times=False)
            catcher.publish()
            replaying.publish()
            for one in (build, again):
                assert snapshot(one.cwd, links=False, directory_times=False) == seen

        in_own_mounts(work)
