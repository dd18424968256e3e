"""Two streams of files, merged: against a comparison that has both in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from dib_py.inside.changes import CONTENT, UNREADABLE, FileChange, compare
from dib_py.inside.trees import Entry

FILE = Entry("etc/motd", "f", "644", "0:0", 10, "100.5")
LINK = Entry("etc/link", "l", "777", "0:0", 3, "100.5", "abc")


def unread(paths: list[str]) -> Mapping[str, str]:
    raise AssertionError(f"{paths} need not be read")


def changed(before: Entry, after: Entry, **digests: str) -> list[FileChange]:
    old, new = digests.get("old", ""), digests.get("new", "")
    return compare(
        [before],
        [after],
        lambda paths: {path: old for path in paths if old},
        lambda paths: {path: new for path in paths if new},
    )


def test_the_same_is_no_change_and_is_not_read() -> None:
    assert compare([LINK, FILE], [LINK, FILE], unread, unread) == []


def test_came_and_went() -> None:
    found = compare([LINK], [FILE], unread, unread)
    assert found == [FileChange("etc/link", LINK, None), FileChange("etc/motd", None, FILE)]


def test_what_differs() -> None:
    after = replace(FILE, mode="600", owner="1:1", size=11)
    assert compare([FILE], [after], unread, unread)[0].what == ("size", "mode", "owner")
    assert compare([LINK], [replace(LINK, link="other")], unread, unread)[0].what == ("link",)
    assert compare([FILE], [replace(FILE, kind="d", mode="755")], unread, unread)[0].what == ("kind",)


def test_a_file_that_was_only_touched_is_no_change() -> None:
    assert changed(FILE, replace(FILE, changed="200"), old="aa", new="aa") == []
    empty = replace(FILE, size=0)
    assert compare([empty], [replace(empty, changed="200")], unread, unread) == []


def test_a_file_of_the_same_size_with_other_content() -> None:
    assert changed(FILE, replace(FILE, changed="200"), old="aa", new="bb")[0].what == (CONTENT,)
    touched = replace(FILE, changed="200", mode="600")
    assert changed(FILE, touched, old="aa", new="bb")[0].what == (CONTENT, "mode")
    assert changed(FILE, touched, old="aa", new="aa")[0].what == ("mode",)


def test_a_file_that_cannot_be_read() -> None:
    assert changed(FILE, replace(FILE, changed="200"), old="aa")[0].what == (UNREADABLE,)


def test_a_file_that_ntfs_3g_shows_as_a_link() -> None:
    closed = replace(LINK, link="unsupported reparse tag 0x80000017")
    assert compare([closed], [closed], unread, unread) == []
    assert changed(closed, replace(closed, changed="200"))[0].what == (UNREADABLE,)
    assert changed(LINK, replace(LINK, changed="200")) == []


def test_times_of_directories_do_not_count() -> None:
    directory = Entry("etc", "d", "755", "0:0", 4096, "1")
    assert compare([directory], [replace(directory, changed="2", size=8192)], unread, unread) == []


ENTRIES = st.dictionaries(
    st.lists(st.sampled_from(["a", "b", "a.b", "a b", "-"]), min_size=1, max_size=3).map("/".join),
    st.tuples(st.sampled_from("fdl"), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)),
    max_size=12,
)


def stream(files: Mapping[str, tuple[str, int, int, int]]) -> list[Entry]:
    made = (Entry(path, kind, "644", f"{user}:0", size, str(time)) for path, (kind, user, size, time) in files.items())
    return sorted(made, key=lambda entry: os.fsencode(entry.path) + b"//")


@given(ENTRIES, ENTRIES)
def test_against_a_comparison_in_memory(
    before: dict[str, tuple[str, int, int, int]], after: dict[str, tuple[str, int, int, int]]
) -> None:
    found = compare(stream(before), stream(after), lambda paths: {}, lambda paths: {})

    def differs(path: str) -> bool:
        one, other = before.get(path), after.get(path)
        if one is None or other is None or one[:2] != other[:2]:
            return True
        sizes_count = one[0] == "f"
        return sizes_count and (one[2] != other[2] or (one[2] > 0 and one[3] != other[3]))

    assert {change.path for change in found} == {path for path in {*before, *after} if differs(path)}
    assert len(found) == len({change.path for change in found})
