"""What a declarative file's step is keyed by: its content, what it asks for, and the engine that applies it."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import jsonschema
import pytest

from dib_py import step_keys
from dib_py.element import Catalog
from dib_py.errors import FileError
from dib_py.plan import Plan, make_plan
from dib_py.plan_json import to_dict, to_json
from dib_py.settings import Settings
from dib_py.windows import declarations
from dib_py.windows.kinds import KINDS, PLACES

REG = 'Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"v"="${DIB_WORD:-none}"\n'


@pytest.fixture
def elements(tmp_path: Path) -> Path:
    top = tmp_path / "elements"
    for path, text in {
        "panes/element-provides": "operating-system\n",
        "panes/os-family": "windows\n",
        "one/registry.d/50-one.reg": REG,
        "two/registry.d/10-two.reg": REG.replace("DIB_WORD", "DIB_OTHER"),
        "two/files/Tools/two.txt": "two\n",
        "two/firstboot.d/50-two.cmd": "echo %DIB_NAMED%\r\n",
    }.items():
        (top / path).parent.mkdir(parents=True, exist_ok=True)
        (top / path).write_text(text)
    (tmp_path / "base.qcow2").write_bytes(b"base")
    return top


def plan(elements: Path, *names: str, **environ: str) -> Plan:
    settings = Settings(
        elements=("panes", *(names or ("one", "two"))),
        base=str(elements.parent / "base.qcow2"),
        environ={"PATH": "/usr/bin:/bin", "DIB_IMAGE_CACHE": str(elements.parent / "cache"), **environ},
    )
    return make_plan(settings, Catalog.load([elements], builtin=elements), secret=b"s")


def keys(made: Plan) -> dict[str, str]:
    return {step.name: step.key for step in made.steps}


def test_the_steps_in_their_order(elements: Path) -> None:
    made = plan(elements)
    assert [(step.index, step.phase.name, step.element, step.name, step.kind) for step in made.steps] == [
        (1, "pre-install", "two", "two/files", "declaration"),
        (2, "install", "two", "two/registry.d/10-two.reg", "declaration"),
        (3, "install", "one", "one/registry.d/50-one.reg", "declaration"),
        (4, "post-install", "two", "two/firstboot.d/50-two.cmd", "declaration"),
    ]
    shown = to_dict(made)
    jsonschema.validate(shown, json.loads((files("dib_py") / "schema" / "plan.json").read_text()))
    assert [step["source"] for step in shown["steps"]][2] == str(elements / "one/registry.d/50-one.reg")


def test_elements_order_files_of_one_number(elements: Path) -> None:
    (elements / "two/registry.d/50-a.yaml").write_text("")
    names = [step.name for step in plan(elements, "two", "one").steps if step.phase.name == "install"]
    assert names == ["two/registry.d/10-two.reg", "two/registry.d/50-a.yaml", "one/registry.d/50-one.reg"]


def test_the_same_keys_twice(elements: Path) -> None:
    assert keys(plan(elements)) == keys(plan(elements))


@pytest.mark.parametrize(
    ("environ", "first_changed"),
    [
        ({"DIB_WORD": "x"}, "one/registry.d/50-one.reg"),
        ({"DIB_OTHER": "x"}, "two/registry.d/10-two.reg"),
        ({"DIB_NAMED": "x"}, "two/firstboot.d/50-two.cmd"),
        ({"DIB_UNRELATED": "x"}, None),
        ({"http_proxy": "http://proxy"}, None),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_only_variables_that_are_asked_for_count(
    elements: Path, environ: dict[str, str], first_changed: str | None
) -> None:
    before, after = keys(plan(elements)), keys(plan(elements, **environ))
    changed = [name for name in before if before[name] != after[name]]
    assert changed[:1] == ([first_changed] if first_changed else [])


def test_a_files_content_counts(elements: Path) -> None:
    before = keys(plan(elements))
    (elements / "two/files/Tools/two.txt").write_text("other\n")
    after = keys(plan(elements))
    assert before["two/files"] != after["two/files"]


def test_a_host_file_that_a_variable_names_counts(elements: Path, tmp_path: Path) -> None:
    (tmp_path / "word").write_text("one")
    before = keys(plan(elements, DIB_WORD=str(tmp_path / "word")))
    (tmp_path / "word").write_text("another")
    after = keys(plan(elements, DIB_WORD=str(tmp_path / "word")))
    assert before["one/registry.d/50-one.reg"] != after["one/registry.d/50-one.reg"]


@pytest.mark.parametrize("name", ["{}/drivers", "drivers", "./drivers/"])
def test_a_directory_that_a_variable_names_counts(
    elements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "drivers").mkdir()
    (tmp_path / "drivers/x.inf").write_text("one")
    before = keys(plan(elements, DIB_WORD=name.format(tmp_path)))
    (tmp_path / "drivers/x.inf").write_text("another")
    after = keys(plan(elements, DIB_WORD=name.format(tmp_path)))
    assert before["one/registry.d/50-one.reg"] != after["one/registry.d/50-one.reg"]


@pytest.mark.parametrize("value", [".", "..", "/", "./", "", "a\nb", "x" * 5000])
def test_not_every_value_is_a_directory(elements: Path, value: str) -> None:
    made = plan(elements, DIB_WORD=value)
    ingredients = step_keys.StepKeys(made, epoch="", secret=b"s").ingredients("0" * 40, made.steps[2])
    assert ingredients.host_files == {}


def test_the_engine_for_windows_counts_for_declarations_alone(elements: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = elements / "one/extra-data.d/50-fetch"
    hook.parent.mkdir()
    hook.write_text("#!/bin/bash\n")
    hook.chmod(0o755)
    before = keys(plan(elements))
    monkeypatch.setattr(step_keys, "applier", lambda: "another")
    after = keys(plan(elements))
    assert {name for name in before if before[name] == after[name]} == {"50-fetch"}


def test_secrets_are_in_no_ingredient(elements: Path) -> None:
    (elements / "one/registry.d/50-one.reg").write_text(REG.replace("DIB_WORD", "DIB_ADMIN_PASSWORD"))
    made = plan(elements, DIB_ADMIN_PASSWORD="hush-hush")
    ingredients = step_keys.StepKeys(made, epoch="", secret=b"s").ingredients("0" * 40, made.steps[2])
    assert made.steps[2].name == "one/registry.d/50-one.reg"
    assert "hush-hush" not in repr(ingredients)
    assert "hush-hush" not in to_json(made)


def test_a_variable_that_is_not_set_is_told_with_its_line(elements: Path) -> None:
    (elements / "one/registry.d/50-one.reg").write_text(REG.replace(":-none", ""))
    with pytest.raises(FileError, match="DIB_WORD is not set") as raised:
        plan(elements)
    assert raised.value.line == 4


def test_a_file_of_no_kind_is_refused(elements: Path) -> None:
    (elements / "one/registry.d/60-more.rge").write_text("")
    with pytest.raises(FileError, match=r"registry\.d has files that end with \.reg or \.yaml") as raised:
        plan(elements)
    assert raised.value.hint == "did you mean 60-more.reg?"


def test_every_kind_has_a_room() -> None:
    for kind in KINDS:
        room = declarations.Declaration(kind, "x", Path("x")).room
        assert callable(room.parse) and callable(room.apply)
    assert len(PLACES) < len(KINDS)
