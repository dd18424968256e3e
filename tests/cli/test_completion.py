"""Completion is asked of the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from dib_py.cli import SUBCOMMANDS
from dib_py.cli.completion import bash, command, fish, options, zsh
from dib_py.cli.options import build_options


@pytest.fixture
def built_in(tmp_path: Path) -> Path:
    for name in ("debian", "debian-minimal", "vm", ".hidden"):
        (tmp_path / "built in" / name).mkdir(parents=True)
    (tmp_path / "built in" / "README.rst").write_text("")
    return tmp_path / "built in"


@pytest.fixture
def elements_path(tmp_path: Path) -> Path:
    (tmp_path / "mine" / "devbox").mkdir(parents=True)
    return tmp_path / "mine"


def complete_in_bash(script: str, words: list[str], elements_path: Path, cwd: Path) -> list[str]:
    ask = script + '\nCOMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _dib_py; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-uec", ask, "bash", *words],
        env={**os.environ, "ELEMENTS_PATH": str(elements_path)},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["dib-py", "-o", "x", "deb"], ["debian", "debian-minimal"]),
        (["dib-py", "-o", "x", "d"], ["debian", "debian-minimal", "devbox"]),
        (["dib-py", "d"], ["debian", "debian-minimal", "devbox", "diff", "doctor"]),
        (["disk-image-create", "d"], ["debian", "debian-minimal", "devbox"]),
        (["dib-py", "--image-"], ["--image-cache", "--image-extra-size", "--image-size"]),
        (["dib-py", "--target", ""], ["auto", "guestfs", "host"]),
        (["dib-py", "--target", "=", "g"], ["guestfs"]),
        (["dib-py", "--target", "="], ["auto", "guestfs", "host"]),
        (["dib-py", "--checksum", "v"], ["vm"]),
        (["dib-py", "--checksum", "=", "m"], ["md5"]),
        (["dib-py", "--break", "before-pre-"], ["before-pre-finalise", "before-pre-install"]),
        (["dib-py", "--logfile", "lo"], ["log.txt"]),
        (["dib-py", "--root-password", ""], []),
        (["dib-py", "completion", ""], ["bash", "fish", "zsh"]),
        (["dib-py", "l"], ["layers", "lint"]),
        (["dib-py", "layers", ""], ["export", "gc", "import", "ls", "rm", "show", "verify"]),
        (["dib-py", "layers", "import", "lo"], ["log.txt"]),
        (["dib-py", "verify", "--ke"], ["--keep-console"]),
        (["dib-py", "verify", "--again", "-h"], ["-h"]),
        (["dib-py", "verify", "--profile", ""], ["minimal", "openstack"]),
        (["dib-py", "verify", "--check", "second"], ["second-boot"]),
        (["dib-py", "verify", "--timeout", ""], []),
        (["dib-py", "verify", "--junit", "lo"], ["log.txt"]),
        (["dib-py", "verify", "--again", "lo"], ["log.txt"]),
        (["dib-py", "inspect", "--j"], ["--json"]),
    ],
)
def test_bash(words: list[str], expected: list[str], built_in: Path, elements_path: Path, tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_text("")
    assert sorted(complete_in_bash(bash(built_in), words, elements_path, tmp_path)) == expected


def test_bash_knows_every_option_of_the_table(built_in: Path, elements_path: Path, tmp_path: Path) -> None:
    offered = complete_in_bash(bash(built_in), ["dib-py", "-"], elements_path, tmp_path)
    names = {name for option in build_options() for name in option.names}
    assert set(offered) == names | {"-h", "--help", "--version"}
    assert {name for option in options() for name in option.names} == set(offered)


@pytest.mark.skipif(not shutil.which("fish"), reason="needs fish")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dib-py -o x deb", {"debian", "debian-minimal"}),
        ("dib-py doc", {"doctor"}),
        ("dib-py --image-s", {"--image-size"}),
        ("dib-py layers ver", {"verify"}),
        ("dib-py verify --keep", {"--keep-console"}),
        ("dib-py verify --check second", {"second-boot"}),
        ("dib-py --target ", {"auto", "guestfs", "host"}),
        ("disk-image-create devb", {"devbox"}),
    ],
)
def test_fish(line: str, expected: set[str], built_in: Path, elements_path: Path, tmp_path: Path) -> None:
    script = tmp_path / "completion.fish"
    script.write_text(fish(built_in))
    done = subprocess.run(
        ["fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]", str(script), line],
        env={**os.environ, "ELEMENTS_PATH": str(elements_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert {row.split("\t")[0] for row in done.stdout.splitlines()} == expected


@pytest.mark.skipif(not shutil.which("zsh"), reason="needs zsh")
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("dib-py -o x deb", {"debian", "debian-minimal"}),
        ("dib-py doc", {"doctor"}),
        ("dib-py --image-s", {"--image-size"}),
        ("dib-py layers e", {"export"}),
        ("dib-py verify --keep", {"--keep-console"}),
        ("dib-py verify --check second", {"second-boot"}),
        ("dib-py --target g", {"guestfs"}),
        ("dib-py -n devb", {"devbox"}),
    ],
)
def test_zsh(line: str, expected: set[str], built_in: Path, elements_path: Path, tmp_path: Path) -> None:
    """In a real zsh on a terminal of its own: TAB is pressed, and what stands on the line is read back."""
    (tmp_path / "completion.zsh").write_text(zsh(built_in))
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH_DRIVER, "zsh", str(tmp_path / "completion.zsh"), line],
        env={**os.environ, "ELEMENTS_PATH": str(elements_path), "HOME": str(tmp_path), "TERM": "dumb"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert set(done.stdout.split()) == expected, done.stdout + done.stderr


# compadd is where zsh's completion hands over what it found: it is asked to note the matches instead of showing them.
ZSH_DRIVER = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PS1=; autoload -Uz compinit && compinit -u -D; source $1"
zpty -w shell 'compadd() { local -a found; builtin compadd -O found "$@"; print -rl -- BEGIN $found END; }'
zpty -w shell 'zle -C ask complete-word ask; ask() { _main_complete }; bindkey "^I" ask; print READY'
zpty -r shell seen '*READY*READY*'
zpty -n -w shell "$2"$'\t'
sleep 1
zpty -n -w shell $'\C-u\nprint LAST\n'
zpty -r shell seen '*LAST*LAST*'
print -r -- ${seen//$'\r'/} | awk '/^BEGIN|BEGIN$/ {on = 1; next} /^END/ {on = 0} on' | sort -u
"""


def test_the_command_prints_the_script_for_the_built_in_elements() -> None:
    done = CliRunner().invoke(command, ["bash"])
    assert done.exit_code == 0
    assert "complete -F _dib_py dib-py" in done.output
    for name in SUBCOMMANDS:
        assert name in done.output


def test_an_unknown_shell_is_refused() -> None:
    done = CliRunner().invoke(command, ["csh"])
    assert done.exit_code != 0
    assert "bash" in done.output
