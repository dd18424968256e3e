"""A plan of sample elements held against a real store, whose layers were never built: any file will do."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dib_py import epoch
from dib_py.cli.explain import lines
from dib_py.layers.record import DiskState, Record
from dib_py.layers.store import Store, store_directory
from dib_py.layers.walk import walk
from dib_py.plan import make_plan
from dib_py.plan_json import to_json
from dib_py.prospect import Prospect, look
from dib_py.settings import OneOff, Settings
from dib_py.step_keys import StepKeys
from tests.files import write

SAMPLE = Path(__file__).parent / "elements" / "plan-basic"
SCHEMA = json.loads((files("dib_py") / "schema" / "plan.json").read_text())

Ask = Callable[..., Settings]


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    """The sample elements, to be changed."""
    return Path(shutil.copytree(SAMPLE, tmp_path / "elements"))


@pytest.fixture
def ask(elements: Path, tmp_path: Path) -> Ask:
    """Settings for an image of the sample elements."""

    def asked(*names: str, environ: Mapping[str, str] | None = None, **more: Any) -> Settings:
        everything = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **(environ or {})}
        values = {"elements_path": (elements,), "cache_dir": tmp_path / "cache", "packages_epoch": "day one", **more}
        return Settings(elements=names or ("web", "frost"), arch="amd64", environ=everything, **values)

    return asked


def build(settings: Settings, steps: int | None = None) -> Store:
    """Commit the layers of a build, as far as its first ``steps`` steps."""
    store = Store.open(store_directory(settings))
    plan = make_plan(settings, secret=store.secret, epoch=epoch.find(settings, store.directory))
    keys = StepKeys(plan, epoch=plan.epoch, secret=store.secret)
    parent = keys.base
    with store.session() as session:
        for one in walk(plan, keys, store).steps[:steps]:
            made = one.ingredients
            session.use([made.key])
            if store.record(made.key) is None:
                layer = session.overlay()
                layer.write_bytes(os.urandom(4096))
                backing = "" if made.parent == parent else made.parent
                assert session.commit(recorded(one.step.element, made, backing), layer)
    return store


def recorded(element: str, made: Any, backing: str) -> Record:
    return Record(
        key=made.key,
        phase=made.phase,
        element=element,
        name=made.name,
        kind=made.kind,
        ingredients=made,
        backing=backing,
        disk=DiskState(2**30, 2**30),
        base=None,
        digest="",
        allocated=0,
        seconds=1.5,
        finished=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        target="host",
        engine="0.1.0",
    )


def states(prospect: Prospect) -> str:
    """One letter a step: a hit, or it runs."""
    return "".join("h" if one.record else "r" for one in prospect.outlooks)


def test_without_a_store_all_steps_run_and_none_is_made(ask: Ask, tmp_path: Path) -> None:
    prospect = look(ask())
    assert set(states(prospect)) == {"r"}
    assert str(prospect.first) == "it never ran before"
    assert not (tmp_path / "cache").exists()


def test_what_was_built_is_a_hit_up_to_the_end(ask: Ask) -> None:
    build(ask())
    prospect = look(ask())
    assert set(states(prospect)) == {"h"}
    assert prospect.first is None
    assert prospect.seconds == 1.5 * len(prospect.outlooks)


def test_a_failed_build_goes_on_where_it_failed(ask: Ask) -> None:
    build(ask(), 3)
    prospect = look(ask())
    assert states(prospect).startswith("hhhr") and states(prospect).endswith("r")
    assert str(prospect.first) == "it never ran before"


@pytest.mark.parametrize(
    ("change", "step", "said"),
    [
        (
            lambda at: write(at / "web" / "install.d" / "50-web", "#!/bin/bash\nstatic\n", 0o755),
            "50-web",
            "the hook's bytes changed",
        ),
        (
            lambda at: write(at / "web" / "static" / "etc" / "web.conf", "listen = 81\n"),
            "50-web",
            "file static/etc/web.conf changed",
        ),
        (
            lambda at: write(at / "base" / "package-installs.yaml", "wget: {phase: pre-install.d}\n"),
            "10-package-installs",
            "packages +wget -curl",
        ),
        (
            lambda at: write(at / "web" / "environment.d" / "30-more", "export DIB_MORE=1\n"),
            "10-frost",
            "variable DIB_MORE is new: '1'",
        ),
        (lambda at: write(at / "web" / "cleanup.d" / "91-new", "#!/bin/sh\n", 0o755), "91-new", "it never ran before"),
    ],
)
def test_why_the_first_step_runs(
    change: Callable[[Path], None], step: str, said: str, ask: Ask, elements: Path
) -> None:
    build(ask())
    change(elements)
    prospect = look(ask())
    first = prospect.outlooks[prospect.hits]
    assert first.step.name == step
    assert str(first.why) == said
    assert states(prospect).rstrip("r").replace("h", "") == ""


def test_variables_say_from_what_to_what_unless_they_are_secret(ask: Ask) -> None:
    build(ask(environ={"DIB_FLAVOUR": "small", "DIB_PASSWORD": "swordfish"}))
    prospect = look(ask(environ={"DIB_FLAVOUR": "large", "DIB_PASSWORD": "sailfish"}))
    assert str(prospect.first) == "variable DIB_FLAVOUR 'small' -> 'large'; variable DIB_PASSWORD changed"
    assert "fish" not in to_json(prospect.plan, prospect.outlooks) + "\n".join(lines(prospect))


def test_fresher_packages(ask: Ask) -> None:
    build(ask())
    assert str(look(ask(packages_epoch="day two")).first) == "packages are those of day two, before of day one"
    refreshed = look(ask(refresh=True))
    assert "packages are those of day one 2" in str(refreshed.first)


def test_a_refresh_is_what_later_builds_go_on_from(ask: Ask) -> None:
    store = build(ask())
    settings = ask(refresh=True)
    fresh = epoch.find(settings, store.directory)
    epoch.remember(settings, store.directory, fresh)
    assert f"packages are those of {fresh}" in str(look(ask()).first)
    build(ask())
    assert set(states(look(ask()))) == {"h"}


def test_a_layer_that_is_gone_and_one_that_is_damaged(ask: Ask) -> None:
    store = build(ask())
    key = look(ask()).plan.steps[2].key
    layer = store.places.layer(key)
    os.utime(layer)  # it is read again, and not remembered
    with layer.open("r+b") as file:
        file.write(bytes(8))
    damaged = look(ask())
    assert states(damaged).startswith("hhr") and "it ran before, but" in str(damaged.first)
    assert damaged.first and damaged.first.reason == "lost"
    layer.unlink()
    assert states(look(ask())) == states(damaged)


def test_another_disk(ask: Ask) -> None:
    build(ask())
    assert str(look(ask(image_size=2**33)).first).startswith("variable DIB_IMAGE_SIZE is new")
    assert str(look(ask(sector_size=4096)).first) == "the disk's size or layout changed"


def test_only_the_end_runs_where_only_the_size_of_the_disk_is_another(ask: Ask) -> None:
    build(ask())
    prospect = look(ask(image_extra_size=2**20))
    assert states(prospect).endswith("hr")
    assert str(prospect.first) == "how the disk is cut to its size changed"


def test_a_base_image_that_changes_under_its_name(ask: Ask, tmp_path: Path) -> None:
    image = tmp_path / "base.qcow2"
    image.write_bytes(b"one")
    settings = ask(base=str(image))
    store = Store.open(store_directory(settings))
    before = look(settings).plan.steps[0].key
    assert look(settings).plan.steps[0].key == before
    image.write_bytes(b"two")
    assert look(settings).plan.steps[0].key != before
    image.unlink()
    assert "base image is not here yet" in str(look(settings).first)
    assert list(store.records()) == []


def test_what_the_command_line_asks_for_at_the_end(ask: Ask, tmp_path: Path) -> None:
    write(tmp_path / "fix.sh", "#!/bin/sh\n", 0o755)
    password = (OneOff("run", str(tmp_path / "fix.sh")), OneOff("root-password", "hunter22"))
    build(ask(one_offs=password))
    assert set(states(look(ask(one_offs=password)))) == {"h"}
    other = look(ask(one_offs=(password[0], OneOff("root-password", "hunter23"))))
    assert str(other.first) == "what the command line says changed"


def test_layers_that_are_not_wanted(ask: Ask) -> None:
    build(ask())
    prospect = look(ask(no_cache=True))
    assert set(states(prospect)) == {"r"}
    assert str(prospect.first) == "layers are not wanted"


def test_a_break_point_makes_its_phase_run(ask: Ask) -> None:
    build(ask())
    prospect = look(ask(breakpoints=("before-install",)))
    assert "break point" in str(prospect.first)
    assert prospect.outlooks[prospect.hits].step.phase.name == "install"


def test_a_store_that_cannot_be_used_is_told(ask: Ask, tmp_path: Path) -> None:
    build(ask())
    (tmp_path / "cache" / "layers" / "format").write_text("99\n")
    prospect = look(ask())
    assert "99" in prospect.trouble
    assert set(states(prospect)) == {"r"}


def test_looking_changes_nothing(ask: Ask, tmp_path: Path) -> None:
    store = build(ask())

    def state() -> dict[Path, tuple[int, int]]:
        found = [path for path in store.directory.rglob("*") if "digests" not in path.parts]
        return {path: (path.stat().st_mtime_ns, path.stat().st_size) for path in found}

    before = state()
    look(ask())
    look(ask(environ={"DIB_X": "1"}))
    assert state() == before


def test_programs_get_the_same(ask: Ask, elements: Path) -> None:
    build(ask())
    write(elements / "web" / "install.d" / "50-web", "#!/bin/bash\nstatic\n", 0o755)
    prospect = look(ask())
    document = json.loads(to_json(prospect.plan, prospect.outlooks))
    jsonschema.validate(document, SCHEMA)
    cache = {step["name"]: step["cache"] for step in document["steps"]}
    assert cache["10-frost"] == {"state": "hit", "seconds": 1.5, "why": None}
    assert cache["50-web"] == {
        "state": "run",
        "seconds": None,
        "why": {
            "reason": "changed",
            "text": "the hook's bytes changed",
            "changes": [{"input": "hook", "name": "", "before": None, "after": None}],
        },
    }
    assert document["steps"][-1]["cache"]["why"]["reason"] == "follows"
    for change in ({"packages_epoch": "x"}, {"sector_size": 4096}, {"environ": {"DIB_X": "1"}}, {"no_cache": True}):
        other = look(ask(**change))
        jsonschema.validate(json.loads(to_json(other.plan, other.outlooks)), SCHEMA)


def test_what_people_read(ask: Ask, elements: Path) -> None:
    build(ask())
    write(elements / "web" / "install.d" / "50-web", "#!/bin/bash\nstatic\n", 0o755)
    text = "\n".join(lines(look(ask())))
    assert "  1  hit    1.5 s  10-frost" in text
    assert "run           50-web" in text
    assert "\n       the hook's bytes changed\n" in text
    assert text.count("changed") == 1
    assert text.splitlines()[-1].startswith(f"{look(ask()).hits} steps are hits, which took ")


@pytest.mark.parametrize("words", [["explain"], ["plan", "--json"]])
def test_the_commands(words: list[str], ask: Ask, elements: Path, tmp_path: Path) -> None:
    settings = ask()
    build(settings)
    done = subprocess.run(
        [sys.executable, "-m", "dib_py", *words, "-a", "amd64", "--cache-dir", str(settings.cache_dir), "web", "frost"],
        env={**settings.environ, "ELEMENTS_PATH": str(elements), "DIB_PACKAGES_EPOCH": "day one"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    if words == ["explain"]:
        assert "; 0 run" in done.stdout
    else:
        assert {step["cache"]["state"] for step in json.loads(done.stdout)["steps"]} == {"hit"}
