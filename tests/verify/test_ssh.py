"""ssh as verifications use it, with a program in its place that does what a guest could make it do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dib_py.errors import HostError
from dib_py.verify.checks import Answer, LoginRefused, Seed, Unreachable
from dib_py.verify.ssh import Ssh


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ssh:
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    seed = Seed("i-1", "verify", "user", "secret", tmp_path / "key", "ssh-ed25519 AAAA", "mark")
    return Ssh(seed, tmp_path, timeout=30)


def stands_in(directory: Path, script: str) -> None:
    program = directory / "ssh"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


def test_a_command_has_its_output_its_errors_and_its_code(ssh: Ssh, tmp_path: Path) -> None:
    stands_in(tmp_path, "cat; echo Warning: Permanently added x >&2; echo odd >&2; exit 3")
    assert ssh.run("uname -a") == Answer(3, "uname -a", "odd\n")


def test_a_guest_that_says_too_much_is_not_listened_to(ssh: Ssh, tmp_path: Path) -> None:
    stands_in(tmp_path, "exec yes 2>/dev/null")
    with pytest.raises(Unreachable, match="says more than 4194304 bytes"):
        ssh.run("true")
    stands_in(tmp_path, "exec yes >&2")
    with pytest.raises(Unreachable, match="says more than 4194304 bytes"):
        ssh.run("true")


def test_a_guest_that_says_nothing_is_not_waited_for(ssh: Ssh, tmp_path: Path) -> None:
    stands_in(tmp_path, "exec sleep 600")
    began = time.monotonic()
    with pytest.raises(Unreachable, match=r"did not end within 0\.2 s"):
        ssh.run("true", 0.2)
    assert time.monotonic() - began < 60


def test_a_refused_login_says_why(ssh: Ssh, tmp_path: Path) -> None:
    stands_in(tmp_path, "echo user@127.0.0.1: Permission denied. >&2; exit 255")
    with pytest.raises(LoginRefused, match=r"can't log in: user@127\.0\.0\.1: Permission denied"):
        ssh.run("true")


def test_a_login_that_was_cut_off_is_no_refusal(ssh: Ssh, tmp_path: Path) -> None:
    stands_in(tmp_path, "echo kex_exchange_identification: Connection closed by remote host >&2; exit 255")
    with pytest.raises(Unreachable, match="Connection closed") as error:
        ssh.run("true")
    assert not isinstance(error.value, LoginRefused)


def test_a_machine_without_ssh_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ssh: Ssh) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="ssh is not installed"):
        ssh.run("true")
