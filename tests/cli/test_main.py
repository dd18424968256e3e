"""Which command is meant, and what its end means for the exit code."""

from __future__ import annotations

import configparser
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import dib_py
from dib_py.cli import CLASSIC, SUBCOMMANDS, choose, main

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("program", "words", "module", "rest"),
    [
        ("dib-py", ["plan", "vm"], "plan", ["vm"]),
        ("dib-py", ["--", "plan"], "build", ["--", "plan"]),
        ("dib-py", ["vm", "plan"], "build", ["vm", "plan"]),
        ("dib-py", ["-n", "plan"], "build", ["-n", "plan"]),
        ("dib-py", [], "build", []),
        ("disk-image-create", ["plan"], "build", ["plan"]),
        ("ramdisk-image-create", ["doctor"], "build", ["doctor"]),
    ],
)
def test_a_subcommand_is_one_only_as_the_first_argument(
    program: str, words: list[str], module: str, rest: list[str]
) -> None:
    assert choose(program, words) == (module, rest)


@pytest.mark.parametrize("program", ["dib-py", "disk-image-create"])
def test_the_version_is_printed_alone(run: Run, program: str) -> None:
    done = run("--version", PROGRAM=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{dib_py.__version__}\n", "")


def test_the_help_names_every_option_and_command(run: Run) -> None:
    done = run("-h")
    assert done.returncode == 0
    for word in (
        "-o NAME",
        "--image-size GiB",
        "DIB_IMAGE_SIZE",
        "What is built",
        *(f"dib-py {n}" for n in SUBCOMMANDS),
    ):
        assert word in done.stdout
    classic = run("--help", PROGRAM="disk-image-create").stdout
    assert classic.startswith("Usage: disk-image-create [OPTIONS] ELEMENT...")
    assert "dib-py plan" not in classic


@pytest.mark.parametrize("command", list(SUBCOMMANDS))
def test_every_command_has_its_help_by_both_names(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for option in ("-h", "--help"):
        assert main([command, option], "dib-py") == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1] and "-h, --help" in told[0]


def test_the_classic_commands_are_installed_too() -> None:
    setup = configparser.ConfigParser()
    setup.read(Path(__file__).parents[2] / "setup.cfg")
    scripts = [line.split(" = ") for line in setup["options.entry_points"]["console_scripts"].split("\n") if line]
    assert dict(scripts) == dict.fromkeys(("dib-py", *CLASSIC), "dib_py.cli:main")


def test_no_elements(run: Run) -> None:
    done = run("", "-o", "x")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "dib-py: error: at least one distribution root element must be specified\n  for example"
    )


def test_a_subcommand_behind_options_is_told_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--no-cache", "--image-size", "20", "plan", "debian"], "dib-py") == 1
    hint = "  a subcommand comes first, before all options: dib-py plan ...\n"
    assert capsys.readouterr().err == f"dib-py: error: unknown element 'plan'\n{hint}"
    assert main(["--no-cache", "plan", "debian"], "disk-image-create") == 1
    assert "subcommand" not in capsys.readouterr().err


def test_an_interrupt_before_the_steps_is_told_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("dib_py.plan.make_plan", interrupted)
    assert main(["--no-cache", "debian"], "dib-py") == 130
    assert capsys.readouterr().err == "dib-py: error: interrupted by SIGINT\n"


def test_an_error_is_a_message_with_its_hint_and_never_a_traceback(run: Run) -> None:
    done = run("-v", "refused")
    assert done.returncode == 1
    assert done.stderr == "dib-py: error: element nothing is not there\n  did you mean bash?\n"


def test_a_bug_is_one_line_and_its_traceback_is_in_the_log(run: Run, logs: Callable[[], list[Path]]) -> None:
    done = run("buggy")
    assert done.returncode == 1
    assert done.stderr == (
        "dib-py: error: internal error: RuntimeError: the engine is broken\n"
        "  this is a bug of dib-py; run it again with -v for the traceback\n"
    )
    assert "Traceback (most recent call last)" in logs()[0].read_text()
    assert "Traceback (most recent call last)" in run("-v", "buggy").stderr


def test_a_reader_that_leaves_ends_it_quietly(command: list[str], environ: dict[str, str], tmp_path: Path) -> None:
    with subprocess.Popen(
        [*command, "talks"], env=environ, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout and process.stderr
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(60) == 141
        assert process.stderr.read() == ""


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_no_reason_to_fail(
    closed: str, command: list[str], environ: dict[str, str], tmp_path: Path
) -> None:
    for words, code in (("vm", 0), ("--version", 0), ("refused", 1)):
        line = f"{shlex.join([*command, words])} {closed}"
        done = subprocess.run(["bash", "-c", line], env=environ, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, "internal error" in done.stderr) == (code, False)


def test_a_full_standard_output_is_one_message(command: list[str], environ: dict[str, str], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "elements"], env=environ, cwd=tmp_path, stdout=full, stderr=subprocess.PIPE, text=True
        )
    expected = "dib-py: error: standard output can't be written: No space left on device\n"
    assert (done.returncode, done.stderr) == (1, expected)
