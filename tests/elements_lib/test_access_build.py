"""Whole builds with the elements for access and for what is beside an image: from nothing, and from layers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.building import add_hook, build, content

pytestmark = pytest.mark.root

ELEMENTS = ("baremetal", "sbom", "devuser", "root-passwd", "manifests", "no-firewall")
PASSWORDS = {"DIB_PASSWORD": "of-root-and-long", "DIB_DEV_USER_PASSWORD": "of-dev-and-long"}
BESIDE = ("img.vmlinuz", "img.initrd", "img.spdx.json", "img.cdx.json")


def prepare(directory: Path) -> None:
    """An element that has what the tree of the tests has not: a kernel, and a package manager that does nothing."""
    text = "echo kernel > /boot/vmlinuz-6.1.0-1-amd64; echo ramdisk > /boot/initrd.img-6.1.0-1-amd64"
    add_hook(directory, "rest", "install.d/10-rest", text)
    add_hook(directory, "rest", "bin/install-packages", "exit 0")
    (directory / "elements/rest/element-deps").write_text("install-bin\n")


def run(directory: Path, tree: Path, *arguments: str) -> str:
    words = ("-o", "img", "-t", "raw", *arguments, "rest", *ELEMENTS)
    environment = {**PASSWORDS, "SOURCE_DATE_EPOCH": "1700000000"}
    code, output = build(directory, tree, *words, **environment)
    assert code == 0, output[-3000:]
    return output


def beside(directory: Path) -> dict[str, bytes]:
    return {name: (directory / name).read_bytes() for name in BESIDE}


def look_at(directory: Path, output: str) -> None:
    found = beside(directory)
    assert (found["img.vmlinuz"], found["img.initrd"]) == (b"kernel\n", b"ramdisk\n")
    packages = {package["name"] for package in json.loads(found["img.spdx.json"])["packages"]}
    assert {"img", "bash", "coreutils", "dpkg"} <= packages
    purls = {component["purl"].partition("@")[0] for component in json.loads(found["img.cdx.json"])["components"]}
    assert "pkg:deb/debian/bash" in purls
    assert len(purls) == len(packages) - 1
    saved = directory / "img.d/dib-manifests"
    assert (saved / "sbom.spdx.json").read_bytes() == found["img.spdx.json"]
    seen = [output, *(path.read_text() for path in saved.iterdir()), *map(bytes.decode, found.values())]
    assert [word for word in PASSWORDS.values() for text in seen if word in text] == []


def ran(output: str) -> bool:
    """Whether the hooks that write beside the image did."""
    return any("99-extract-kernel-and-ramdisk completed" in line for line in output.splitlines())


def test_from_nothing_and_from_layers(tmp_path: Path, debian_tree: Path) -> None:
    prepare(tmp_path)
    output = run(tmp_path, debian_tree, "tiny")
    look_at(tmp_path, output)
    assert ran(output)
    first = beside(tmp_path)
    inside = content(tmp_path / "img.raw")
    assert inside["/home/devuser"][1:3] == (1000, 1000)
    assert not [name for name in inside if name.startswith("/tmp/")]
    for name in (*BESIDE, "img.raw"):
        (tmp_path / name).unlink()
    assert not ran(run(tmp_path, debian_tree, "tiny")), "layers bring the files back"
    assert beside(tmp_path) == first


@pytest.mark.slow
@pytest.mark.appliance
def test_through_the_appliance(tmp_path: Path, debian_tree: Path) -> None:
    (tmp_path / "elements").mkdir()
    code, output = build(tmp_path, debian_tree, "-t", "qcow2", "tiny")
    assert code == 0, output[-3000:]
    (tmp_path / "out.qcow2").rename(tmp_path / "base.qcow2")
    prepare(tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "cache"], check=True)
    look_at(tmp_path, run(tmp_path, debian_tree, "--base", "base.qcow2", "--trust-base", "--target", "guestfs", "tiny"))
