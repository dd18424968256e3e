"""Which files of the merged hooks count for a hook."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dib_py.element import Element
from dib_py.hooks import merge
from dib_py.reading import LARGEST_TEXT, Reader

ALL = {
    "README.rst",
    "bin/tool",
    "environment.d/10-x",
    "init-scripts/systemd/x.service",
    "install.d/data.conf",
    "install.d/sub/more",
    "source-repository-nova",
    "static/etc/motd",
}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    for name in ALL:
        path = tmp_path / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("nothing\n")
    (tmp_path / "a" / "bin" / "tool").write_text("cat $(dirname $0)/../init-scripts/x\n")
    for phase in ("install.d", "finalise.d"):
        hook = tmp_path / "a" / phase / "10-hook"
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\n")
        hook.chmod(0o755)
    return Reader(merge(SimpleNamespace(elements=(Element("a", tmp_path / "a"),))))


BESIDE = {"install.d/data.conf", "install.d/sub/more"}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("#!/bin/bash\necho nothing\n", set()),
        ("rsync -a $(dirname $0)/../static/ /", {"static/etc/motd"}),
        ('rsync -a "$(dirname "$0")/../static/" /', {"static/etc/motd"}),
        ("cp ${TMP_HOOKS_PATH}/static/etc/motd /", {"static/etc/motd"}),
        ("cp /tmp/in_target.d/README.rst /", {"README.rst"}),
        ("$(dirname $0)/../bin/tool", {"bin/tool", "init-scripts/systemd/x.service"}),
        ('find $TMP_HOOKS_PATH -maxdepth 1 -name "source-repository-*"', {"source-repository-nova"}),
        ("echo statics of my-static-thing", set()),
    ],
)
def test_what_is_named_counts_with_what_lies_beside_the_hook(reader: Reader, text: str, more: set[str]) -> None:
    assert {file.path for file in reader.readable("install.d", text.encode())} == BESIDE | more


@pytest.mark.parametrize(
    "text",
    [
        "cp -r $TMP_HOOKS_PATH /opt",
        "for d in $TMP_HOOKS_PATH/*; do :; done",
        "cd $(dirname $0)/..",
        "ls /tmp/in_target.d/$WHAT",
        "find ${TMP_HOOKS_PATH} -type f",
        "\0ELF",
    ],
)
def test_who_takes_the_whole_tree_reads_all_of_it(reader: Reader, text: str) -> None:
    assert {file.path for file in reader.readable("install.d", text.encode())} == ALL


def test_another_phase_has_nothing_beside_its_hooks(reader: Reader) -> None:
    assert reader.readable("finalise.d", b"echo\n") == ()


def test_hooks_are_no_files_to_read(reader: Reader) -> None:
    assert "install.d/10-hook" not in {file.path for file in reader.readable("install.d", b"cp -r $TMP_HOOKS_PATH /")}


def test_large_files_and_links_count_by_what_they_are(tmp_path: Path) -> None:
    static = tmp_path / "a" / "static"
    static.mkdir(parents=True)
    (static / "link").symlink_to("/nowhere")
    (static / "blob").write_bytes(b"x" * (LARGEST_TEXT + 1))
    read = {}
    for last in (b"y", b"z"):
        with (static / "blob").open("ab") as file:
            file.write(last)
        reader = Reader(merge(SimpleNamespace(elements=(Element("a", tmp_path / "a"),))))
        found = {file.path: file.content for file in reader.readable("root.d", b"static")}
        assert found["static/link"] == b"/nowhere"
        assert len(found["static/blob"]) < 1000
        read[last] = found["static/blob"]
    assert read[b"y"] != read[b"z"]
