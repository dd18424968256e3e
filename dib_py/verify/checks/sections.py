"""Several questions to the guest in one command: each command costs a second under emulation.

Marks that are made anew for each script stand around every answer, so nothing that a guest prints can pass for one.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from dib_py.verify.checks import Answer, Shell

CUT_OFF = -1  # exit code of a command whose end did not come


def ask(shell: Shell, questions: Mapping[str, str], timeout: float | None = None) -> dict[str, Answer]:
    """The answers to shell commands by their names, each with its own exit code; errors are part of the output."""
    mark = secrets.token_hex(8)
    script = "".join(_asked(mark, name, command) for name, command in questions.items())
    printed = shell.run(script, timeout).output.replace("\r\n", "\n")
    return {name: _answer(printed, mark, name) for name in questions}


def _asked(mark: str, name: str, command: str) -> str:
    return f"echo '{mark} {name}'; (\n{command}\n) 2>&1; code=$?; echo; echo \"{mark} {name} ended $code\"\n"


def _answer(printed: str, mark: str, name: str) -> Answer:
    _, _, rest = printed.partition(f"{mark} {name}\n")
    text, ended, after = rest.partition(f"\n{mark} {name} ended ")
    code = after.partition("\n")[0].strip()
    return Answer(int(code) if ended and code.isdigit() else CUT_OFF, text.strip("\n"))
