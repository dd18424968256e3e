"""package-installs, pkg-map and svc-map from real files: what is wanted, what it is called, in which slot it lands."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dib_py import packages
from dib_py.element import Element
from dib_py.errors import ElementError, FileError
from dib_py.hooks import merge
from dib_py.packages import Packages, Slot
from dib_py.packages.package_installs import Conditions, wishes
from dib_py.packages.pkg_map import PackageMap
from dib_py.resolve import Resolution

ENVIRONMENT = {"DISTRO_NAME": "debian", "DIB_RELEASE": "bookworm", "EMPTY": ""}
SAMPLE = Path(__file__).parent / "elements" / "plan-basic"
INSTALL = Slot("install.d", "install", "elements")
UNINSTALL = Slot("install.d", "uninstall", "elements")

Write = Callable[[str, Any], Element]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write ``element/file``; the element that it is in. What is no text becomes YAML, or JSON by the file's name."""

    def put(path: str, content: Any) -> Element:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(content, str):
            content = json.dumps(content) if path.endswith((".json", "pkg-map")) else yaml.safe_dump(content)
        file.write_text(content)
        name = path.partition("/")[0]
        return Element(name, tmp_path / name)

    return put


def resolution(*elements: Element) -> Resolution:
    """These elements with the package-installs that computes lists, in their order."""
    everything = (*elements, Element("package-installs", SAMPLE / "package-installs"))
    members = {element.name: element for element in everything}
    provided = {virtual: element.name for element in everything for virtual in element.provides}
    made = Resolution(tuple(members), members, provided, dict.fromkeys(members))
    assert {element.name for element in made.elements} == set(members)
    return made


def compute(*elements: Element, arch: str = "amd64", **environment: str) -> Packages:
    made = resolution(*elements)
    return packages.compute(made, merge(made), {**ENVIRONMENT, **environment}, arch)


def wanted(entry: Any, write: Write, arch: str = "amd64", **environment: str) -> list[tuple[str, str]]:
    """Phase and action of package ``p`` with this entry."""
    element = write("one-element/package-installs.yaml", {"p": entry})
    return [(wish.phase, wish.action) for wish in wishes(element, Conditions({**ENVIRONMENT, **environment}, arch))]


YES = [("install.d", "install")]


@pytest.mark.parametrize("entry", [None, {}, [], "", [{}]])
def test_an_empty_entry_installs(entry: Any, write: Write) -> None:
    assert wanted(entry, write) == YES


def test_the_phase_is_as_given(write: Write) -> None:
    assert wanted({"phase": "pre-install.d"}, write) == [("pre-install.d", "install")]


@pytest.mark.parametrize("value", [True, False, None])
def test_only_the_presence_of_uninstall_and_build_only_counts(value: Any, write: Write) -> None:
    assert wanted({"uninstall": value}, write) == [("install.d", "uninstall")]
    assert wanted({"build-only": value}, write) == [("install.d", "build-only")]
    assert wanted({"build-only": value, "uninstall": value}, write) == [("install.d", "build-only")]


@pytest.mark.parametrize(
    ("entry", "arch", "applies"),
    [
        ({"arch": "amd64"}, "amd64", True),
        ({"arch": "arm64, amd64"}, "amd64", True),
        ({"arch": "arm64"}, "amd64", False),
        ({"not-arch": "arm64"}, "amd64", True),
        ({"not-arch": "arm64, amd64"}, "amd64", False),
    ],
)
def test_architectures(entry: Any, arch: str, applies: bool, write: Write) -> None:
    assert wanted(entry, write, arch) == (YES if applies else [])


def test_the_installtype_is_the_elements_own_before_the_default(write: Write) -> None:
    assert wanted({"installtype": "source"}, write) == YES
    assert wanted({"installtype": "package"}, write) == []
    assert wanted({"installtype": "package"}, write, DIB_DEFAULT_INSTALLTYPE="package") == YES
    assert wanted({"installtype": "package"}, write, DIB_INSTALLTYPE_one_element="package") == YES


def test_the_python_version_is_compared_as_text(write: Write) -> None:
    assert wanted({"dib_python_version": 3}, write) == []
    assert wanted({"dib_python_version": 3}, write, DIB_PYTHON_VERSION="3") == YES


