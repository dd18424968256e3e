"""Catalogs from real directories: what is found, what wins, what is read and when."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dib_py import element
from dib_py.element import Catalog, Element, Override, builtin_elements_dir, split_elements_path
from dib_py.errors import ElementError, FileError

SAMPLES = Path(__file__).parent / "elements"
BASIC = SAMPLES / "resolve-basic"
SITE = SAMPLES / "resolve-site"


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """In place of the built-in elements."""
    path = tmp_path / "builtin"
    path.mkdir()
    return path


def make_element(directory: Path, name: str, deps: str = "", provides: str = "") -> Path:
    path = directory / name
    path.mkdir(parents=True)
    if deps:
        (path / "element-deps").write_text(deps)
    if provides:
        (path / "element-provides").write_text(provides)
    return path


def test_the_first_path_wins_and_says_what_it_hides(empty: Path) -> None:
    catalog = Catalog.load([SITE, BASIC], builtin=empty)
    assert catalog["bootloader"].path == SITE / "bootloader"
    assert catalog.overrides == (Override("bootloader", SITE / "bootloader", BASIC / "bootloader"),)
    assert str(catalog.overrides[0]) == f"element {SITE / 'bootloader'} overrides {BASIC / 'bootloader'}"


def test_builtin_elements_come_last() -> None:
    catalog = Catalog.load([SITE], builtin=BASIC)
    assert catalog["bootloader"].path == SITE / "bootloader"
    assert catalog["vm"].path == BASIC / "vm"


def test_the_same_directory_twice_overrides_nothing(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(BASIC)
    assert Catalog.load([BASIC, tmp_path / "link", BASIC], builtin=empty).overrides == ()


def test_a_link_is_named_for_where_it_leads(empty: Path, tmp_path: Path) -> None:
    real = make_element(tmp_path / "elsewhere", "real-name")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "alias").symlink_to(real)
    catalog = Catalog.load([tmp_path / "path"], builtin=empty)
    assert list(catalog) == [Element("real-name", real)]


def test_only_visible_directories_are_elements(empty: Path, tmp_path: Path) -> None:
    path = tmp_path / "path"
    for name in ("good", ".git", "__pycache__"):
        make_element(path, name)
    (path / "README.rst").write_text("no element\n")
    (path / "dangling").symlink_to(tmp_path / "nowhere")
    (path / "circle").symlink_to(path / "circle")
    assert [found.name for found in Catalog.load([path], builtin=empty)] == ["good"]


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_path_that_is_no_directory_is_named(empty: Path, tmp_path: Path, kind: str) -> None:
    entry = tmp_path / kind
    if kind == "file":
        entry.write_text("")
    with pytest.raises(ElementError, match=f"ELEMENTS_PATH entry '{entry}' is not a directory"):
        Catalog.load([entry], builtin=empty)


def test_elements_path_is_split_at_colons() -> None:
    assert split_elements_path("") == ()
    assert split_elements_path("/a:b") == (Path("/a"), Path("b"))


@pytest.mark.parametrize("text", [":/a", "/a:", "/a::/b", ":"])
def test_an_empty_entry_of_elements_path_is_refused(text: str) -> None:
    with pytest.raises(ElementError, match="has an empty entry"):
        split_elements_path(text)


def test_names_are_stripped_and_counted_once(tmp_path: Path) -> None:
    path = make_element(tmp_path, "e", deps="\n  b \r\na\n\nb\n# no comment\n")
    assert Element("e", path).deps == ("b", "a", "# no comment")
    assert Element("e", path).provides == ()


def test_a_file_of_names_that_is_no_text_is_an_error_with_its_line(tmp_path: Path) -> None:
    path = make_element(tmp_path, "e")
    (path / "element-deps").write_bytes(b"one\ntwo\n\xff\xfe\n")
    with pytest.raises(FileError, match="is not UTF-8 text") as caught:
        _ = Element("e", path).deps
    assert caught.value.line == 3


def test_a_file_of_names_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    path = make_element(tmp_path, "e")
    (path / "element-deps").mkdir()
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        _ = Element("e", path).deps


def test_what_an_element_holds() -> None:
    penguin = Element("penguin", BASIC / "penguin")
    assert penguin.is_operating_system
    assert [path.name for path in penguin.directories] == ["bin", "environment.d", "install.d", "root.d"]
    assert list(penguin.phase_dirs) == ["root.d", "install.d"]
    assert [path.name for path in penguin.files("install.d")] == ["10-fish", "notes.txt"]
    assert penguin.files("tests") == penguin.files("finalise.d") == ()
    assert [path.name for path in penguin.environment_files] == ["10-penguin.bash"]
    assert penguin.package_installs == (BASIC / "penguin" / "package-installs.yaml",)
    assert penguin.base_image == BASIC / "penguin" / "base-image.yaml"
    assert [path.name for path in penguin.top_files] == [
        "README.rst",
        "base-image.yaml",
        "element-deps",
        "element-provides",
        "package-installs.yaml",
    ]


def test_what_an_element_lacks(tmp_path: Path) -> None:
    bare = Element("bare", make_element(tmp_path, "bare"))
    assert bare.base_image is None
    assert bare.os_family == "linux"
    assert bare.description == ""
    assert not bare.phase_dirs
    assert bare.environment_files == bare.package_installs == bare.top_files == ()


def test_the_family_of_an_operating_system() -> None:
    assert Element("panes", BASIC / "panes").os_family == "windows"


def test_who_provides_and_who_needs(empty: Path) -> None:
    catalog = Catalog.load([BASIC], builtin=empty)
    assert [e.name for e in catalog.providers("operating-system")] == ["panes", "penguin", "puffin"]
    assert [e.name for e in catalog.dependents("vm")] == ["appliance"]
    assert "penguin" in catalog.nearest("pengiun")
    assert "vm" in catalog and "nothing" not in catalog and catalog.get("nothing") is None


def test_listing_reads_no_element(empty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_element(tmp_path / "path", "unread", deps="a")
    monkeypatch.setattr(element, "read_names", None)
    assert len(Catalog.load([tmp_path / "path"], builtin=empty)) == 1


def installed(at: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that the package is installed at ``at``."""
    at.mkdir(parents=True)
    shutil.copy(element.__file__, at / "element.py")
    monkeypatch.setattr(element, "__file__", str(at / "element.py"))
    builtin_elements_dir.cache_clear()


