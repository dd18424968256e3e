"""Who ended the machine: only what the guest did is held against it."""

from __future__ import annotations

import threading
from pathlib import Path
from socket import socketpair
from types import SimpleNamespace
from typing import Any, cast

import pytest

from dib_py.events import Events
from dib_py.verify.board import Board
from dib_py.verify.boot import Boot, Given
from dib_py.verify.checks import Need, Trouble
from dib_py.verify.console import Console
from dib_py.verify.firmware import Firmware
from dib_py.verify.limits import TCG
from dib_py.verify.machine import Hardware
from dib_py.verify.result import Stage
from dib_py.verify.watch import Doors
from tests.verify.checks.fakes import SEED

OUTSIDE = "qemu was ended, and not by the guest: "


@pytest.fixture
def boot(tmp_path: Path) -> Boot:
    nothing = cast(Any, None)
    (tmp_path / "boot-1").mkdir()
    (tmp_path / "boot-1" / "qemu.log").touch()
    given = Given(
        *(tmp_path, "raw", 1, 1, SEED, tmp_path, TCG, nothing, nothing, tmp_path, lambda: 0.0, Events()),
    )
    return Boot(given, 1, Hardware(kvm=False, firmware=Firmware.BIOS), tmp_path / "disk", Board())


def test_a_guest_that_switches_the_machine_off(boot: Boot) -> None:
    boot._on_machine_event("ENDED", {"code": 0, "guest": True})
    assert boot.ended_by_itself and boot.broken == "" and boot.ending == "the guest switched the machine off"


def test_its_last_words_are_read_first(boot: Boot) -> None:
    nothing = cast(Any, None)
    ours, theirs = socketpair()
    boot._doors = Doors(Console(ours, lambda: 0.0), nothing, nothing, nothing)
    boot._watch = cast(Any, SimpleNamespace(came_up=False))
    boot._opened.set()

    def say_and_end() -> None:
        theirs.sendall(b"Linux version 6\n")
        theirs.close()

    threading.Timer(0.5, say_and_end).start()
    boot._on_machine_event("ENDED", {"code": 0, "guest": True})
    assert boot.trouble == Trouble(Stage.KERNEL, "the guest switched the machine off")
    ours.close()


@pytest.mark.parametrize(
    ("code", "said", "ending"),
    [
        (-9, "", "it was killed by signal 9 (Killed)"),
        (0, "qemu-system-x86_64: terminating on signal 15 from pid 1\n", "terminating on signal 15 from pid 1"),
        (0, "", "exit code 0"),
        (1, "qemu: out of memory\n", "out of memory"),
    ],
)
def test_whoever_else_ends_it_proves_nothing(boot: Boot, tmp_path: Path, code: int, said: str, ending: str) -> None:
    (tmp_path / "boot-1" / "qemu.log").write_text(said)
    boot._on_machine_event("ENDED", {"code": code, "guest": False})
    assert not boot.ended_by_itself and boot.over
    assert boot.broken == boot.ending and boot.broken.startswith(OUTSIDE) and boot.broken.endswith(ending)
    assert OUTSIDE in (boot.board.reason(Need.LOGIN) or "")


def test_what_was_found_before_stays_found(boot: Boot, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot, "_look_at_screen", lambda: None)
    boot.give_up(Trouble(Stage.KERNEL, "kernel panic: no init"))
    boot._on_machine_event("ENDED", {"code": -9, "guest": False})
    assert boot.broken == "" and boot.trouble == Trouble(Stage.KERNEL, "kernel panic: no init")


@pytest.mark.parametrize(
    ("data", "what", "is_ours"),
    [
        ({"nospace": True, "reason": "No space left on device"}, "there is no room left on this machine", True),
        ({"nospace": False, "reason": "Input/output error"}, "the disk can't be read or written: Input/out", False),
    ],
)
def test_a_full_disk_of_ours_proves_nothing(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, data: dict[str, Any], what: str, is_ours: bool
) -> None:
    monkeypatch.setattr(boot, "_look_at_screen", lambda: None)
    boot._on_machine_event("BLOCK_IO_ERROR", data)
    assert boot.wait_until_over(10) and boot.trouble is not None
    assert boot.trouble.what.startswith(what) and bool(boot.broken) is is_ours
