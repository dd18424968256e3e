"""How the files of two guests differ: two streams of entries in one order, merged.

What a file holds is what counts: one that was only touched, or written again with the same content, is no difference.
Whether that is so takes reading it where size and kind agree and times do not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from dib_py.inside.trees import Entry

CONTENT, UNREADABLE = "content", "can't be read"
Digests = Callable[[list[str]], Mapping[str, str]]  # of these paths; without those that can't be read


@dataclass(frozen=True)
class FileChange:
    """A file that only one of the guests has (``before`` or ``after`` is None), or ``what`` differs in both."""

    path: str
    before: Entry | None
    after: Entry | None
    what: tuple[str, ...] = ()


def compare(
    before: Iterable[Entry], after: Iterable[Entry], old_digests: Digests, new_digests: Digests
) -> list[FileChange]:
    """All changes in the order of paths."""
    found: list[FileChange] = []
    doubtful: list[str] = []
    for one, other in _paired(before, after):
        if one is None or other is None:
            entry = one or other
            assert entry is not None
            found.append(FileChange(entry.path, one, other))
            continue
        what = _differences(one, other)
        if _is_doubtful(one, other):
            doubtful.append(one.path)
        if what or _is_doubtful(one, other):
            found.append(FileChange(one.path, one, other, what))
    if not doubtful:
        return found
    verdicts = _verdicts(doubtful, old_digests(doubtful), new_digests(doubtful))
    resolved = (_resolved(change, verdicts.get(change.path)) for change in found)
    return [change for change in resolved if change.what or change.before is None or change.after is None]


def _paired(before: Iterable[Entry], after: Iterable[Entry]) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Entries of the same path together, each other one with None."""
    old, new = iter(before), iter(after)
    one, other = next(old, None), next(new, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.place < other.place):
            yield one, None
            one = next(old, None)
        elif one is None or other.place < one.place:
            yield None, other
            other = next(new, None)
        else:
            yield one, other
            one, other = next(old, None), next(new, None)


def _differences(one: Entry, other: Entry) -> tuple[str, ...]:
    if one.kind != other.kind:
        return ("kind",)
    pairs = {
        "size": (one.size, other.size) if one.kind == "f" else (0, 0),
        "mode": (one.mode, other.mode),
        "owner": (one.owner, other.owner),
        "link": (one.link, other.link),
    }
    return tuple(name for name, (old, new) in pairs.items() if old != new)


def _is_doubtful(one: Entry, other: Entry) -> bool:
    if one.changed == other.changed:
        return False
    is_file = one.kind == other.kind == "f" and one.size == other.size and one.size > 0
    return is_file or (one.is_closed and other.is_closed)


def _verdicts(paths: list[str], old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    """What to say of the content of each of these files: "" for the same."""
    return {
        path: UNREADABLE if path not in old or path not in new else CONTENT if old[path] != new[path] else ""
        for path in paths
    }


def _resolved(change: FileChange, verdict: str | None) -> FileChange:
    if not verdict:
        return change
    return FileChange(change.path, change.before, change.after, (verdict, *change.what))
