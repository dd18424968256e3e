r"""The text that regedit exports and imports: ``Windows Registry Editor Version 5.00``, read and written.

A file is UTF-16 with a byte order mark, as regedit writes it, or UTF-8. A string's only escapes are ``\\`` and ``\"``;
variables are filled in where text stands: in keys, names and strings, but not in numbers, which are hexadecimal here.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from dib_py.errors import FileError
from dib_py.windows.hive import BINARY, DWORD, SZ, Value
from dib_py.windows.registry_edits import (
    Absent,
    KeyEdit,
    RegistryEdits,
    apply,
    checked_key,
    checked_name,
    string_value,
)
from dib_py.windows.templating import Template, literal

__all__ = ["HEADER", "apply", "parse", "parse_text", "write"]

HEADER = "Windows Registry Editor Version 5.00"
_OLD_HEADER = "REGEDIT4"
_COLUMNS = 80  # of a line with hexadecimal numbers, as regedit breaks them
_QUOTED = re.compile(r'"(?P<text>(?:[^"\\]|\\.)*)"')
_HEX = re.compile(r"hex(?:\((?P<type>[0-9a-fA-F]{1,8})\))?:(?P<bytes>[^;]*)(?:;.*)?", re.IGNORECASE)
_HEX_BEGINS = re.compile(r"^[^;].*=\s*hex[(:]|^@=\s*hex[(:]", re.IGNORECASE)
_DWORD = re.compile(r"dword:\s*(?P<number>[0-9a-fA-F]{1,8})\s*(?:;.*)?", re.IGNORECASE)
_COMMENT = re.compile(r"\s*(?:;.*)?")
_ESCAPE = re.compile(r'\\([\\"])')
_LONE_BACKSLASH = re.compile(r'(?<!\\)(?:\\\\)*\\(?![\\"])')


def parse(path: Path, variables: Mapping[str, str]) -> RegistryEdits:
    """What a ``.reg`` file asks for; FileError with the line for what regedit would not read or would skip."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from error
    return parse_text(_decoded(content, path), path, variables)


def parse_text(text: str, path: Path, variables: Mapping[str, str]) -> RegistryEdits:
    """The same for text; ``path`` is where messages say that it stands."""
    lines = _logical_lines(text, path)
    header, first = next(((text.strip(), number) for number, text in lines if text.strip()), ("", 1))
    if header != HEADER:
        old = " (the form of Windows 95)" if header == _OLD_HEADER else ""
        raise FileError(path, f"does not begin with a known header{old}", line=first, hint=f"'{HEADER}'")
    edits: list[KeyEdit] = []
    key: KeyEdit | None = None
    values: list[Value | Absent] = []
    for number, line in lines:
        template = Template(path, variables, number)
        if line.startswith("["):
            if key is not None:
                edits.append(_complete(key, values))
            key, values = _key(line, template, path, number), []
        elif not _COMMENT.fullmatch(line):
            if key is None:
                raise FileError(path, "a value before the first key", line=number, hint=r"[HKEY_LOCAL_MACHINE\...]")
            if key.deleted:
                raise FileError(path, "a value in a key that is deleted", line=number)
            values.append(_value(line, template, path, number))
    if key is not None:
        edits.append(_complete(key, values))
    return RegistryEdits(path, tuple(edits))


def write(wanted: RegistryEdits) -> bytes:
    """A file as regedit exports it, UTF-16 with a byte order mark; parsing it gives the same edits."""
    blocks = [HEADER]
    for edit in wanted.edits:
        lines = [f"[{'-' if edit.deleted else ''}{literal(edit.key)}]"]
        lines += [_written(value) for value in edit.values]
        blocks.append("\r\n".join(lines))
    return codecs.BOM_UTF16_LE + ("\r\n\r\n".join(blocks) + "\r\n\r\n").encode("utf-16-le")


# -- reading
def _decoded(content: bytes, path: Path) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif content[1:2] == b"\0":
        encoding = "utf-16-le"
    else:
        encoding = "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise FileError(
            path, f"is not {encoding.upper()} text", line=line, hint="save it as UTF-8 or UTF-16"
        ) from error


def _logical_lines(text: str, path: Path) -> Iterator[tuple[int, str]]:
    """Lines with their numbers, those that a backslash continues joined into one."""
    waiting: list[str] = []
    first = 0
    for number, line in enumerate(re.split(r"\r\n|\r|\n", text), start=1):
        stripped = line.strip()
        if waiting and (not stripped or stripped.startswith(("[", '"', "@"))):
            raise FileError(path, "the line before ends in a backslash, but nothing continues it", line=number)
        is_continued = stripped.endswith("\\") and (bool(waiting) or _HEX_BEGINS.search(stripped) is not None)
        if is_continued:
            first = first if waiting else number
            waiting.append(stripped[:-1])
        elif waiting:
            yield first, "".join((*waiting, stripped))
            waiting = []
        else:
            yield number, stripped
    if waiting:
        raise FileError(path, "ends in the middle of a value", line=first)


