"""Images of the guest's files in every format: unpacked by tools that are not ours, they are the tree that was."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

import pytest

from dib_py import output
from dib_py.disk.chain import Chain
from dib_py.errors import HostError, OutputError, TargetError, UsageError
from dib_py.events import Event, Events, OutputWritten
from dib_py.output.feed import OpenTree, Packer
from dib_py.settings import Settings
from dib_py.target.guest_tree import GuestTree
from tests.output.chains import make_chain, qemu_img
from tests.output.trees import SPARSE_SIZE, describe, make_tree

pytestmark = pytest.mark.root  # for owners and devices

FORMATS = ("tar", "tgz", "tar.zst", "squashfs")
OTHERS = ("tar", "tar.zst", "squashfs")
FILES = {"tar": "image.tar", "tgz": "image.tgz", "tar.zst": "image.tar.zst", "squashfs": "image.squash"}


class MountedTree(GuestTree):
    """A tree whose /boot is a filesystem of its own."""

    def own_mount_points(self) -> set[Path]:
        return {self.root, self.root / "boot"}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("tree") / "root"
    make_tree(root)
    subprocess.run(["mount", "--bind", root / "boot", root / "boot"], check=True)
    try:
        yield root
    finally:
        subprocess.run(["umount", root / "boot"], check=True)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opener(tree: Path) -> OpenTree:
    return lambda: nullcontext(MountedTree(tree))


def write(tree: Path | OpenTree, *types: str, events: Events | None = None, **more: object) -> list[Path]:
    settings = Settings(image_types=types, **more)
    output.check_output(settings)
    opened = opener(tree) if isinstance(tree, Path) else tree
    return output.write_all(Chain(()), settings, events or Events(), tree=opened)


@contextmanager
def by_gnu_tar(image: Path) -> Iterator[Path]:
    out = image.parent / "unpacked"
    out.mkdir()
    keep = ["--xattrs", "--xattrs-include=*", "--acls", "--same-owner", "--numeric-owner", "-p"]
    subprocess.run(["tar", *keep, "-xf", image, "-C", out], check=True)
    yield out


@contextmanager
def by_bsdtar(image: Path) -> Iterator[Path]:
    out = image.parent / "unpacked"
    out.mkdir()
    utf8 = {**os.environ, "LC_ALL": "C.UTF-8"}  # what archives of this format name files in
    done = subprocess.run(
        ["bsdtar", "--numeric-owner", "-xpSf", image, "-C", out], capture_output=True, text=True, env=utf8, check=False
    )
    # it does not like a name that is no UTF-8, but makes the file
    assert done.stderr.splitlines()[1:] in ([], ["bsdtar: Error exit delayed from previous errors."]), done.stderr
    yield out


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    out = image.parent / "mounted"
    out.mkdir()
    subprocess.run(["mount", "-o", "loop,ro", image, out], check=True)
    try:
        yield out
    finally:
        subprocess.run(["umount", out], check=True)


@contextmanager
def by_unsquashfs(image: Path) -> Iterator[Path]:
    out = image.parent / "unpacked"
    subprocess.run(["unsquashfs", "-q", "-n", "-d", out, image], check=True, stdout=subprocess.DEVNULL)
    yield out


READERS: list[tuple[str, Callable[[Path], AbstractContextManager[Path]]]] = [
    ("tar", by_gnu_tar),
    ("tar", by_bsdtar),
    ("tgz", by_gnu_tar),
    ("tgz", by_bsdtar),
    ("tar.zst", by_gnu_tar),
    ("tar.zst", by_bsdtar),
    ("squashfs", mounted),
    ("squashfs", by_unsquashfs),
]


@pytest.mark.parametrize(("name", "reader"), READERS)
def test_unpacked_it_is_the_tree(
    name: str, reader: Callable[[Path], AbstractContextManager[Path]], tree: Path, here: Path
) -> None:
    [image] = write(tree, name)
    assert image == Path(FILES[name])
    acls = name != "squashfs"  # it has no place for them
    with reader(here / image) as unpacked:
        found, expected = describe(unpacked, acls=acls), describe(tree, acls=acls)
        if reader is by_bsdtar:  # it leaves the directory that it unpacks into its own time
            assert found.pop("/.")[:3] == expected.pop("/.")[:3]
        assert found == expected
        assert (unpacked / "sparse").stat().st_blocks * 512 < SPARSE_SIZE // 8 or name == "squashfs"
        assert (unpacked / "etc" / "config").samefile(unpacked / "etc" / "hard")
        assert not (unpacked / "lost+found").exists()
        assert not (unpacked / "boot" / "lost+found").exists()
        assert (unpacked / "usr" / "lost+found" / "1").exists()


def test_what_is_mounted_there_and_is_none_of_the_images_is_left_out(tree: Path, here: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tree / "proc"], check=True)
    try:
        (tree / "proc" / "stranger").touch()
        write(tree, "tar")
    finally:
        subprocess.run(["umount", tree / "proc"], check=True)
    names = subprocess.run(["tar", "-tf", "image.tar"], check=True, capture_output=True, text=True).stdout.split("\n")
    assert "./proc/" in names and "./boot/vmlinuz" in names
    assert "./proc/stranger" not in names


def test_all_at_once_from_one_walk(tree: Path, here: Path) -> None:
    walks = 0

    @contextmanager
    def counted() -> Iterator[Packer]:
        nonlocal walks
        walks += 1
        yield MountedTree(tree)

    seen: list[Event] = []
    images = write(counted, *FORMATS, "docker", "oci", events=Events(seen.append), checksum=("sha256",))
    assert walks == 1
    assert [str(image) for image in images] == [*FILES.values(), "image.docker.tar", "image.oci.tar"]
    for image in images:
        subprocess.run(["sha256sum", "--quiet", "-c", f"{image}.sha256"], check=True)
    assert [event.format for event in seen if isinstance(event, OutputWritten)] == [*FORMATS, "docker", "oci"]
    plain = (here / "image.tar").read_bytes()
    assert subprocess.run(["gzip", "-dc", "image.tgz"], check=True, capture_output=True).stdout == plain
    assert subprocess.run(["zstd", "-dc", "image.tar.zst"], check=True, capture_output=True).stdout == plain
    assert len(list(here.iterdir())) == 2 * len(images)


def test_beside_images_of_the_disk(tree: Path, here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    disk = make_chain(tmp_path_factory.mktemp("disk"))
    settings = Settings(image_types=("qcow2", "tar", "raw", "squashfs"))
    images = output.write_all(disk, settings, Events(), tree=opener(tree))
    assert [image.name for image in images] == ["image.qcow2", "image.tar", "image.raw", "image.squash"]
    assert qemu_img("compare", "image.qcow2", "image.raw") == "Images are identical.\n"
    subprocess.run(["tar", "-tf", "image.tar"], check=True, stdout=subprocess.DEVNULL)


def test_archives_of_the_same_tree_differ_only_in_a_number_of_tars(tree: Path, here: Path) -> None:
    first = write(tree, "tar", image_name="one")[0].read_bytes()
    (tree / "etc" / "config").read_bytes()  # its time of access
    again = write(tree, "tar", image_name="two")[0].read_bytes()
    assert len(first) == len(again)
    blocks = [(first[at : at + 512], again[at : at + 512]) for at in range(0, len(first), 512)]
    different = [one for one, other in blocks if one != other]
    assert all(block.startswith(b"./GNUSparseFile.") for block in different) and len(different) <= 1


class TestCompression:
    @pytest.mark.parametrize("kind", ["gzip", "lz4", "lzo", "xz", "zstd"])
    def test_of_squashfs(self, kind: str, tree: Path, here: Path) -> None:
        [image] = write(tree, "squashfs", squashfs_compression=kind)
        said = subprocess.run(["unsquashfs", "-s", image], check=True, capture_output=True, text=True).stdout
        assert f"Compression {kind}\n" in said

    def test_of_tgz_by_a_program_of_the_users(self, tree: Path, here: Path) -> None:
        program = here / "my gzip"
        program.write_text('#!/bin/sh\necho "$@" > called\nexec gzip "$@"\n')
        program.chmod(0o755)
        write(tree, "tgz", environ={**os.environ, "DIB_GZIP_BIN": f"'{program}' -1"})
        assert (here / "called").read_text() == "-1 -n\n"


class TestMissingPrograms:
    @pytest.mark.parametrize(
        ("name", "program", "package"),
        [
            ("tar", "tar", "tar"),
            ("tgz", "gzip", "gzip"),
            ("tar.zst", "zstd", "zstd"),
            ("squashfs", "tar2sqfs", "squashfs-tools-ng"),
            ("docker", "gzip", "gzip"),
        ],
    )
    def test_is_said_before_the_build_with_the_package(
        self, name: str, program: str, package: str, here: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        programs = {"tar", "gzip", "zstd", "tar2sqfs"} - {program}
        (here / "bin").mkdir()
        for one in programs:
            (here / "bin" / one).symlink_to("/bin/true")
        monkeypatch.setenv("PATH", str(here / "bin"))
        with pytest.raises(HostError, match=f"{program}, which {name} needs, is not installed") as caught:
            output.check_output(Settings(image_types=(name,)))
        assert caught.value.hint.startswith(f"apt install {package},")

    def test_a_gzip_of_the_users_too(self, here: Path) -> None:
        with pytest.raises(HostError, match="no-such-gzip, which tgz needs, is not installed"):
            output.check_output(Settings(image_types=("tgz",), environ={"DIB_GZIP_BIN": "no-such-gzip"}))
        with pytest.raises(UsageError, match="DIB_GZIP_BIN is no command"):
            output.check_output(Settings(image_types=("tgz",), environ={"DIB_GZIP_BIN": "'"}))


class BrokenTree:
    """A guest that can't be read to its end."""

    def __init__(self, tree: Path) -> None:
        self._tree = tree

    def pack(self, output: Callable[[bytes], None]) -> None:
        MountedTree(self._tree).pack(output)
        raise TargetError("the guest has gone")