@pytest.mark.parametrize(
    ("when", "applies"),
    [
        ("DISTRO_NAME = debian", True),
        ("DISTRO_NAME=debian", True),
        ("DISTRO_NAME = fedora", False),
        ("DISTRO_NAME != fedora", True),
        ("EMPTY =", True),
        ("EMPTY = ", True),
        (["DISTRO_NAME = debian", "DIB_RELEASE != bookworm"], False),
        (["DISTRO_NAME = debian", "DIB_RELEASE = bookworm"], True),
        ("DISTRO_NAME = debian or ubuntu", False),
    ],
)
def test_when(when: Any, applies: bool, write: Write) -> None:
    assert wanted({"when": when}, write) == (YES if applies else [])


def test_entries_of_a_list_are_alternatives(write: Write) -> None:
    entry = [{"when": "DISTRO_NAME = fedora"}, {"when": "DISTRO_NAME = debian", "phase": "post-install.d"}]
    assert wanted(entry, write) == [("post-install.d", "install")]


def refused(write: Write, text: str, name: str = "package-installs.yaml") -> FileError:
    element = write(f"bad/{name}", text)
    with pytest.raises(FileError) as caught:
        list(wishes(element, Conditions(ENVIRONMENT, "amd64")))
    assert caught.value.path == element.path / name
    return caught.value


def test_a_when_on_an_unset_variable_is_told_with_its_line(write: Write) -> None:
    error = refused(write, "vim:\ncurl:\n  phase: install.d\n  when: NOBODY = yes\n")
    assert (error.line, error.message) == (4, "package curl: when: variable NOBODY is not set")
    assert "NOBODY" in error.hint


def test_a_when_in_a_list_is_told_with_its_line(write: Write) -> None:
    error = refused(write, "curl:\n  - arch: amd64\n    when:\n      - EMPTY =\n      - NOBODY != 1\n")
    assert error.line == 5


def test_an_entry_that_does_not_apply_may_have_an_unset_when(write: Write) -> None:
    assert wanted({"arch": "arm64", "when": "NOBODY = 1"}, write) == []


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("curl:\n  when: DISTRO_NAME debian\n", 2, "malformed when"),
        ("curl:\n  arch: amd64\n  not-arch: arm64\n", 3, "both arch and not-arch"),
        ("curl:\n  - install\n", 2, "mapping"),
        ("a:\n- b\n c: d\n", 3, "not valid YAML"),
        ("- curl\n", 1, "mapping of packages"),
        ("curl: [\n", 2, "not valid YAML"),
    ],
)
def test_bad_files_are_told_with_their_line(text: str, line: int, said: str, write: Write) -> None:
    error = refused(write, text)
    assert said in error.message
    assert error.line == line


def test_json_is_read_before_yaml_and_may_hold_yaml(write: Write) -> None:
    write("both/package-installs.json", "from-json:\n")
    element = write("both/package-installs.yaml", '{"from-yaml":\t{"phase": "pre-install.d"}}')
    assert [wish.name for wish in wishes(element, Conditions(ENVIRONMENT, "amd64"))] == ["from-json", "from-yaml"]


def test_a_json_file_tells_its_line_too(write: Write) -> None:
    error = refused(write, '{\n  "vim": {},\n  "curl": {"when": "NOBODY = 1"}\n}\n', "package-installs.json")
    assert error.line == 3


def test_what_one_element_wants_to_stay_another_cannot_remove(write: Write) -> None:
    build = write("a/package-installs.yaml", {"gcc": {"build-only": True}, "make": {"build-only": True}})
    stays = write("b/package-installs.yaml", {"gcc": None})
    removes = write("c/package-installs.yaml", {"gcc": {"uninstall": True}})
    slots = compute(build, stays, removes).slots
    assert slots[INSTALL] == {"gcc": ("a", "b"), "make": ("a",)}
    assert slots[UNINSTALL] == {"make": ("a",)}


def test_an_install_that_does_not_apply_keeps_nothing(write: Write) -> None:
    build = write("a/package-installs.yaml", {"gcc": {"build-only": True}})
    elsewhere = write("b/package-installs.yaml", {"gcc": {"arch": "arm64"}})
    assert compute(build, elsewhere).slots[UNINSTALL] == {"gcc": ("a",)}


def test_the_operating_system_and_base_come_in_a_part_of_their_own(write: Write) -> None:
    write("penguin/element-deps", "glue\n")
    write("penguin/element-provides", "operating-system\n")
    penguin = write("penguin/package-installs.yaml", {"kernel": None, "shared": None})
    glue = write("glue/package-installs.yaml", {"libc": None})
    base = write("base/package-installs.yaml", {"sudo": None})
    web = write("web/package-installs.yaml", {"httpd": None, "shared": None})
    slots = compute(web, glue, base, penguin).slots
    assert list(slots[Slot("install.d", "install", "system")]) == ["kernel", "libc", "shared", "sudo"]
    assert slots[INSTALL] == {"httpd": ("web",)}


