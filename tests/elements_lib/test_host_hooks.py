"""Hooks that run on the machine that builds: manifests, install types, sources, downloads, keys."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.elements_lib.host_side import ELEMENTS, Build


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


# -- manifests

DIB_ENV = """\
declare -x DIB_DEV_USER_PASSWORD="one
two"
declare -x DIB_RELEASE="bookworm"
declare -x DIB_API_TOKEN="three"
declare -x DIB_SSH_KEY="four"
declare -x DIB_My_Passwd="five"
declare -x DIB_PROXY="http://me:six@proxy.example:3128/"
declare -x DIB_KEYRING="kept"
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files of the image to root")
def test_manifests_are_copied_out_without_secrets(build: Build) -> None:
    build.merge("manifests")
    build.hook("extra-data.d/20-manifest-dir")
    (build.tree / "etc/dib-manifests/mine").write_text("content")
    build.hook("cleanup.d/01-copy-manifests-dir", DIB_ENV=DIB_ENV, DIB_ARGS="debian vm")
    saved = build.directory / "out/img.d/dib-manifests"
    assert (saved / "mine").read_text() == "content"
    assert (saved / "dib_arguments").read_text() == "debian vm\n"
    text = (saved / "dib_environment").read_text()
    assert [word for word in ("one", "two", "three", "four", "five", "six") if word in text] == []
    assert text.count('="***"') == 4
    assert 'DIB_PROXY="http://***@proxy.example:3128/"' in text
    assert 'DIB_RELEASE="bookworm"' in text
    assert 'DIB_KEYRING="kept"' in text
    inside = build.tree / "etc/dib-manifests"
    assert {path.stat().st_mode & 0o777 for path in inside.iterdir()} == {0o600}


def test_a_link_that_leads_out_of_the_tree_is_not_followed(build: Build) -> None:
    outside = build.directory / "outside"
    outside.mkdir()
    (build.tree / "etc/dib-manifests").symlink_to(outside)
    result = build.merge("manifests").hook("cleanup.d/01-copy-manifests-dir", check=False)
    assert result.returncode == 1
    assert "leads out of the guest's tree" in result.stderr
    assert list(outside.iterdir()) == []


def test_links_among_the_manifests_are_not_followed(build: Build) -> None:
    build.merge("manifests").hook("extra-data.d/20-manifest-dir")
    outside = build.directory / "outside"
    outside.write_text("of this machine")
    (build.tree / "etc/dib-manifests/dib_arguments").symlink_to(outside)
    result = build.hook("cleanup.d/01-copy-manifests-dir", check=False)
    assert result.returncode == 1
    assert "leads out of the guest's tree" in result.stderr
    assert outside.read_text() == "of this machine"


# -- install-types


def test_install_types(build: Build) -> None:
    install_d = build.hooks / "install.d"
    for name in (
        "a-source-install/70-a",
        "a-package-install/70-a",
        "b-c-source-install/71-b",
        "d-package-install/72-d",
    ):
        (install_d / name).parent.mkdir(parents=True, exist_ok=True)
        (install_d / name).write_text("")
    build.merge("install-types")
    build.hook("extra-data.d/99-enable-install-types", DIB_INSTALLTYPE_b_c="other", DIB_INSTALLTYPE_d="package")
    links = {path.name: str(path.readlink()) for path in install_d.iterdir() if path.is_symlink()}
    assert links == {"70-a": "a-source-install/70-a", "72-d": "d-package-install/72-d"}


# -- devuser


def test_the_builders_own_key_comes_in(build: Build) -> None:
    build.merge("devuser")
    keys = build.hooks / "devuser-ssh-authorized-keys"
    build.hook("extra-data.d/50-devuser")
    assert not keys.exists()
    ssh = build.directory / "home/.ssh"
    ssh.mkdir(parents=True)
    for kind in ("rsa", "ed25519"):
        (ssh / f"id_{kind}.pub").write_text(f"{kind}\n")
    build.hook("extra-data.d/50-devuser", DIB_DEV_USER_AUTHORIZED_KEYS="/dev/null")
    assert not keys.exists()
    build.hook("extra-data.d/50-devuser")
    assert keys.read_text() == "ed25519\n"


