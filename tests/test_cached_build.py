"""Builds with package caches: what is fetched once, what works with no network, and what the image has of it."""

from __future__ import annotations

import os
import pprint
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.building import add_hook, build, content, left_behind, start
from tests.package_repository import Server, make, serving

pytestmark = pytest.mark.root

KEPT = "cache/packages/debian-bookworm-amd64/files/var/cache/apt"
ENVIRONMENT = "/etc/dib-manifests/dib_environment"  # lists what a build was told
FRESH = ("-t", "raw", "--no-cache")  # every step runs


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("repository")
    make(directory, "dib-one", "dib-other")
    return directory


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where the tests' elements say what the image's one source of packages is, ``$REPOSITORY``."""
    text = 'rm -rf /etc/apt/sources.list.d; echo "deb [trusted=yes] $REPOSITORY ./" > /etc/apt/sources.list'
    add_hook(tmp_path, "local", "pre-install.d/01-source", text)
    add_hook(tmp_path, "local", "install.d/50-look", "ls -R /var/cache/apt /var/lib/apt/lists")
    (tmp_path / "elements/local/element-deps").write_text("dpkg\n")
    return tmp_path


def run(
    place: Path, tree: Path, server: Server | int, *arguments: str, package: str = "dib-one", **environ: str
) -> tuple[int, str]:
    port = server if isinstance(server, int) else server.port
    address = f"http://127.0.0.1:{port}/"
    return build(place, tree, "-p", package, *arguments, "tiny", "local", REPOSITORY=address, **environ)


def differing(one: dict[str, tuple[object, ...]], other: dict[str, tuple[object, ...]]) -> set[str]:
    return {path for path in one.keys() | other.keys() if one.get(path) != other.get(path)}


def test_what_was_fetched_once_is_not_fetched_again(place: Path, repository: Path, debian_tree: Path) -> None:
    with serving(repository) as server:
        code, output = run(place, debian_tree, server, *FRESH)
        assert code == 0, output[-3000:]
        assert set(server.asked) >= {"Release", "Packages", "dib-one_1.0_all.deb"}
        first = content(place / "out.raw")
        server.asked.clear()
        code, output = run(place, debian_tree, server, *FRESH)
        assert code == 0, output[-3000:]
        assert server.asked == []
        cached = content((place / "out.raw").rename(place / "cached.raw"))
    assert "/opt/dib-one" in first
    assert not any(path.endswith((".deb", "_Packages", ".bin")) for path in first)
    assert not differing(first, cached)
    assert left_behind(place) == []
    assert list((place / "cache/packages/debian-bookworm-amd64/builds").iterdir()) == []


def test_offline_full_caches_are_enough_and_what_they_lack_is_named(
    place: Path, repository: Path, debian_tree: Path
) -> None:
    with serving(repository) as server:
        port = server.port
        assert run(place, debian_tree, server, *FRESH)[0] == 0
        online = content((place / "out.raw").rename(place / "online.raw"))
    code, output = run(place, debian_tree, port, *FRESH, "--offline")
    assert code == 0, output[-3000:]
    assert differing(online, content(place / "out.raw")) <= {ENVIRONMENT}

    code, output = run(place, debian_tree, port, *FRESH, "--offline", package="dib-other")
    assert code == 1
    assert "install-packages: offline, and these are not in the cache:" in output
    assert f"http://127.0.0.1:{port}/./dib-other_1.0_all.deb" in output
    code, output = run(place, debian_tree, port, *FRESH)
    assert code != 0, "lists of the cache are no reason to take no notice of a mirror that is gone"
    assert f"127.0.0.1:{port}" in output
    shutil.rmtree(place / "cache/packages")
    code, output = run(place, debian_tree, port, *FRESH, "--offline")
    assert code == 1
    assert "offline, and these package lists are not in the cache:" in output
    assert f"http://127.0.0.1:{port}/./Packages" in output


@pytest.mark.slow
def test_a_build_goes_on_from_its_layers_when_the_cache_is_empty(
    place: Path, repository: Path, debian_tree: Path
) -> None:
    with serving(repository) as server:
        assert run(place, debian_tree, server, "-t", "raw")[0] == 0
        cold = content((place / "out.raw").rename(place / "cold.raw"))
        shutil.rmtree(place / "cache/packages")
        server.asked.clear()
        add_hook(place, "more", "post-install.d/60-more", "apt-get --yes install dib-other; test -e /opt/dib-one")
        code, output = run(place, debian_tree, server, "-t", "raw", "more")
        assert code == 0, output[-3000:]
        assert "pre-install.d/99-apt-get-update is done already" in output
        assert server.asked == ["dib-other_1.0_all.deb"]
    changed = content(place / "out.raw")
    assert "/opt/dib-other" in changed
    assert changed.keys() >= cold.keys()


@pytest.mark.slow
def test_without_the_cache_the_image_is_the_same(place: Path, repository: Path, debian_tree: Path) -> None:
    with serving(repository) as server:
        assert run(place, debian_tree, server, *FRESH)[0] == 0
        cached = content((place / "out.raw").rename(place / "cached.raw"))
        shutil.rmtree(place / "cache/packages")
        assert run(place, debian_tree, server, *FRESH, DIB_APT_LOCAL_CACHE="0")[0] == 0
        plain = content(place / "out.raw")
    assert not (place / "cache/packages").exists()
    assert differing(cached, plain) <= {ENVIRONMENT}


def test_a_failed_build_and_a_killed_one_keep_what_they_downloaded(
    place: Path, repository: Path, debian_tree: Path
) -> None:
    add_hook(place, "odd", "post-install.d/50-odd", 'echo "at the hook"; [ -z "${WAIT:-}" ] || sleep 3600; exit 3')
    with serving(repository) as server:
        assert run(place, debian_tree, server, *FRESH, "odd")[0] == 3
        assert (place / KEPT / "archives/dib-one_1.0_all.deb").exists()
        address = f"http://127.0.0.1:{server.port}/"
        arguments = ("-p", "dib-other", *FRESH, "tiny", "local", "odd")
        process = start(place, debian_tree, *arguments, REPOSITORY=address, WAIT="1")
        assert process.stdout is not None
        assert any("at the hook" in line for line in process.stdout)
        process.kill()
        process.stdout.read()
        process.wait(60)
        assert not (place / KEPT / "archives/dib-other_1.0_all.deb").exists()
        assert run(place, debian_tree, server, *FRESH, package="dib-one")[0] == 0
    assert (place / KEPT / "archives/dib-other_1.0_all.deb").exists()


@pytest.mark.slow
def test_a_bootstrap_with_no_network_at_all(tmp_path: Path) -> None:
    def minimal(*arguments: str, without_network: bool = False) -> tuple[int, str]:
        namespace = ["unshare", "--net"] if without_network else []
        done = subprocess.run(
            [*namespace, sys.executable, "-m", "dib_py", *FRESH, "-n", "-o", "out", *arguments, "debian-minimal"],
            cwd=tmp_path,
            env={
                **os.environ,
                "DIB_PY_TARGET": "host",
                "DIB_DEBIAN_KERNEL": "none",
                "DIB_IMAGE_CACHE": str(tmp_path / "cache"),
                "TMPDIR": str(tmp_path),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=900,
        )
        return done.returncode, done.stdout

    code, output = minimal()
    assert code == 0, output[-3000:]
    online = content((tmp_path / "out.raw").rename(tmp_path / "online.raw"))
    code, output = minimal("--offline", without_network=True)
    assert code == 0, output[-3000:]
    offline = content(tmp_path / "out.raw")
    assert online.keys() == offline.keys(), pprint.pformat(online.keys() ^ offline.keys())
    (kept,) = (tmp_path / "cache/packages").glob("debian-*/files/var/cache/apt/archives")
    next(kept.glob("base-files_*.deb")).unlink()
    code, output = minimal("--offline", without_network=True)
    assert code != 0
    assert "base-files_" in output
    assert "build once without --offline" in output


@pytest.mark.slow
@pytest.mark.appliance
def test_both_targets_use_one_cache(place: Path, repository: Path, debian_tree: Path) -> None:
    """Filled by the appliance, with a bootstrap in its image, it is enough for the other target."""
    code, output = build(place, debian_tree, "-t", "qcow2", "--image-size", "1", "tiny")
    assert code == 0, output[-3000:]
    base = (place / "out.qcow2").rename(place / "base.qcow2")
    with serving(repository) as server:
        environ = {
            "REPOSITORY": f"http://169.254.2.2:{server.port}/",  # what the appliance calls this machine
            "DISTRO_NAME": "debian",  # no operating-system element says it
            "DIB_RELEASE": "bookworm",
        }
        arguments = (*FRESH, "-p", "dib-one", "--base", str(base), "--trust-base", "local")
        code, output = build(place, debian_tree, "--target", "guestfs", *arguments, **environ)
        assert code == 0, output[-3000:]
        assert "dib-one_1.0_all.deb" in server.asked
    assert (place / KEPT / "archives/dib-one_1.0_all.deb").exists()
    first = content((place / "out.raw").rename(place / "guestfs.raw"))
    assert not any(path.endswith((".deb", "_Packages", ".bin")) for path in first)
    for target in ("host", "guestfs"):
        code, output = build(place, debian_tree, "--target", target, "--offline", *arguments, **environ)
        assert code == 0, output[-3000:]
        assert "/opt/dib-one" in content((place / "out.raw").rename(place / f"{target}-offline.raw"))