def test_names_are_translated_for_the_element_that_wants_them(write: Write) -> None:
    write("a/pkg-map", {"default": {"db": "mysql-server"}})
    a = write("a/package-installs.yaml", {"db": None})
    write("b/pkg-map", {"family": {"debian": {"db": "postgresql postgresql-contrib", "none": ""}}})
    b = write("b/package-installs.yaml", {"db": None, "none": None, "unmapped": None})
    assert compute(a, b).slots[INSTALL] == {
        "mysql-server": ("a",),
        "postgresql": ("b",),
        "postgresql-contrib": ("b",),
        "unmapped": ("b",),
    }


@pytest.mark.parametrize(
    ("distro", "release", "name"),
    [
        ("gentoo", "", "of-default"),
        ("fedora", "40", "of-family"),
        ("rocky", "9", "of-family"),
        ("centos", "9-stream", "of-distro"),
        ("centos", "8", "of-release"),
        ("centos", "8-stream", "of-release"),
        ("centos", "8.4", "of-release"),
        ("centos", "8.5", "of-minor"),
        ("centos", "9.1", "of-distro"),
    ],
)
def test_the_most_particular_section_wins(distro: str, release: str, name: str, write: Write) -> None:
    element = write(
        "a/pkg-map",
        {
            "default": {"p": "of-default"},
            "family": {"redhat": {"p": "of-family"}},
            "distro": {"centos": {"p": "of-distro"}},
            "release": {"centos": {"8": {"p": "of-release"}, "8.5": {"p": "of-minor"}}},
        },
    )
    package_map = PackageMap.read(element)
    assert package_map is not None
    assert package_map.translate("p", {"DISTRO_NAME": distro, "DIB_RELEASE": release}) == [name]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ('{\n "default": {\n  "a": ["b"]\n }\n}', 3, "default.a must be a text"),
        ('{\n "family": {"debian": "x"}\n}', 2, "family.debian must be a mapping"),
        ('{"default":\n {"a": "b",}}', 2, "not valid JSON"),
        ("[]", 1, "mapping of sections"),
    ],
)
def test_bad_package_maps_are_told_with_their_line(text: str, line: int, said: str, write: Write) -> None:
    with pytest.raises(FileError) as caught:
        PackageMap.read(write("a/pkg-map", text))
    assert said in caught.value.message
    assert caught.value.line == line


def test_without_a_distribution_only_a_map_is_an_error(write: Write) -> None:
    plain = write("a/package-installs.yaml", {"p": None})
    assert compute(plain, DISTRO_NAME="").slots[INSTALL] == {"p": ("a",)}
    write("a/pkg-map", {"default": {"p": "q"}})
    with pytest.raises(FileError, match="DISTRO_NAME is not set"):
        compute(plain, DISTRO_NAME="")


def test_services_of_all_elements_are_merged(write: Write) -> None:
    a = write("a/svc-map", {"web": {"debian": "nginx", "default": "httpd"}})
    b = write("b/svc-map", {"db": {"redhat": "mariadb"}})
    rows = [(service.name, service.selector, service.real) for service in compute(a, b).services]
    assert rows == [("web", "debian", "nginx"), ("web", "default", "httpd"), ("db", "redhat", "mariadb")]


def test_a_service_of_two_elements_is_refused(write: Write) -> None:
    a = write("a/svc-map", {"web": {"default": "httpd"}})
    b = write("b/svc-map", {"web": {"default": "nginx"}})
    with pytest.raises(ElementError, match="service web is mapped by elements a and b"):
        compute(a, b)


@pytest.mark.parametrize(
    ("text", "line"), [("web: nginx\n", 1), ("web:\n  debian: [a, b]\n", 2), ("web:\n  debian:\n", 2), ("a: b: c\n", 1)]
)
def test_bad_service_maps_are_told_with_their_line(text: str, line: int, write: Write) -> None:
    with pytest.raises(FileError) as caught:
        compute(write("a/svc-map", text))
    assert caught.value.line == line


