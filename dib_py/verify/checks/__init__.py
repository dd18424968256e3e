"""What a check is, what it is handed, and what it answers.

A check is a small class in the stevedore namespace ``dib_py.verify``, made without arguments under its own name. It
runs in a thread of its own as soon as all that it needs is there, beside others, and asks its :class:`Subject`. It
says what it found; it never raises for what is wrong with the image. What it lets out: :class:`Unreachable` means that
it could not look, so it counts as not run; any other DibError as failed.

A check waits for nothing without a bound, and shows what it saw: evidence is the guest's own words.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from dib_py.errors import DibError
from dib_py.verify.filesystem import State
from dib_py.verify.result import Evidence, Outcome, Stage

NAMESPACE = "dib_py.verify"


class Need(enum.Enum):
    """What must be there before a check can start. A machine that ends, or a limit, settles that it won't come."""

    IMAGE = "the image can be read"  # Subject.image answers
    MACHINE = "the machine runs"  # it is powered on; nothing more
    LOGIN = "the guest has come up"  # a login prompt on the console, or a door that is open for a while without one
    AGENT = "the guest agent answers"
    SSH = "the ssh server answers"  # it says its version; nobody has logged in
    SHELL = "commands can be run in the guest"  # by whichever door: Subject.shell answers
    CLOUD_INIT = "cloud-init has ended"  # all of its stages, failed ones too
    OTHERS = "all other checks of this boot have ended"  # for what ends the machine
    END = "the machine has been switched off"  # by itself; Subject.disk answers


DOORS = frozenset(Need) - {Need.IMAGE}  # for a check with one of these the image is booted


class Unreachable(DibError):
    """The guest can't be asked in this way (any more): it does not answer in time, refuses to, or has ended."""


class LoginRefused(Unreachable):
    """The guest itself says that the name, the key or the password is wrong."""


@dataclass(frozen=True)
class Finding:
    """What a check found: made by :func:`passed`, :func:`failed` and :func:`not_run`.

    ``reason`` is one line for people: what is wrong, with figures, or why nothing could be found out.
    """

    outcome: Outcome
    reason: str = ""
    evidence: tuple[Evidence, ...] = ()


def passed(*evidence: Evidence) -> Finding:
    return Finding(Outcome.PASSED, "", evidence)


def failed(reason: str, *evidence: Evidence) -> Finding:
    return Finding(Outcome.FAILED, reason, evidence)


def not_run(reason: str, *evidence: Evidence) -> Finding:
    return Finding(Outcome.NOT_RUN, reason, evidence)


@dataclass(frozen=True)
class Answer:
    """What a command in the guest printed, and its exit code."""

    exit_code: int
    output: str
    errors: str = ""  # what it wrote to standard error; empty where the door can't tell them apart


@dataclass(frozen=True)
class Seed:
    """What was given to the guest's cloud-init, by the NoCloud disk and by the metadata service alike.

    ``user`` is the image's default user under this name: with the groups, shell and rights to sudo that the image
    gives its own, with ``password``, and with the public half of ``key_file`` as an authorized key. The user data
    writes ``marker`` and more to ``record`` in the guest, each time that it runs: lines of a word and its value,
    ``ran MARKER``, ``boot ID`` (of the kernel), ``name HOSTNAME``, ``machine ID``, ``hostkey TYPE KEY``.
    """

    instance_id: str
    host_name: str
    user: str
    password: str
    key_file: Path
    public_key: str
    marker: str
    record: str = "/var/lib/dib-py-verify"


@dataclass(frozen=True)
class Limits:
    """How long the guest may take, in seconds, on this machine's accelerator; a check's own waits use these."""

    login: float  # from power on until the guest has come up
    cloud_init: float  # from then until cloud-init has ended
    door: float  # from then until the agent, or the ssh server, answers
    command: float  # for one command in the guest
    shutdown: float  # from the power button to the machine's end
    offline: float  # to open an image for reading
    silence: float  # without a word on the console before the guest has come up
    total: float  # for the whole verification


@dataclass(frozen=True)
class Trouble:
    """What keeps the guest from coming up: ``what`` in one line, such as "kernel panic: no init found"."""

    stage: Stage
    what: str


@dataclass(frozen=True)
class Request:
    """One request to the metadata service: ``at`` in seconds since the verification's start."""

    at: float
    method: str
    path: str
    status: int


class Console(Protocol):
    """The serial console, from power on; nothing of it is lost, but the middle of a flood."""

    @property
    def text(self) -> str:
        """All that came, cleaned: one line of the console is one line here."""
        ...

    @property
    def stage(self) -> Stage:
        """How far the guest has come, as far as the console tells."""
        ...

    def tail(self, count: int) -> list[str]:
        """The last lines that say anything."""
        ...

    def run(self, script: str, user: str, password: str, timeout: float) -> Answer:
        """Log in at the prompt, run a shell script there, log out; Unreachable if the login fails, and LoginRefused
        where the guest says that it refuses it.

        One caller at a time. The output is what the terminal showed.
        """
        ...


class Agent(Protocol):
    """The guest agent."""

    def ask(self, command: str, timeout: float | None = None, **arguments: Any) -> Any:
        """The agent's answer to a command, ``_`` in names of arguments for ``-``.

        AgentRefused is what it says itself; Unreachable if it says nothing within ``timeout`` seconds.
        """
        ...


