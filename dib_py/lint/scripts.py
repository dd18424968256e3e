"""Rules for what scripts say: shells' options, indentation, and calls that go wrong in a build."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from dib_py.lint.registry import file_rule
from dib_py.lint.sources import File

_OPTION = re.compile(r"^set\s+(-.*)$")
_INDENT = re.compile(r"^(?: {4})* {1,3}[^ ]")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?\s*(['\"\\]?)([A-Za-z_]\w*)")
_EXPORT = re.compile(r"\bexport\s.*(?:\$\((?!\()|`)")
# where a command may stand: at the start, after what ends or opens a list, after a word that takes a command
_WHICH = re.compile(r"(?:^|[;&|({`!]|\b(?:if|then|do|while|until|else|elif|sudo|command|chroot\s+\S+)\s)\s*which\s")
_SUDO = re.compile(r"\bsudo\s")
_SAFE_SUDO = re.compile(
    r"dib-lint: safe_sudo|install-packages|TARGET_ROOT|IMAGE_BLOCK_DEVICE|TMP_MOUNT_PATH|TMP_IMAGE_PATH"
)
_OUTSIDE = frozenset(
    {"root.d", "extra-data.d", "post-root.d", "block-device.d", "pre-finalise.d", "finalise.d", "cleanup.d"}
)


@file_rule("shebang")
def shebang(file: File) -> Iterator[tuple[int, str]]:
    """A bash script begins with ``#!/bin/bash``, which is where every guest has it."""
    if "bash" in file.interpreter and file.interpreter != "#!/bin/bash":
        yield 1, f"begins with {file.interpreter}, not with #!/bin/bash"


@file_rule("sete")
def set_e(file: File) -> Iterator[tuple[int, str]]:
    """A bash script has ``set -e``: what fails must not go unnoticed."""
    if file.is_bash and not _sets(file, "e", "errexit"):
        yield 1, "is not set -e"


@file_rule("setu")
def set_u(file: File) -> Iterator[tuple[int, str]]:
    """A bash script has ``set -u``: a variable that is not set must not pass as empty."""
    if file.is_bash and not _sets(file, "u", "nounset"):
        yield 1, "is not set -u"


@file_rule("setpipefail")
def set_pipefail(file: File) -> Iterator[tuple[int, str]]:
    """A bash script has ``set -o pipefail``: the first command of a pipe may fail too."""
    if file.is_bash and not _sets(file, "", "pipefail"):
        yield 1, "is not set -o pipefail"


def _sets(file: File, letter: str, name: str) -> bool:
    """Whether a ``set`` at the start of a line switches an option on, by its letter or its name."""
    for line in file.lines:
        option = _OPTION.match(line)
        if option is None:
            continue
        words = option[1].partition("#")[0].split()
        letters = "".join(word[1:] for word in words if re.fullmatch(r"-[a-zA-Z]+", word))
        if (letter and letter in letters) or name in words:
            return True
    return False


@file_rule("dibdebugtrace")
def debug_trace(file: File) -> Iterator[tuple[int, str]]:
    """A bash script heeds ``DIB_DEBUG_TRACE``, so that ``-x`` traces it."""
    if file.is_bash and not any("DIB_DEBUG_TRACE" in line for line in file.lines):
        yield 1, "does not follow DIB_DEBUG_TRACE"


@file_rule("indent")
def indent(file: File) -> Iterator[tuple[int, str]]:
    """A script is indented by four spaces; what it writes from here-documents may look as it must."""
    if not file.interpreter or file.is_python:
        return
    numbers = [number for number, line in _outside_of_here_documents(file) if _INDENT.match(line)]
    if numbers:
        further = f", as {len(numbers) - 1} more of its lines" if len(numbers) > 1 else ""
        yield numbers[0], f"is not indented by 4 spaces{further}"


def _outside_of_here_documents(file: File) -> Iterator[tuple[int, str]]:
    ends: list[str] = []
    for number, line in enumerate(file.lines, start=1):
        if ends:
            if line.strip() == ends[0]:
                ends.pop(0)
            continue
        yield number, line
        if not line.lstrip().startswith("#"):
            ends = [word for _, word in _HERE_DOCUMENT.findall(line)]


@file_rule("env-trace")
def environment_trace(file: File) -> Iterator[tuple[int, str]]:
    """A file of environment.d does not switch tracing on: it is sourced, and all hooks would be traced."""
    if file.is_environment:
        for number, line in file.logical_lines:
            if "set -x" in line:
                yield number, "an environment file must not switch tracing on"


@file_rule("split-export")
def split_export(file: File) -> Iterator[tuple[int, str]]:
    """Assignment of a command's output and export are two lines, because export hides the command's failure."""
    if file.is_shell:
        for number, line in file.logical_lines:
            if _EXPORT.search(line):
                yield number, "export hides the failure of the command: assign first, then export"


@file_rule("safe_sudo")
def safe_sudo(file: File) -> Iterator[tuple[int, str]]:
    """A hook that runs on the host uses sudo only on the image: its line names ``TARGET_ROOT`` or the like."""
    if file.directory in _OUTSIDE and file.is_shell:
        for number, line in file.logical_lines:
            if _SUDO.search(line) and not _SAFE_SUDO.search(line):
                yield number, f"potentially unsafe sudo: {line.strip()}"


@file_rule("which")
def which(file: File) -> Iterator[tuple[int, str]]:
    """Scripts do not call ``which``, which small guests lack; ``type -p`` and ``command -v`` are built in."""
    if file.is_shell:
        for number, line in file.logical_lines:
            if _WHICH.search(line) and "dib-lint: which" not in line:
                yield number, f"potential use of which: {line.strip()}"


@file_rule("python")
def python(file: File) -> Iterator[tuple[int, str]]:
    """A Python script can be compiled."""
    if not (file.is_python or file.path.suffix == ".py") or not file.is_text:
        return
    try:
        ast.parse(file.content)
    except (SyntaxError, ValueError) as error:
        yield getattr(error, "lineno", None) or 1, f"is not valid Python: {getattr(error, 'msg', error)}"
