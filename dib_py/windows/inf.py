r"""INF files, the text of driver packages: sections of entries, with strings filled in.

The format is Microsoft's ("General Syntax Rules for INF Files"): ``[section]`` lines, names without regard to case,
sections of one name joined; ``key = value, value``; ``;`` begins a comment outside of quotes, and after ``\`` at the
end of a line the entry goes on; ``""`` in quotes is one; ``%name%`` is an entry of ``[Strings]``, ``%%`` is ``%``.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import FileError

LARGEST = 8 << 20  # bytes; the largest that Windows ships is below 2 MB
_TOKEN = re.compile(r"%([^%\r\n]*)%")
_NUMBER = re.compile(r"[+-]?(?:0[xX][0-9a-fA-F]+|\d+)")
_ENGLISH = "strings.0409"


@dataclass(frozen=True)
class Entry:
    """One entry of a section; ``values`` are without their quotes, with ``%name%`` as written."""

    line: int
    key: str  # empty where there is none
    values: tuple[str, ...]

    def value(self, index: int) -> str:
        """The value there, empty where the entry has fewer."""
        return self.values[index] if index < len(self.values) else ""


@dataclass(frozen=True)
class Inf:
    """The sections of an INF file in its order; sections, names and strings are by name in small letters."""

    path: Path
    sections: Mapping[str, tuple[Entry, ...]]
    names: Mapping[str, str]  # of the sections as the file spells them
    strings: Mapping[str, str]

    def has(self, section: str) -> bool:
        return section.lower() in self.sections

    def section(self, name: str) -> tuple[Entry, ...]:
        """The entries of a section; none where there is none."""
        return self.sections.get(name.lower(), ())

    def entries(self, section: str, key: str) -> Iterator[Entry]:
        """The entries with that key."""
        folded = key.lower()
        return (entry for entry in self.section(section) if entry.key.lower() == folded)

    def value(self, section: str, key: str, default: str = "") -> str:
        """The first value of the first entry with that key, strings filled in."""
        entry = next(self.entries(section, key), None)
        return default if entry is None else self.expand(entry.value(0))

    def listed(self, section: str, key: str) -> Iterator[tuple[Entry, str]]:
        """Every value of all entries with that key, strings filled in, each with its entry."""
        for entry in self.entries(section, key):
            yield from ((entry, text) for text in map(self.expand, entry.values) if text)

    def expand(self, text: str) -> str:
        """``text`` with its strings filled in; a name that there is none of stays, as Windows leaves it."""
        return _TOKEN.sub(lambda match: self._token(match[0], match[1]), text)

    def number(self, entry: Entry, text: str, default: int = 0) -> int:
        """The number that a value is, decimal or hexadecimal; FileError where it is something else."""
        written = self.expand(text).strip()
        if not written:
            return default
        if not _NUMBER.fullmatch(written) or len(written) > 20:
            raise self.error(f"{written[:40]!r} is no number", entry)
        return int(written, 16 if "x" in written.lower() else 10)

    def error(self, message: str, entry: Entry | None = None, hint: str = "") -> FileError:
        return FileError(self.path, message, line=None if entry is None else entry.line, hint=hint)

    def _token(self, written: str, name: str) -> str:
        return "%" if not name else self.strings.get(name.lower(), written)


def parse(path: Path, content: bytes) -> Inf:
    """The INF file ``content``, called ``path`` in messages; FileError with the line for what is none."""
    sections: dict[str, list[Entry]] = {}
    names: dict[str, str] = {}
    current: list[Entry] | None = None
    for line, text in _logical_lines(_decode(path, content)):
        if text.startswith("["):
            name = _section_name(path, line, text)
            names.setdefault(name.lower(), name)
            current = sections.setdefault(name.lower(), [])
        elif current is None:
            raise FileError(path, "an entry stands before the first [section]", line=line)
        else:
            current.append(_entry(line, text))
    if "version" not in sections:
        raise FileError(path, "has no [Version], so it is no INF file")
    frozen = {name: tuple(entries) for name, entries in sections.items()}
    return Inf(path, frozen, names, _strings(frozen))


def _decode(path: Path, content: bytes) -> str:
    """The text: UTF-16 or UTF-8 by its mark, else UTF-8 or, failing that, Windows' Western code page."""
    if len(content) > LARGEST:
        raise FileError(path, f"is no INF file: it has {len(content)} bytes")
    marks = ((codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"), (codecs.BOM_UTF8, "utf-8"))
    for mark, encoding in marks:
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    if b"\0" in content[:200]:
        raise FileError(path, "is no INF file: it holds binary data, or UTF-16 without its mark")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("cp1252", errors="replace")


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines without comments, those that go on joined, with the number of their first one."""
    joined, first = "", 0
    for number, physical in enumerate(re.split(r"\r\n|\r|\n", text.rstrip("\x1a")), 1):
        first = first if joined else number
        part, continues = _content(physical, joined.count('"') % 2 == 1)
        joined += part if joined.count('"') % 2 else part.lstrip()
        if continues:
            continue
        if joined.strip():
            yield first, joined.strip()
        joined = ""
    if joined.strip():
        yield first, joined.strip()


def _content(line: str, quoted: bool) -> tuple[str, bool]:
    """A line up to its comment and without the backslash at its end, and whether that was there."""
    for position, character in enumerate(line):
        if character == '"':
            quoted = not quoted
        elif character == ";" and not quoted:
            line = line[:position]
            break
    stripped = line.rstrip()
    return (stripped[:-1], True) if stripped.endswith("\\") else (stripped, False)


def _section_name(path: Path, line: int, text: str) -> str:
    name, closing, rest = text[1:].partition("]")
    name = name.strip().strip('"').strip()
    if not closing or rest.strip() or not name:
        raise FileError(path, f"malformed section name: {text[:60]}", line=line, hint="it is written [name]")
    return name


def _entry(line: int, text: str) -> Entry:
    values: list[str] = []
    key, has_key = "", False
    for value, end in _values(text):
        if end == "=" and not has_key and not values:
            key, has_key = value, True
        else:
            values.append(value)
    return Entry(line, key, tuple(values))


def _values(text: str) -> Iterator[tuple[str, str]]:
    """The values of an entry without their quotes, each with the separator after it; only the first ``=`` is one."""
    value, plain, position, may_be_key = "", "", 0, True
    while position < len(text):
        character = text[position]
        if character == '"':
            quoted, position = _quoted(text, position + 1)
            value += (plain if value else plain.lstrip()) + quoted
            plain = ""
            continue
        if character == "," or (character == "=" and may_be_key):
            yield _finished(value, plain), character
            value, plain, may_be_key = "", "", False
        else:
            plain += character
        position += 1
    yield _finished(value, plain), ""


def _quoted(text: str, position: int) -> tuple[str, int]:
    """What stands in the quotes that open before ``position``, and where they end; a missing end is the line's."""
    found = ""
    while position < len(text):
        if text[position] != '"':
            found += text[position]
        elif text.startswith('""', position):
            found += '"'
            position += 1
        else:
            return found, position + 1
        position += 1
    return found, position


def _finished(value: str, plain: str) -> str:
    return value + plain.rstrip() if value else plain.strip()


def _strings(sections: Mapping[str, tuple[Entry, ...]]) -> dict[str, str]:
    """``[Strings]``, and what it lacks from English or, failing that, from any other language of the file."""
    others = sorted((name for name in sections if name.startswith("strings.")), key=lambda name: name != _ENGLISH)
    found: dict[str, str] = {}
    for name in ("strings", *others):
        for entry in sections.get(name, ()):
            if entry.key:
                found.setdefault(entry.key.lower(), entry.value(0))
    return found
