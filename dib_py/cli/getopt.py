"""Command lines as GNU getopt reads them, which is what scripts written for diskimage-builder rely on.

Options and positionals in any order, ``-nx`` clusters, ``-oNAME`` and ``-o NAME``, ``--name=value`` and
``--name value``, long options cut short while they stay unique, ``--`` before what is no option.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

from dib_py.errors import UsageError, nearest


class Value(Enum):
    """Whether an option is followed by a value; an optional one is only ever joined (``--checksum=md5``)."""

    NONE = "none"
    REQUIRED = "required"
    OPTIONAL = "optional"


@dataclass(frozen=True)
class Option:
    """``names`` are all spellings with their dashes, ``metavar`` what its value is called in messages.

    A ``classic`` option keeps every abbreviation that it had when only classic ones existed.
    """

    names: tuple[str, ...]
    value: Value = Value.NONE
    metavar: str = ""
    classic: bool = False
    secret: bool = False


@dataclass(frozen=True)
class Given:
    """An option that was given: ``name`` in full, ``value`` None where there is none."""

    option: Option
    name: str
    value: str | None


@dataclass(frozen=True)
class CommandLine:
    """What was on the command line; ``shown`` is all of it with the values of secret options masked."""

    options: tuple[Given, ...]
    positionals: tuple[str, ...]
    shown: tuple[str, ...]


MASK = "***"


def parse(argv: Sequence[str], options: Sequence[Option]) -> CommandLine:
    """Read a command line; UsageError says which word of it is wrong and what it may have meant."""
    return _Reader(argv, options).read()


@dataclass
class _Reader:
    argv: Sequence[str]
    options: Sequence[Option]
    position: int = 0
    given: list[Given] = field(default_factory=list)
    positionals: list[str] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)

    def read(self) -> CommandLine:
        names = {name: option for option in self.options for name in option.names}
        while self.position < len(self.argv):
            word = self._next()
            if word == "--":
                self.shown += self.argv[self.position - 1 :]
                self.positionals += self.argv[self.position :]
                break
            if word.startswith("--"):
                self._long(word, names)
            elif word.startswith("-") and word != "-":
                self._cluster(word, names)
            else:
                self.positionals.append(word)
                self.shown.append(word)
        return CommandLine(tuple(self.given), tuple(self.positionals), tuple(self.shown))

    def _next(self) -> str:
        self.position += 1
        return self.argv[self.position - 1]

    def _long(self, word: str, names: Mapping[str, Option]) -> None:
        typed, joined, text = word.partition("=")
        name = _full_name(typed, names)
        option = names[name]
        if option.value is Value.NONE and joined:
            raise UsageError(f"option {name} takes no value, but was given '{text}'")
        if option.value is Value.REQUIRED and not joined:
            text = self._following(option, name)
            self.shown += [typed, MASK if option.secret else text]
        else:
            self.shown.append(f"{typed}={MASK}" if option.secret and joined else word)
            if not joined:
                self.given.append(Given(option, name, None))
                return
        self.given.append(Given(option, name, text))

    def _cluster(self, word: str, names: Mapping[str, Option]) -> None:
        self.shown.append(word)
        for index, letter in enumerate(word[1:], start=2):
            name = f"-{letter}"
            if name not in names:
                raise UsageError(
                    f"unknown option '{name}' in '{word}'" if len(word) > 2 else f"unknown option '{name}'"
                )
            option = names[name]
            if option.value is Value.NONE:
                self.given.append(Given(option, name, None))
                continue
            text = word[index:]
            if not text:
                text = self._following(option, name)
                self.shown.append(text)
            self.given.append(Given(option, name, text))
            return

    def _following(self, option: Option, name: str) -> str:
        if self.position == len(self.argv):
            raise UsageError(f"option {name} needs a value" + (f": {name} {option.metavar}" if option.metavar else ""))
        return self._next()


def _full_name(typed: str, names: Mapping[str, Option]) -> str:
    if typed in names:
        return typed
    matches = [name for name in names if name.startswith(typed)]
    # An option that came later must not break the abbreviation that a script has used for years.
    classic = [name for name in matches if names[name].classic]
    for candidates in (classic, matches):
        if len({id(names[name]) for name in candidates}) == 1:
            return candidates[0]
    if matches:
        raise UsageError(f"option '{typed}' is ambiguous: it may be {', '.join(sorted(matches))}")
    meant = nearest(typed, [name for name in names if name.startswith("--")])
    raise UsageError(f"unknown option '{typed}'", hint=f"did you mean {' or '.join(meant)}?" if meant else "")
