"""Builds on stand-ins for RPM distributions: what elements make of one, offline too, and what the image then has."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.building import build, left_behind
from tests.package_repository import Server, serving

ROOT = Path(__file__).parents[1]
TOOLS = ("rpmbuild", "createrepo_c", "sfdisk", "mke2fs")
MISSING = [tool for tool in TOOLS if shutil.which(tool) is None]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.root,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
]
READY = ("cloud-init", "growroot", "acpid", "qga", "nozeroconf", "console")
FRESH = ("-t", "raw", "--no-cache")


def stand_in(distro: str, directory: Path, tree: Path) -> Path:
    subprocess.run([ROOT / "tools/stand-in", distro, directory, tree], check=True, timeout=500)
    return directory


@pytest.fixture(scope="module")
def rocky(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Path:
    return stand_in("rocky", tmp_path_factory.mktemp("rocky"), debian_tree)


@pytest.fixture(scope="module")
def fedora(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Path:
    return stand_in("fedora", tmp_path_factory.mktemp("fedora"), debian_tree)


@pytest.fixture(scope="module")
def opensuse(tmp_path_factory: pytest.TempPathFactory, debian_tree: Path) -> Path:
    return stand_in("opensuse", tmp_path_factory.mktemp("opensuse"), debian_tree)


def run(place: Path, system: Path, server: Server | int, *arguments: str, **environ: str) -> tuple[int, str]:
    port = server if isinstance(server, int) else server.port
    image = system / "image.qcow2"
    given = {"DIB_DISTRIBUTION_MIRROR": f"http://127.0.0.1:{port}", "ELEMENTS_PATH": str(place / "elements"), **environ}
    # base is in every image that somebody builds
    (place / "elements").mkdir(exist_ok=True)
    return build(place, place, *FRESH, "--base", str(image), "--trust-base", *arguments, "base", **given)


@contextmanager
def mounted(image: Path) -> Iterator[Path]:
    tree = image.with_suffix(".tree")
    tree.mkdir(exist_ok=True)
    subprocess.run(["mount", "-o", "loop,ro,offset=1048576", image, tree], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["umount", tree], check=True)


def packages(tree: Path) -> set[str]:
    manifest = tree / "etc/dib-manifests/dib-manifest-rpm-out"
    return {entry["package"] for entry in json.loads(manifest.read_text())["packages"]}


def enabled(tree: Path) -> set[str]:
    return {path.name for path in (tree / "etc/systemd/system").glob("*.wants/*")}


def kept(place: Path, name: str) -> set[str]:
    return {path.name for path in (place / "cache/packages" / name / "files").rglob("*.rpm")}


def test_cloud_readiness_with_dnf_and_again_without_a_network(tmp_path: Path, rocky: Path) -> None:
    with serving(rocky / "repository") as server:
        port = server.port
        mirror = f"http://127.0.0.1:{port}"
        code, output = run(tmp_path, rocky, server, "rocky", *READY, "epel", DIB_EPEL_MIRROR=f"{mirror}/epel")
        assert code == 0, output[-3000:]
    with mounted(tmp_path / "out.raw") as tree:
        assert packages(tree) >= {"cloud-init", "cloud-utils-growpart", "acpid", "qemu-guest-agent", "rocky-release"}
        assert enabled(tree) >= {"cloud-init-local.service", "acpid.service", "growroot.service"}
        # what the build set for itself is gone, and what it was told stays
        assert "dib-py" not in (tree / "etc/dnf/dnf.conf").read_text()
        repositories = (tree / "etc/yum.repos.d/rocky.repo").read_text()
        assert f"baseurl={mirror}/$releasever/BaseOS/$basearch/os/" in repositories
        assert "mirrorlist" not in repositories
        assert f"baseurl={mirror}/epel/$releasever/Everything" in (tree / "etc/yum.repos.d/epel.repo").read_text()
        assert (tree / "etc/sysconfig/network").read_text() == "NETWORKING=yes\nNOZEROCONF=yes\n"
        assert not list((tree / "var/cache").glob("dnf/*"))
        # the kernel that came with the upgrade is the only one, and boots with what the old one booted with
        (entry,) = (tree / "boot/loader/entries").iterdir()
        text = entry.read_text()
        assert "6.12.0-2" in entry.name
        assert "root=UUID=0 ro crashkernel=1G console=tty0 console=ttyS0,115200n8" in text
        assert not any(word in text.split() for word in ("rhgb", "quiet"))
        assert f"saved_entry={entry.stem}" in (tree / "boot/grub2/grubenv").read_text()
        first = packages(tree)
    assert kept(tmp_path, "rocky-10-amd64") >= {"cloud-init-24.4-1.noarch.rpm", "kernel-core-6.12.0-2.x86_64.rpm"}
    assert left_behind(tmp_path) == []

    code, output = run(tmp_path, rocky, port, "--offline", "rocky", *READY, "epel", DIB_EPEL_MIRROR=f"{mirror}/epel")
    assert code == 0, output[-3000:]
    with mounted(tmp_path / "out.raw") as tree:
        assert packages(tree) == first
    code, output = run(tmp_path, rocky, port, "--offline", "-p", "tree", "rocky")
    assert code == 1
    assert "tree-1.0-1.noarch.rpm" in output
    assert "build once without --offline" in output


def test_cloud_readiness_with_zypper_and_again_without_a_network(tmp_path: Path, opensuse: Path) -> None:
    with serving(opensuse / "repository") as server:
        port = server.port
        code, output = run(tmp_path, opensuse, server, "opensuse", *READY)
        assert code == 0, output[-3000:]
    with mounted(tmp_path / "out.raw") as tree:
        assert packages(tree) >= {"cloud-init", "growpart", "acpid", "qemu-guest-agent"}
        assert enabled(tree) >= {"cloud-init-local.service", "acpid.service", "growroot.service"}
        repository = (tree / "etc/zypp/repos.d/repo-oss.repo").read_text()
        assert f"baseurl=http://127.0.0.1:{port}/distribution/leap/16.0/repo/oss/" in repository
        assert "keeppackages=1" not in repository
        assert not list((tree / "var/cache/zypp").iterdir())
        first = packages(tree)
    assert kept(tmp_path, "opensuse-16.0-amd64") >= {"cloud-init-24.4-1.noarch.rpm", "growpart-0.33-1.noarch.rpm"}

    code, output = run(tmp_path, opensuse, port, "--offline", "opensuse", *READY)
    assert code == 0, output[-3000:]
    with mounted(tmp_path / "out.raw") as tree:
        assert packages(tree) == first
    code, output = run(tmp_path, opensuse, port, "--offline", "-p", "tree", "opensuse")
    assert code != 0
    assert "build once without --offline" in output


def test_cloud_readiness_on_fedora(tmp_path: Path, fedora: Path) -> None:
    with serving(fedora / "repository") as server:
        code, output = run(tmp_path, fedora, server, "fedora", *READY)
        assert code == 0, output[-3000:]
    with mounted(tmp_path / "out.raw") as tree:
        assert packages(tree) >= {"cloud-init", "cloud-utils-growpart", "acpid", "qemu-guest-agent", "fedora-release"}
        assert "metalink" not in (tree / "etc/yum.repos.d/fedora.repo").read_text()


def test_packages_come_go_and_stay(tmp_path: Path, rocky: Path) -> None:
    """What only a removed package needed goes with it, and what somebody asked for stays."""
    for name, text in {
        "needed": "needs-lsof:\n  build-only: true\n",
        "asked": "needs-lsof:\n  build-only: true\nlsof:\n",
    }.items():
        element = tmp_path / "elements" / name
        element.mkdir(parents=True)
        (element / "package-installs.yaml").write_text(text)
        (element / "element-deps").write_text("package-installs\n")
    with serving(rocky / "repository") as server:
        for name, stays in (("needed", set()), ("asked", {"lsof"})):
            code, output = run(tmp_path, rocky, server, "rocky", name)
            assert code == 0, output[-3000:]
            with mounted(tmp_path / "out.raw") as tree:
                assert packages(tree) & {"lsof", "needs-lsof"} == stays


def test_what_is_wrong_with_packages_and_mirrors_is_named(tmp_path: Path, rocky: Path) -> None:
    with serving(rocky / "repository") as server:
        code, output = run(tmp_path, rocky, server, "-p", "no-such-package", "rocky")
        assert code == 1
        assert "no-such-package" in output
    code, output = run(tmp_path, rocky, server.port, "rocky", DIB_AVOID_PACKAGES_UPDATE="0")
    assert code == 1
    assert "baseos" in output
    assert not (tmp_path / "out.raw").exists()


def test_repositories_for_the_time_of_the_build(tmp_path: Path, rocky: Path) -> None:
    with serving(rocky / "repository") as server:
        files = []
        for name in ("one", "other"):
            files.append(tmp_path / f"{name}.repo")
            address = f"http://127.0.0.1:{server.port}/epel/10/Everything/x86_64"
            files[-1].write_text(f"[{name}]\nname={name}\nbaseurl={address}\ngpgcheck=0\n")
        named = " ".join(map(str, files))
        code, output = run(tmp_path, rocky, server, "-p", "of-epel", "rocky", DIB_YUM_REPO_CONF=named)
        assert code == 0, output[-3000:]
        with mounted(tmp_path / "out.raw") as tree:
            assert "of-epel" in packages(tree)
            assert [path.name for path in (tree / "etc/yum.repos.d").iterdir()] == ["rocky.repo"]
        code, output = run(tmp_path, rocky, server, "rocky", DIB_YUM_REPO_CONF=f"{named} {tmp_path}/none.repo")
        assert code == 1
        assert f"{tmp_path}/none.repo is no file" in output
