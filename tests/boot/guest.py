"""A guest for tests: an image in the machine of ``dib-py verify``, with user data of the test's own."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from dib_py.errors import DibError
from dib_py.target.probe import kvm_works
from dib_py.verify.agent import Agent
from dib_py.verify.console import Console
from dib_py.verify.firmware import Firmware
from dib_py.verify.machine import Hardware, Machine, make_overlay
from dib_py.verify.namespace import apart
from dib_py.verify.seed import LABEL, write_iso

META_DATA = "instance-id: test-1\nlocal-hostname: seeded\n"
POWERED_ON_WITHIN = 60
LOGIN_WITHIN = 600  # seconds; about 100 on two idle cores


class Guest:
    """Runs while open; nothing outlives it, and the image is never written."""

    def __init__(
        self,
        image: Path,
        directory: Path,
        *,
        gib: int = 6,
        user_data: str = "#cloud-config\n",
        firmware: Firmware = Firmware.BIOS,
    ) -> None:
        overlay, seed = directory / "overlay.qcow2", directory / "seed.iso"
        make_overlay(overlay, image, "qcow2", gib * 1024**3)
        write_iso(seed, LABEL, {"meta-data": META_DATA, "user-data": user_data})
        hardware = Hardware(kvm_works().works, firmware)
        self._machine = Machine(hardware, overlay, seed, directory / "machine", lambda name, data: None)
        self._on, self._off = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=lambda: apart(self._run), daemon=True)

    def _run(self) -> None:
        with self._machine:
            self._on.set()
            self._off.wait()

    def __enter__(self) -> Guest:
        started = time.monotonic()
        self._thread.start()
        assert self._on.wait(POWERED_ON_WITHIN), "the machine did not start"
        self._console = Console(self._machine.serial, lambda: time.monotonic() - started)
        self._agent = Agent(self._machine.agent, timeout=60)
        self._machine.power_on()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._off.set()
        self._thread.join(30)

    def console(self) -> str:
        return self._console.text

    def wait_for(self, pattern: str, timeout: float) -> str:
        """The console, once ``pattern`` is on it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and self._machine.running:
            text = self.console()
            if re.search(pattern, text):
                return text
            time.sleep(0.5)
        raise AssertionError(f"no {pattern!r} on the console within {timeout} s; its end:\n{self.console()[-3000:]}")

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the guest has switched itself off."""
        deadline = time.monotonic() + timeout
        while self._machine.running:
            assert time.monotonic() < deadline, f"still on after {timeout} s; console:\n{self.console()[-3000:]}"
            time.sleep(0.5)

    def agent(self, command: str, timeout: float = 60, **arguments: Any) -> Any:
        """The agent's answer, once it is up."""
        return self._agent.ask(command, timeout, **arguments)

    def run(self, argv: Sequence[str], timeout: float = 120) -> str:
        """Standard output of a program that the agent runs in the guest."""
        try:
            answer = self._agent.execute(argv, timeout)
        except DibError as error:
            raise AssertionError(str(error)) from None
        assert answer.exit_code == 0, answer
        return answer.output

    # -- what every image has to do
    def login(self, prompt: str = r"\w+ login:", within: float = LOGIN_WITHIN) -> str:
        """The console, once it asks for a login; nothing on it has failed."""
        console = self.wait_for(prompt, within)
        assert not re.search(r"\[FAILED\]|Kernel panic|initramfs\)|dracut:/#", console)
        return console

    def root_filesystem(self) -> dict[str, Any]:
        """What the agent says of it."""
        found: dict[str, Any] = next(fs for fs in self.agent("guest-get-fsinfo") if fs["mountpoint"] == "/")
        return found

    def failed_units(self) -> str:
        return self.run(["systemctl", "--failed", "--plain", "--no-legend"]).strip()

    def power_button(self) -> None:
        self._machine.press_power_button()
