"""Whole builds of a phony Windows on NTFS, in the appliance; what came of them is read by other programs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.windows import virtio_media
from tests.windows.ntfs_image import NtfsImage

pytestmark = [pytest.mark.slow, pytest.mark.appliance, pytest.mark.timeout(900)]

GIB = 1024**3
REG = 'Windows Registry Editor Version 5.00\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\Contoso]\n"Site"="none"\n'
ELEMENTS = ("windows", "virtio", "ems", "icmp", "power", "rdp", "contoso")


@dataclass
class Builder:
    """Builds below ``directory``, which has an element of its own."""

    directory: Path
    base: Path

    def __post_init__(self) -> None:
        for path, text in {
            "registry.d/50-contoso.reg": REG,
            "files/WINDOWS/system32/contoso.txt": "in a folder that is spelled another way\n",
            "files/ProgramData/ssh/administrators_authorized_keys": "ssh-ed25519 AAAA nobody\n",
            "files.yaml": "- {path: 'C:\\Contoso\\fetched.txt', fetched: contoso.txt}\n",
            "extra-data.d/50-contoso": '#!/bin/bash\necho fetched >"$TMP_HOOKS_PATH/contoso.txt"\n',
            "firstboot.d/50-contoso.cmd": "echo started\r\n",
        }.items():
            self.element(path).parent.mkdir(parents=True, exist_ok=True)
            self.element(path).write_text(text)
        self.element("extra-data.d/50-contoso").chmod(0o755)
        virtio_media.write_directory(virtio_media.media(["2k22"]), self.directory / "virtio-win")

    def element(self, path: str) -> Path:
        return self.directory / "elements/contoso" / path

    def build(self, name: str, *elements: str, **environ: str) -> str:
        """Returns what was printed."""
        done = subprocess.run(
            [sys.executable, "-m", "dib_py", "--log-format", "json", "-o", name, *(elements or ELEMENTS)],
            cwd=self.directory,
            env={
                **os.environ,
                "DIB_LOCAL_IMAGE": str(self.base),
                "ELEMENTS_PATH": str(self.directory / "elements"),
                "TMPDIR": str(self.directory),
                "DIB_IMAGE_CACHE": str(self.directory / "cache"),
                "DIB_VIRTIO_WIN": "virtio-win",
                **environ,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @property
    def artefacts(self) -> list[str]:
        """What steps left outside the image, by the layers' store."""
        found = []
        for path in (self.directory / "cache/layers/artefacts").iterdir():
            with tarfile.open(path) as archive:
                found += archive.getnames()
        return found

    def image(self, name: str) -> NtfsImage:
        return NtfsImage.of(self.directory / f"{name}.qcow2", self.directory)


def test_built_and_built_again(tmp_path: Path, windows_disks: dict[str, Path]) -> None:
    builder = Builder(tmp_path, windows_disks["server"])
    printed = builder.build("first")
    assert steps(printed, "LayerHit") == []
    assert {"50-contoso", "ems/bcd.yaml", "rdp/firewall.yaml", "contoso/firstboot.d/50-contoso.cmd"} <= set(
        steps(printed, "StepFinished")
    )
    first = builder.image("first")
    assert first.is_clean
    # read by others: the registry, the files with who may do what, the boot configuration on the ESP
    assert '"Site"=str(1):"none"' in readable(first.export("SOFTWARE", r"\Contoso"))
    assert '"fDenyTSConnections"=dword:00000000' in first.export("SYSTEM", r"\ControlSet001\Control\Terminal Server")
    assert "contoso.txt" in first.names("/Windows/System32")
    assert '"Start"=dword:00000000' in first.export("SYSTEM", r"\ControlSet001\Services\viostor")
    assert "oem-netkvm.inf" in first.export("DRIVERS", r"\DriverDatabase\DriverInfFiles")
    assert {"viostor.sys", "vioscsi.sys"} <= set(first.names("/Windows/System32/drivers"))
    assert first.mode("/Windows/System32/drivers/viostor.sys") == "0755"
    assert "WINDOWS" not in first.names("/")
    assert first.text("/Contoso/fetched.txt").strip() == "fetched"
    assert first.mode("/Windows/System32/contoso.txt") == "0755"
    assert first.mode("/ProgramData/ssh/administrators_authorized_keys") == "0700"

    # what a hook fetched is kept with its step, and nothing of the engine's own
    assert "hooks/contoso.txt" in builder.artefacts
    assert not any(name.startswith("build/") for name in builder.artefacts)

    # the same again starts no appliance at all
    printed = builder.build("first")
    assert steps(printed, "StepFinished") == []

    # another value: what was before it is not done again
    builder.element("registry.d/50-contoso.reg").write_text(REG.replace("none", "north"))
    printed = builder.build("second")
    hits, done = steps(printed, "LayerHit"), steps(printed, "StepFinished")
    assert {"contoso/files", "contoso/files.yaml", "50-contoso"} <= set(hits)
    assert "contoso/registry.d/50-contoso.reg" in done and "contoso/files" not in done
    second = builder.image("second")
    assert second.is_clean
    assert '"Site"=str(1):"north"' in readable(second.export("SOFTWARE", r"\Contoso"))
    assert second.text("/Contoso/fetched.txt").strip() == "fetched"
    assert second.export("SYSTEM", "\\") == first.export("SYSTEM", "\\")


def test_a_legacy_image_with_a_bios(tmp_path: Path, windows_disks: dict[str, Path]) -> None:
    """Another control set, all names in capitals, Setup is through with it, and C: grows with the disk."""
    builder = Builder(tmp_path, windows_disks["legacy"])
    builder.build("old", "windows", "rdp", "ems", "contoso", DIB_IMAGE_SIZE="2")
    old = builder.image("old")
    assert 1.8 * GIB < old.size < 2 * GIB
    for directory in ("/", "/WINDOWS", "/WINDOWS/SYSTEM32"):
        names = old.names(directory)
        assert len({name.casefold() for name in names}) == len(names)
    assert "contoso.txt" in old.names("/WINDOWS/SYSTEM32")


def steps(printed: str, kind: str) -> list[str]:
    events = [json.loads(line) for line in printed.splitlines() if line.startswith("{")]
    return [event["name"] for event in events if event["event"] == kind]


def readable(export: str) -> str:
    """An export with the strings of its values as text, which hivexregedit writes as bytes of UTF-16."""

    def text(match: re.Match[str]) -> str:
        data = bytes.fromhex(match[2].replace(",", ""))
        return f'str({match[1]}):"{data.decode("utf-16-le").rstrip(chr(0))}"'

    return re.sub(r"hex\(([12])\):((?:[0-9a-f]{2},?)*)", text, export.replace("\\\n  ", ""))
