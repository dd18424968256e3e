"""What ``environment.d`` makes of an environment: the bash text that sources it, and what that text printed.

A build sources the files once for each phase and context, in the guest or on the host; the plan sources them once, on
this machine, to know ``DISTRO_NAME`` and its like. Both run the same script. Unlike diskimage-builder it does not trace
the files, because tracing prints secrets.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dib_py.errors import ElementError, FileError

# Names that the script itself, or bash, sets; not what a file exported.
_OWN = frozenset({"_", "SHLVL", "OLDPWD", "PWD"})

# The trap on EXIT tells the file and line at which a file ended the shell; a file that ends it with 0 is wrong too.
_SCRIPT = """\
exec 2>&1
__dib_nonce={nonce}
__dib_at=
__dib_report() {{
    __dib_code=$?
    trap - DEBUG EXIT
    printf '\\n%s failed %s %s\\n' "$__dib_nonce" "$__dib_code" "$__dib_at"
}}
trap __dib_report EXIT
set -eu -o pipefail -o functrace
cd -- {cwd}
for __dib_file in {files}; do
    __dib_at="$__dib_file:0"
    trap 'case "${{BASH_SOURCE[0]-}}" in /*) __dib_at="${{BASH_SOURCE[0]}}:$LINENO" ;; esac' DEBUG
    source "$__dib_file"
    trap - DEBUG
done
trap - EXIT
printf '\\n%s environment\\n' "$__dib_nonce"
env -0 | base64
printf '%s end\\n' "$__dib_nonce"
"""

_SYNTAX = re.compile(r"^(/.*): line (\d+): (syntax error.*)$", re.MULTILINE)
_UNBOUND = re.compile(r"line (\d+): (\w+): unbound variable")


@dataclass(frozen=True)
class Failure:
    """Where sourcing ended before its time; ``line`` 0 is unknown."""

    file: str
    line: int
    exit_code: int


@dataclass(frozen=True)
class Sourced:
    """What came of sourcing: what the files printed, and the exported variables, None if they failed.

    Exported functions are among the variables, under bash's names for them (``BASH_FUNC_name%%``).
    """

    output: bytes
    variables: dict[str, str] | None
    failure: Failure | None = None


def sourcing_script(names: Iterable[str], directory: str | Path, nonce: str, cwd: str = ".") -> str:
    """Bash text that sources files of ``directory`` in the order that the contract has, and prints the environment.

    That order is bytewise, unlike that of hooks: ``100-x`` comes before ``20-y``. Names that diskimage-builder does not
    source are left out. ``nonce`` sets our lines apart from what the files print.
    """
    sourced = sorted((name for name in names if re.fullmatch(r"[0-9A-Za-z_.-]+", name)), key=os.fsencode)
    files = " ".join(shlex.quote(f"{directory}/{name}") for name in sourced)
    return _SCRIPT.format(nonce=shlex.quote(nonce), files=files, cwd=shlex.quote(cwd))


def parse_environment(output: bytes, nonce: str) -> Sourced:
    """Read what :func:`sourcing_script` printed; if that was cut short there is neither result nor failure."""
    mark = nonce.encode()
    before, _, after = output.partition(b"\n" + mark + b" environment\n")
    dump, end, _ = after.partition(mark + b" end\n")
    if end:
        try:
            return Sourced(before, _variables(base64.b64decode(dump)))
        except binascii.Error:
            return Sourced(before, None)
    printed, _, report = before.partition(b"\n" + mark + b" failed ")
    code, _, at = report.partition(b"\n")[0].decode(errors="replace").partition(" ")
    if not code.isdigit():
        return Sourced(printed, None)
    file, _, line = at.rpartition(":")
    return Sourced(printed, None, Failure(file, int(line) if line.isdigit() else 0, int(code)))


def _variables(dump: bytes) -> dict[str, str]:
    pairs = (os.fsdecode(item).partition("=") for item in dump.split(b"\0") if item)
    return {name: value for name, _, value in pairs if name not in _OWN and not name.startswith("__dib_")}


def failure_of(sourced: Sourced, origin: Mapping[str, Path]) -> ElementError:
    """The error for a failed sourcing; ``origin`` gives the element's own file for each name in environment.d."""
    printed = [line.strip() for line in sourced.output.decode(errors="replace").splitlines() if line.strip()]
    if sourced.failure is None:
        return ElementError("environment.d could not be sourced" + (f": {printed[-1]}" if printed else ""))
    failure = sourced.failure
    path = origin.get(Path(failure.file).name, Path(failure.file))
    line = failure.line or None
    unbound = _UNBOUND.search(printed[-1]) if printed else None
    if unbound:
        # bash's own line: the trap on EXIT sees another one here
        line, name = int(unbound[1]), unbound[2]
        return FileError(path, f"variable {name} is not set", line=line, hint=f"export {name}=... before you build")
    syntax = _SYNTAX.search("\n".join(printed))
    if syntax and syntax[1] == failure.file:
        # bash says it after it has read the file, in one line or two, and the trap knows no line
        return FileError(path, syntax[3], line=int(syntax[2]))
    said = f": {printed[-1]}" if printed else ""
    return FileError(path, f"ends the build with exit code {failure.exit_code}{said}", line=line)
