"""Which files of the merged hooks count for a hook."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from dib_py.element import Element
from dib_py.hooks import merge
from dib_py.keys import File
from dib_py.reading import LARGEST_TEXT, Reader
from tests.files import write

FILES = {
    "README.rst",
    "bin/tool",
    "environment.d/10-x",
    "init-scripts/systemd/x.service",
    "install.d/data.conf",
    "install.d/sub/more",
    "source-repository-nova",
    "static/etc/motd",
}
SCRIPTS = {"init-scripts/", "init-scripts/systemd/", "init-scripts/systemd/x.service"}
STATIC = {"static/", "static/etc/", "static/etc/motd"}
ALL = FILES | SCRIPTS | STATIC | {"bin/", "environment.d/", "install.d/sub/"}


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    for name in FILES:
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


BESIDE = {"install.d/data.conf", "install.d/sub/", "install.d/sub/more"}


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("#!/bin/bash\necho nothing\n", set()),
        ("rsync -a $(dirname $0)/../static/ /", STATIC),
        ('rsync -a "$(dirname "$0")/../static/" /', STATIC),
        ("cp ${TMP_HOOKS_PATH}/static/etc/motd /", STATIC),
        ("cp /tmp/in_target.d/README.rst /", {"README.rst"}),
        ("$(dirname $0)/../bin/tool", {"bin/", "bin/tool", *SCRIPTS}),
        ('find $TMP_HOOKS_PATH -maxdepth 1 -name "source-repository-*"', {"source-repository-nova"}),
        ("echo statics of my-static-thing", set()),
        ('ls /usr/bin/x /usr/static "/var/static/y" ', set()),
        ('ls "$here"/static', STATIC),
        ("# static, bin", set()),
        ("# $(cat $TMP_HOOKS_PATH/static/x)", STATIC),
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
        assert found["static/link"] == b"link to /nowhere\n"
        assert len(found["static/blob"]) < 1000
        read[last] = found["static/blob"]
    assert read[b"y"] != read[b"z"]


def reader_of(top: Path, *names: str, made: dict[str, bytes] | None = None) -> Reader:
    """A reader of the elements below a directory."""
    elements = tuple(Element(name, top / name) for name in names)
    return Reader(merge(SimpleNamespace(elements=elements)), made, elements)


def read(reader: Reader, text: str, phase: str = "root.d") -> dict[str, File]:
    return {file.path: file for file in reader.readable(phase, text.encode())}


def test_where_a_link_leads_and_what_is_found_there_count(tmp_path: Path) -> None:
    write(tmp_path / "a" / "static" / "one", "1\n", 0o600)
    write(tmp_path / "a" / "static" / "same", "1\n", 0o600)
    link = tmp_path / "a" / "static" / "link"
    seen = set()
    for target in ("one", "same", "./one", None):
        link.unlink(missing_ok=True)
        link.symlink_to(target) if target else write(link, "1\n", 0o600)
        seen.add(read(reader_of(tmp_path, "a"), "static")["static/link"])
    assert len(seen) == 4
    link.unlink()
    link.symlink_to("one")
    before = read(reader_of(tmp_path, "a"), "static")["static/link"]
    write(tmp_path / "a" / "static" / "one", "2\n", 0o600)
    assert read(reader_of(tmp_path, "a"), "static")["static/link"] != before


def test_what_a_link_names_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "a" / "other" / "x", "1\n")
    (tmp_path / "a" / "static").mkdir()
    (tmp_path / "a" / "static" / "link").symlink_to("../other")
    assert "other/x" in read(reader_of(tmp_path, "a"), "static")


def test_modes_of_directories_and_empty_ones_count(tmp_path: Path) -> None:
    empty = tmp_path / "a" / "static" / "srv"
    empty.mkdir(parents=True)
    seen = []
    for mode in (0o755, 0o700):
        empty.chmod(mode)
        seen.append(read(reader_of(tmp_path, "a"), "static")["static/srv/"])
    assert seen[0] != seen[1]


def test_files_of_the_engine_are_named_by_their_place(tmp_path: Path) -> None:
    write(tmp_path / "a" / "pkg-map", "{}")
    write(tmp_path / "a" / "bin" / "pkg-map", "cat /usr/share/pkg-map/$1\n")
    made = {"pkg-map/a": b"{}", "packages/install.d/install-system": b"vim\n"}
    reader = reader_of(tmp_path, "a", made=made)
    assert "pkg-map/a" in read(reader, "cp $(dirname $0)/../pkg-map/* /x")
    assert "pkg-map/a" in read(reader, "cp ${TMP_HOOKS_PATH}/pkg-map/* /x")
    assert not {*made, "pkg-map"} & {*read(reader, "pkg-map vim"), *read(reader, "bin"), *read(reader, "no packages/x")}
    assert set(made) < set(read(reader, "cp -r $TMP_HOOKS_PATH /x"))


@pytest.mark.parametrize("ask", ["$(get_image_element_array)", "os.environ['IMAGE_ELEMENT_YAML']", "$ELEMENTS_PATH"])
def test_who_asks_for_the_elements_reads_the_files_of_each_that_it_names(tmp_path: Path, ask: str) -> None:
    for name in ("a", "b"):
        write(tmp_path / name / "svc-map", f"{name}: x\n")
        write(tmp_path / name / "package-installs.yaml", f"{name}:\n")
    reader = reader_of(tmp_path, "a", "b")
    named = read(reader, f"for path in {ask}; do cat $path/svc-map; done")
    assert {path for path in named if path.startswith("elements/")} == {"elements/a/svc-map", "elements/b/svc-map"}
    assert {"elements/a/package-installs.yaml"} <= set(read(reader, f"{ask} $path/package-installs.$ext"))
    assert "elements/a/svc-map" not in read(reader, "cat svc-map")


def test_hooks_of_install_types_count_by_name_and_mode_until_they_run(tmp_path: Path) -> None:
    hook, data = (tmp_path / "a" / "install.d" / "a-source-install" / name for name in ("70-a", "data"))
    seen = []
    for text in ("1\n", "2\n"):
        write(hook, text, 0o755)
        write(data, text)
        seen.append(read(reader_of(tmp_path, "a"), "", "install.d"))
    name = "install.d/a-source-install/"
    assert seen[0][f"{name}70-a"] == seen[1][f"{name}70-a"]
    assert seen[0][f"{name}data"] != seen[1][f"{name}data"]


@pytest.mark.parametrize(
    "line",
    [
        "export SAVED=${SAVED:-${IMAGE_NAME}.d/}",
        "# $(words)",
        "",
        "export A=1",
        "A=b.c/d:e",
        "  export A=${B:-c d}",
        'export A="${B:-c} and $D"',
        "export A='$(not run)'",
        "export A=${B}-$C",
        "export A",
    ],
)
def test_plain_lines_of_an_environment_count_by_their_values(tmp_path: Path, line: str) -> None:
    write(tmp_path / "a" / "environment.d" / "10-a", f"{line}\nexport LAST=1\n")
    assert reader_of(tmp_path, "a").sourced == ()


@pytest.mark.parametrize(
    "line",
    [
        "export A=$(cat /etc/os-release)",
        "export A=`date`",
        'export A="$(date)"',
        "[ -e /etc/x ] && export A=1",
        "if true; then",
        "source /etc/os-release",
        "touch /x",
        "export A=${B:-$(date)}",
        "export A=1; touch /x",
        "export A=$((B + 1))",
        "export A=~",
        "export A=*",
        "A=1 touch /x",
        "export A=<(date)",
    ],
)
def test_files_that_do_more_count_for_every_step(tmp_path: Path, line: str) -> None:
    write(tmp_path / "a" / "environment.d" / "10-a", f"{line}\n")
    write(tmp_path / "a" / "environment.d" / "20-a", "export B=1\n")
    assert [file.path for file in reader_of(tmp_path, "a").sourced] == ["environment.d/10-a"]


def test_words_of_an_environment_are_no_mention(tmp_path: Path) -> None:
    write(tmp_path / "a" / "environment.d" / "10-a", "[ -n $A ] || echo see versions in environment.d\n")
    write(tmp_path / "a" / "environment.d" / "20-a", "export B=1\n")
    write(tmp_path / "a" / "versions" / "a", "1\n")
    assert len(reader_of(tmp_path, "a").sourced) == 1


def test_what_they_read_counts_too(tmp_path: Path) -> None:
    write(tmp_path / "a" / "environment.d" / "10-a", "export A=$(cat $TMP_HOOKS_PATH/versions/a)\n")
    write(tmp_path / "a" / "versions" / "a", "1\n")
    assert "versions/a" in {file.path for file in reader_of(tmp_path, "a").sourced}