def test_the_older_form_counts_too(write: Write) -> None:
    write("a/pkg-map", {"default": {"web": "httpd"}})
    a = write("a/install.d/package-installs-a", "# a comment\nweb\n\n -gcc\n")
    slots = compute(a).slots
    assert slots == {INSTALL: {"gcc": ("a",), "httpd": ("a",)}, UNINSTALL: {"gcc": ("a",)}}


def test_a_phase_that_installs_nothing_is_warned_of(write: Write) -> None:
    found = compute(write("a/package-installs.yaml", {"vim": {"phase": "finalise.d"}}))
    assert found.slots == {}
    assert len(found.warnings) == 1 and "vim" in found.warnings[0] and "finalise.d" in found.warnings[0]


def test_another_package_installs_does_its_own_work(write: Write) -> None:
    other = write("package-installs/install.d/01-package-installs", "#!/bin/sh\n")
    a = write("a/package-installs.yaml", {"vim": None})
    members = {"package-installs": other, "a": a}
    made = Resolution(tuple(members), members, {}, dict.fromkeys(members))
    found = packages.compute(made, merge(made), ENVIRONMENT, "amd64")
    assert not found.native and found.slots == {} and found.warnings == ()
    assert packages.left_out(found, "install.d") == frozenset()


def test_without_package_installs_its_files_are_warned_of(write: Write) -> None:
    a = write("a/package-installs.yaml", {"vim": None})
    made = Resolution(("a",), {"a": a}, {}, {"a": None})
    found = packages.compute(made, merge(made), ENVIRONMENT, "amd64")
    assert [warning.partition(" has no effect")[0] for warning in found.warnings] == [
        str(a.path / "package-installs.yaml")
    ]


def test_every_slot_has_a_hook_in_the_element_that_comes_with_dib_py() -> None:
    own = Path(__file__).parent.parent / "elements" / "package-installs"
    for slot in packages.lists.SLOTS:
        assert (own / slot.phase / slot.hook).stat().st_mode & 0o111, slot
        assert packages.slot_of(slot.phase, slot.hook) == slot


def test_hooks_without_packages_are_left_out(write: Write) -> None:
    found = compute(write("a/package-installs.yaml", {"vim": None}))
    assert packages.left_out(found, "install.d") == {
        "01-package-installs",
        "01-pkg-map",
        "99-package-uninstalls",
        "99-package-uninstalls-elements",
    }
    assert len(packages.left_out(found, "pre-install.d")) == 4
    assert packages.left_out(found, "finalise.d") == frozenset()


def test_lists_are_written_where_the_hooks_look(tmp_path: Path, write: Write) -> None:
    write("a/pkg-map", {"default": {"x": "y z"}})
    write("a/svc-map", {"web": {"default": "httpd"}})
    a = write("a/package-installs.yaml", {"x": None})
    made = resolution(a)
    merged = merge(made)
    hooks = tmp_path / "hooks"
    merged.stage(hooks)
    packages.write(packages.compute(made, merged, ENVIRONMENT, "amd64"), hooks)
    assert (hooks / "packages" / "install.d" / "install-elements").read_text() == "y\nz\n"
    assert (hooks / "svc-map-services").read_text() == "web\tdefault\thttpd\n"
    assert json.loads((hooks / "pkg-map" / "a").read_text()) == {"default": {"x": "y z"}}


PKG_MAP = Path(packages.__file__).parents[2] / "elements" / "pkg-map"


def test_maps_come_when_they_can_be_asked_for(write: Write) -> None:
    for name in ("early", "later", "first"):
        write(f"{name}/pkg-map", {"default": {}})
    hooks = {"early": "pre-install.d/50-early", "first": "install.d/00-first", "later": "install.d/50-later"}
    elements = [write(f"{name}/{hook}", "#!/bin/sh\n") for name, hook in hooks.items()]
    for element in elements:
        (element.path / hooks[element.name]).chmod(0o755)
    made = compute(*elements, Element("pkg-map", PKG_MAP))
    assert set(packages.files(made)) == {"svc-map-services", "pkg-map/early", "pkg-map/first", "pkg-map-elements/later"}
    assert "01-pkg-map" not in packages.left_out(made, "install.d")
    made = compute(*elements[:2], Element("pkg-map", PKG_MAP))
    assert "01-pkg-map" in packages.left_out(made, "install.d")


def test_all_maps_come_first_where_no_hook_brings_the_others(write: Write) -> None:
    element = write("web/pkg-map", {"default": {}})
    assert "pkg-map/web" in packages.files(compute(element))
