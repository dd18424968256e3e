"""Diskimage-builder's own elements resolve as diskimage-builder resolves them, with every hash seed that it may get."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import diskimage_builder
import pytest

from dib_py.element import Catalog
from dib_py.errors import ElementError
from dib_py.resolve import AlreadyProvided, NoOperatingSystem, UnknownElement, resolve

ELEMENTS = Path(diskimage_builder.__file__).parent / "elements"
SEEDS = range(20)
COMBINATIONS = 300

# what runs in an interpreter with a hash seed of its own: combinations in, sets or names of errors out
THEIRS = """
import json, logging, os, sys
from diskimage_builder import element_dependencies
logging.disable(logging.CRITICAL)
catalog = element_dependencies._find_all_elements(os.environ["ELEMENTS_PATH"])

def outcome(names):
    try:
        found = element_dependencies._expand_element_dependencies(names, catalog)
    except Exception as error:
        return type(error).__name__
    return sorted(element.name for element in found)

json.dump([outcome(names) for names in json.load(sys.stdin)], sys.stdout)
"""
THEIR_ERRORS = {
    UnknownElement: "MissingElementException",
    AlreadyProvided: "AlreadyProvidedException",
    NoOperatingSystem: "MissingOSException",
}


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load([], builtin=ELEMENTS)


@pytest.fixture(scope="module")
def combinations(catalog: Catalog) -> list[list[str]]:
    """Every element alone, with an operating system, and as ``vm``; and combinations of all sorts."""
    names = [element.name for element in catalog]
    systems = [element.name for element in catalog.providers("operating-system")]
    asked = [[name] for name in names]
    asked += [[name, "debian-minimal"] for name in names]
    asked += [["base", name, "vm", "block-device-mbr"] for name in systems]
    asked += [["centos", "vm", "no-such-element"], ["operating-system"], ["block-device", "debian"]]
    chance = random.Random(343)
    for _ in range(COMBINATIONS):
        some = chance.sample(names, chance.randrange(1, 12))
        system = [chance.choice(systems)] * chance.choice([0, 1, 1, 1])
        disk = chance.choice([[], ["vm"], ["vm", "block-device-efi"]])
        mixed = list(dict.fromkeys([*some, *system, *disk]))
        chance.shuffle(mixed)
        asked.append(mixed)
    return asked


@pytest.fixture(scope="module")
def theirs(combinations: list[list[str]]) -> list[list[object]]:
    """For each combination what diskimage-builder makes of it, by seed."""
    by_seed = []
    for seed in SEEDS:
        done = subprocess.run(
            [sys.executable, "-c", THEIRS],
            input=json.dumps(combinations),
            env={**os.environ, "PYTHONHASHSEED": str(seed), "ELEMENTS_PATH": str(ELEMENTS)},
            check=True,
            capture_output=True,
            text=True,
        )
        by_seed.append(json.loads(done.stdout))
    return [list(outcomes) for outcomes in zip(*by_seed, strict=False)]


def our_outcome(catalog: Catalog, asked: list[str]) -> object:
    try:
        return sorted(resolve(catalog, asked).members)
    except ElementError as error:
        return THEIR_ERRORS[type(error)]


@pytest.mark.timeout(120)
def test_every_combination_resolves_as_in_diskimage_builder(
    catalog: Catalog, combinations: list[list[str]], theirs: list[list[object]]
) -> None:
    different = [
        (asked, ours, outcomes[0])
        for asked, outcomes in zip(combinations, theirs, strict=False)
        if (ours := our_outcome(catalog, asked)) not in outcomes
    ]
    assert different == []


def test_the_combinations_meet_every_kind_of_outcome(theirs: list[list[object]]) -> None:
    seen = {str(outcome) if isinstance(outcome, str) else "set" for outcomes in theirs for outcome in outcomes}
    assert seen == {"set", *THEIR_ERRORS.values()}


def test_the_order_holds_all_members_and_puts_dependencies_first(
    catalog: Catalog, combinations: list[list[str]]
) -> None:
    import networkx

    resolved = 0
    for asked in combinations:
        try:
            found = resolve(catalog, asked)
        except ElementError:
            continue
        resolved += 1
        position = {element.name: index for index, element in enumerate(found.elements)}
        assert sorted(position) == sorted(found.members)
        backwards = [(a, b) for a, b in found.graph.edges if position[a] < position[b]]
        assert all(networkx.has_path(found.graph, b, a) for a, b in backwards)
    assert resolved > 100


def test_overrides_win_as_in_diskimage_builder(tmp_path: Path) -> None:
    from diskimage_builder import element_dependencies

    (tmp_path / "vm").mkdir()
    (tmp_path / "vm" / "element-deps").write_text("growroot\n")
    theirs = dict(element_dependencies.get_elements(["vm", "debian"], f"{tmp_path}:{ELEMENTS}"))
    found = resolve(Catalog.load([tmp_path], builtin=ELEMENTS), ["vm", "debian"])
    assert {element.name: str(element.path) for element in found.elements} == theirs
