"""Resolution: which elements, in which order, and what is said when it can't be."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.element import Catalog
from dib_py.errors import ElementError
from dib_py.resolve import (
    AlreadyProvided,
    NoElements,
    NoOperatingSystem,
    Resolution,
    UnknownElement,
    requested_names,
    resolve,
)
from dib_py.settings import Settings

BASIC = Path(__file__).parent / "elements" / "resolve-basic"


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load([], builtin=BASIC)


def names(resolution: Resolution) -> list[str]:
    return [element.name for element in resolution.elements]


def test_dependencies_come_before_what_needs_them(catalog: Catalog) -> None:
    found = resolve(catalog, ["base", "penguin", "vm", "block-device-mbr"])
    assert names(found) == ["package-names", "base", "penguin-glue", "penguin", "bootloader", "block-device-mbr", "vm"]
    assert found.provided == {"operating-system": "penguin", "block-device": "block-device-mbr"}
    assert found.operating_system.name == "penguin"
    assert "vm" in found and "block-device" in found and "puffin" not in found


def test_where_dependencies_leave_a_choice_the_command_line_decides(catalog: Catalog) -> None:
    assert names(resolve(catalog, ["puffin", "ramdisk", "bootloader"]))[1:] == ["puffin", "ramdisk", "bootloader"]
    assert names(resolve(catalog, ["bootloader", "ramdisk", "puffin"]))[:1] == ["bootloader"]
    assert names(resolve(catalog, ["bootloader", "ramdisk", "puffin"]))[2:] == ["ramdisk", "puffin"]


def test_elements_in_a_cycle_stand_together(catalog: Catalog) -> None:
    assert names(resolve(catalog, ["after-cycle", "puffin"])) == [
        "package-names",
        "ping",
        "pong",
        "after-cycle",
        "puffin",
    ]


def test_an_element_may_depend_on_itself(catalog: Catalog) -> None:
    assert names(resolve(catalog, ["puffin", "itself"]))[-1] == "itself"


def test_a_name_given_twice_counts_once(catalog: Catalog) -> None:
    assert resolve(catalog, ["puffin", "base", "ramdisk", "base"]).requested == ("puffin", "base", "ramdisk")


def test_a_name_given_twice_that_provides_something_is_refused_as_in_diskimage_builder(catalog: Catalog) -> None:
    with pytest.raises(AlreadyProvided, match=r"^puffin is asked for twice, but provides operating-system$"):
        resolve(catalog, ["puffin", "base", "puffin"])


def test_the_chain_that_asked(catalog: Catalog) -> None:
    found = resolve(catalog, ["penguin", "deep-appliance"])
    assert found.chain("bootloader") == ("deep-appliance", "appliance", "vm", "bootloader")
    assert found.chain("penguin") == ("penguin",)


def test_a_sibling_that_provides_a_name_stands_in_for_its_directory(catalog: Catalog) -> None:
    found = resolve(catalog, ["puffin", "wants-both"])
    assert "unwanted" not in found.members and "virtual-dir" not in found.members
    assert found.provided["virtual-dir"] == "stand-in"


def test_a_directory_that_is_met_before_its_provider_is_expanded_as_diskimage_builder_does(catalog: Catalog) -> None:
    found = resolve(catalog, ["puffin", "virtual-dir"])
    assert set(found.members) == {"puffin", "package-names", "virtual-dir", "unwanted"}


def test_a_virtual_name_may_be_provided_by_what_is_met_later(catalog: Catalog) -> None:
    found = resolve(catalog, ["puffin", "vm", "deep-appliance"])
    assert found.provided["block-device"] == "disk-of-ours"


def test_edges_to_what_is_only_provided_say_so(catalog: Catalog) -> None:
    graph = resolve(catalog, ["puffin", "vm", "block-device-mbr"]).graph
    assert graph.edges["vm", "block-device-mbr"]["virtual"] == "block-device"
    assert graph.edges["vm", "bootloader"]["virtual"] == ""


def test_an_unknown_element_is_told_with_the_nearest_names(catalog: Catalog) -> None:
    with pytest.raises(UnknownElement) as caught:
        resolve(catalog, ["pengiun"])
    assert str(caught.value) == "unknown element 'pengiun'"
    assert caught.value.hint.startswith("did you mean penguin")


def test_an_unknown_dependency_is_told_with_its_place_and_the_chain(catalog: Catalog) -> None:
    with pytest.raises(UnknownElement) as caught:
        resolve(catalog, ["puffin", "lost-through"])
    assert str(caught.value) == (
        f"{BASIC}/lost/element-deps:1: unknown element 'nowhere-to-be-found', asked for by lost-through -> lost"
    )
    assert "ELEMENTS_PATH" in caught.value.hint


def test_a_virtual_name_that_nothing_provides_is_told_with_who_could(catalog: Catalog) -> None:
    with pytest.raises(UnknownElement) as caught:
        resolve(catalog, ["puffin", "vm"])
    assert "asked for by vm" in str(caught.value)
    assert caught.value.hint == "it is provided by block-device-efi, block-device-mbr, disk-of-ours: add one of them"


def test_a_comment_in_element_deps_is_told_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "commented").mkdir()
    (tmp_path / "commented" / "element-deps").write_text("vm\n# for later\n")
    with pytest.raises(UnknownElement) as caught:
        resolve(Catalog.load([tmp_path], builtin=BASIC), ["puffin", "commented", "disk-of-ours"])
    assert caught.value.where == f"{tmp_path}/commented/element-deps:2"
    assert caught.value.hint == "element-deps knows no comments: every line is a name"


def test_two_operating_systems(catalog: Catalog, tmp_path: Path) -> None:
    with pytest.raises(AlreadyProvided, match=r"^two operating systems: penguin and puffin$"):
        resolve(catalog, ["penguin", "puffin"])
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "element-deps").write_text("puffin\n")
    with pytest.raises(AlreadyProvided, match=r"penguin and puffin \(asked for by mine\)"):
        resolve(Catalog.load([tmp_path], builtin=BASIC), ["mine", "penguin"])


def test_two_that_provide_the_same(catalog: Catalog) -> None:
    with pytest.raises(AlreadyProvided, match="block-device is provided by block-device-efi and block-device-mbr"):
        resolve(catalog, ["penguin", "block-device-efi", "block-device-mbr"])


def test_what_is_asked_for_may_not_be_provided_by_another(catalog: Catalog) -> None:
    with pytest.raises(AlreadyProvided, match="virtual-dir is provided by stand-in already"):
        resolve(catalog, ["penguin", "virtual-dir", "stand-in"])


def test_no_operating_system(catalog: Catalog) -> None:
    with pytest.raises(NoOperatingSystem, match="no operating system among the elements: base ramdisk"):
        resolve(catalog, ["base", "ramdisk"])
    part = resolve(catalog, ["base", "ramdisk"], require_os=False)
    assert names(part) == ["package-names", "base", "ramdisk"]
    with pytest.raises(NoOperatingSystem):
        _ = part.operating_system


def test_nothing_at_all(catalog: Catalog) -> None:
    with pytest.raises(NoElements):
        resolve(catalog, [])
    assert resolve(catalog, [], require_os=False).elements == ()


class TestRequestedNames:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            ("penguin", "base penguin"),
            ("penguin base ramdisk", "base penguin ramdisk"),
            ("penguin vm", "base penguin vm block-device-mbr"),
            ("penguin vm block-device-efi", "base penguin vm block-device-efi"),
            # neither an element of another name nor one that something depends on needs the default beside it
            ("penguin vm disk-of-ours", "base penguin vm disk-of-ours"),
            ("penguin vm deep-appliance", "base penguin vm deep-appliance"),
            ("penguin deep-appliance", "base penguin deep-appliance"),
            ("vm", "base vm block-device-mbr"),
            ("panes", "panes"),
            ("", ""),
        ],
    )
    def test_defaults(self, catalog: Catalog, given: str, expected: str) -> None:
        settings = Settings(elements=tuple(given.split()), arch="amd64")
        assert " ".join(requested_names(settings, catalog)) == expected

    def test_options(self, catalog: Catalog) -> None:
        def asked(**options: object) -> str:
            return " ".join(requested_names(Settings(elements=("penguin", "vm"), **options), catalog))

        assert asked(skip_base=True, arch="amd64") == "penguin vm block-device-mbr"
        assert asked(arch="arm64") == asked(arch="aarch64") == "base penguin vm block-device-efi"
        assert asked(ramdisk=True, arch="amd64") == "ramdisk base penguin vm block-device-mbr"
        default = "block-device-efi" if os.uname().machine == "aarch64" else "block-device-mbr"
        assert asked() == f"base penguin vm {default}"

    def test_vm_as_a_dependency_needs_a_block_device_too(self, catalog: Catalog, tmp_path: Path) -> None:
        (tmp_path / "over-vm").mkdir()
        (tmp_path / "over-vm" / "element-deps").write_text("vm\n")
        settings = Settings(elements=("penguin", "over-vm"), arch="amd64")
        mine = Catalog.load([tmp_path], builtin=BASIC)
        assert requested_names(settings, mine) == ("base", "penguin", "over-vm", "block-device-mbr")

    def test_errors_are_those_of_the_resolution(self, catalog: Catalog) -> None:
        with pytest.raises(UnknownElement):
            requested_names(Settings(elements=("penguin", "lost")), catalog)


NAMES = [f"e{number}" for number in range(7)]
VIRTUAL = ["v0", "v1", "e5", "e6"]  # two of them with a directory as well
catalogs = st.fixed_dictionaries(
    {},
    optional={
        name: st.tuples(
            st.sets(st.sampled_from(NAMES + VIRTUAL), max_size=3), st.sets(st.sampled_from(VIRTUAL), max_size=1)
        )
        for name in NAMES
    },
)


def outcome_of_dib(asked: list[str], elements: dict[str, tuple[set[str], set[str]]], seed: int) -> object:
    """What diskimage-builder's own function makes of a catalog when its sets come in an order of our choosing."""
    from diskimage_builder import element_dependencies

    element_dependencies.logger.disabled = True

    class Shuffled(frozenset[str]):
        def __sub__(self, other: object) -> list[str]:
            left = sorted(frozenset.__sub__(self, other))
            random.Random(f"{seed} {left}").shuffle(left)
            return left

    loaded = {}
    for name, (deps, provides) in elements.items():
        loaded[name] = element_dependencies.Element(name, "/nonexistent")
        loaded[name].depends, loaded[name].provides = Shuffled(deps), provides
    try:
        return frozenset(e.name for e in element_dependencies._expand_element_dependencies(asked, loaded))
    except Exception as error:
        return type(error).__name__