@pytest.mark.parametrize("name", [*FORMATS, "docker", "oci"])
def test_half_a_tree_is_no_image(name: str, tree: Path, here: Path) -> None:
    other = "tar" if name == "oci" else "oci"
    with pytest.raises(TargetError, match="the guest has gone"):
        write(lambda: nullcontext(BrokenTree(tree)), name, other)
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("name", ["tar", "tgz", "tar.zst", "squashfs", "docker"])
def test_a_full_disk_leaves_nothing(name: str, tree: Path, here: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", full], check=True)
    try:
        with pytest.raises(OutputError, match=f"the (tar|{name}) image can't be written: .*"):
            write(tree, *dict.fromkeys((name, "tar")), image_name="full/image")
        assert list(full.iterdir()) == []
    finally:
        subprocess.run(["umount", full], check=True)


@pytest.mark.parametrize("order", [order for one in OTHERS for order in ((one, "tgz"), ("tgz", one))])
def test_a_program_that_fails_is_named_whoever_comes_after_it(
    order: tuple[str, ...], tree: Path, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("bin") / "gzip"
    program.write_text("#!/bin/sh\nhead -c 100000 > /dev/null\necho 'gzip: I had enough' >&2\nexit 3\n")
    program.chmod(0o755)
    with pytest.raises(OutputError, match="the tgz image can't be written: gzip: I had enough"):
        write(tree, *order, environ={**os.environ, "DIB_GZIP_BIN": str(program)})
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("order", [order for one in OTHERS for order in ((one, "tgz"), ("tgz", one))])
def test_a_program_that_ends_early_and_says_nothing_makes_no_image(
    order: tuple[str, ...], tree: Path, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("bin") / "gzip"
    program.write_text("#!/bin/sh\nhead -c 1000 > /dev/null\n")
    program.chmod(0o755)
    with pytest.raises(OutputError, match=r"the tgz image can't be written: .*gzip ended before it had all"):
        write(tree, *order, environ={**os.environ, "DIB_GZIP_BIN": str(program)})
    assert list(here.iterdir()) == []


@pytest.mark.parametrize("order", [("docker", "tar"), ("tar", "docker"), ("docker", "tar.zst"), ("tar.zst", "docker")])
@pytest.mark.parametrize(
    ("end", "said"),
    [("exit 3", "the docker image .*: gzip: I had enough"), ("", "docker image .*gzip ended before")],
)
def test_a_layers_program_too(
    end: str, said: str, order: tuple[str, ...], tree: Path, here: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    program = tmp_path_factory.mktemp("bin") / "gzip"
    program.write_text(f"#!/bin/sh\nhead -c 100000 > /dev/null\necho 'gzip: I had enough' >&2\n{end}\n")
    program.chmod(0o755)
    with pytest.raises(OutputError, match=said):
        write(tree, *order, environ={**os.environ, "DIB_GZIP_BIN": str(program)})
    assert list(here.iterdir()) == []


def test_an_empty_guest_is_no_image(here: Path) -> None:
    class Empty:
        def pack(self, output: Callable[[bytes], None]) -> None:
            pass

    with pytest.raises(OutputError, match="the guest has no files"):
        write(lambda: nullcontext(Empty()), "tar")


def test_an_extension_may_be_given(tree: Path, here: Path) -> None:
    for name, given in (("squashfs", "a.squash"), ("squashfs", "b.squashfs"), ("tar.zst", "c.tar.zst")):
        write(tree, name, image_name=given)
    assert sorted(path.name for path in here.iterdir()) == ["a.squash", "b.squash", "c.tar.zst"]
