"""The table of mounts, and the names of a directory through it."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py import mount_table, namespaces
from dib_py.mount_table import MountEntry, names_of
from tests.artefacts.random_trees import in_own_mounts

_TABLE = rb"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard
40 27 254:0 /srv/cache\040dir /home/a\134b ro,relatime shared:5 master:1 - ext4 /dev/vda rw
41 27 0:50 / /gone//deleted rw - tmpfs none rw
42 27 0:4 net:[4026531840] /run/netns/x rw shared:7 - nsfs nsfs rw
"""


def test_the_table_is_read() -> None:
    assert mount_table.parse(_TABLE) == [
        MountEntry(22, "0:21", "/", Path("/proc"), False, "proc"),
        MountEntry(27, "254:0", "/", Path("/"), False, "ext4"),
        MountEntry(40, "254:0", "/srv/cache dir", Path("/home/a\\b"), True, "ext4"),
        MountEntry(42, "0:4", "net:[4026531840]", Path("/run/netns/x"), False, "nsfs"),
    ]


def test_a_mount_whose_name_is_gone_counts_where_it_is_asked_for() -> None:
    gone = [entry for entry in mount_table.parse(_TABLE, with_deleted=True) if entry not in mount_table.parse(_TABLE)]
    assert [(entry.minor, entry.is_anonymous) for entry in gone] == [(50, True)]


def test_a_path_in_a_filesystem_has_a_name_through_each_mount_that_shows_it() -> None:
    table = mount_table.parse(_TABLE)
    assert names_of("254:0", "/srv/cache dir/x", table) == [Path("/srv/cache dir/x"), Path("/home/a\\b/x")]
    assert names_of("254:0", "/srv/cache dir", table) == [Path("/srv/cache dir"), Path("/home/a\\b")]
    assert names_of("254:0", "/srv/cache directory", table) == [Path("/srv/cache directory")]
    assert names_of("8:1", "/srv", table) == []


def test_this_machine_has_a_root() -> None:
    assert Path("/") in [entry.point for entry in mount_table.read()]
    assert mount_table.aliases(Path("/"))[0] == Path("/")


@pytest.mark.root
def test_a_directory_that_is_bound_elsewhere_has_both_names(tmp_path: Path) -> None:
    for name in ("a/b/c", "there", "other"):
        (tmp_path / name).mkdir(parents=True)

    def work() -> None:
        namespaces.mount(tmp_path / "a/b", tmp_path / "there", flags=namespaces.MS_BIND)
        assert set(mount_table.aliases(tmp_path / "a/b/c")) >= {tmp_path / "a/b/c", tmp_path / "there/c"}
        assert set(mount_table.aliases(tmp_path / "there/c")) >= {tmp_path / "a/b/c", tmp_path / "there/c"}
        namespaces.mount("tmpfs", tmp_path / "a", "tmpfs")  # hides one
        assert tmp_path / "a/b/c" not in mount_table.aliases(tmp_path / "there/c")

    in_own_mounts(work)