DIB_ERRORS = {
    NoElements: "MissingOSException",
    UnknownElement: "MissingElementException",
    AlreadyProvided: "AlreadyProvidedException",
    NoOperatingSystem: "MissingOSException",
}


@given(catalogs, st.lists(st.sampled_from(NAMES), min_size=1, max_size=3))
def test_the_outcome_is_one_of_diskimage_builders(
    elements: dict[str, tuple[set[str], set[str]]], asked: list[str]
) -> None:
    elements = {**elements, "os": (set(), {"operating-system"})}
    asked = ["os", *asked]
    with tempfile.TemporaryDirectory() as directory:
        for name, (deps, provides) in elements.items():
            path = Path(directory, name)
            path.mkdir()
            (path / "element-deps").write_text("\n".join(deps))
            (path / "element-provides").write_text("\n".join(provides))
        try:
            found = resolve(Catalog.load([], builtin=Path(directory)), asked)
        except ElementError as error:
            ours: object = DIB_ERRORS[type(error)]
        else:
            ours = frozenset(found.members)
            assert sorted(names(found)) == sorted(found.members)
    theirs = {outcome_of_dib(asked, elements, seed) for seed in range(12)}
    if theirs == {"MissingElementException"} and ours != "MissingElementException":
        # the one liberty: diskimage-builder met a virtual name before what provides it, and wants a directory then
        virtual = set().union(*(provides for _, provides in elements.values())) - set(elements)
        directories = {**elements, **{name: (set[str](), set[str]()) for name in virtual}}
        theirs = {outcome_of_dib(asked, directories, seed) for seed in range(12)}
    assert ours in theirs


