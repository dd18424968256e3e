"""What goes into the guest while its tree is open, with a directory of this machine in the guest's place."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dib_py import namespaces, overlay
from dib_py.target.guestfs_push import RECEIVE, Push, Pushed
from tests.artefacts.random_trees import OPERATIONS, Operation, carry_out, in_own_mounts, snapshot

EXAMPLES = 50
# without help overlayfs shows the file again: the guest still has it
_COMES_AND_GOES = [([("directory", "a"), ("file", "a/b", b"")], False), ([("remove", "a/b")], True)]
_ROUNDS = st.lists(OPERATIONS, min_size=1, max_size=4)


def push(pushed: Pushed, guest: Path) -> Push:
    """Bring the guest up to date, by the programs that do it in the appliance."""
    todo = pushed.next()
    if todo:
        create = subprocess.run(pushed.archive(), input=todo.members(), capture_output=True, timeout=60)
        assert create.returncode == 0, create.stderr
        with tempfile.NamedTemporaryFile() as archive:
            archive.write(create.stdout)
            archive.flush()
            argv = ["bash", "-euc", RECEIVE, "bash", guest, archive.name]
            receive = subprocess.run(argv, input=todo.removals(), capture_output=True, timeout=60)
        assert (receive.returncode, receive.stderr) == (0, b"")
    pushed.done()
    return todo


@pytest.mark.skipif(os.geteuid() != 0, reason="tar gives away files only as root")
@settings(max_examples=EXAMPLES)
@given(_ROUNDS)
def test_a_whole_tree_step_by_step(rounds: list[list[Operation]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source, guest = Path(scratch, "source"), Path(scratch, "guest")
        source.mkdir()
        guest.mkdir()
        pushed = Pushed(source)
        for operations in rounds:
            carry_out(source, operations)
            push(pushed, guest)
            assert snapshot(guest) == snapshot(source)


class Above:
    """An overlay on ``guest``, which is what the guest has and is changed below the overlay."""

    def __init__(self, scratch: Path) -> None:
        self.guest, self.root, self._upper, self._work = (scratch / name for name in ("guest", "root", "upper", "work"))
        for directory in (self.root, self._upper, self._work):
            directory.mkdir()
        shutil.copystat(self.guest, self._upper)
        self.pushed = Pushed(self._upper, self.guest)

    def __enter__(self) -> Above:
        overlay.mount(self.root, self.guest, self._upper, self._work)
        return self

    def __exit__(self, *exc: object) -> None:
        namespaces.umount(self.root)

    def forget(self) -> None:
        """Let the overlay look at all again, as it does with what it has not seen for a while."""
        self.__exit__()
        self.__enter__()

    def seen(self) -> dict[str, object]:
        return _seen(self.root)


def _seen(root: Path) -> dict[str, object]:
    # overlayfs says of names of one file below that they still are one when it has copied one of them up
    return snapshot(root, links=False)


@settings(max_examples=EXAMPLES)
@example([], _COMES_AND_GOES)
@given(OPERATIONS, st.lists(st.tuples(OPERATIONS, st.booleans()), min_size=1, max_size=4))
def _what_is_above_the_guest(before: list[Operation], rounds: list[tuple[list[Operation], bool]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        guest = Path(scratch, "guest")
        guest.mkdir()
        carry_out(guest, before)
        with Above(Path(scratch)) as above:
            for operations, forgets in rounds:
                carry_out(above.root, operations)
                wanted = above.seen()
                if forgets:
                    above.forget()
                assert above.seen() == wanted
                push(above.pushed, guest)
                assert _seen(guest) == wanted
                assert above.seen() == wanted
                assert not above.pushed.next()


@pytest.mark.root
def test_what_is_above_the_guest_step_by_step() -> None:
    in_own_mounts(_what_is_above_the_guest)


def _nothing_twice() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        guest = Path(scratch, "guest")
        carry_out(guest.parent, [("directory", "guest"), ("directory", "guest/a"), ("file", "guest/a/b", b"1")])
        with Above(Path(scratch)) as above:
            assert not above.pushed.next()
            carry_out(above.root, [("append", "a/b", b"2"), ("file", "c", b"3")])
            assert push(above.pushed, guest).present == ("", "a", "a/b", "c")
            carry_out(above.root, [("hard link", "d", "c")])
            assert push(above.pushed, guest).present == ("", "c", "d")
            assert (guest / "c").samefile(guest / "d")
            carry_out(above.root, [("remove", "c")])
            todo = push(above.pushed, guest)
            assert (todo.removed, todo.present) == (("c",), ("", "d"))
            assert (guest / "d").stat().st_nlink == 1
            above.pushed.next()
            carry_out(above.root, [("remove", "d")])
            assert above.pushed.next().removed == ("d",)
            assert above.pushed.next().removed == ("d",), "what was not confirmed is told again"


@pytest.mark.root
def test_nothing_goes_in_twice_but_all_names_of_a_file_together() -> None:
    in_own_mounts(_nothing_twice)
