"""package-caches.yaml from real files: which directories are caches, and what is refused, with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.element import Catalog, Element
from dib_py.errors import ElementError, FileError
from dib_py.lint import lint
from dib_py.packages import PackageCache
from dib_py.packages.package_caches import FILE, declared
from dib_py.plan import make_plan
from dib_py.settings import Settings

ENVIRONMENT = {"KEEP": "1"}


def element(directory: Path, text: str, name: str = "one") -> Element:
    path = directory / name
    path.mkdir(exist_ok=True)
    (path / FILE).write_text(text)
    (path / "README.rst").write_text("=\nx\n=\n\nSays what it does.\n")
    return Element(name, path)


def test_what_an_element_says(tmp_path: Path) -> None:
    text = "/var/cache/dnf:\n  keep: '**/*.rpm'\n/var/cache/apt:\n  early: true\n  keep: [archives/*.deb, lists/*]\n"
    assert declared([element(tmp_path, text)], {}) == (
        PackageCache("/var/cache/apt", ("archives/*.deb", "lists/*"), early=True),
        PackageCache("/var/cache/dnf", ("**/*.rpm",)),
    )


def test_elements_without_the_file_and_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert declared([Element("none", tmp_path / "none"), element(tmp_path, "# nothing\n")], {}) == ()


def test_several_elements_add_up(tmp_path: Path) -> None:
    one = element(tmp_path, "/c: {keep: [a, b]}", "one")
    two = element(tmp_path, "/c: {keep: [b, d], early: true}", "two")
    assert declared([one, two], {}) == (PackageCache("/c", ("a", "b", "d"), early=True),)


@pytest.mark.parametrize(
    ("when", "holds"), [("KEEP = 1", True), ("KEEP != 1", False), ("[KEEP = 1, KEEP != 1]", False)]
)
def test_conditions(when: str, holds: bool, tmp_path: Path) -> None:
    assert bool(declared([element(tmp_path, f"/c: {{keep: a, when: {when}}}")], ENVIRONMENT)) is holds


def test_an_unset_variable_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="/c: when: variable NEVER_SET is not set") as caught:
        declared([element(tmp_path, "/c:\n  keep: a\n  when: NEVER_SET = 1\n")], ENVIRONMENT)
    assert caught.value.line == 3


def test_a_cache_inside_another_one(tmp_path: Path) -> None:
    one, two = element(tmp_path, "/c: {keep: a}", "one"), element(tmp_path, "/c/d: {keep: a}", "two")
    with pytest.raises(ElementError, match="/c/d is inside another one, /c"):
        declared([one, two], {})


WRONG = [
    ("- /c\n", 1, "must be a mapping of directories"),
    ("# x\nc/d: {keep: a}\n", 2, "c/d is no absolute path"),
    ("/: {keep: a}\n", 1, "/ is no absolute path"),
    ("/c/../d: {keep: a}\n", 1, "is no absolute path"),
    ("/c/: {keep: a}\n", 1, "is no absolute path"),
    ("1: {keep: a}\n", 1, "1 is no absolute path"),
    ("/proc/c: {keep: a}\n", 1, "is no absolute path"),
    ("/tmp/in_target.d: {keep: a}\n", 1, "is no absolute path"),
    ("/c:\n", 1, "must say which files to keep"),
    ("/c: {keep: []}\n", 1, "must say which files to keep"),
    ("/c: {keep: [a, 1]}\n", 1, "must say which files to keep"),
    ("/c:\n  keep: /a\n", 2, "the pattern /a leads out of it"),
    ("/c:\n  keep:\n    - a\n    - ../a\n", 4, "the pattern ../a leads out of it"),
    ("/c:\n  keep: a\n  kep: b\n", 3, "kep is no key of package-caches.yaml"),
    ("/c:\n  keep: a\n  early: 1\n", 3, "early is true or false"),
    ("/c:\n  keep: a\n  when: KEEP\n", 3, "malformed when: 'KEEP'"),
]


@pytest.mark.parametrize(("text", "line", "message"), WRONG)
def test_what_is_wrong_is_told_by_a_build_and_by_lint(text: str, line: int, message: str, tmp_path: Path) -> None:
    one = element(tmp_path, text)
    with pytest.raises(FileError) as caught:
        declared([one], ENVIRONMENT)
    assert message in caught.value.message
    assert caught.value.line == line
    findings = [(finding.line, finding.code) for finding in lint([tmp_path]).findings]
    assert findings == [(line, "package-caches")]


def test_lint_knows_what_is_set(tmp_path: Path) -> None:
    one = element(tmp_path, "/c:\n  keep: a\n  when: [ONE_CACHE = 1, NOT_SET = 1]\n")
    (one.path / "environment.d").mkdir()
    (one.path / "environment.d/10-one.bash").write_text("export ONE_CACHE=${ONE_CACHE:-1}\n")
    (finding,) = lint([tmp_path]).findings
    assert (finding.line, finding.code) == (3, "when-unset")
    assert "NOT_SET" in finding.message


@pytest.mark.parametrize(("value", "paths"), [("1", ["/var/cache/apt"]), ("0", [])])
def test_the_caches_of_debian(value: str, paths: list[str]) -> None:
    environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", "DIB_APT_LOCAL_CACHE": value}
    plan = make_plan(Settings(elements=("debian-minimal",), arch="amd64", environ=environ), Catalog.load([]))
    assert [cache.path for cache in plan.packages.caches] == paths
    assert all(cache.early and "archives/*.deb" in cache.keep for cache in plan.packages.caches)


def test_where_downloads_are_kept_is_in_no_key() -> None:
    def keys(value: str) -> list[str]:
        environ = {"PATH": "/usr/bin:/bin", "HOME": "/root", "DIB_APT_LOCAL_CACHE": value}
        settings = Settings(elements=("debian-minimal",), arch="amd64", environ=environ, packages_epoch="x")
        steps = make_plan(settings, Catalog.load([])).steps
        return [step.key for step in steps if step.phase.name != "cleanup"]  # a manifest lists all variables

    assert keys("1") == keys("0")
