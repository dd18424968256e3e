"""One input changed at random changes the keys of exactly the steps that can see it, and of those behind them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dib_py.element import Catalog
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings
from dib_py.step_keys import StepKeys

PHASES = ["root.d", "extra-data.d", "pre-install.d", "install.d", "finalise.d", "cleanup.d"]
DATA, TOPS, VARIABLES, FILES = ["data0", "data1", "data2"], ["top0", "top1"], ["VAR0", "VAR1"], ["FILE0", "FILE1"]
EVERYTHING, NOTHING = "everything", "nothing"  # who sees a change: all steps, or none


@dataclass(frozen=True)
class Hook:
    """One hook, and what its text names."""

    phase: str
    number: int
    named: frozenset[str]

    @property
    def path(self) -> str:
        return f"one/{self.phase}/{self.number:02}-hook"

    @property
    def sees(self) -> set[str]:
        """Names it reads, at first or second hand, its own and that of its phase directory."""
        further = {"data2"} if "tools" in self.named else set()
        return {*self.named, *further, self.path, self.phase, EVERYTHING}

    @property
    def text(self) -> str:
        said = [f'cat "$(dirname "$0")/../{name}/f"' for name in sorted(self.named) if name in DATA]
        said += [f'cat "$(dirname $0)/../{name}"' for name in sorted(self.named) if name in TOPS]
        said += [f'echo "${name}"' for name in sorted(self.named) if name in VARIABLES]
        said += [f'[ -f "${{{name}}}" ]' for name in sorted(self.named) if name in FILES]
        said += ['"$(dirname "$0")/../tools/t"'] if "tools" in self.named else []
        return "\n".join(["#!/bin/sh", *said, "echo /usr/data1/f", ""])


@dataclass
class World:
    """What a build finds: files as (text, mode), links, directories' modes, and variables."""

    files: dict[str, tuple[str, int]]
    links: dict[str, str]
    directories: dict[str, int] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def write(self, top: Path) -> None:
        for name, (text, mode) in self.files.items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(text)
            (top / name).chmod(mode)
        for name, target in self.links.items():
            (top / name).symlink_to(target)
        for name, mode in self.directories.items():
            (top / name).chmod(mode)


def world(hooks: list[Hook], top: Path) -> World:
    files = {hook.path: (hook.text, 0o755) for hook in hooks}
    files |= {f"one/{name}/f": (f"{name}\n", 0o644) for name in DATA}
    files |= {f"one/{name}": (f"{name}\n", 0o644) for name in TOPS}
    files |= {f"host/{name}": (f"{name}\n", 0o644) for name in FILES}
    files |= {f"one/{phase}/beside.conf": ("x\n", 0o644) for phase in PHASES}
    files |= {
        "one/tools/t": ('#!/bin/sh\ncat "$(dirname "$0")/../data2/f"\n', 0o755),
        "one/README.rst": ("data0 VAR0\n", 0o644),
        "one/tests/test_one.py": ("data0\n", 0o644),
        "one/environment.d/10-plain": ("export EXPORTED=1\n", 0o644),
        "one/environment.d/20-looks": ("if [ -e /etc/nothing ]; then export SEEN=1; fi\n", 0o644),
        "other/install.d/50-other": ("#!/bin/sh\n", 0o755),
    }
    variables = dict.fromkeys((*VARIABLES, "DIB_ALL", "CI_BUILD", "DIB_QUIET", "IMAGE_NAME"), "value")
    variables |= {name: str(top / "host" / name) for name in FILES}
    links = {f"one/{name}/link": "f" for name in DATA}
    return World(files, links, {f"one/{name}": 0o755 for name in DATA}, variables)


def _write(path: str) -> Callable[[World], None]:
    def change(found: World) -> None:
        text, mode = found.files[path]
        found.files[path] = (f"{text}#\n", mode)

    return change


def _chmod(path: str, mode: int) -> Callable[[World], None]:
    def change(found: World) -> None:
        if path in found.files:
            found.files[path] = (found.files[path][0], mode)
        else:
            found.directories[path] = mode

    return change


def _link(path: str, target: str) -> Callable[[World], None]:
    return lambda found: found.links.update({path: target})


def _unlink(path: str) -> Callable[[World], None]:
    """A file with the same content takes the link's place."""

    def change(found: World) -> None:
        found.files[path] = found.files[str(Path(path).parent / found.links.pop(path))]

    return change


def _set(name: str) -> Callable[[World], None]:
    return lambda found: found.variables.update({name: "another"})


def _add(path: str) -> Callable[[World], None]:
    return lambda found: found.files.update({path: ("new\n", 0o644)})


