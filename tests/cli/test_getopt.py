"""Command lines are read as GNU getopt reads them."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dib_py.cli.getopt import Option, Value, parse
from dib_py.errors import UsageError

OPTIONS = [
    Option(("-o",), Value.REQUIRED, "NAME"),
    Option(("-n",)),
    Option(("-x",)),
    Option(("--image-size",), Value.REQUIRED, "GiB"),
    Option(("--image-cache", "--cache-dir"), Value.REQUIRED, "DIR"),
    Option(("--root-label",), Value.REQUIRED, "LABEL", classic=True),
    Option(("--root-password",), Value.REQUIRED, "PASSWORD", secret=True),
    Option(("--checksum",), Value.OPTIONAL),
    Option(("--offline",)),
]


def read(*argv: str) -> tuple[list[tuple[str, str | None]], list[str]]:
    line = parse(argv, OPTIONS)
    return [(given.name, given.value) for given in line.options], list(line.positionals)


@pytest.mark.parametrize(
    ("argv", "options", "positionals"),
    [
        (["-o", "a", "vm"], [("-o", "a")], ["vm"]),
        (["vm", "-oa"], [("-o", "a")], ["vm"]),
        (["-nxo", "a", "vm"], [("-n", None), ("-x", None), ("-o", "a")], ["vm"]),
        (["-nxoa"], [("-n", None), ("-x", None), ("-o", "a")], []),
        (["-onx"], [("-o", "nx")], []),
        (["--image-size=5", "vm"], [("--image-size", "5")], ["vm"]),
        (["--image-size", "--offline"], [("--image-size", "--offline")], []),
        (["--image-size="], [("--image-size", "")], []),
        (["--image-s", "5"], [("--image-size", "5")], []),
        (["--off"], [("--offline", None)], []),
        (["--cache", "d"], [("--cache-dir", "d")], []),
        (["--checksum", "md5"], [("--checksum", None)], ["md5"]),
        (["--checksum=md5"], [("--checksum", "md5")], []),
        (["--", "-n", "plan"], [], ["-n", "plan"]),
        (["-o", "--", "vm"], [("-o", "--")], ["vm"]),
        (["-", "", "a b"], [], ["-", "", "a b"]),
    ],
)
def test_reads(argv: list[str], options: list[tuple[str, str | None]], positionals: list[str]) -> None:
    assert read(*argv) == (options, positionals)


def test_an_abbreviation_that_was_unique_for_diskimage_builder_stays_so() -> None:
    assert read("--root", "cloudimg") == ([("--root-label", "cloudimg")], [])


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (["--image", "5"], "option '--image' is ambiguous: it may be --image-cache, --image-size", ""),
        (["--image-size"], "option --image-size needs a value: --image-size GiB", ""),
        (["-n", "-o"], "option -o needs a value: -o NAME", ""),
        (["--offline=1"], "option --offline takes no value, but was given '1'", ""),
        (["--ofline"], "unknown option '--ofline'", "did you mean --offline?"),
        (["-z"], "unknown option '-z'", ""),
        (["-nz"], "unknown option '-z' in '-nz'", ""),
    ],
)
def test_says_what_is_wrong(argv: list[str], message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(argv, OPTIONS)
    assert (caught.value.message, caught.value.hint) == (message, hint)


@pytest.mark.parametrize(
    ("argv", "shown"),
    [
        (["--root-password", "hunter2", "vm"], ("--root-password", "***", "vm")),
        (["--root-password=hunter2"], ("--root-password=***",)),
        (["--root-p=a=b", "-o", "x"], ("--root-p=***", "-o", "x")),
        (
            ["-no", "x", "--image-size=5", "--checksum", "--", "-n"],
            ("-no", "x", "--image-size=5", "--checksum", "--", "-n"),
        ),
    ],
)
def test_shows_all_but_secrets(argv: list[str], shown: tuple[str, ...]) -> None:
    assert parse(argv, OPTIONS).shown == shown


WORDS = st.sampled_from(
    [
        "-n",
        "-x",
        "-nx",
        "-oa",
        "-o",
        "-xo",
        "--offline",
        "--off",
        "--image-size",
        "--image-size=3",
        "--image-c=d",
        "--image",
        "--checksum",
        "--checksum=md5",
        "--",
        "-",
        "",
        "vm",
        "a b",
        "-z",
        "--nothing",
        "--offline=1",
    ]
)


@pytest.mark.skipif(not shutil.which("getopt"), reason="needs getopt of util-linux")
@settings(max_examples=80)
@given(st.lists(WORDS, max_size=5))
def test_agrees_with_getopt(argv: list[str]) -> None:
    """Against the program that diskimage-builder itself calls, on its own kind of option table."""
    table = [
        option for option in OPTIONS if "--root-label" not in option.names and "--root-password" not in option.names
    ]
    longs = "image-size:,image-cache:,checksum::,offline"
    theirs = subprocess.run(
        ["getopt", "-u", "-o", "o:nx", "-l", longs, "--", *argv], capture_output=True, text=True, check=False
    )
    try:
        line = parse(argv, [*table[:4], Option(("--image-cache",), Value.REQUIRED), *table[5:]])
    except UsageError:
        assert theirs.returncode != 0
        return
    words = []
    for option in line.options:
        words.append(option.name)
        if option.option.value is not Value.NONE:
            words.append(option.value or "")
    assert theirs.returncode == 0
    assert theirs.stdout == "".join(f" {word}" for word in [*words, "--", *line.positionals]) + "\n"
