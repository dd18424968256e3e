"""Files of environment.d whose effect is known from the variables, and those that may do anything."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dib_py.plain_shell import is_plain

BASH = shutil.which("bash") or "bash"
ELEMENTS = Path(__file__).resolve().parents[1] / "elements"

GUARD = """
if [[ ! $A =~ ^[1-9][0-9]*$ ]] && [ -z "${B:-}" ]; then
    echo "A is '$A'; it has to be" \\
        "a number" >&2
    exit 1
elif [ "$A" -gt 3 ] || [[ $B == *x* ]]; then
    export C=${A%%.*}
else
    C=${B:+-${A##*:}-}
fi  # the end
for _name in A B; do
    [[ ${!_name} =~ ^[$]?[0-9a-z]+$ ]] || {
        echo "$_name is wrong" >&2
        exit 1
    }
done
unset _name
case "$A:${B:0:2}" in
    1:* | "2 3":$'\\n') ;;
    [!0-9]*) echo no; exit 1 ;;
    *)
        D=a E="b $D"
        ;;
esac
(
    { set +x; } 2> /dev/null
    [ -n "${P+set}" ] || exit 0
) || exit 1
"""


def test_what_only_looks_at_variables() -> None:
    subprocess.run(["bash", "-n"], input=GUARD.encode(), check=True)
    assert is_plain(GUARD.encode())


@pytest.mark.parametrize(
    "line",
    [
        "A=$(date)",
        'A="`date`"',
        "if [ -e /etc/x ]; then",
        "[[ -f $A ]] && B=1",
        "[ x -nt y ] && B=1",
        "if [ $A = 1 ]; then",  # it could be a pattern
        "if grep -q x /etc/x; then",
        "for a in *; do",
        "for a in $A; do",
        "for a in $(ls); do",
        "while read -r a; do",
        "done < /etc/x",
        "source x",
        ". x",
        "touch x",
        "A=1 touch x",
        "A=1; touch x",
        "A=1 && touch x",
        "echo x > /x",
        "echo x | tee /x",
        "echo *",
        "x) touch y ;;",
        "x) echo a; touch y ;;",
        "f() {",
        "A=(a b)",
        "A=$RANDOM",
        "A=${HOSTNAME%%.*}",
        "A=${B@P}",
        "A=${B:-$(date)}",
        r"A='a\' $(touch x)'",
        'A="',
        "A='",
        "eval $A",
        "[[ $(date) = x ]] && A=1",
        "exec touch x",
        "cat <<EOF",
        "} > /x",
        "(x)",
        "(\nx)",
        "x)",
        "case a in\nesac\nx)",
        "A=~",
    ],
)
def test_what_may_do_more(line: str) -> None:
    assert not is_plain(f"export B=1\n{line}\n".encode())


PARTS = (
    *(
        "A=",
        "$B",
        "${B:-x}",
        "'a'",
        '"b $A"',
        "$'a\\n'",
        " ",
        ";",
        "\n",
        "\\",
        "`",
        "$(x)",
        "|",
        "*",
        "<",
        ">",
        "!",
        "&&",
    ),
    *(
        "(",
        ")",
        "{",
        "}",
        "]",
        "[[ ",
        " ]]",
        "x",
        "x)",
        "-z ",
        "echo ",
        " >&2",
        "export ",
        "unset C",
        "exit",
        "fi",
        "done",
    ),
    *("case a in\n", "esac\n", "(\n", ";;\n", "x)\n", ") || exit 1\n", "if [ a ]; then\n", "for a in b; do\n"),
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PARTS), max_size=9).map("".join).filter(lambda text: is_plain(text.encode())))
def test_nothing_plain_runs_a_program_or_opens_a_file(text: str) -> None:
    script = f"command_not_found_handle() {{ echo RAN >&2; }}\n{text}"
    done = subprocess.run(
        [BASH, "--norc", "-c", script], env={"PATH": "/none"}, capture_output=True, timeout=60, check=False
    )
    assert b"RAN" not in done.stderr
    assert b"No such file" not in done.stderr


def test_long_lines_are_quickly_read() -> None:
    for part in ("$AAAA", "${C:-d}", "A=1 ", "a ", "! -z ", "a*$ ", "x|", "!=== -z && ", "'a' ", '"a" '):
        for head in ("[[ ", 'A="', "echo ", "case ", "[ ", "A=${B:-", ""):
            assert not is_plain(f"{head}{part * 2000}`".encode())


def test_elements_that_people_add_late_are_plain() -> None:
    """Another one of these does not begin an image anew: only what their variables say counts."""
    for name in ("root-passwd", "sbom", "fetch-ssh-key", "dhcp-all-interfaces", "console", "epel", "devuser"):
        for path in (ELEMENTS / name / "environment.d").iterdir():
            assert is_plain(path.read_bytes()), path