@given(catalogs)
def test_the_order_respects_every_dependency_outside_cycles(elements: dict[str, tuple[set[str], set[str]]]) -> None:
    import networkx

    with tempfile.TemporaryDirectory() as directory:
        for name, (deps, _) in elements.items():
            Path(directory, name).mkdir()
            Path(directory, name, "element-deps").write_text("\n".join(d for d in deps if d in elements))
        catalog = Catalog.load([], builtin=Path(directory))
        found = resolve(catalog, sorted(elements), require_os=False)
        position = {element.name: index for index, element in enumerate(found.elements)}
    for dependent, dep in found.graph.edges:
        in_cycle = networkx.has_path(found.graph, dep, dependent)
        assert in_cycle or position[dep] < position[dependent]


def test_nothing_depends_on_the_hash_seed() -> None:
    script = (
        "import sys; from pathlib import Path; from dib_py.element import Catalog; from dib_py.resolve import resolve\n"
        "c = Catalog.load([], builtin=Path(sys.argv[1]))\n"
        "r = resolve(c, ['after-cycle', 'wants-both', 'penguin', 'deep-appliance'])\n"
        "print([e.name for e in r.elements], r.provided, list(r.graph.edges(data=True)))\n"
    )
    printed = {
        subprocess.run(
            [sys.executable, "-c", script, str(BASIC)],
            env={**os.environ, "PYTHONHASHSEED": str(seed)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(4)
    }
    assert len(printed) == 1


def test_a_catalog_of_thousands_resolves(tmp_path: Path) -> None:
    for number in range(2000):
        path = tmp_path / f"e{number}"
        path.mkdir()
        deps = {f"e{number // 2}", f"e{number // 3}", f"e{number * 7 % 2000}"}
        (path / "element-deps").write_text("\n".join(sorted(deps)))
    (tmp_path / "e0" / "element-provides").write_text("operating-system\n")
    found = resolve(Catalog.load([], builtin=tmp_path), [f"e{number}" for number in range(1000, 2000)])
    assert len(found.elements) == 2000


def test_the_set_is_known_without_networkx(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from dib_py.element import Catalog; from dib_py import resolve\n"
        "resolve.resolve(Catalog.load([], builtin=Path(sys.argv[1])), ['penguin', 'vm', 'disk-of-ours'])\n"
        "sys.exit('networkx' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", script, str(BASIC)], check=False).returncode == 0


def test_every_pair_of_samples_resolves_or_says_why(catalog: Catalog) -> None:
    for pair in itertools.permutations([element.name for element in catalog], 2):
        try:
            resolve(catalog, pair)
        except ElementError as error:
            assert error.hint
