"""From one image, one small package and a hook of each phase give the same content on both targets."""

from __future__ import annotations

import os
import pprint
import subprocess
import sys
from pathlib import Path

import pytest

from tests.building import ELEMENTS, content

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]

HOOKS = {
    "extra-data.d": 'mkdir -p "$TMP_MOUNT_PATH/made"; echo "$IMAGE_ELEMENT" > "$TMP_MOUNT_PATH/made/extra-data"',
    "pre-install.d": "install -d -m 2750 -o 12 -g 34 /made/pre-install",
    "install.d": "ln -s /made/pre-install /made/install; mknod /made/null c 1 3; cp /bin/sleep /made/sleep;"
    " chmod 4755 /made/sleep",
    "post-install.d": "printf '\\0\\377' > '/made/post install'; ln /made/sleep /made/hard-link; rm /etc/issue.net",
    "post-root.d": 'chown 5:6 "$TMP_MOUNT_PATH/made/extra-data"; rm -r "$TMP_MOUNT_PATH/usr/share/common-licenses"',
    "pre-finalise.d": 'echo text > "$TMP_MOUNT_PATH/made/pre-finalise"; chmod 600 "$TMP_MOUNT_PATH/made/pre-finalise"',
    "finalise.d": "mkfifo /made/fifo; touch -d @0 /made/old",
    "cleanup.d": 'rm -f "$TARGET_ROOT/etc/motd"; mkdir "$TARGET_ROOT/etc/motd"',
}


def dib_py(top: Path, target: str, *arguments: str, timeout: float) -> Path:
    """Build ``out.raw`` in a directory of its own: the image's name is in its manifests."""
    directory = top / f"{target}-{len(arguments)}"
    directory.mkdir()
    environ = {**os.environ, "ELEMENTS_PATH": f"{top / 'elements'}:{ELEMENTS}", "DIB_AVOID_PACKAGES_UPDATE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "dib_py", "-n", "-t", "raw", "-o", "out", "--target", target, *arguments],
        cwd=directory,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    return directory / "out.raw"


def test_both_targets_give_the_same_content(tmp_path: Path, debian_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    same = tmp_path / "elements" / "same"
    for directory, text in HOOKS.items():
        hook = same / directory / "50-same"
        hook.parent.mkdir(parents=True)
        hook.write_text(f"#!/bin/bash\nset -eu\n{text}\n")
        hook.chmod(0o755)
    monkeypatch.setenv("DIB_TEST_TREE", str(debian_tree))
    (same / "element-deps").write_text("dpkg\npackage-installs\n")
    (same / "package-installs.yaml").write_text("hello:\n")
    (same / "environment.d").mkdir()
    (same / "environment.d" / "10-same.bash").write_text("export DISTRO_NAME=debian DIB_INIT_SYSTEM=systemd\n")
    base = dib_py(tmp_path, "host", "--image-size", "1", "tiny", timeout=300)
    arguments = ("--base", str(base), "--trust-base", "same")
    native = content(dib_py(tmp_path, "host", *arguments, timeout=300))
    appliance = content(dib_py(tmp_path, "guestfs", *arguments, timeout=1500))
    assert "/usr/bin/hello" in native
    assert "/made/fifo" in native
    differing = {path: (native.get(path), appliance.get(path)) for path in sorted(native.keys() | appliance.keys())}
    unequal = {path: pair for path, pair in differing.items() if pair[0] != pair[1]}
    assert not unequal, pprint.pformat(unequal)