def test_keys_that_are_not_there(build: Build) -> None:
    build.merge("devuser")
    result = build.hook("extra-data.d/50-devuser", check=False, DIB_DEV_USER_AUTHORIZED_KEYS="/no/keys")
    assert result.returncode == 1
    assert "/no/keys is no file" in result.stderr


# -- source-repositories and cache-url

GIT = ["git", "-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "init.defaultBranch=master"]


def git(directory: Path, *arguments: str) -> str:
    command = [*GIT, "-C", str(directory), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    directory = tmp_path / "upstream"
    directory.mkdir()
    git(directory, "init", "--quiet")
    for text in ("first", "second"):
        (directory / "file").write_text(text)
        git(directory, "add", "file")
        git(directory, "commit", "--quiet", "-m", text)
        git(directory, "tag", text)
    return directory


HOOK = "extra-data.d/98-source-repositories"


@pytest.fixture
def fetching(build: Build) -> Build:
    build.merge("source-repositories", "cache-url", "manifests")
    build.hook("extra-data.d/20-manifest-dir")
    return build


def test_git_sources(fetching: Build, repository: Path) -> None:
    first = git(repository, "rev-parse", "first")
    (fetching.hooks / "source-repository-a").write_text(
        f"# sources\n\na-b git /opt/a file://{repository}\nb git /opt/b $WHERE {first}\nc git /opt/c $WHERE *"
    )
    fetching.hook(HOOK, WHERE=f"file://{repository}", DIB_REPOREF_a_b="first")
    assert (fetching.tree / "opt/a/file").read_text() == "first"
    assert (fetching.tree / "opt/b/file").read_text() == "first"
    assert (fetching.tree / "opt/c/file").read_text() == "second"
    assert (fetching.tree / "etc/dib-source-repositories").read_text() == "/opt/a\n/opt/b\n/opt/c\n"
    manifest = (fetching.tree / "etc/dib-manifests/dib-manifest-git-img").read_text().splitlines()
    assert manifest[0] == f"a-b git /opt/a file://{repository} {first}"


def test_git_sources_are_fetched_again_and_kept_offline(fetching: Build, repository: Path) -> None:
    (fetching.hooks / "source-repository-a").write_text(f"a git /opt/a file://{repository}\n")
    fetching.hook(HOOK)
    fetching.hook(HOOK)  # the same source twice is no conflict
    (repository / "file").write_text("third")
    git(repository, "commit", "--quiet", "-a", "-m", "third")
    shutil.rmtree(fetching.tree / "opt")
    fetching.hook(HOOK, DIB_OFFLINE="1")
    assert (fetching.tree / "opt/a/file").read_text() == "second"
    shutil.rmtree(fetching.tree / "opt")
    fetching.hook(HOOK)
    assert (fetching.tree / "opt/a/file").read_text() == "third"


def test_two_sources_at_one_place(fetching: Build, repository: Path) -> None:
    other = repository.parent / "other"
    shutil.copytree(repository, other)
    (fetching.hooks / "source-repository-a").write_text(
        f"a git /opt/a file://{repository}\nb git /opt/a file://{other}\n"
    )
    result = fetching.hook(HOOK, check=False)
    assert result.returncode == 1
    assert "/opt/a has another repository already" in result.stderr


def test_archives_and_files(fetching: Build, tmp_path: Path) -> None:
    (tmp_path / "x-1.0/sub").mkdir(parents=True)
    (tmp_path / "x-1.0/sub/file").write_text("content")
    subprocess.run(["tar", "-C", tmp_path, "-czf", tmp_path / "x.tar.gz", "x-1.0"], check=True)
    url = f"file://{tmp_path}/x.tar.gz"
    (fetching.hooks / "source-repository-x").write_text(
        f"all tar /opt/all {url} .\nin tar /opt/in {url} *\nsub tar /opt/sub {url} x-1.0/sub\n"
        f"one file /opt/deep/one file://{tmp_path}/x-1.0/sub/file\npkg package /opt/pkg none\n"
    )
    fetching.hook(HOOK)
    opt = fetching.tree / "opt"
    assert (opt / "all/x-1.0/sub/file").exists()
    assert (opt / "in/sub/file").exists()
    assert (opt / "sub/file").exists()
    assert (opt / "deep/one").read_text() == "content"
    assert not (opt / "pkg").exists()
    assert not list(fetching.directory.glob("archive.*"))


@pytest.mark.parametrize(
    ("variables", "fetched"),
    [({"NO_SOURCE_REPOSITORIES": "1"}, False), ({"DIB_INSTALLTYPE_a": "package"}, False), ({}, True)],
)
def test_what_is_not_fetched(fetching: Build, repository: Path, variables: dict[str, str], fetched: bool) -> None:
    (fetching.hooks / "source-repository-a").write_text(f"a git /opt/a file://{repository}\n")
    (fetching.hooks / "source-repository-a~").write_text("broken\n")
    fetching.hook(HOOK, **variables)
    assert (fetching.tree / "opt/a").exists() is fetched


def test_another_place_for_all_repositories(fetching: Build, repository: Path) -> None:
    (fetching.hooks / "source-repository-a").write_text("a git /opt/a https://nowhere.example/upstream\n")
    fetching.hook(HOOK, DIB_GITREPOBASE=f"file://{repository.parent}")
    assert (fetching.tree / "opt/a/file").exists()


@pytest.mark.parametrize("line", ["a git /opt/a", "a svn /opt/a https://x", "a git opt/a https://x"])
def test_lines_that_are_none(fetching: Build, line: str) -> None:
    (fetching.hooks / "source-repository-a").write_text(f"{line}\n")
    result = fetching.hook(HOOK, check=False)
    assert result.returncode == 1
    assert "source-repository-a: not NAME TYPE" in result.stderr


def cache_url(*arguments: str, **fake: str) -> subprocess.CompletedProcess[str]:
    command = [ELEMENTS / "cache-url/bin/cache-url", *arguments]
    environment = {"PATH": fake.get("path", "") + os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def test_downloading_a_file(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("content")
    target = tmp_path / "deep/target"
    assert cache_url(f"file://{tmp_path}/source", str(target)).returncode == 0
    assert target.read_text() == "content"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    assert cache_url(f"file://{tmp_path}/missing", str(target)).returncode == 1
    assert target.read_text() == "content"
    assert cache_url("only-one").returncode == 1


@pytest.mark.parametrize(("answer", "code"), [("404", 44), ("500", 1), ("304", 0)])
def test_answers_of_the_server(tmp_path: Path, answer: str, code: int) -> None:
    curl = tmp_path / "curl"
    curl.write_text(
        f'#!/bin/sh\nwhile [ $# -gt 1 ]; do [ "$1" != --output ] || echo page > "$2"; shift; done\nprintf {answer}\n'
    )
    curl.chmod(0o755)
    target = tmp_path / "target"
    target.write_text("old")
    assert cache_url("http://x.example/a", str(target), path=f"{tmp_path}:").returncode == code
    assert target.read_text() == "old"


# -- dpkg's keys


def test_keys_come_into_the_image(build: Build) -> None:
    keys = build.directory / "keys"
    keys.mkdir()
    (keys / "a.gpg").write_text("key")
    build.merge("dpkg", "manifests")
    build.hook("root.d/09-apt-keyring")
    assert not (build.tree / "etc/apt").exists()
    build.hook("root.d/09-apt-keyring", DIB_ADD_APT_KEYS=str(keys))
    assert (build.tree / "etc/apt/trusted.gpg.d/a.gpg").read_text() == "key"
