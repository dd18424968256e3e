"""A guest made of recorded words, for checks to ask."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dib_py.verify.checks import Answer, File, Filesystem, Limits, Need, Request, Seed, Trouble, Unreachable
from dib_py.verify.filesystem import State
from dib_py.verify.result import Stage

SEED = Seed(
    instance_id="i-1234",
    host_name="verify-1234",
    user="dibverify",
    password="right",
    key_file=Path("/nowhere/key"),
    public_key="ssh-ed25519 AAAA verify",
    marker="0123abcd",
)
LIMITS = Limits(login=1, cloud_init=0.05, door=1, command=1, shutdown=1, offline=1, silence=1, total=10)
GIB = 1024**3

Recorded = str | Answer | Sequence[str | Answer]


@dataclass
class Shell:
    """Answers the questions of :func:`dib_py.verify.checks.sections.ask` by their names; the last of several stays."""

    answers: dict[str, Recorded]
    scripts: list[str] = field(default_factory=list)

    def run(self, script: str, timeout: float | None = None) -> Answer:
        self.scripts.append(script)
        marks = re.findall(r"^echo '([0-9a-f]{16}) ([\w-]+)'; \($", script, re.MULTILINE)
        return Answer(0, "".join(self._printed(mark, name) for mark, name in marks))

    def _printed(self, mark: str, name: str) -> str:
        recorded = self.answers[name]
        if not isinstance(recorded, str | Answer):
            self.answers[name] = recorded[1:] if len(recorded) > 1 else recorded
            recorded = recorded[0]
        answer = Answer(0, recorded) if isinstance(recorded, str) else recorded
        return f"{mark} {name}\n{answer.output}\n{mark} {name} ended {answer.exit_code}\n"


@dataclass
class Console:
    text: str = ""
    stage: Stage = Stage.LOGIN
    login: Callable[[str], Answer] | None = None  # given the password

    def tail(self, count: int) -> list[str]:
        return [line for line in self.text.splitlines() if line][-count:]

    def run(self, script: str, user: str, password: str, timeout: float) -> Answer:
        if self.login is None:
            raise Unreachable("the console did not answer in time")
        return self.login(password)


@dataclass
class Ssh:
    login: Callable[[str], Answer]  # given the password, or nothing for the key

    def run(self, script: str, timeout: float | None = None, *, password: str = "") -> Answer:
        return self.login(password)


@dataclass
class Agent:
    answer: Callable[[str, Mapping[str, Any]], Any]

    def ask(self, command: str, timeout: float | None = None, **arguments: Any) -> Any:
        return self.answer(command, arguments)


CLEAN = Filesystem("/dev/sda1", "ext4", "cloudimg-rootfs", "/", State(True, "clean"))


@dataclass
class Reader:
    r"""Files by their paths; a text that begins with ``-> `` is a link. ``registry`` has ``KEY\NAME`` of all hives."""

    content: dict[str, str]
    system: str = "linux"
    arch: str = "x86_64"
    problem: str = ""
    filesystems: Sequence[Filesystem] = (CLEAN,)
    registry: Mapping[str, str] = field(default_factory=dict)

    def exists(self, path: str) -> bool:
        return any(name == path or name.startswith(f"{path.rstrip('/')}/") for name in self.content)

    def link(self, path: str) -> str:
        text = self.content.get(path, "")
        return text.removeprefix("-> ") if text.startswith("-> ") else ""

    def read(self, path: str) -> bytes:
        if path not in self.content or self.link(path):
            raise FileNotFoundError(path)
        return self.content[path].encode()

    def listing(self, path: str) -> list[str]:
        below = self._below(path)
        return sorted({name[len(path.rstrip("/")) + 1 :].partition("/")[0] for name in below})

    def files(self, path: str) -> list[File]:
        return [File(name, len(self.content[name])) for name in sorted(self._below(path)) if not self.link(name)]

    def registry_text(self, hive: str, key: str, name: str) -> str:
        if hive not in self.content:
            raise FileNotFoundError(hive)
        return self.registry.get(f"{key}\\{name}", "")

    def _below(self, path: str) -> list[str]:
        found = [name for name in self.content if name.startswith(f"{path.rstrip('/')}/")]
        if not found:
            raise FileNotFoundError(path)
        return found


@dataclass
class Subject:
    """Everything has come but what is in ``missing``."""

    answers: dict[str, Recorded] = field(default_factory=dict)
    missing: frozenset[Need] = frozenset()
    boot: int = 1
    seed: Seed = SEED
    limits: Limits = LIMITS
    image_path: Path = Path(__file__)
    image_format: str = "qcow2"
    virtual_size: int = 2 * GIB
    disk_size: int = 6 * GIB
    memory: int = 1024
    requests: Sequence[Request] = ()
    trouble: Trouble | None = None
    ending: str = ""
    switches_off: bool = True
    console: Console = field(default_factory=Console)
    agent: Agent = field(default_factory=lambda: Agent(lambda command, arguments: {}))
    ssh: Ssh = field(default_factory=lambda: Ssh(lambda password: Answer(0, "uid=1000(dibverify)")))
    image: Reader = field(default_factory=lambda: Reader({}))
    disk: Reader = field(default_factory=lambda: Reader({}))

    def __post_init__(self) -> None:
        self.shell = Shell(self.answers)

    def wait(self, need: Need, timeout: float) -> bool:
        return need not in self.missing

    def press_power_button(self, timeout: float) -> bool:
        self.ending = "the guest switched the machine off" if self.switches_off else ""
        return self.switches_off