# What changes, and the name of what is seen of it.
CHANGES: list[tuple[str, Callable[[World], None], str]] = [
    *((f"a byte of {name}", _write(f"one/{name}/f"), name) for name in DATA),
    *((f"mode of a file of {name}", _chmod(f"one/{name}/f", 0o600), name) for name in DATA),
    *((f"mode of {name}", _chmod(f"one/{name}", 0o700), name) for name in DATA),
    *((f"a link in {name} leads elsewhere", _link(f"one/{name}/link", "./f"), name) for name in DATA),
    *((f"a link in {name} leads nowhere", _link(f"one/{name}/link", "none"), name) for name in DATA),
    *((f"a link in {name} becomes a file", _unlink(f"one/{name}/link"), name) for name in DATA),
    *((f"a new file in {name}", _add(f"one/{name}/sub/new"), name) for name in DATA),
    *((f"a byte of {name}", _write(f"one/{name}"), name) for name in TOPS),
    *((f"mode of {name}", _chmod(f"one/{name}", 0o600), name) for name in TOPS),
    *((f"variable {name}", _set(name), name) for name in VARIABLES),
    *((f"variable {name}", _set(name), name) for name in FILES),
    *((f"content of what {name} names", _write(f"host/{name}"), name) for name in FILES),
    *((f"a byte of what lies beside hooks of {phase}", _write(f"one/{phase}/beside.conf"), phase) for phase in PHASES),
    ("a byte of a tool", _write("one/tools/t"), "tools"),
    ("a variable of the build", _set("DIB_ALL"), EVERYTHING),
    ("a new variable of the build", _set("DIB_NEW"), EVERYTHING),
    ("a byte of what looks at the guest", _write("one/environment.d/20-looks"), EVERYTHING),
    ("a comment where only values are", _write("one/environment.d/10-plain"), NOTHING),
    ("a variable of the caller", _set("CI_BUILD"), NOTHING),
    ("how much is said", _set("DIB_QUIET"), NOTHING),
    ("the image's name", _set("IMAGE_NAME"), NOTHING),
    ("a byte of a README", _write("one/README.rst"), NOTHING),
    ("a byte of a test", _write("one/tests/test_one.py"), NOTHING),
    ("a byte of an element that is not asked for", _write("other/install.d/50-other"), NOTHING),
]

names = st.frozensets(st.sampled_from([*DATA, *TOPS, *VARIABLES, *FILES, "tools"]), min_size=2, max_size=6)
some_hooks = st.lists(st.builds(Hook, st.sampled_from(PHASES), st.integers(10, 99), names), min_size=4, max_size=6).map(
    lambda hooks: list({hook.path: hook for hook in hooks}.values())
)


def plan(found: World, top: Path) -> tuple[Plan, list[dict[str, object]]]:
    """The plan of these files, and what the key of each step is made of if nothing came before it."""
    elements = top / "elements"
    shutil.rmtree(elements, ignore_errors=True)
    found.write(elements)
    for name in FILES:
        (top / "host").mkdir(exist_ok=True)
        (elements / "host" / name).replace(top / "host" / name)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(top), **found.variables}
    asked = Settings(
        elements=("one",),
        skip_base=True,
        base=str(top / "no-image.qcow2"),
        arch="amd64",
        environ=environ,
        image_name=found.variables["IMAGE_NAME"],
        packages_epoch="x",
    )
    made = make_plan(asked, Catalog.load([], builtin=elements))
    keys = StepKeys(made, epoch="x", secret=None)
    return made, [keys.ingredients("", step).to_dict() for step in made.steps]


@settings(
    max_examples=4,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # a smaller tree says no more than the name of the change
)
@given(some_hooks)
def test_a_change_is_seen_by_who_can_see_it_and_by_nobody_else(hooks: list[Hook]) -> None:
    own = [(f"a byte of {hook.path}", _write(hook.path), hook.path) for hook in hooks]
    own += [(f"mode of {hook.path}", _chmod(hook.path, 0o700), hook.path) for hook in hooks]
    by_path = {hook.path: hook for hook in hooks}
    with tempfile.TemporaryDirectory() as directory:
        top = Path(directory)
        first = world(hooks, top)
        before, alone_before = plan(first, top)
        paths = [f"one/{step.phase.directory}/{step.name}" for step in before.steps]
        for what, change, subject in (*CHANGES, *own):
            second = deepcopy(first)
            change(second)
            after, alone_after = plan(second, top)
            assert paths == [f"one/{step.phase.directory}/{step.name}" for step in after.steps], what
            seeing = [subject in by_path[path].sees for path in paths]
            differing = [one != other for one, other in zip(alone_before, alone_after, strict=True)]
            assert differing == seeing, what
            behind = [any(seeing[: number + 1]) for number in range(len(seeing))]
            assert [one.key != other.key for one, other in zip(before.steps, after.steps, strict=True)] == behind, what
