"""What is said of a step that runs, held against values: no store, no build."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest

from dib_py.explain import MOST, Change, changes, explain, nearest
from dib_py.keys import Engine, Ingredients, StepInputs, ingredients
from dib_py.layers.record import BaseRecord, DiskState, Record
from dib_py.phases import INSTALL, ROOT, Phase
from dib_py.plan import Step

BASE = "b" * 40
MADE = Ingredients(
    parent=BASE,
    engine="e",
    phase="install.d",
    kind="hook",
    name="50-web",
    mode="755",
    content="c",
    files={"static/motd": "1", "static/srv/": "1"},
    variables={"DIB_RELEASE": "bookworm", "DIB_PASSWORD": "hmac-sha256:1", "DIB_KEYS": "/etc/keys"},
    variable_files={"DIB_KEYS": "1"},
    packages=None,
    argument="",
    epoch="2026-01-01",
    host_files={"~/.ssh/id_rsa.pub": "1"},
)


@dataclass(frozen=True)
class Seen:
    step: Step
    ingredients: Ingredients
    record: Record | None = None


def step(name: str = "50-web", phase: Phase = INSTALL, element: str = "web") -> Step:
    return Step(1, phase, element, name, "hook", "")


def record(
    made: Ingredients = MADE, element: str = "web", finished: str = "2026-01-01T00:00:00Z", **more: Any
) -> Record:
    values: dict[str, Any] = {
        "key": made.key,
        "phase": made.phase,
        "element": element,
        "name": made.name,
        "kind": made.kind,
        "ingredients": made,
        "backing": "",
        "disk": DiskState(1, 1),
        "base": None,
        "digest": "d",
        "allocated": 1,
        "seconds": 1.0,
        "finished": finished,
        "target": "host",
        "engine": "0.1.0",
    }
    return Record(**{**values, **more})


def why(after: Ingredients, *known: Record, before: tuple[Seen, ...] = (), seen: Record | None = None) -> str:
    """What is said of a step with these ingredients after those that are hits."""
    steps = [*before, Seen(step(), after, seen)]
    by_key = {one.key: one for one in known}
    return str(explain(steps, len(before), known, by_key.get))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"content": "x"}, "the hook's bytes changed"),
        ({"mode": "700"}, "the hook's mode '755' -> '700'"),
        ({"engine": "x"}, "dib-py itself changed"),
        ({"files": {**MADE.files, "static/motd": "2"}}, "file static/motd changed"),
        ({"files": {"static/motd": "1"}}, "directory static/srv/ is gone"),
        ({"files": {**MADE.files, "bin/x": "1"}}, "file bin/x is new"),
        ({"variables": {**MADE.variables, "DIB_RELEASE": "trixie"}}, "variable DIB_RELEASE 'bookworm' -> 'trixie'"),
        ({"variables": {**MADE.variables, "DIB_NEW": "a\nb"}}, r"variable DIB_NEW is new: 'a\nb'"),
        ({"variables": {**MADE.variables, "DIB_NEW": "x" * 99}}, f"variable DIB_NEW is new: '{'x' * 57}...'"),
        ({"variables": {**MADE.variables, "DIB_PASSWORD": "hmac-sha256:2"}}, "variable DIB_PASSWORD changed"),
        ({"variables": {**MADE.variables, "DIB_TOKEN": "hmac-sha256:2"}}, "variable DIB_TOKEN is new"),
        ({"variable_files": {"DIB_KEYS": "2"}}, "/etc/keys, which DIB_KEYS names, changed"),
        ({"variable_files": {}}, "/etc/keys, which DIB_KEYS names, is gone"),
        (
            {"variables": {**MADE.variables, "DIB_KEYS": "/k"}, "variable_files": {"DIB_KEYS": "2"}},
            "variable DIB_KEYS '/etc/keys' -> '/k'",
        ),
        ({"host_files": {"~/.ssh/id_rsa.pub": "2"}}, "this machine's ~/.ssh/id_rsa.pub changed"),
        ({"epoch": "2026-01-02"}, "packages are those of 2026-01-02, before of 2026-01-01"),
        ({"epoch": ""}, "it can fetch no more"),
        (
            {"content": "x", "variables": {"DIB_KEYS": "/etc/keys"}},
            "the hook's bytes changed; variable DIB_PASSWORD is gone; variable DIB_RELEASE is gone: it was 'bookworm'",
        ),
    ],
)
def test_what_changed(change: dict[str, Any], said: str) -> None:
    assert why(replace(MADE, **change), record()) == said


def test_variables_that_are_named_no_more_are_no_change_of_their_own() -> None:
    before = replace(MADE, variables={**MADE.variables, "HOME": "/root", "LANGUAGE": "c"})
    after = replace(MADE, content="x", variables={**MADE.variables, "EDITOR": "ed", "LANGUAGE": "d"})
    assert why(after, record(before)) == "the hook's bytes changed; variable LANGUAGE 'c' -> 'd'"
    assert "HOME is gone" in why(replace(after, content="c"), record(before))


def test_lists_of_packages() -> None:
    before = replace(MADE, packages=("vim", "htop", "curl"))
    assert why(replace(before, packages=("curl", "vim", "git")), record(before)) == "packages +git -htop"
    many = tuple(f"p{number}" for number in range(9))
    assert why(replace(before, packages=(*before.packages, *many)), record(before)).endswith("+p5 and 3 more")
    typed = replace(MADE, kind="packages", argument="vim htop")
    seen = replace(step(), kind="packages")
    found = explain([Seen(seen, replace(typed, argument="vim git"))], 0, [record(typed)], {}.get)
    assert str(found) == "packages +git -htop"


def test_what_the_command_line_says() -> None:
    password = replace(MADE, kind="root-password", argument="hmac-sha256:1")
    assert [str(one) for one in changes(password, replace(password, argument="hmac-sha256:2"))] == [
        "what the command line says changed"
    ]
    copied = replace(MADE, kind="copy-in", argument="x:/opt")
    assert [str(one) for one in changes(copied, replace(copied, argument="x:/srv", content="y"))] == [
        "what is copied in changed",
        "the command line's 'x:/opt' -> 'x:/srv'",
    ]


def test_many_changes_are_counted() -> None:
    files = {f"static/{number}": "1" for number in range(MOST + 3)}
    assert why(replace(MADE, files={**MADE.files, **files}), record()).endswith("static/5 is new; and 3 more")


def test_no_secret_is_in_what_programs_get() -> None:
    engine = Engine({}, "", b"store")
    made = [
        ingredients(BASE, StepInputs("install.d", "50-web", variables={"DIB_PASSWORD": word}), engine)
        for word in ("hunter22", "hunter23")
    ]
    assert changes(*made) == [Change("variable", "DIB_PASSWORD", None, None, "variable DIB_PASSWORD changed")]


def test_a_step_that_never_ran() -> None:
    assert why(MADE) == "it never ran before"
    others = [record(replace(MADE, name="51-web")), record(element="other"), record(replace(MADE, phase="root.d"))]
    assert why(MADE, *others) == "it never ran before"


def test_the_nearest_is_the_one_that_shares_most_and_of_several_the_last() -> None:
    far = record(replace(MADE, content="x", mode="700"), finished="2026-01-03T00:00:00Z")
    early, late = (
        record(replace(MADE, variables={**MADE.variables, "DIB_RELEASE": name}), finished=f"2026-01-0{day}T00:00:00Z")
        for day, name in enumerate(("bullseye", "trixie"), 1)
    )
    assert nearest(Seen(step(), MADE), [late, far, early]) == late
    assert nearest(Seen(step(), MADE), [far]) == far


def test_a_record_whose_layer_is_lost() -> None:
    assert why(MADE, record(), seen=record()) == "it ran before, but its layer is gone or damaged"
    assert "is one now with that of a later step" in why(MADE, seen=record(digest=""))
    assert str(explain([Seen(step(), MADE, record())], 0, [], {}.get, "it is damaged")) == "it is damaged"


def test_another_beginning() -> None:
    other = replace(MADE, parent="c" * 40)
    assert why(other, record()) == "the disk's size or layout changed"
    image = record(base=BaseRecord("x", "qcow2", "sha256:0"))
    assert why(other, image) == "the base image or its size changed"


def test_another_step_before_it() -> None:
    first = replace(MADE, phase="root.d", name="10-os")
    changed = replace(first, variables={"DIB_RELEASE": "trixie"})
    moved = replace(first, name="09-os")

    def said(now: Ingredients, then: Ingredients, *known: Record) -> str:
        hit = Seen(step(now.name, ROOT), now, record(now))
        return why(replace(MADE, parent=now.key), record(replace(MADE, parent=then.key)), *known, before=(hit,))

    assert said(changed, replace(first, variables={"DIB_RELEASE": "x"}), record(changed)) == (
        "it never ran after root.d/10-os as it is now"
    )
    before = replace(first, variables={"DIB_RELEASE": "bookworm"})
    assert said(changed, before, record(changed), record(before)) == (
        "it ran after another root.d/10-os before: variable DIB_RELEASE 'bookworm' -> 'trixie'"
    )
    assert said(first, moved, record(first), record(moved)) == (
        "it comes after root.d/10-os now, and came after root.d/09-os before"
    )


def test_what_ran_in_another_build_is_called_so() -> None:
    """As after ``layers gc``, when this build's own run is kept no more."""
    first = replace(MADE, phase="root.d", name="10-os")
    hit = Seen(step("10-os", ROOT), first, record(first))
    theirs = record(replace(MADE, parent="d" * 40, content="x"))
    assert why(replace(MADE, parent=first.key), theirs, before=(hit,)) == (
        "no run of it after root.d/10-os is kept; from that in another build it differs by: the hook's bytes changed"
    )
    ours = record(replace(MADE, parent=first.key, content="x"))
    assert why(replace(MADE, parent=first.key), theirs, ours, before=(hit,)) == "the hook's bytes changed"


def test_nothing_is_said_where_nothing_runs() -> None:
    assert explain([Seen(step(), MADE, record())], 1, [record()], {}.get) is None
