"""One element for Linux and Windows: whose dependencies count, whose directories are merged, who is refused where."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dib_py.distributions import refuse_other_distributions
from dib_py.element import LINUX, WINDOWS, Catalog, Element
from dib_py.errors import ElementError
from dib_py.resolve import UnknownElement, requested_names, resolve
from dib_py.settings import Settings
from dib_py.windows import kinds

Make = Callable[..., None]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def element(name: str, **files: str) -> None:
        """Files by their path, with __ for a slash and _ for a dash."""
        (tmp_path / name).mkdir()
        for file, text in files.items():
            path = tmp_path / name / file.replace("__", "/").replace("_", "-")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)

    element("base")
    element("panes", element_provides="operating-system\n", os_family="windows\n")
    element("penguin", element_provides="operating-system\n")
    element("hooks-only", **{"install.d__50-x": "#!/bin/bash\n"})
    element("registry-only", **{"registry.d__50-x.reg": ""})
    element("agent", **{"package-installs.yaml": "agent:\n", "firstboot.d__50-x.cmd": "", "element-deps": "base\n"})
    (tmp_path / "agent" / "element-deps.windows").write_text("drivers\n")
    element("drivers", **{"drivers.yaml": "", "extra-data.d__50-fetch": ""})
    element("set", element_deps="agent\n")
    return element


@pytest.fixture
def catalog(make: Make, tmp_path: Path) -> Catalog:
    return Catalog.load([tmp_path], builtin=tmp_path)


def names(catalog: Catalog, *asked: str) -> set[str]:
    found = requested_names(Settings(elements=asked), catalog)
    return {element.name for element in resolve(catalog, found, require_os=False).elements}


def test_base_and_dependencies_are_those_of_the_family(catalog: Catalog) -> None:
    assert names(catalog, "penguin", "agent") == {"base", "penguin", "agent"}
    assert names(catalog, "panes", "set") == {"panes", "set", "agent", "drivers"}
    # which system it is, nobody says
    assert names(catalog, "agent") == {"base", "agent"}


def test_dependencies_read_for_windows_may_bring_it_in(make: Make, tmp_path: Path) -> None:
    make("whole", element_deps="penguin\n")
    (tmp_path / "whole" / "element-deps.windows").write_text("panes\n")
    catalog = Catalog.load([tmp_path], builtin=tmp_path)
    assert names(catalog, "whole") == {"whole", "panes"}
    with_linux = resolve(catalog, ("penguin", "agent"))
    assert with_linux.os_family == LINUX
    assert resolve(catalog, ("panes",)).os_family == WINDOWS


def test_an_unknown_dependency_is_told_with_its_own_file(make: Make, tmp_path: Path) -> None:
    make("broken", **{"registry.d__1.reg": ""})
    (tmp_path / "broken" / "element-deps.windows").write_text("drivers\nnobody\n")
    with pytest.raises(UnknownElement) as raised:
        resolve(Catalog.load([tmp_path], builtin=tmp_path), ("panes", "broken"))
    assert raised.value.where == f"{tmp_path}/broken/element-deps.windows:2"


def test_what_is_merged(make: Make, tmp_path: Path) -> None:
    make("much", **{f"{place}__x": "" for place in (*kinds.PLACES, "install.d", "root.d", "extra-data.d", "static")})
    both = Element("much", tmp_path / "much")
    merged = {path.name for path in both.directories}
    assert merged == {"files", "install.d", "root.d", "extra-data.d", "static"}
    looked_at = Catalog({"much": both}).looked_at_for(WINDOWS)["much"]
    assert {path.name for path in looked_at.directories} == {"extra-data.d", "static"}


@pytest.mark.parametrize(
    "asked",
    [("penguin", "hooks-only", "set"), ("panes", "registry-only", "set", "drivers")],
    ids="-".join,
)
def test_who_goes_together(catalog: Catalog, asked: tuple[str, ...]) -> None:
    refuse_other_distributions(resolve(catalog, asked))


@pytest.mark.parametrize(
    ("asked", "message", "hint"),
    [
        (("panes", "hooks-only"), "element hooks-only has nothing for Windows, only install.d", "leave hooks-only out"),
        (("penguin", "registry-only"), "registry-only is for Windows only: it has registry.d", "leave registry-only"),
        (("penguin", "drivers"), "drivers is for Windows only: it has drivers.yaml", "leave drivers out"),
        (("registry-only",), "registry-only is for Windows only", "name the operating system too: windows"),
    ],
)
def test_who_does_not(catalog: Catalog, asked: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(ElementError, match=message) as raised:
        refuse_other_distributions(resolve(catalog, asked, require_os=False))
    assert raised.value.hint.startswith(hint)


def test_who_asked_for_it_is_told_first(make: Make, tmp_path: Path) -> None:
    make("needs-hooks", element_deps="hooks-only\n")
    make("needs-registry", element_deps="registry-only\n", counterpart="hooks-only\n")
    catalog = Catalog.load([tmp_path], builtin=tmp_path)
    with pytest.raises(ElementError) as raised:
        refuse_other_distributions(resolve(catalog, ("panes", "needs-hooks")))
    assert raised.value.message == (
        "element needs-hooks is for Linux: it asks for hooks-only, which has nothing for Windows, only install.d"
    )
    assert raised.value.hint == "leave needs-hooks out"
    with pytest.raises(ElementError, match="element needs-registry asks for registry-only, which is for") as raised:
        refuse_other_distributions(resolve(catalog, ("penguin", "needs-registry")))
    assert raised.value.hint == "leave needs-registry out, or name hooks-only in its place: it is for Linux"


@pytest.mark.parametrize(
    ("linux", "windows"),
    [
        ("cloud-init", "cloudbase-init"),
        ("growroot", "grow-root"),
        ("openssh-server", "ssh"),
        ("root-passwd", "admin-password"),
        ("sysprep", "win-sysprep-check"),
    ],
)
def test_what_does_it_for_the_other_family_is_told(linux: str, windows: str) -> None:
    catalog = Catalog.load([])
    with pytest.raises(ElementError) as raised:
        refuse_other_distributions(resolve(catalog, ("windows", linux)))
    assert raised.value.hint == f"leave {linux} out, or name {windows} in its place: it is for Windows"
    with pytest.raises(ElementError) as raised:
        refuse_other_distributions(resolve(catalog, ("debian", windows)))
    assert f"name {linux} in its place: it is for Linux" in raised.value.hint


def test_every_counterpart_is_one_of_the_other_s() -> None:
    catalog = Catalog.load([])
    for element in catalog:
        for name in element.counterpart:
            assert element.name in catalog[name].counterpart
