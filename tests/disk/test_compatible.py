"""Features of filesystems that an older guest does not know are left out."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dib_py.disk import compatible
from dib_py.disk.block_device import parse
from dib_py.disk.layout import Filesystem, Layout
from dib_py.target.mkfs import mkfs_argv

TWO = """\
- local_loop: {name: image0}
- partitioning:
    base: image0
    label: gpt
    partitions:
      - {name: var, size: 1GiB, mkfs: {type: xfs, label: var, %s mount: {mount_point: /var}}}
      - {name: top, size: 100%%, mkfs: {type: ext4, label: root, %s mount: {mount_point: /}}}
"""


@pytest.fixture(autouse=True)
def newest(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conf = tmp_path / "mke2fs.conf"
    conf.write_text("features = has_journal,metadata_csum,64bit,orphan_file\n")
    monkeypatch.setattr(compatible, "_MKE2FS_CONF", conf)
    monkeypatch.setattr(compatible, "_xfsprogs", lambda: (6, 1))


def options(distro: str, version: str, xfs: str = "", ext4: str = "") -> list[str]:
    layout = compatible.for_guest(parse(TWO % (xfs, ext4), source="x"), distro, version)
    return [" ".join(fs.options) for fs in layout.filesystems]


@pytest.mark.parametrize(
    ("distro", "version", "xfs", "ext4"),
    [
        ("fedora", "44", "-i nrext64=0", "-O ^orphan_file"),
        ("debian", "12", "-i nrext64=0", "-O ^orphan_file"),
        ("rocky", "8.10", "-i nrext64=0 -m bigtime=0 -m inobtcount=0", "-O ^orphan_file"),
        (
            "centos",
            "7",
            "-i nrext64=0 -m reflink=0 -m rmapbt=0 -i sparse=0 -m bigtime=0 -m inobtcount=0",
            "-O ^orphan_file,^metadata_csum,^64bit",
        ),
    ],
)
def test_features(distro: str, version: str, xfs: str, ext4: str) -> None:
    assert options(distro, version) == [xfs, ext4]


def test_the_user_s_own_options_win() -> None:
    xfs, ext4 = options("centos", "7", xfs="opts: -m reflink=1,", ext4="opts: -O metadata_csum,")
    assert xfs.endswith("-m inobtcount=0 -m reflink=1")
    assert "reflink=0" not in xfs
    assert ext4 == "-O metadata_csum"


def test_programs_that_have_no_such_feature_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compatible, "_xfsprogs", lambda: (5, 0))
    monkeypatch.setattr(compatible, "_MKE2FS_CONF", Path("/nowhere"))
    assert options("rocky", "8.10") == ["", ""]


def test_this_machine_s_programs_take_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.undo()
    disk = tmp_path / "disk"
    for kind in ("xfs", "ext4"):
        plain = Filesystem("f", "image0", kind, "x", "7e2f5e9c-2c3d-4d1e-9f53-1c8f0c4ad001", mount_point="/")
        [made] = compatible.for_guest(Layout("image0", None, filesystems=(plain,)), "centos", "7").filesystems
        disk.unlink(missing_ok=True)
        with disk.open("wb") as file:
            file.truncate(400 * 1024**2)
        subprocess.run(mkfs_argv(made, str(disk)), check=True)
        show = ["dumpe2fs", "-h", disk] if kind == "ext4" else ["xfs_db", "-r", "-c", "version", disk]
        shown = subprocess.run(show, capture_output=True, text=True, check=True).stdout
        assert not {"metadata_csum", "64bit", "orphan_file", "REFLINK", "BIGTIME", "INOBTCNT"} & set(
            shown.replace(",", " ").split()
        )
