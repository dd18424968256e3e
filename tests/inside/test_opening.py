"""Images that can't be looked at: each ends in one clear message, and nothing is left behind."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dib_py.cli import diff, main
from dib_py.inside import opening
from dib_py.inside.difference import Difference, PackageChange


def made(kind: str, directory: Path) -> Path:
    image = directory / f"{kind}.qcow2"
    if kind == "directory":
        image.mkdir()
    elif kind == "text":
        image.write_text("<!DOCTYPE html><html>not found</html>")
    elif kind == "empty":
        image.touch()
    elif kind == "backed":
        (directory / "base.raw").write_bytes(bytes(1024**2))
        argv = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", image]
        subprocess.run(argv, check=True, cwd=directory)
    return image


@pytest.fixture(autouse=True)
def records(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    return tmp_path / "tmp"


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("missing", "missing.qcow2: the image does not exist"),
        ("directory", "directory.qcow2: the image is no file"),
        ("text", "text.qcow2: is no disk image but an HTML page"),
        ("empty", "empty.qcow2: is no disk image: it is empty"),
        ("backed", "backed.qcow2: the image needs a backing file of its own"),
    ],
)
def test_what_is_no_image(
    kind: str, message: str, tmp_path: Path, records: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = made(kind, tmp_path)
    assert main(["inspect", str(image)], "dib-py") == 1
    assert message in capsys.readouterr().err
    assert main(["diff", str(image), str(image)], "dib-py") == 2
    assert message in capsys.readouterr().err
    assert list(records.iterdir()) == []


def test_both_images_of_a_diff_are_checked_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(510) + b"\x55\xaa" + bytes(1024**2 - 512))
    launched: list[object] = []
    monkeypatch.setattr(opening.Appliance, "launch", launched.append)
    assert main(["diff", str(disk), str(tmp_path / "missing.qcow2")], "dib-py") == 2
    assert "missing.qcow2: the image does not exist" in capsys.readouterr().err
    assert launched == []


def test_what_is_set_for_builds_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DIB_IMAGE_SIZE", "abc")
    assert main(["inspect", str(tmp_path / "missing")], "dib-py") == 1
    assert "missing: the image does not exist" in capsys.readouterr().err


@contextmanager
def phony(path: Path, settings: object) -> Iterator[Path]:
    yield path


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (Difference(), 0),
        (Difference(unseen=(1, 0)), 2),
        (Difference(unseen=(1, 0), packages=(PackageChange("a", "", "1"),)), 1),
    ],
)
def test_what_was_not_seen_is_not_called_the_same(
    found: Difference, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diff, "check", lambda path: None)
    monkeypatch.setattr(diff, "opened", phony)
    monkeypatch.setattr(diff, "find", lambda image: image)
    monkeypatch.setattr(diff, "compare", lambda base, image: found)
    assert main(["diff", "a", "b"], "dib-py") == code


def test_usage_errors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect"], "dib-py") == 1
    assert main(["diff", "one"], "dib-py") == 2
    assert "Missing argument 'IMAGE'" in capsys.readouterr().err
