"""Layers that one target made are gone on from by the other, with the same content."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building import add_hook, build, content

pytestmark = [pytest.mark.slow, pytest.mark.root, pytest.mark.appliance]


def test_each_target_goes_on_from_layers_of_the_other(tmp_path: Path, debian_tree: Path) -> None:
    add_hook(tmp_path, "late", "extra-data.d/50-x", 'echo x > "$TMP_MOUNT_PATH/extra"; echo y > beside')
    add_hook(tmp_path, "late", "install.d/50-work", "echo work > /work; chown 3:4 /work")
    add_hook(tmp_path, "late", "finalise.d/95-late", "touch /late")
    images = []

    def make(name: str, *options: str, target: str) -> str:
        words = ("-t", "raw", "-o", name, "--target", target, *options, "tiny", "late")
        code, output = build(tmp_path, debian_tree, *words)
        assert code == 0, output[-3000:]
        images.append(content(tmp_path / f"{name}.raw"))
        return output

    make("cold", "--no-cache", target="host")
    make("host", target="host")
    # behind a disk that is roomy, and cut in the appliance
    add_hook(tmp_path, "late", "install.d/50-work", "# changed\necho work > /work; chown 3:4 /work")
    output = make("appliance", target="guestfs")
    assert "extra-data.d/50-x is done already" in output
    # behind a disk whose size the appliance gave it
    add_hook(tmp_path, "late", "finalise.d/95-late", "# changed\ntouch /late")
    output = make("back", target="host")
    assert "install.d/50-work is done already" in output
    assert all(image == images[0] for image in images)
