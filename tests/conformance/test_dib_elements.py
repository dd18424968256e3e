"""docs/dib-elements.rst has a verdict for each of diskimage-builder's elements, and one image of them is built here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "dib-elements"


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, TOOL, "check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    page = (ROOT / "docs" / "dib-elements.rst").read_text()
    assert len(re.findall(r"^   \* - ``", page, re.MULTILINE)) == 128


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the largest of the page's images was built, with some 30 elements beside ``debian-minimal vm``.

    DIB_PY_TEST_ELEMENTS names the directory of ``tools/dib-elements build --work``, where that was done already.
    """
    if named := os.environ.get("DIB_PY_TEST_ELEMENTS"):
        return Path(named)
    directory = tmp_path_factory.mktemp("work")
    arguments = ["build", "cloud", "--work", directory, "--results", directory / "results.json"]
    done = subprocess.run([sys.executable, TOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return directory


@pytest.fixture(scope="module")
def tree(work: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    image, tree = work / "out/cloud.raw", tmp_path_factory.mktemp("tree") / "mounted"
    table = json.loads(subprocess.run(["sfdisk", "--json", image], capture_output=True, check=True).stdout)
    (partition,) = table["partitiontable"]["partitions"]
    assert (table["partitiontable"]["label"], partition["bootable"]) == ("dos", True)
    tree.mkdir()
    offset = partition["start"] * 512
    subprocess.run(["mount", "-o", f"loop,ro,offset={offset}", image, tree], check=True)
    try:
        yield tree
    finally:
        subprocess.run(["umount", tree], check=True)


@pytest.mark.slow
@pytest.mark.root
class TestImage:
    """It is what hooks that were written for diskimage-builder make of it."""

    def test_every_element_ran(self, work: Path) -> None:
        results = json.loads((work / "results.json").read_text())
        assert {"debian-minimal", "vm", "debootstrap", "dpkg", "package-installs", "svc-map"} < results.keys()
        assert len(results) > 40

    def test_it_can_boot(self, tree: Path, work: Path) -> None:
        with (work / "out/cloud.raw").open("rb") as image:
            assert image.read(440).strip(b"\0"), "no boot code"
        menu = (tree / "boot/grub/grub.cfg").read_text()
        assert re.search(r"linux\s+/boot/vmlinuz-\S+ root=LABEL=cloudimg-rootfs", menu)
        assert "/dev/loop" not in menu
        assert (tree / "boot/grub/i386-pc/core.img").exists()
        assert (tree / "etc/fstab").read_text().split()[:3] == ["LABEL=cloudimg-rootfs", "/", "ext4"]
        assert list((tree / "boot").glob("initrd.img-*"))

    def test_what_elements_left(self, tree: Path) -> None:
        wanted = tree / "etc/systemd/system/multi-user.target.wants"
        assert {"ssh.service", "growroot.service", "fail2ban.service"} <= {path.name for path in wanted.iterdir()}
        assert "NoCloud" in (tree / "etc/cloud/cloud.cfg.d/91-dib-cloud-init-datasources.cfg").read_text()
        assert "devuser" in (tree / "etc/passwd").read_text()
        assert (tree / "home/devuser/.ssh/authorized_keys").read_text().startswith("ssh-ed25519")
        assert (tree / "etc/apt/apt.conf").exists()
        assert "blacklist pcspkr" in (tree / "etc/modprobe.d/blacklist.conf").read_text()
        assert "debian-minimal" in (tree / "etc/dib-manifests/dib-element-manifest").read_text().split()

    def test_what_held_for_the_build_only_is_gone(self, tree: Path) -> None:
        assert list((tree / "tmp").iterdir()) == []
        assert not (tree / "usr/sbin/policy-rc.d").exists()
        assert not (tree / "sbin/start-stop-daemon.REAL").exists()
        assert not list((tree / "var/cache/apt/archives").glob("*.deb"))
        assert not list((tree / "etc/ssh").glob("ssh_host_*"))
        assert (tree / "etc/machine-id").read_text() == "uninitialized\n"

    def test_what_is_beside_it(self, work: Path) -> None:
        out = work / "out"
        assert (out / "cloud.vmlinuz").stat().st_size > 1e6
        assert (out / "cloud.initrd").stat().st_size > 1e6
        manifest = json.loads((out / "cloud.d/dib-manifests/dib-manifest-dpkg-cloud").read_text())
        assert any(one["package"] == "cloud-init" for one in manifest["packages"])
        assert list((work / "cache/apt/debian").glob("*.deb")), "the cache that root.d mounts was filled"
