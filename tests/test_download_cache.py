"""Downloads of package managers: what a build finds, what it leaves for others, and what a killed one does to it."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.base import BaseImage
from dib_py.download_cache import NONE, Build, Cache, cache_directory, opened
from dib_py.element import Catalog
from dib_py.events import Event, Events, Message
from dib_py.packages import PackageCache
from dib_py.phases import FINALISE, POST_INSTALL
from dib_py.plan import Plan, make_plan
from dib_py.settings import Settings
from dib_py.target import CacheTree

APT, DNF = "/var/cache/apt", "/var/cache/dnf"
CACHES = (PackageCache(APT, ("archives/*.deb", "lists/*"), early=True), PackageCache(DNF, ("**/*.rpm",)))


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "packages", CACHES)


def put(build: Build, path: str, text: str = "content") -> Path:
    file = build.root / path.lstrip("/")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def kept(cache: Cache) -> dict[str, str]:
    files = (path for path in cache.files.rglob("*") if path.is_file())
    return {str(path.relative_to(cache.files)): path.read_text() for path in files}


def test_what_one_build_downloads_the_next_one_has(cache: Cache) -> None:
    first = cache.begin(keep=True)
    put(first, f"{APT}/archives/a.deb", "a")
    put(first, f"{APT}/lists/mirror_Packages", "list")
    put(first, f"{DNF}/repository/packages/b.rpm", "b")
    put(first, f"{APT}/archives/lock")
    put(first, f"{APT}/pkgcache.bin")
    cache.end(first)
    assert not first.root.exists()
    second = cache.begin(keep=True)
    tree = cache.tree(second)
    assert tree == CacheTree(second.root, (APT, DNF), (APT,), True)
    found = {str(path.relative_to(tree.root)) for path in tree.root.rglob("*") if path.is_file()}
    assert found == {
        f"{APT[1:]}/archives/a.deb",
        f"{APT[1:]}/lists/mirror_Packages",
        f"{DNF[1:]}/repository/packages/b.rpm",
    }
    assert (tree.source(APT) / "archives/a.deb").samefile(cache.files / "var/cache/apt/archives/a.deb")
    cache.end(second)


def test_a_guest_that_empties_its_cache_empties_its_own(cache: Cache) -> None:
    first = cache.begin(keep=True)
    put(first, f"{APT}/archives/a.deb")
    cache.end(first)
    second = cache.begin(keep=True)
    (second.root / "var/cache/apt/archives/a.deb").unlink()
    cache.end(second)
    assert kept(cache) == {"var/cache/apt/archives/a.deb": "content"}


def test_builds_at_the_same_time_do_not_meet(cache: Cache) -> None:
    one, other = cache.begin(keep=True), cache.begin(keep=True)
    put(one, f"{APT}/archives/a.deb")
    put(other, f"{APT}/archives/a.deb")
    put(other, f"{APT}/archives/b.deb")
    cache.end(one)
    assert other.root.exists(), "it is at work"
    third = cache.begin(keep=True)
    assert other.root.exists()
    cache.end(other)
    cache.end(third)
    assert set(kept(cache)) == {"var/cache/apt/archives/a.deb", "var/cache/apt/archives/b.deb"}


def test_what_changed_replaces_what_was_kept_and_others_keep_theirs(cache: Cache) -> None:
    first = cache.begin(keep=True)
    put(first, f"{APT}/lists/l", "old")
    cache.end(first)
    reader, writer = cache.begin(keep=True), cache.begin(keep=True)
    fresh = put(writer, f"{APT}/lists/fresh", "new")
    fresh.replace(fresh.with_name("l"))  # as package managers and dpkg's script do it
    cache.end(writer)
    assert kept(cache)["var/cache/apt/lists/l"] == "new"
    assert (reader.root / "var/cache/apt/lists/l").read_text() == "old"
    cache.end(reader)
    assert kept(cache)["var/cache/apt/lists/l"] == "new", "what a build only had is nothing new"


@pytest.mark.parametrize("keep", [True, False])
def test_what_a_killed_build_left_is_taken_over(cache: Cache, keep: bool) -> None:
    child = os.fork()
    if child == 0:
        build = cache.begin(keep=keep)
        put(build, f"{APT}/archives/whole.deb")
        put(build, f"{APT}/archives/partial/half.deb")
        put(build, f"{APT}/lists/.new/half")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    cache.end(cache.begin(keep=True))
    assert set(kept(cache)) == ({"var/cache/apt/archives/whole.deb"} if keep else set())
    assert list((cache.files.parent / "builds").iterdir()) == []


def test_what_a_killed_build_left_replaces_nothing(cache: Cache) -> None:
    first = cache.begin(keep=True)
    put(first, f"{APT}/lists/l", "newer, for all that is known")
    leftover = cache.begin(keep=True)
    put(leftover, f"{APT}/lists/l", "older")
    cache.end(first)
    os.close(leftover.lock)  # as if it had been killed
    cache.end(cache.begin(keep=True))
    assert kept(cache) == {"var/cache/apt/lists/l": "newer, for all that is known"}


def test_what_is_not_whole_or_not_a_file_is_not_kept(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret.rpm").write_text("secret")
    build = cache.begin(keep=True)
    put(build, f"{APT}/archives/.hidden.deb")
    put(build, f"{APT}/archives/empty.deb", "")
    (build.root / "var/cache/apt/archives/directory.deb").mkdir()
    (build.root / "var/cache/apt/archives/link.deb").symlink_to(tmp_path / "outside/secret.rpm")
    (build.root / "var/cache/dnf/out").symlink_to(tmp_path / "outside")
    os.mkfifo(build.root / "var/cache/apt/archives/fifo.deb")
    cache.end(build)
    assert kept(cache) == {}


def test_a_guest_that_put_a_link_in_place_of_a_directory(cache: Cache, tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/secret.deb").write_text("secret")
    build = cache.begin(keep=True)
    (build.root / "var/cache/apt/archives").symlink_to(tmp_path / "archives")
    cache.end(build)
    assert kept(cache) == {}
    assert (tmp_path / "archives/secret.deb").exists()


def test_nobody_keeps_what_nobody_vouches_for(cache: Cache) -> None:
    build = cache.begin(keep=False)
    put(build, f"{APT}/archives/evil.deb")
    cache.end(build)
    assert kept(cache) == {}


def test_a_takeover_that_was_killed_leaves_nothing_half(cache: Cache) -> None:
    cache.end(cache.begin(keep=True))
    (cache.files / "var/cache/apt/archives").mkdir(parents=True)
    (cache.files / "var/cache/apt/archives/.0123456789abcdef").write_text("linked and not yet renamed")
    build = cache.begin(keep=True)
    assert list((build.root / "var/cache/apt/archives").iterdir()) == []
    cache.end(build)
    assert kept(cache) == {}


def test_the_guest_may_read_it_whatever_the_umask_is(cache: Cache) -> None:
    before = os.umask(0o077)
    try:
        build = cache.begin(keep=True)
    finally:
        os.umask(before)
    for path in ("var", "var/cache", "var/cache/apt"):
        assert (build.root / path).stat().st_mode & 0o777 == 0o755
    cache.end(build)


# -- of a build


ENVIRON = {"PATH": "/usr/bin:/bin", "HOME": "/root"}


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    element = tmp_path / "elements/os"
    (element / "environment.d").mkdir(parents=True)
    (element / "environment.d/10-os.bash").write_text("export DISTRO_NAME=penguin DIB_RELEASE=one CACHED=yes\n")
    (element / "element-provides").write_text("operating-system\n")
    (element / "package-caches.yaml").write_text("/var/cache/apt: {keep: archives/*.deb, when: CACHED = yes}\n")
    settings = Settings(elements=("os",), arch="amd64", environ=ENVIRON, cache_dir=tmp_path / "cache", skip_base=True)
    return make_plan(settings, Catalog.load([], builtin=tmp_path / "elements"))


@pytest.fixture
def said() -> list[Event]:
    return []


def texts(said: list[Event]) -> Iterator[str]:
    return (event.text for event in said if isinstance(event, Message))


def test_downloads_are_by_distribution_release_and_architecture(plan: Plan, tmp_path: Path) -> None:
    assert cache_directory(plan, plan.settings) == tmp_path / "cache/packages/penguin-one-amd64"


@pytest.mark.parametrize("environment", [{"DISTRO_NAME": ""}, {"DIB_RELEASE": ""}, {"DIB_RELEASE": "../x"}])
def test_without_a_name_there_is_no_cache(environment: dict[str, str], plan: Plan, said: list[Event]) -> None:
    nameless = replace(plan, environment={**plan.environment, **environment})
    with opened(nameless, plan.settings, None, Events(said.append)) as caches:
        assert caches == NONE
    assert said == []


def test_a_build_that_fails_keeps_what_it_downloaded(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(KeyError), opened(plan, plan.settings, None, Events()) as caches:
        archives = caches.source("/var/cache/apt") / "archives"
        archives.mkdir()
        (archives / "a.deb").write_text("a")
        raise KeyError
    assert (tmp_path / "cache/packages/penguin-one-amd64/files/var/cache/apt/archives/a.deb").read_text() == "a"


@pytest.mark.parametrize(
    ("verified", "trusted", "is_kept"), [(False, False, False), (True, False, True), (False, True, True)]
)
def test_an_image_has_to_be_vouched_for(
    verified: bool, trusted: bool, is_kept: bool, plan: Plan, tmp_path: Path
) -> None:
    base = BaseImage(tmp_path / "image", "qcow2", 1, "sha256:0", verified)
    settings = replace(plan.settings, trust_base=trusted)
    with opened(plan, settings, base, Events()) as caches:
        assert caches.paths == ("/var/cache/apt",)
        assert caches.kept is is_kept


def test_steps_behind_the_last_install_need_no_cache(plan: Plan) -> None:
    with opened(plan, plan.settings, None, Events(), reached=POST_INSTALL) as caches:
        assert caches.paths
    with opened(plan, plan.settings, None, Events(), reached=FINALISE) as caches:
        assert caches == NONE


def test_a_cache_that_cannot_be_used_is_none(plan: Plan, tmp_path: Path, said: list[Event]) -> None:
    (tmp_path / "cache").write_text("no directory")
    with opened(plan, plan.settings, None, Events(said.append)) as caches:
        assert caches == NONE
    assert any("no package cache" in text for text in texts(said))


def test_downloads_that_cannot_be_kept_fail_nothing(plan: Plan, tmp_path: Path, said: list[Event]) -> None:
    with opened(plan, plan.settings, None, Events(said.append)) as caches:
        archives = caches.source("/var/cache/apt") / "archives"
        archives.mkdir()
        (archives / "a.deb").write_text("a")
        (tmp_path / "cache/packages/penguin-one-amd64/files/var").write_text("in the way")
    assert any("downloads could not be kept" in text for text in texts(said))
    assert not caches.root.exists()
