"""Images of Linux with hardly anything on them, looked at in the appliance; made without being mounted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dib_py.cli import main
from tests.inside.test_rpm import database, made_by_rpm

MIB = 1024**2
SIZE = 64 * MIB
STATUS = "Package: {0}\nStatus: install ok installed\nArchitecture: amd64\nVersion: {1}\n\n"
pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(600)]


def tree(root: Path, distribution: str) -> Path:
    texts = {
        "etc/os-release": f'ID={distribution}\nVERSION_ID="9.3"\nPRETTY_NAME="A phony one"\n',
        "etc/fstab": "LABEL=root / ext4 defaults 0 1\n",
        "etc/hosts": "127.0.0.1 localhost\n",
        "etc/hostname": "phony\n",
    }
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "bin").mkdir()
    shutil.copyfile("/bin/true", root / "bin" / "bash")
    (root / "etc" / "outside").symlink_to("../../../../../etc/passwd")
    return root


def image(root: Path, path: Path) -> Path:
    """A raw disk with one partition that has the files of ``root``."""
    with path.open("wb") as file:
        file.truncate(SIZE)
    table = b"label: dos\nstart=2048, type=83, bootable\n"
    subprocess.run(["sfdisk", "-q", path], input=table, check=True, capture_output=True)
    make = ["mke2fs", "-q", "-t", "ext4", "-L", "root", "-d", root, "-E", f"offset={MIB}", path, f"{SIZE // MIB - 1}M"]
    subprocess.run(make, check=True, capture_output=True)
    return path


def told(capsys: pytest.CaptureFixture[str], code: int, *words: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*map(str, words), "--json"], "dib-py") == code, capsys.readouterr().err
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@made_by_rpm
def test_an_rpm_database_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tree(tmp_path / "tree", "rocky")
    shutil.copytree(database(tmp_path, tiny="Epoch: 3"), root / "var/lib/rpm")
    found = told(capsys, 0, "inspect", image(root, tmp_path / "rocky.raw"))
    facts = found["linux"]
    assert (facts["distribution"], facts["version"], facts["title"]) == ("rocky", "9.3", "A phony one")
    assert (facts["package_manager"], facts["packages"]) == ("rpm", 1)
    assert facts["hostname"] == "phony"
    assert [one["path"] for one in found["filesystems"]] == ["/"]


def test_two_images_of_dpkg(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    images = []
    for name, versions in (("old", {"bash": "5.1", "gone": "1"}), ("new", {"bash": "5.2"})):
        root = tree(tmp_path / name, "debian")
        status = root / "var/lib/dpkg/status"
        status.parent.mkdir(parents=True)
        status.write_text("".join(STATUS.format(*one) for one in versions.items()))
        images.append((root, tmp_path / f"{name}.raw"))
    new = images[1][0]
    (new / "etc" / "motd").write_text("welcome")
    (new / "etc" / "hosts").write_text("127.0.0.1 LOCALHOST\n")
    os.utime(new / "etc" / "hosts", (10**9, 10**9))  # mke2fs keeps whole seconds only
    os.utime(new / "etc" / "hostname", (10**9, 10**9))  # with what it held
    old, changed = (image(root, path) for root, path in images)
    found = told(capsys, 1, "diff", old, changed)
    assert found["packages"] == [
        {"name": "bash:amd64", "before": "5.1", "after": "5.2"},
        {"name": "gone:amd64", "before": "1", "after": None},
    ]
    files = [(one["path"], one["change"], one.get("what")) for one in found["files"]]
    assert files == [
        ("/etc/hosts", "changed", ["content"]),
        ("/etc/motd", "added", None),
        ("/var/lib/dpkg/status", "changed", ["size"]),
    ]


def test_an_image_without_an_operating_system(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tree" / "data").mkdir(parents=True)
    assert main(["inspect", str(image(tmp_path / "tree", tmp_path / "data.raw"))], "dib-py") == 1
    message = capsys.readouterr().err
    assert "data.raw: no operating system was found" in message