def _key(line: str, template: Template, path: Path, number: int) -> KeyEdit:
    end = line.rfind("]")
    if end < 0 or not _COMMENT.fullmatch(line[end + 1 :]):
        raise FileError(path, f"a key without its closing bracket: {line}", line=number)
    text = template.fill(line[1:end])
    deleted = text.startswith("-")
    return KeyEdit(checked_key(text[deleted:], path, number, deleted=deleted), deleted=deleted, line=number)


def _complete(key: KeyEdit, values: list[Value | Absent]) -> KeyEdit:
    return KeyEdit(key.key, tuple(values), key.deleted, key.line)


def _value(line: str, template: Template, path: Path, number: int) -> Value | Absent:
    if line.startswith("@"):
        name, rest = "", line[1:]
    else:
        quoted = _QUOTED.match(line)
        if quoted is None:
            raise FileError(path, f"neither a key nor a value: {line[:60]}", line=number, hint='"name"=..., or @=...')
        name, rest = _text(quoted["text"], template, path, number), line[quoted.end() :]
    checked_name(name, path, number)
    equals, data = rest.lstrip()[:1], rest.lstrip()[1:].lstrip()
    if equals != "=":
        raise FileError(path, f"a value without =: {line[:60]}", line=number)
    if data.startswith("-") and _COMMENT.fullmatch(data[1:]):
        return Absent(name)
    quoted = _QUOTED.match(data)
    if quoted is not None and _COMMENT.fullmatch(data[quoted.end() :]):
        return string_value(SZ, name, [_text(quoted["text"], template, path, number)], path, number)
    if match := _DWORD.fullmatch(data):
        return Value.dword(name, int(match["number"], 16))
    if match := _HEX.fullmatch(data):
        return Value(name, int(match["type"] or "3", 16), _bytes(match["bytes"], path, number))
    raise FileError(path, f"no value can be read from: {data[:60]}", line=number, hint=_hint(data))


def _hint(data: str) -> str:
    if data.startswith('"'):
        return "the string has no closing quote, or something stands behind it"
    if "${" in data:
        return "numbers are hexadecimal here and take no variables: use the YAML form"
    return '"text", dword:0000001f, hex:01,02, hex(2):..., or - to delete the value'


def _text(raw: str, template: Template, path: Path, number: int) -> str:
    if _LONE_BACKSLASH.search(raw):
        raise FileError(path, f'a single backslash in "{raw}"', line=number, hint=r"write \\ for a backslash")
    return template.fill(_ESCAPE.sub(r"\1", raw))


def _bytes(text: str, path: Path, number: int) -> bytes:
    found = bytearray()
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "":  # none at all, or a comma at the end
        parts.pop()
    for part in parts:
        if not re.fullmatch(r"[0-9a-fA-F]{1,2}", part):
            raise FileError(path, f"{part[:20]!r} is no hexadecimal byte", line=number, hint="hex:01,ff")
        found.append(int(part, 16))
    return bytes(found)


# -- writing
def _written(value: Value | Absent) -> str:
    name = f'"{_escaped(value.name)}"' if value.name else "@"
    if isinstance(value, Absent):
        return f"{name}=-"
    if value.type == SZ and _is_plain(value):
        return f'{name}="{_escaped(value.text)}"'
    if value.type == DWORD and len(value.data) == 4:
        return f"{name}=dword:{value.number:08x}"
    kind = "hex" if value.type == BINARY else f"hex({value.type:x})"
    return _wrapped(f"{name}={kind}:", [f"{byte:02x}" for byte in value.data])


def _is_plain(value: Value) -> bool:
    """Whether the string is stored as a quoted one would be, and a line can hold it."""
    try:
        again = Value.string(value.name, value.text)
    except UnicodeEncodeError:
        return False
    return again == value and _is_one_line(value.text)


def _is_one_line(text: str) -> bool:
    return all(character >= " " for character in text)


def _escaped(text: str) -> str:
    return literal(text).replace("\\", r"\\").replace('"', r"\"")


def _wrapped(start: str, numbers: list[str]) -> str:
    lines, line = [], start
    for index, number in enumerate(numbers):
        piece = number if index == len(numbers) - 1 else f"{number},"
        if len(line) + len(piece) + 1 > _COLUMNS and not line.endswith(":"):
            lines.append(f"{line}\\")
            line = "  "
        line += piece
    return "\r\n".join((*lines, line))
