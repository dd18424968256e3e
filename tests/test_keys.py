"""What gives a step another key, and what does not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py import keys
from dib_py.keys import Engine, File, Ingredients, StepInputs, base_key, can_fetch, digest, relevant
from dib_py.mentions import without_comments
from dib_py.secrets import Mask

LIBRARY = b"cleanup() { rm -rf $TMP_BUILD_DIR/$LIBRARY_ONLY; }\n"
ENGINE = Engine({"common-functions": LIBRARY, "img-functions": b"$IMAGE_ONLY"}, "2026-01-01", b"store")
STEP = StepInputs(
    phase="install.d",
    name="10-x",
    mode=0o755,
    content=b"#!/bin/bash\necho $NAMED\n",
    files=(File("static/motd", 0o644, b"hello $IN_FILE\n"),),
    variables={"DIB_X": "1", "NAMED": "a", "IN_FILE": "b", "CI_BUILD": "1", "OF_ENVIRONMENT_D": "e"},
    exported=frozenset({"OF_ENVIRONMENT_D"}),
)


def step_key(parent: str, step: StepInputs, engine: Engine) -> str:
    return keys.ingredients(parent, step, engine).key


KEY = step_key("parent", STEP, ENGINE)


@pytest.mark.parametrize(
    "change",
    [
        {"phase": "finalise.d"},
        {"name": "11-x"},
        {"kind": "run"},
        {"mode": 0o700},
        {"content": b"#!/bin/bash\necho $NAMED \n"},
        {"files": ()},
        {"files": (File("static/motd", 0o600, b"hello $IN_FILE\n"),)},
        {"files": (File("static/issue", 0o644, b"hello $IN_FILE\n"),)},
        {"files": (File("static/motd", 0o644, b"hello  $IN_FILE\n"),)},
        {"variables": {**STEP.variables, "DIB_X": "2"}},
        {"variables": {**STEP.variables, "DIB_NEW": ""}},
        {"variables": {**STEP.variables, "NAMED": "z"}},
        {"variables": {**STEP.variables, "IN_FILE": "z"}},
        {"variables": {**STEP.variables, "OF_ENVIRONMENT_D": "z"}},
        {"variables": {**STEP.variables, "https_proxy": "http://p"}},
        {"variables": {**STEP.variables, "PIP_INDEX_URL": "http://p"}},
        {"sourced": (File("environment.d/10-x", 0o644, b"export A=$(date)"),)},
        {"host_files": {"~/.ssh/id_rsa.pub": "0"}},
        {"packages": ()},
        {"packages": ("vim",)},
        {"argument": "x"},
    ],
)
def test_what_counts(change: dict[str, Any]) -> None:
    assert step_key("parent", replace(STEP, **change), ENGINE) != KEY


@pytest.mark.parametrize(
    "variables",
    [
        {"CI_BUILD": "2"},
        {"NEW": "1"},
        {"DIB_ARGS": "-o other"},
        {"DIB_ENV": "x"},
        {"IMAGE_NAME": "other"},
        {"LIBRARY_ONLY": "1"},
        {"PATH": "/elsewhere"},
        {"DIB_CHECKSUM": "1"},
        {"DIB_DEBUG_TRACE": "2"},
        {"DIB_OFFLINE": "1"},
        {"DIB_PY_MEMORY": "4096"},
        {"DIB_IMAGE_CACHE": "/elsewhere"},
        {"DIB_IMAGE_EXTRA_SIZE": "100"},
    ],
)
def test_what_no_hook_can_see_does_not_count(variables: dict[str, str]) -> None:
    assert step_key("parent", replace(STEP, variables={**STEP.variables, **variables}), ENGINE) == KEY


@pytest.mark.parametrize(
    "name", ["IMAGE_NAME", "DIB_ARGS", "IMAGE_ELEMENT", "DIB_OFFLINE", "DIB_DEBUG_TRACE", "HOME", "BASH_FUNC_die%%"]
)
def test_what_is_named_counts(name: str) -> None:
    word = "die" if "die" in name else name
    step = replace(STEP, content=b"echo ${%s}" % word.encode())
    assert name in relevant(replace(step, variables={name: "x"}), ENGINE)


def test_a_name_inside_a_longer_word_is_not_named() -> None:
    step = replace(STEP, content=b"echo $NAMED_TOO", variables={"NAMED": "x", "NAMED_TOO": "y"}, files=())
    assert relevant(step, ENGINE) == {"NAMED_TOO": "y"}


@pytest.mark.parametrize(
    "text",
    [
        b"echo $L",
        b'echo "${L:-x}"',
        b"echo ${#L} ${!L}",
        b"L=${L:-1}",
        b"L+=x",
        b"[[ -v L ]]",
        b"printenv L",
        b"export  L",
        b"declare -p L",
        b"x=$((2 * L))",
        b"let x=2*L",
        b"if ((\n  3 > L\n)); then",
        b"[[ L -gt 3 ]]",
        b"[[ 3 -le L ]]",
        b'os.environ["L"]',
        b"ENV['L']",
        b"print $ENV{L}",
        b"all: $(L)",
        b"ifdef L",
        b"\x7fELF\0L\0",
    ],
)
def test_a_short_name_counts_where_it_is_used(text: bytes) -> None:
    assert relevant(replace(STEP, content=text, files=(), variables={"L": "x"}), ENGINE) == {"L": "x"}


@pytest.mark.parametrize(
    "text", [b"# a L of a plan", b'[ -L "$x" ] || exit', b"curl -L http://x", b"grep -rL x", b"sed -n L"]
)
def test_a_short_name_that_is_an_option_or_a_word_does_not_count(text: bytes) -> None:
    assert relevant(replace(STEP, content=text, files=(), variables={"L": "x", "a": "y"}), ENGINE) == {}


def test_a_function_with_a_short_name_is_called_by_that() -> None:
    function = {"BASH_FUNC_ok%%": "() { true; }"}
    assert relevant(replace(STEP, content=b"ok\n", files=(), variables=function), ENGINE) == function


@pytest.mark.parametrize("name", ["DIB_IMAGE_CACHE", "TMPDIR", "PATH", "DIB_PY_TARGET"])
def test_what_never_counts_even_if_named(name: str) -> None:
    assert relevant(replace(STEP, content=b"echo $" + name.encode(), variables={name: "x"}), ENGINE) == {}


@pytest.mark.parametrize(
    "idiom",
    [
        b'if [ "${DIB_DEBUG_TRACE:-0}" -gt 0 ]; then\n    set -x\nfi\n',
        b"if [ ${DIB_DEBUG_TRACE:-1} -gt 1 ]; then\n    set -x\nfi\n",
        b"if [[ ${DIB_DEBUG_TRACE:-0} -gt 0 ]]; then\n  set -x\nfi\n",
        b'[ "${DIB_DEBUG_TRACE:-0}" -eq 0 ] || set -x\n',
    ],
)
def test_turning_tracing_on_is_no_mention(idiom: bytes) -> None:
    step = replace(STEP, content=b"#!/bin/bash\n" + idiom, variables={"DIB_DEBUG_TRACE": "1"})
    assert relevant(step, ENGINE) == {}
    more = replace(step, content=step.content.replace(b"set -x", b"set -x; echo $DIB_DEBUG_TRACE > /etc/x"))
    assert "DIB_DEBUG_TRACE" in relevant(more, ENGINE)


def test_the_library_counts_for_those_that_use_it() -> None:
    variables = {"LIBRARY_ONLY": "1", "IMAGE_ONLY": "1", "_LIB": "/here"}

    def counting(text: bytes, library: dict[str, bytes]) -> dict[str, str]:
        engine = replace(ENGINE, library={**ENGINE.library, **library})
        return relevant(replace(STEP, content=text, variables=variables), engine)

    assert counting(b"source $_LIB/common-functions", {}) == {"LIBRARY_ONLY": "1"}
    assert counting(b"echo common-functions", {}) == {}
    assert set(counting(b"for f in $_LIB/*; do source $f; done", {})) == {"LIBRARY_ONLY", "IMAGE_ONLY"}
    assert set(counting(b"source $_LIB/all", {"all": b"source $_LIB/img-functions"})) == {"IMAGE_ONLY"}


def test_the_engine_counts() -> None:
    assert step_key("parent", STEP, replace(ENGINE, library={"die": b"other"})) != KEY
    assert step_key("parent", STEP, replace(ENGINE, runner=b"other")) != KEY
    assert step_key("other", STEP, ENGINE) != KEY


def test_the_order_of_files_and_variables_does_not_count() -> None:
    files = (File("a", 0o644, b"1"), File("b", 0o644, b"2"))
    step = replace(STEP, files=files)
    turned = replace(step, files=files[::-1], variables=dict(reversed(STEP.variables.items())))
    assert step_key("parent", step, ENGINE) == step_key("parent", turned, ENGINE)


def test_the_day_counts_only_for_what_can_fetch() -> None:
    tomorrow = replace(ENGINE, epoch="2026-01-02")
    assert step_key("parent", STEP, tomorrow) == KEY
    fetching = replace(STEP, content=b"apt-get update")
    assert step_key("parent", fetching, ENGINE) != step_key("parent", fetching, tomorrow)


@pytest.mark.parametrize(
    ("texts", "fetches"),
    [
        ([b"install-packages vim"], True),
        ([b"echo", b"curl http://x"], True),
        ([b"\x7fELF\0"], True),
        ([b"echo curly digit apt_config"], False),
        ([b"/usr/bin/wget x"], True),
        ([b"echo # apt-get\n  # wget http://x\n"], True),
        ([b"#!/bin/sh\n# git is http://x\n"], False),
        ([b"open('https://x')"], True),
        ([], False),
    ],
)
def test_who_can_fetch(texts: list[bytes], fetches: bool) -> None:
    assert can_fetch("hook", None, texts) is fetches
    assert can_fetch("packages", None, texts)
    assert can_fetch("hook", ("vim",), texts)


def test_comments_are_whole_lines_that_expand_nothing() -> None:
    assert without_comments(b"#!x\n  # y\na # b\n# $(z)\n") == b"\n\na # b\n# $(z)\n"


def test_secrets_count_without_being_in_the_key() -> None:
    seen: list[str] = []

    def key(password: str, secret: bytes | None) -> str:
        step = replace(STEP, variables={"DIB_PASSWORD": password})
        seen.append(step_key("parent", step, replace(ENGINE, secret=secret)))
        return seen[-1]

    assert key("hunter22", b"store") != key("hunter23", b"store")
    assert key("hunter22", b"store") != key("hunter22", b"another store")
    assert key("hunter22", None) == key("hunter23", None) != key("", None)


def test_a_root_password_is_a_secret_too() -> None:
    step = replace(STEP, kind="root-password", argument="hunter22")
    other = replace(step, argument="hunter23")
    assert step_key("p", step, ENGINE) != step_key("p", other, ENGINE)
    unkeyed = replace(ENGINE, secret=None)
    assert step_key("p", step, unkeyed) == step_key("p", other, unkeyed)


def test_a_variable_that_names_a_file_counts_with_its_content() -> None:
    contents = {"/etc/key.pub": "1"}
    engine = replace(ENGINE, file_digest=contents.get)
    step = replace(STEP, variables={"DIB_SOURCES": "/etc/key.pub"})
    before = step_key("parent", step, engine)
    contents["/etc/key.pub"] = "2"
    assert step_key("parent", step, engine) != before


def test_each_file_of_a_list_counts() -> None:
    contents = {"/a/one": "1", "/a/other": "2"}
    inputs = StepInputs("install", "10-x", content=b"$FILES", variables={"FILES": "/a/one  /a/other none"})

    def key() -> str:
        return step_key("", inputs, replace(ENGINE, file_digest=contents.get))

    first = key()
    for name in list(contents):
        before, contents[name] = contents[name], "3"
        assert key() != first
        contents[name] = before
    assert key() == first


def test_what_a_build_writes_does_not_count_where_its_arguments_name_it() -> None:
    contents = {"out.qcow2": "1", "/a/out.qcow2": "1", "vm": "1"}
    variables = {
        "DIB_ARGS": "-o /a/out.qcow2 -o out.qcow2 debian vm",
        "IMAGE_NAME": "/a/out.qcow2",
        "LIST": "debian vm",
    }
    inputs = StepInputs("cleanup", "10-x", content=b"$DIB_ARGS $IMAGE_NAME $LIST", variables=variables)
    engine = replace(ENGINE, file_digest=contents.get)
    before = step_key("", inputs, engine)
    contents |= dict.fromkeys(contents, "2")
    assert step_key("", inputs, engine) == before


def test_what_a_key_is_made_of_shows_no_secret() -> None:
    secrets = {"DIB_PASSWORD": "hunter22", "DIB_URL": "http://me:hunter22@host/", "DIB_KEY": "/etc/key"}
    engine = replace(ENGINE, mask=Mask.of(secrets), file_digest={"/etc/key": "0123456789"}.get)
    for made in (
        keys.ingredients("parent", replace(STEP, variables=secrets), engine),
        keys.ingredients("parent", replace(STEP, kind="root-password", argument="hunter22"), engine),
    ):
        text = json.dumps(made.to_dict())
        assert "hunter22" not in text and "0123456789" not in text
        assert keys.KEYED in text


def test_ingredients_survive_json() -> None:
    for step in (STEP, replace(STEP, packages=("vim",), variables={"DIB_ODD": "\udcff\n"})):
        made = keys.ingredients("parent", step, ENGINE)
        read = Ingredients.from_dict(json.loads(json.dumps(made.to_dict())))
        assert read == made and read.key == made.key


@pytest.mark.parametrize(
    "spoil",
    [
        {"packages": 1},
        {"packages": [1]},
        {"files": None},
        {"files": ["a"]},
        {"variables": {"a": 1}},
        {"engine": None},
        {"more": ""},
    ],
)
def test_what_are_no_ingredients(spoil: dict[str, Any]) -> None:
    whole = keys.ingredients("parent", STEP, ENGINE).to_dict()
    with pytest.raises((KeyError, TypeError, ValueError)):
        Ingredients.from_dict({**whole, **spoil})
    for name in whole:
        with pytest.raises((KeyError, TypeError, ValueError)):
            Ingredients.from_dict({key: value for key, value in whole.items() if key != name})


def test_every_ingredient_is_in_the_key() -> None:
    made = keys.ingredients("parent", STEP, ENGINE)
    others = [
        replace(made, **{name: {**value, "x": ""} if isinstance(value, dict) else ("x",) if value is None else "x"})
        for name, value in made.to_dict().items()
    ]
    assert len({made.key, *(other.key for other in others)}) == len(others) + 1 == 15


def test_the_base_and_the_disk_count() -> None:
    keys = {base_key("sha256:a", "10G"), base_key("sha256:b", "10G"), base_key("sha256:a", "11G"), base_key("", "10G")}
    assert len(keys) == 4


@given(st.lists(st.binary(max_size=4), max_size=5), st.lists(st.binary(max_size=4), max_size=5))
def test_no_two_divisions_of_the_same_bytes_have_one_digest(one: list[bytes], two: list[bytes]) -> None:
    assert (digest(one) == digest(two)) == (one == two)
