"""What explain says of a Windows image: files of one phase are one layer, so they are applied again together."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.base.known import known_digest
from dib_py.cli.explain import lines
from dib_py.layers.store import Store, store_directory
from dib_py.layers.walk import walk
from dib_py.plan import DECLARATION, make_plan
from dib_py.prospect import Prospect, look
from dib_py.settings import Settings
from dib_py.step_keys import StepKeys
from tests.test_prospect import recorded, states

REG = 'Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"{0}"="${{DIB_{0}:-none}}"\n'


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """An image with one step in pre-install.d, three in install.d, and the closing one."""
    for path, text in {
        "panes/element-provides": "operating-system\n",
        "panes/os-family": "windows\n",
        "panes/files/Tools/x.txt": "x\n",
        "panes/registry.d/10-a.reg": REG.format("A"),
        "panes/registry.d/20-b.reg": REG.format("B"),
        "panes/registry.d/30-c.reg": REG.format("C"),
    }.items():
        (tmp_path / "elements" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "elements" / path).write_text(text)
    (tmp_path / "base.qcow2").write_bytes(b"base")
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    return Settings(
        elements=("panes",),
        elements_path=(tmp_path / "elements",),
        base=str(tmp_path / "base.qcow2"),
        cache_dir=tmp_path / "cache",
        packages_epoch="day one",
        environ=environ,
    )


def build(settings: Settings) -> Store:
    """Commit what a build leaves: one layer for each phase."""
    store = Store.open(store_directory(settings))
    plan = make_plan(settings, secret=store.secret, epoch="day one")
    assert plan.base is not None
    keys = StepKeys(plan, epoch="day one", secret=store.secret, base_digest=known_digest(plan.base, settings))
    backing = ""
    with store.session() as session:
        found = walk(plan, keys, store).steps
        for one, following in zip(found, [*found[1:], None], strict=True):
            session.use([one.ingredients.key])
            record = recorded(one.step.element, one.ingredients, backing)
            if following is None or following.step.phase != one.step.phase:
                layer = session.overlay()
                layer.write_bytes(os.urandom(4096))
                if store.record(record.key) is None:
                    assert session.commit(record, layer)
                backing = record.key
            else:
                assert session.commit_part(record)
    return store


def with_variables(settings: Settings, **changed: str) -> Settings:
    return replace(settings, environ={**settings.environ, **changed})


def test_all_of_it_is_a_hit(settings: Settings) -> None:
    build(settings)
    prospect = look(settings)
    assert [one.step.kind for one in prospect.outlooks] == [DECLARATION] * 4 + ["engine"]
    assert states(prospect) == "hhhhh"


def test_the_files_of_a_phase_go_together(settings: Settings) -> None:
    build(settings)
    prospect = look(with_variables(settings, DIB_C="new"))
    assert states(prospect) == "hrrrr"
    assert str(prospect.first) == "variable DIB_C is new: 'new'"
    text = "\n".join(lines(prospect))
    told = "it is applied together with install.d/panes/registry.d/30-c.reg, which runs"
    assert text.count(told) == 2
    assert reasons(prospect) == ["together", "together", "changed", "follows"]


def test_the_first_of_them_has_its_own_reason(settings: Settings) -> None:
    build(settings)
    prospect = look(with_variables(settings, DIB_A="new"))
    assert states(prospect) == "hrrrr"
    assert reasons(prospect) == ["changed", "follows", "follows", "follows"]


def test_a_changed_file_in_a_phase_leaves_the_phases_before(settings: Settings) -> None:
    build(settings)
    file = settings.elements_path[0] / "panes/registry.d/20-b.reg"
    file.write_text(f"{file.read_text()}\n")
    prospect = look(settings)
    assert states(prospect) == "hrrrr"
    assert str(prospect.first) == "the file changed"


def test_back_to_what_was_is_a_hit_again(settings: Settings) -> None:
    build(settings)
    changed = with_variables(settings, DIB_C="new")
    build(changed)
    assert states(look(settings)) == states(look(changed)) == "hhhhh"


def reasons(prospect: Prospect) -> list[str]:
    return [one.why.reason for one in prospect.outlooks if one.why is not None]
