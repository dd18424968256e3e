"""A whole build in the libguestfs appliance: its hooks are heard while they run, and an interrupt ends it all."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from tests.building import add_hook, build, left_behind, start

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]


def test_output_is_live_and_an_interrupt_cleans_up(tmp_path: Path, debian_tree: Path) -> None:
    code, output = build(tmp_path, debian_tree, "-t", "qcow2", "tiny")
    assert code == 0, output[-3000:]
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    add_hook(tmp_path, "slow", "install.d/50-speak", "echo first line; sleep 8; echo last line")
    add_hook(tmp_path, "slow", "install.d/60-wait", "head -c 60000000 /dev/zero > /unsynced; echo waiting; sleep 3600")
    process = start(tmp_path, debian_tree, "--base", "base.qcow2", "--target", "guestfs", "slow")
    arrivals: dict[str, float] = {}
    assert process.stdout is not None
    for line in process.stdout:
        arrivals[line.rstrip().partition(" | ")[2]] = time.monotonic()
        if line.endswith("waiting\n"):
            break
    else:
        pytest.fail(f"the build ended early: {list(arrivals)[-5:]}")
    ended = arrivals["dib-run-parts 50-speak completed"]
    assert ended - arrivals["first line"] >= 5
    interrupted = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(60) == 130
    assert time.monotonic() - interrupted < 60
    assert left_behind(tmp_path) == []
    assert not (tmp_path / "out.qcow2").exists()
