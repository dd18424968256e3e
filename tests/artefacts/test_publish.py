"""What was caught takes its real place: whole files, by rename."""

from __future__ import annotations

import os
import signal
import stat
from pathlib import Path

import pytest

from dib_py import namespaces
from dib_py.artefacts import publish as publishing
from dib_py.errors import OutputError
from tests.artefacts.builds import Build, hook, inside
from tests.artefacts.random_trees import in_own_mounts

pytestmark = pytest.mark.root


def test_publishing_to_another_filesystem_copies_and_renames(tmp_path: Path) -> None:
    build = Build(tmp_path)
    named: list[Path] = []

    def naming(final: Path) -> Path:
        named.append(final)
        return final.with_name(f".{final.name}.partial")

    def work() -> None:
        namespaces.mount("tmpfs", build.cwd, "tmpfs")
        (build.cwd / "both").write_text("old")
        os.link(build.cwd / "both", build.cwd / "link")
        catcher = build.catcher(naming=naming)
        with catcher.caught():
            hook("rm both link; echo new > both; ln both link; ln -s ./x symbolic; mkfifo pipe; chown 7:8 both")
            hook("chmod 4750 both; touch -d @1234567890.5 both; mkdir d; touch -d @5 d")
        catcher.publish()
        status = (build.cwd / "both").stat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (7, 8, 0o4750)
        assert status.st_mtime_ns == 1234567890500000000
        assert status.st_nlink == 2 and (build.cwd / "link").samefile(build.cwd / "both")
        assert os.readlink(build.cwd / "symbolic") == "./x"  # noqa: PTH115 - exactly
        assert (build.cwd / "d").stat().st_mtime == 5
        assert sorted(path.name for path in build.cwd.iterdir()) == ["both", "d", "link", "pipe", "symbolic"]
        assert {path.name for path in named} == {"both", "link", "pipe", "symbolic"}

    inside(work)


def test_publishing_on_the_same_filesystem_moves_files(tmp_path: Path) -> None:
    """The build's directory is bound to a private name, and a rename does not cross mounts."""
    build = Build(tmp_path, build="private/build")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/hooks").mkdir()

    def work() -> None:
        namespaces.mount(tmp_path / "real", build.build, flags=namespaces.MS_BIND)
        catcher = build.catcher()
        with catcher.caught():
            hook("echo x > x; ln x y")
            [inode] = {path.stat().st_ino for path in build.build.rglob("upper/[xy]")}
        catcher.publish()
        assert {path.stat().st_ino for path in build.cwd.iterdir()} == {inode}

    inside(work)


def test_a_directory_that_another_build_made_meanwhile_is_merged(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            hook("mkdir logs; echo ours > logs/ours")
        (build.cwd / "logs").mkdir()
        (build.cwd / "logs/theirs").touch()
        catcher.publish()

    inside(work)
    assert sorted(path.name for path in (build.cwd / "logs").iterdir()) == ["ours", "theirs"]


def test_what_cannot_be_published_is_told(tmp_path: Path) -> None:
    build = Build(tmp_path)

    def work() -> None:
        namespaces.mount("tmpfs", build.cwd, "tmpfs")
        catcher = build.catcher()
        with catcher.caught():
            hook("echo x > x")
        namespaces.mount("none", build.cwd, flags=namespaces.MS_REMOUNT | namespaces.MS_BIND | namespaces.MS_RDONLY)
        with pytest.raises(OutputError, match="can't be put there"):
            catcher.publish()

    inside(work)


def test_a_user_may_publish_into_a_directory_of_somebody_else(tmp_path: Path) -> None:
    build = Build(tmp_path)
    os.chown(build.cwd, 1234, 1234)
    build.cwd.chmod(0o1777)

    def work() -> None:
        catcher = build.catcher()
        with catcher.caught():
            assert catcher.uncaught == (), build.said
            hook("echo x > x")
        catcher.publish()

    in_own_mounts(work, namespaces.CLONE_NEWUSER)
    assert (build.cwd / "x").exists()
    status = build.cwd.stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (1234, 0o1777)


@pytest.mark.parametrize("moment", ["before", "amid", "after"])
def test_a_kill_while_publishing_leaves_whole_files_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    build = Build(tmp_path / "a")
    for name in ("one", "three", "two"):
        (build.cwd / name).write_text(f"old {name}")
    copy_file = publishing.shutil.copyfile

    def killed(source: Path, destination: Path) -> None:
        if source.name != "three":
            copy_file(source, destination)
            return
        if moment != "before":
            data = source.read_bytes()
            destination.write_bytes(data if moment == "after" else data[:5])
        os.kill(os.getpid(), signal.SIGKILL)

    def work() -> None:
        namespaces.mount("tmpfs", build.build, "tmpfs")  # another filesystem: files are copied
        build.hooks.mkdir()
        catcher = build.catcher()
        with catcher.caught():
            hook("for name in one two three; do echo new $name > $name; done")
        monkeypatch.setattr(publishing.shutil, "copyfile", killed)
        catcher.publish()

    with pytest.raises(AssertionError):
        inside(work)
    content = {path.name: path.read_text() for path in build.cwd.iterdir() if not path.name.startswith(".")}
    assert content == {"one": "new one\n", "three": "old three", "two": "old two"}
