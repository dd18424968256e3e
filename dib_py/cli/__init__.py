"""The command line: which command was asked for, and what its end means for the exit code.

A subcommand is one only as the very first argument, so ``dib-py -- plan`` builds an element named plan. Commands are
imported when they are asked for. Only this module exits, and no error of a user's making ends in a traceback.

Exit codes: 0 done; 1 an error, told in one message (2 for commands whose 1 means something else); a failed hook's own;
130 and 143 for SIGINT and SIGTERM; 141 when the reader of the output has gone.
"""

from __future__ import annotations

import errno
import importlib
import os
import re
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

import click

from dib_py.errors import DibError

SUBCOMMANDS = {
    "plan": "print what a build would do",
    "explain": "say which steps of a build run, and why",
    "shell": "open a shell in the middle of a build, or where one failed",
    "verify": "boot an image, and say whether it is what a cloud expects",
    "inspect": "say what is inside an image",
    "diff": "say how an image differs from another",
    "elements": "list elements, or show one",
    "graph": "draw how elements depend on each other",
    "new": "begin an element",
    "lint": "find what is wrong with elements",
    "layers": "look after the layers of finished steps",
    "doctor": "say what this machine can do, and how to mend what it can't",
    "completion": "print the shell's completion",
}
CLASSIC = frozenset({"disk-image-create", "ramdisk-image-create"})
VERBOSE = re.compile(r"-[a-z]*v[a-z]*|--verbose")
_UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EDQUOT)  # what print and flush raise; a build takes care of its own
ENDED_BY_READER = 128 + 13  # as if by SIGPIPE
TROUBLE = {"diff": 2, "verify": 2}  # what an error is for commands whose 1 means something else


def main(argv: Sequence[str] | None = None, program: str = "") -> int:
    """Run one command and return its exit code."""
    _fill_standard_streams()
    words = list(sys.argv[1:] if argv is None else argv)
    name = program or _program()
    module, words = choose(name, words)
    try:
        return _run(module, words, name)
    except BrokenPipeError:
        _leave_pipe()
        return ENDED_BY_READER


def choose(program: str, words: list[str]) -> tuple[str, list[str]]:
    """The command that is meant, and its own arguments; without a subcommand it is build."""
    if words and words[0] in SUBCOMMANDS and program not in CLASSIC:
        return words[0], words[1:]
    return "build", words


def _run(module: str, words: list[str], program: str) -> int:
    try:
        command: click.Command = importlib.import_module(f"dib_py.cli.{module}").command
        shown = program if module == "build" else f"{program} {module}"
        with command.make_context(shown, words) as context:
            result = command.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except DibError as error:
        plain = error.exit_code == DibError.exit_code  # another one says itself what happened, such as a signal
        return _tell(str(error), error.hint, TROUBLE.get(module, 1) if plain else error.exit_code)
    except click.ClickException as error:
        return _tell(" ".join(error.format_message().split()), "", TROUBLE.get(module, 1))
    except (KeyboardInterrupt, click.Abort):
        return _tell("interrupted by SIGINT", "", 130)  # as a build says that is at its steps
    except BrokenPipeError:
        raise
    except OSError as error:
        if module == "build" or error.errno not in _UNWRITABLE or error.filename is not None:
            return _tell_bug(error, words, module)
        _leave_pipe()
        return _tell(f"standard output can't be written: {error.strerror}", "", TROUBLE.get(module, 1))
    except Exception as error:  # a bug: whatever it is, the user gets one line and a way to tell us more
        return _tell_bug(error, words, module)


def _tell_bug(error: Exception, words: list[str], module: str) -> int:
    if any(VERBOSE.fullmatch(word) for word in words):
        traceback.print_exception(error)
        hint = ""
    else:
        hint = "this is a bug of dib-py; run it again with -v for the traceback"
    return _tell(f"internal error: {type(error).__name__}: {error}", hint, TROUBLE.get(module, 1))


def _tell(message: str, hint: str, exit_code: int) -> int:
    click.echo(f"{click.style('dib-py: error:', fg='red', bold=True)} {message}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    return exit_code


def _program() -> str:
    name = Path(sys.argv[0]).name
    return "python3 -m dib_py" if name == "__main__.py" else name


def _fill_standard_streams() -> None:
    """A standard stream that was closed (``>&-``) leads nowhere, instead of to the next file that is opened."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            sink = os.open(os.devnull, os.O_RDWR)
            if sink != number:
                os.dup2(sink, number)
                os.close(sink)
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def _leave_pipe() -> None:
    """The interpreter flushes standard output at its end, which would fail once more and say so."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    os.close(sink)
