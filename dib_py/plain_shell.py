"""Whether a file of environment.d does nothing but set variables and look at variables.

What such a file leaves is known from the variables that it began with, once it has been sourced. A file that runs a
program, reads a file or names one with a pattern may leave something else the next time. Only what is surely harmless
is taken for it, line by line: assignments, ``if``, ``case`` and ``for`` over variables, and refusals by ``echo`` and
``exit``.
"""

from __future__ import annotations

import re

# ${NAME}, with a default, another value, a part of it, other letters
_NAME = r"(?:\$\w+(?!\w)|\$\{!?\w+\})"
_CHANGE = r"(?::?[-=+?]|\#\#?|%%?|//?)"
_INNER = rf"(?:{_NAME}|\$\{{!?\w+{_CHANGE}(?:[^{{}}$`\\]|{_NAME})*\}})"
_VALUE = rf"(?:{_NAME}|\$\{{!?\w+(?:{_CHANGE}(?:[^{{}}$`\\]|{_INNER})*|,,?|\^\^?|:\d+(?::\d+)?)\}})"
_QUOTED = rf"""(?:"(?:[^"$`\\]|\\["\\$]|{_VALUE})*"|'[^']*'|\$'[^'\\]*(?:\\[nt\\][^'\\]*)*')"""
_BARE = r"[\w.,:/@%+=-]"
_WORD = rf"(?:{_QUOTED}|{_BARE}|{_VALUE})+"
_ASSIGNED = rf"[A-Za-z_]\w*\+?=(?:{_WORD})?"

_ONE = rf"""(?:
    (?:export[ ]+)?{_ASSIGNED}(?:[ ]+{_ASSIGNED})*
    | (?:export|unset)(?:[ ]+[A-Za-z_]\w*)+
    | echo(?:[ ]+{_WORD})*(?:[ ]>[ ]?&2)?
    | exit(?:[ ]+\d+)?
    | :
)"""
_SIMPLE = rf"{_ONE}(?:;[ ]{_ONE})*"

_TEST = rf"(?:\[(?:[ ]+(?:!=?|{_QUOTED}|{_BARE}+))+[ ]+\])"
_PATTERN = rf"(?:{_QUOTED}|{_VALUE}|[\w.,:/@%+=*?!|^()\[\]-]|\$(?=[ )\]])|\\.)+"
_LONG_TEST = rf"(?:\[\[(?:[ ]+(?:=~|&&|[<>]|{_PATTERN}))+[ ]+\]\])"
_ONE_TEST = rf"(?:![ ]+)?(?:{_TEST}|{_LONG_TEST})"
_CONDITION = rf"{_ONE_TEST}(?:[ ]+(?:&&|\|\|)[ ]+{_ONE_TEST})*"

_CASE = rf"(?:{_QUOTED}|{_VALUE}|[\w.,:/@%+=*?!^\[\]-])+"
_COMMENT = r"(?:[ ]+\#.*|\#.*)?"

_LINE = re.compile(
    rf"""(?:
        {_SIMPLE}(?:[ ]*;;)?
        | (?:if|elif)[ ]+{_CONDITION};[ ]then | else | fi
        | {_CONDITION}[ ]+(?:&&|\|\|)[ ]+(?:{_ONE}(?:[ ]*;;)?|\{{)
        | for[ ]+\w+[ ]in(?:[ ]+{_BARE}+)+;[ ]do | done
        | case[ ]+{_WORD}[ ]+in | ;;
        | \}} | \( | \)[ ]\|\|[ ]exit[ ]1
        | \{{[ ]set[ ]\+x;[ ]\}}[ ]2>[ ]?/dev/null
    )?{_COMMENT}""",
    re.VERBOSE,
)
# where a case goes on with a pattern or ends; elsewhere that would be a command
_IN_CASE = re.compile(
    rf"(?:{_CASE}(?:[ ]*\|[ ]*{_CASE})*\)(?:[ ]+{_SIMPLE})?(?:[ ]*;;)?|esac(?:[ ]*;;)?)?{_COMMENT}", re.VERBOSE
)
_BEFORE_PATTERN = re.compile(rf"(?:case[ ].*[ ]in|.*;;){_COMMENT}", re.VERBOSE)

# they say something else every time, or of the machine
_OF_THE_SHELL = re.compile(
    r"\$\{?!?(?:BASH\w*|DIRSTACK|EPOCH\w+|EUID|FUNCNAME|GROUPS|HOSTNAME|LINENO|OLDPWD|PPID|PWD|S?RANDOM|SECONDS|SHLVL|UID|_)\b"
)
# tests of files, terminals and options of the shell
_OF_FILES = re.compile(r"\[.*[ ]-(?!(?:z|n|v|eq|ne|lt|le|gt|ge)[ ])[a-zA-Z]{1,2}[ ]")


def is_plain(text: bytes) -> bool:
    """Whether all lines of the file are such, and none reads what a shell knows of its machine."""
    in_case = False
    for line in text.decode(errors="surrogateescape").replace("\\\n", "").expandtabs(4).splitlines():
        code = line.strip()
        if not code or code.startswith("#"):
            continue
        known = (in_case and _IN_CASE.fullmatch(code)) or _LINE.fullmatch(code)
        if not known or _OF_THE_SHELL.search(code) or _OF_FILES.search(code):
            return False
        in_case = _BEFORE_PATTERN.fullmatch(code) is not None
    return True