class AgentRefused(DibError):
    """The agent answered with an error: the command is blocked, unknown, or failed. ``kind`` is its class."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Ssh(Protocol):
    """The guest's ssh server, through a forwarded port."""

    def run(self, script: str, timeout: float | None = None, *, password: str = "") -> Answer:
        """Run a shell script as the seed's user, logged in with its key, or with this password and no key.

        Unreachable if the login fails, and LoginRefused where the server says so; its message has what ssh said.
        """
        ...


class Shell(Protocol):
    """Root in the guest, by the first door that opens: the agent, ssh with sudo, or the console with sudo.

    So a check that wants to know something else does not fail because one of them is broken.
    """

    def run(self, script: str, timeout: float | None = None) -> Answer:
        """Run a script with ``/bin/sh`` as root; Unreachable when no door opens."""
        ...


@dataclass(frozen=True)
class Partition:
    """One partition as its table has it; offsets and sizes in bytes."""

    number: int
    start: int
    size: int
    type: str  # GUID of GPT, or hexadecimal byte of MBR
    name: str = ""


@dataclass(frozen=True)
class File:
    """A regular file of an image, and its size in bytes."""

    path: str
    size: int


@dataclass(frozen=True)
class Filesystem:
    """A filesystem of an image: ``path`` is where the system has it mounted, empty where it has not."""

    device: str
    fstype: str
    label: str
    path: str
    state: State


class Reader(Protocol):
    """The files of an image, read without running anything of it; links are followed inside of the image only.

    Unreachable if the image can't be read here at all; FileNotFoundError for a path that is not there.
    """

    @property
    def system(self) -> str:
        """``linux``, ``windows``, ..., or nothing if no operating system was found."""
        ...

    @property
    def arch(self) -> str:
        """As libguestfs calls it: ``x86_64``, ``aarch64``; nothing if it is not known."""
        ...

    @property
    def problem(self) -> str:
        """What keeps the system from being read as a whole, such as an fstab that mounts what is not there."""
        ...

    @property
    def filesystems(self) -> Sequence[Filesystem]:
        """All of the image but swap, with the state that each was found in."""
        ...

    def exists(self, path: str) -> bool:
        """Whether something is there; a link that leads nowhere is something too."""
        ...

    def link(self, path: str) -> str:
        """Where the symbolic link at this path leads, as it says itself; empty for all that is no link."""
        ...

    def read(self, path: str) -> bytes:
        """A file of a size that a configuration or a log has; DibError for one that is larger."""
        ...

    def listing(self, path: str) -> list[str]:
        """The names in a directory, sorted."""
        ...

    def files(self, path: str) -> list[File]:
        """All regular files in a directory and below it, sorted; links are not followed."""
        ...

    def registry_text(self, hive: str, key: str, name: str) -> str:
        r"""The text of a value in a hive of Windows' registry, which is a file; empty where there is no such value.

        ``key`` is below the hive's root, with ``\`` between names.
        """
        ...


class Subject(Protocol):
    """What a check is handed: one boot of the machine, and the image."""

    @property
    def boot(self) -> int:
        """1, or 2 for the second boot of the same disk."""
        ...

    @property
    def seed(self) -> Seed: ...

    @property
    def limits(self) -> Limits: ...

    @property
    def image_path(self) -> Path:
        """The image's own file."""
        ...

    @property
    def image_format(self) -> str:
        """As qemu calls it."""
        ...

    @property
    def virtual_size(self) -> int:
        """Bytes of the disk that the image holds."""
        ...

    @property
    def disk_size(self) -> int:
        """Bytes of the disk that the machine has, which is larger."""
        ...

    @property
    def memory(self) -> int:
        """MiB that the machine has."""
        ...

    @property
    def requests(self) -> Sequence[Request]:
        """What the guest has asked the metadata service at 169.254.169.254, in order."""
        ...

    @property
    def trouble(self) -> Trouble | None:
        """Why the guest won't come up, once that is known; the needs that it would have met are settled then."""
        ...

    @property
    def ending(self) -> str:
        """How the machine ended, for people; empty while it runs."""
        ...

    @property
    def console(self) -> Console: ...

    @property
    def agent(self) -> Agent: ...

    @property
    def ssh(self) -> Ssh: ...

    @property
    def shell(self) -> Shell: ...

    @property
    def image(self) -> Reader:
        """The image as it is delivered; with Need.IMAGE."""
        ...

    @property
    def disk(self) -> Reader:
        """The machine's disk after its end; with Need.END."""
        ...

    def wait(self, need: Need, timeout: float) -> bool:
        """Wait until this need is there; False if it did not come in time, or won't come any more."""
        ...

    def press_power_button(self, timeout: float) -> bool:
        """Ask the guest by ACPI to switch itself off; whether the machine ended within ``timeout`` seconds."""
        ...


class Check(Protocol):
    """One question to an image.

    ``needs`` are prerequisites: a check whose needs do not come is not run, with the reason. What a check is there to
    prove is no need of it: ``boots`` needs MACHINE and waits for LOGIN itself, so that it fails when that does not
    come; ``qga`` needs LOGIN and waits for AGENT.
    """

    name: ClassVar[str]  # as for --check: lower case, words joined by "-"
    proves: ClassVar[str]  # what is known of an image that passes: one sentence for people
    version: ClassVar[int]  # counts up when the same image may get another result
    profiles: ClassVar[frozenset[str]]  # in which it is: openstack, minimal, or one of your own
    needs: ClassVar[frozenset[Need]]
    boot: ClassVar[int]  # 1, or 2 for one that looks at the second boot of the same disk, which is made for it

    def run(self, subject: Subject) -> Finding: ...