@pytest.mark.parametrize(
    ("package", "elements"),
    [
        ("repository/dib_py", "repository/elements"),
        ("venv/lib/python3.11/site-packages/dib_py", "venv/share/dib-py/elements"),
        ("usr/local/lib/python3.11/dist-packages/dib_py", "usr/local/share/dib-py/elements"),
        ("home/.local/lib/python3.11/site-packages/dib_py", "home/.local/share/dib-py/elements"),
        ("target/dib_py", "target/share/dib-py/elements"),
    ],
)
def test_the_built_in_elements_are_found_wherever_they_were_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, elements: str
) -> None:
    installed(tmp_path / package, monkeypatch)
    (tmp_path / "repository").mkdir(exist_ok=True)
    (tmp_path / "repository" / "setup.cfg").write_text("")
    (tmp_path / elements).mkdir(parents=True)
    try:
        assert builtin_elements_dir() == tmp_path / elements
    finally:
        builtin_elements_dir.cache_clear()


def test_a_stray_elements_directory_beside_the_package_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed(tmp_path / "site-packages" / "dib_py", monkeypatch)
    (tmp_path / "site-packages" / "elements").mkdir()
    try:
        with pytest.raises(element.errors.HostError, match="not installed"):
            builtin_elements_dir()
    finally:
        builtin_elements_dir.cache_clear()
