"""A virtual machine for tests: the image on a throw-away overlay, a NoCloud seed, serial log, agent and QMP sockets."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any


class Guest:
    """Runs qemu under TCG while open; nothing outlives it, and the image is never written."""

    def __init__(self, image: Path, directory: Path, *, size: str = "6G", user_data: str = "#cloud-config\n") -> None:
        self.directory = directory
        self.serial = directory / "serial.log"
        self._overlay = directory / "overlay.qcow2"
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", "qcow2", "-b", image.resolve(), "-F", "qcow2", self._overlay, size],
            check=True,
        )
        (directory / "user-data").write_text(user_data)
        (directory / "meta-data").write_text("instance-id: test-1\nlocal-hostname: seeded\n")
        seed = ["genisoimage", "-quiet", "-volid", "cidata", "-joliet", "-rock", "-output", "seed.iso"]
        subprocess.run([*seed, "user-data", "meta-data"], cwd=directory, check=True)

    def __enter__(self) -> Guest:
        argv = [
            *("qemu-system-x86_64", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", "1024"),
            *("-display", "none", "-nodefaults", "-no-reboot", "-device", "virtio-rng-pci"),
            *("-drive", f"file={self._overlay},format=qcow2,if=virtio,cache=unsafe"),
            *("-drive", f"file={self.directory / 'seed.iso'},format=raw,if=virtio,readonly=on"),
            *("-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net"),
            *("-serial", f"file:{self.serial}"),
            *("-device", "virtio-serial", "-chardev", f"socket,id=qga,path={self._socket('qga')},server=on,wait=off"),
            *("-device", "virtserialport,chardev=qga,name=org.qemu.guest_agent.0"),
            *("-qmp", f"unix:{self._socket('qmp')},server=on,wait=off"),
        ]
        self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(30)

    def _socket(self, name: str) -> Path:
        return self.directory / f"{name}.sock"

    def console(self) -> str:
        return self.serial.read_text(errors="replace") if self.serial.exists() else ""

    def wait_for(self, pattern: str, timeout: float) -> str:
        """The console, once ``pattern`` is on it."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            text = self.console()
            if re.search(pattern, text):
                return text
            if self.process.poll() is not None:
                break
            time.sleep(0.5)
        raise AssertionError(f"no {pattern!r} on the console within {timeout} s; its end:\n{self.console()[-3000:]}")

    def wait_for_end(self, timeout: float) -> None:
        """Wait until the guest has switched itself off."""
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"still on after {timeout} s; console:\n{self.console()[-3000:]}") from None

    def agent(self, command: str, timeout: float = 60, **arguments: Any) -> Any:
        """The guest agent's answer; asks again until the agent is up."""
        deadline = time.monotonic() + timeout
        while True:
            try:
                return self._exchange("qga", [{"execute": command, "arguments": arguments}], wait=5)[-1]["return"]
            except OSError:
                if time.monotonic() > deadline:
                    raise AssertionError(f"the agent did not answer {command} within {timeout} s") from None
                time.sleep(1)

    def run(self, argv: Sequence[str], timeout: float = 120) -> str:
        """Standard output of a program that the agent runs in the guest."""
        pid = self.agent("guest-exec", path=argv[0], arg=list(argv[1:]), **{"capture-output": True})["pid"]
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            status: Mapping[str, Any] = self.agent("guest-exec-status", pid=pid)
            if status["exited"]:
                import base64

                assert status["exitcode"] == 0, status
                return base64.b64decode(status.get("out-data", "")).decode()
            time.sleep(1)
        raise AssertionError(f"{argv} did not end within {timeout} s")

    def power_button(self) -> None:
        self._exchange("qmp", [{"execute": "qmp_capabilities"}, {"execute": "system_powerdown"}], wait=10)

    def _exchange(self, name: str, commands: Sequence[Mapping[str, Any]], wait: float) -> list[Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(wait)
            connection.connect(str(self._socket(name)))
            stream = connection.makefile("rw")
            answers = []
            for command in commands:
                stream.write(json.dumps(command) + "\n")
                stream.flush()
                while True:
                    line = stream.readline()
                    if not line:
                        raise OSError("the other side hung up")
                    answer = json.loads(line)
                    if "return" in answer or "error" in answer:
                        break
                if "error" in answer:
                    raise OSError(str(answer["error"]))
                answers.append(answer)
            return answers
