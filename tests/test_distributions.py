"""Elements that are for some distributions are refused on others, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.element import Catalog
from dib_py.errors import ElementError
from dib_py.plan import make_plan
from dib_py.settings import Settings


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    def element(name: str, **files: str) -> None:
        (tmp_path / name).mkdir()
        for file, text in files.items():
            (tmp_path / name / file.replace("_", "-")).write_text(text)

    element("wizard", distributions="ubuntu\n", element_provides="operating-system\n")
    element("hat", distributions="fedora\n", element_provides="operating-system\n")
    element("silent", element_provides="operating-system\n")
    element("deb", distributions="debian\n")
    element("rpm", distributions="redhat\nsuse\n")
    element("only-ubuntu", distributions="ubuntu\n")
    element("needs-rpm", element_deps="rpm\n")
    element("any")
    return Catalog.load([tmp_path], builtin=tmp_path)


def plan(catalog: Catalog, *names: str) -> None:
    make_plan(Settings(elements=names, skip_base=True), catalog)


@pytest.mark.parametrize(
    "names",
    [("wizard", "deb", "only-ubuntu", "any"), ("hat", "rpm"), ("silent", "rpm", "deb"), ("hat", "needs-rpm", "any")],
    ids="-".join,
)
def test_what_goes_together(catalog: Catalog, names: tuple[str, ...]) -> None:
    plan(catalog, *names)


@pytest.mark.parametrize(
    ("names", "message", "hint"),
    [
        (("wizard", "rpm"), "element rpm is for redhat and suse, and wizard is ubuntu", "leave rpm out"),
        (("hat", "deb"), "element deb is for debian, and hat is fedora", "leave deb out"),
        (("hat", "only-ubuntu"), "element only-ubuntu is for ubuntu, and hat is fedora", "leave only-ubuntu out"),
        (("wizard", "needs-rpm"), r"element rpm \(asked for by needs-rpm\) is for", "leave needs-rpm out"),
    ],
)
def test_what_does_not(catalog: Catalog, names: tuple[str, ...], message: str, hint: str) -> None:
    with pytest.raises(ElementError, match=message) as raised:
        plan(catalog, *names)
    assert raised.value.hint.startswith(hint)


@pytest.mark.parametrize(
    "names",
    [
        ("debian", "yum"),
        ("alpine", "dpkg"),
        ("arch", "zypper"),
        ("ubuntu", "epel"),
        ("fedora", "apk"),
        ("debian", "pacman"),
    ],
    ids="-".join,
)
def test_our_own(names: tuple[str, ...]) -> None:
    with pytest.raises(ElementError, match=f"element {names[1]} .*is for "):
        make_plan(Settings(elements=names, arch="amd64"), Catalog.load([]))
