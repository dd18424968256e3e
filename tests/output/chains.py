"""A real chain of overlays, and what qemu's own tools say of images made of it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from dib_py.disk.chain import Chain

MIB = 1024 * 1024


def qemu_img(*arguments: object) -> str:
    argv = ["qemu-img", *map(str, arguments)]
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_chain(directory: Path, size: int = 64 * MIB) -> Chain:
    """A base with a pattern at 0 and one at its end, and an overlay with another at 8 MiB."""
    base, top = directory / "base.qcow2", directory / "top.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", base, size)
    for pattern, start, length in ((0x11, 0, MIB), (0x33, size - MIB // 2, MIB // 2)):
        write = f"write -q -P {pattern} {start} {length}"
        subprocess.run(["qemu-io", "-f", "qcow2", "-c", write, base], check=True)
    qemu_img("create", "-q", "-f", "qcow2", "-b", base.name, "-F", "qcow2", top)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", f"write -q -P 0x22 {8 * MIB} 1M", top], check=True)
    return Chain.of([base, top])


def info(path: Path, format: str) -> dict[str, Any]:
    """What qemu-img says of an image that it opens as ``format``, and nothing else."""
    found: dict[str, Any] = json.loads(qemu_img("info", "--output=json", "-f", format, path))
    return found
