"""What an element's README.rst says: its first sentence, and the variables that it documents.

Element authors write these files for people, in several habits; this reads the habits that diskimage-builder's own
elements have (definition lists with fields, bullet lists, running text) and needs no reStructuredText parser, whose
import alone would cost more than listing all elements.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

_UNDERLINE = re.compile(r"([=\-~^\"'#*+_`])\1+|([.:])\2{2,}")
_BULLET = re.compile(r"\s*[*+-]\s")
_NAME = r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+"
_MARKED_NAME = re.compile(rf"(?:\*\*|``?|['\"])({_NAME})(?:\*\*|``?|['\"])")
# what may stand before and after a name that opens an item: bullet, markup, colon
_ITEM = re.compile(rf"\s*(?:[*+-]\s+)?(?:\*\*|``?|['\"])?({_NAME})(?:=\S*)?(?:\*\*|``?|['\"])?\s*(.*)", re.DOTALL)
_FIELD = re.compile(r"\s*:(\w[\w ]*):\s*(.*)", re.DOTALL)
_FIELDED = re.compile(r"^\s+:\w[\w ]*:", re.MULTILINE)
_SENTENCE_END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!etc)[.!?](?=\s+[^a-z\s]|$)")
_INLINE = (
    (re.compile(r":[\w:]+:`([^`<]+?)(?:\s*<[^>]*>)?`"), r"\1"),  # :doc:`text <target>`
    (re.compile(r"``([^`]+)``"), r"\1"),
    (re.compile(r"`([^`<]+?)(?:\s*<[^>]*>)?`_{0,2}"), r"\1"),  # `text <url>`_
    (re.compile(r"\*\*([^*]+)\*\*"), r"\1"),
    (re.compile(r"(?<!\w)\*([^*\s][^*]*)\*(?!\w)"), r"\1"),
)


@dataclass(frozen=True)
class Variable:
    """A variable that an element documents; empty strings where it does not say."""

    name: str
    description: str = ""
    default: str = ""
    required: str = ""


@dataclass(frozen=True)
class Readme:
    """``blocks`` are the paragraphs, list items and directives of the text, titles left out."""

    blocks: tuple[str, ...]

    @cached_property
    def text(self) -> str:
        """The first paragraph, or else the first item of a list, as plain text."""
        prose = [block for block in self.blocks if _is_prose(block)]
        items = [_BULLET.sub("", block, count=1) for block in self.blocks if _BULLET.match(block)]
        return _plain(next(iter(prose + items), ""))

    @cached_property
    def summary(self) -> str:
        """The first sentence of it."""
        end = _SENTENCE_END.search(self.text)
        return self.text[: end.end()] if end else self.text

    @cached_property
    def variables(self) -> tuple[Variable, ...]:
        """The variables that it documents, in its order; each once, by the most that is said about it."""
        found: dict[str, Variable] = {}
        for variable in (*_items(self.blocks), *_mentions(self.blocks)):
            found.setdefault(variable.name, variable)
        return tuple(found.values())


EMPTY = Readme(())


def parse(text: str) -> Readme:
    # a backslash only keeps reStructuredText from seeing markup
    lines = re.sub(r"\\(?=[^\w\s]|_)", "", text).expandtabs().splitlines()
    return Readme(tuple(_blocks(lines)))


def _blocks(lines: list[str]) -> Iterator[str]:
    """Paragraphs with what is indented below them, so that a definition and its fields are one block."""
    block: list[str] = []
    for index, line in enumerate(lines):
        following = lines[index + 1] if index + 1 < len(lines) else ""
        if _UNDERLINE.fullmatch(line.rstrip()) or (line[:1].strip() and _UNDERLINE.fullmatch(following.rstrip())):
            yield from _finished(block)
            block = []
        elif not line.strip() or not _belongs(line, block):
            if block and not line.strip() and _deeper(lines, index, block):
                block.append("")
                continue
            yield from _finished(block)
            block = [line] if line.strip() else []
        else:
            block.append(line)
    yield from _finished(block)


def _finished(block: list[str]) -> Iterator[str]:
    if any(line.strip() for line in block):
        yield "\n".join(block).rstrip()


def _belongs(line: str, block: list[str]) -> bool:
    """Whether a line continues a block: not if it opens the next item, or comes back from what was indented."""
    if not block:
        return False
    depth, first = _indent(line), _indent(block[0])
    if depth > first:
        return True
    came_back = any(_indent(earlier) > first for earlier in block if earlier)
    return depth == first and not came_back and _BULLET.match(line) is None


def _deeper(lines: list[str], index: int, block: list[str]) -> bool:
    """Whether the text after a blank line is still indented below the block's first line."""
    following = next((line for line in lines[index:] if line.strip()), "")
    return _indent(following) > _indent(block[0])


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _is_prose(block: str) -> bool:
    return not (_BULLET.match(block) or re.match(r"\s*(\.\. |\.\.$|:\w)", block) or _FIELDED.search(block))


def _plain(text: str) -> str:
    for pattern, replacement in _INLINE:
        text = pattern.sub(replacement, text)
    return " ".join(text.split()).rstrip(":")


def _items(blocks: tuple[str, ...]) -> Iterator[Variable]:
    """Variables that open a block: definitions with fields or text below, and list items.

    One definition may be for several variables, with commas between them.
    """
    for block in blocks:
        item = _ITEM.match(block)
        if item is None:
            continue
        fields = dict(_fields(block))
        said = fields.get("description", "") if fields else _plain(item[2].lstrip(":= -"))
        names = re.findall(_NAME, block.partition("\n")[0]) if fields else [item[1]]
        for name in names:
            yield Variable(name, said, fields.get("default", ""), fields.get("required", ""))


def _fields(block: str) -> Iterator[tuple[str, str]]:
    """The ``:Name: value`` fields of a definition; a value goes on over the lines up to the next field."""
    for part in re.split(r"\n(?=\s*:\w[\w ]*:)", block)[1:]:
        field = _FIELD.match(part)
        if field is not None:
            yield field[1].lower(), _plain(field[2])


def _mentions(blocks: tuple[str, ...]) -> Iterator[Variable]:
    """Variables marked as code in running text, with the sentence that names each."""
    for block in blocks:
        for name in _MARKED_NAME.findall(block):
            sentences = re.split(r"(?<=[.!?])\s+(?=[^a-z])", _plain(block))
            yield Variable(name, next((sentence for sentence in sentences if name in sentence), ""))
