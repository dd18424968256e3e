"""What a sourcing script prints, whole, cut short and failed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dib_py.sourcing import failure_of, parse_environment, sourcing_script

NONCE = "b2f1c0"


def run(directory: Path, *names: str) -> tuple[bytes, int]:
    script = sourcing_script(names, directory, NONCE)
    done = subprocess.run(["bash", "-c", script], env={"PATH": "/usr/bin:/bin", "IN": "1"}, stdout=subprocess.PIPE)
    return done.stdout, done.returncode


def test_output_and_environment_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "10-x").write_text("echo a line\nprintf partial >&2\nexport OUT=$IN\n")
    printed, code = run(tmp_path, "10-x")
    result = parse_environment(printed, NONCE)
    assert code == 0
    assert result.output == b"a line\npartial"
    assert result.variables is not None and result.variables["OUT"] == "1"
    assert result.failure is None


def test_a_file_cannot_pass_for_the_end(tmp_path: Path) -> None:
    (tmp_path / "10-x").write_text("echo 'other environment'\necho 'other end'\nexport OUT=1\n")
    result = parse_environment(run(tmp_path, "10-x")[0], NONCE)
    assert result.variables is not None and result.variables["OUT"] == "1"
    assert b"other end" in result.output


def test_a_failure_says_where(tmp_path: Path) -> None:
    (tmp_path / "10-x").write_text("true\nfalse\n")
    printed, code = run(tmp_path, "10-x")
    result = parse_environment(printed, NONCE)
    assert code == 1
    assert result.variables is None
    assert result.failure is not None
    assert (result.failure.file, result.failure.line, result.failure.exit_code) == (str(tmp_path / "10-x"), 2, 1)
    own = Path("/elements/a/environment.d/10-x")
    assert str(failure_of(result, {"10-x": own})).startswith(f"{own}:2: ends the build with exit code 1")


@pytest.mark.parametrize("cut", [0, 10, 60, 90])
def test_what_is_cut_short_is_neither(tmp_path: Path, cut: int) -> None:
    (tmp_path / "10-x").write_text("echo something\n")
    printed, _ = run(tmp_path, "10-x")
    result = parse_environment(printed[:cut], NONCE)
    assert result.variables is None and result.failure is None


def test_a_returning_file_does_not_end_the_others(tmp_path: Path) -> None:
    (tmp_path / "10-x").write_text("return 0\nexit 3\n")
    (tmp_path / "20-y").write_text("export OUT=2\n")
    result = parse_environment(run(tmp_path, "20-y", "10-x")[0], NONCE)
    assert result.variables is not None and result.variables["OUT"] == "2"


def test_no_files_give_the_environment_as_it_is(tmp_path: Path) -> None:
    result = parse_environment(run(tmp_path)[0], NONCE)
    assert result.variables == {"IN": "1", "PATH": "/usr/bin:/bin"}


@pytest.mark.parametrize(
    ("text", "line", "said"), [("\nif [\n", 3, "unexpected end of file"), ("x=1\nfi\n", 2, "`fi'")]
)
def test_a_syntax_error_is_told_as_bash_tells_it(text: str, line: int, said: str, tmp_path: Path) -> None:
    (tmp_path / "10-x").write_text(text)
    own = Path("/elements/a/environment.d/10-x")
    message = str(failure_of(parse_environment(run(tmp_path, "10-x")[0], NONCE), {"10-x": own}))
    assert message.startswith(f"{own}:{line}: syntax error")
    assert message.endswith(said)
    assert str(tmp_path) not in message
