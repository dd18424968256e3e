"""``dib-py verify`` as one types it, as far as nothing has to be booted."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dib_py.cli import main
from dib_py.digest import Memory
from dib_py.errors import DibError
from dib_py.verify import choice
from dib_py.verify.checks.boots import Boots
from dib_py.verify.content import content_digest
from dib_py.verify.kept import keep
from dib_py.verify.result import Verdict
from tests.verify import samples


def verify(*words: str) -> int:
    return main(["verify", *words], "dib-py")


@pytest.fixture(autouse=True)
def no_probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DIB_PY_KVM", "no")
    monkeypatch.setenv("DIB_IMAGE_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.qcow2"], "nowhere.qcow2: there is no such file"),
        ([], "Missing argument 'IMAGE'"),
        (["."], ".: is no file"),
        (["--check", "boot", "x"], "there is no check boot\n  boots?"),
        (["--profile", "minmal", "x"], "there is no profile minmal\n  minimal?"),
        (["--profile", "minimal", "--check", "boots", "x"], "--check and --profile exclude each other"),
        (["--timeout", "0", "x"], "--timeout takes seconds, up to 604800, not 0"),
        (["--timeout", "nan", "x"], "--timeout takes seconds, up to 604800, not nan"),
        (["--timeout", "inf", "x"], "--timeout takes seconds, up to 604800, not inf"),
        (["--timeout", "1e10", "x"], "--timeout takes seconds, up to 604800, not 1e+10"),
        (["--junit", "./x", "x"], "--junit: x is the image itself"),
        (["--keep-console", "x.verdict.json", "x"], "--keep-console: x.verdict.json is where the verdict is kept"),
        (["--junit", "x.verdict.html", "x"], "--junit: x.verdict.html is its page"),
        (["--junit", "log", "--keep-console", "sub/../log", "x"], "--keep-console: sub/../log is what --junit writes"),
        (["--junit", "no/such/file", "."], "--junit: no/such/file can't be written: No such file"),
        (["--junit", ".", "x"], "--junit: . can't be written: Is a directory"),
        (["--keep-console", "no/such/file", "."], "--keep-console: no/such/file can't be written: No such file"),
    ],
)
def test_what_is_asked_wrongly_is_told_before_any_work(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    assert verify(*words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.glob("*verdict*"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-f", "vmdk", "image", "1M"], "image: an image of format vmdk can't be used as it is"),
        (["-f", "qcow2", "-F", "raw", "-b", "/dev/null", "image", "1M"], "the image needs a backing file of its own"),
    ],
)
def test_an_image_that_is_not_verified_as_it_is(
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    subprocess.run(["qemu-img", "create", "-q", *argv], check=True)
    assert verify("image") == 2
    said = capsys.readouterr().err
    assert message in said and "qemu-img convert -O qcow2 image" in said
    assert not list(tmp_path.glob("*verdict*"))


def test_a_report_stays_as_it_is_until_there_is_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("old.xml").write_text("<old/>")
    assert verify("--junit", "old.xml", "nowhere.qcow2") == verify("--junit", "new.xml", "nowhere.qcow2") == 2
    assert Path("old.xml").read_text() == "<old/>" and not Path("new.xml").exists()


@pytest.mark.parametrize("option", ["--junit", "--keep-console"])
def test_no_name_of_the_image_is_written_to(
    option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("image").write_bytes(b"the only copy")
    Path("link").symlink_to("image")
    Path("other").hardlink_to("image")
    for name in ("image", "link", "other", str(tmp_path / "image")):
        assert verify(option, name, "image") == 2
        assert "is the image itself" in capsys.readouterr().err
    assert Path("image").read_bytes() == b"the only copy"


def test_a_console_stays_as_it_is_until_there_is_an_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("console").write_text("of the last time")
    assert verify("--keep-console", "console", "nowhere.qcow2") == 2
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "image", "1M"], check=True)
    with being_written(Path("image")):
        assert verify("--keep-console", "console", "image") == 2
    assert Path("console").read_text() == "of the last time"


@contextmanager
def being_written(image: Path) -> Iterator[None]:
    with subprocess.Popen(["qemu-io", image], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None and writer.stdout is not None
        writer.stdin.write(b"read 0 512\n")
        writer.stdin.flush()
        writer.stdout.readline()  # it is open, and locked
        yield
        writer.stdin.close()
        writer.stdout.read()


def test_an_image_that_is_in_use_keeps_its_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(tmp_path / "image.qcow2")
    verdict = (tmp_path / "image.qcow2.verdict.json").read_text()
    with being_written(tmp_path / "image.qcow2"):
        assert verify("--check", "boots", "--again", str(tmp_path / "image.qcow2")) == 2
    assert "the image is in use: another program writes it" in capsys.readouterr().err
    assert (tmp_path / "image.qcow2.verdict.json").read_text() == verdict


def test_a_pipe_for_the_console_is_not_waited_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    known(tmp_path / "image.qcow2")
    os.mkfifo(tmp_path / "pipe")
    assert verify("--check", "boots", "--keep-console", str(tmp_path / "pipe"), str(tmp_path / "image.qcow2")) == 0
    assert "pipe can't be written any more: No such device or address" in capsys.readouterr().out


@pytest.mark.parametrize(("exit_code", "code"), [(1, 2), (143, 143)])
def test_a_verification_that_was_ended_says_by_what(
    exit_code: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ended(*about: object) -> Verdict:
        error = DibError("it was ended")
        error.exit_code = exit_code
        raise error

    monkeypatch.setattr("dib_py.verify.verify.verify", ended)
    assert verify(str(tmp_path / "image.qcow2")) == code


def test_the_checks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert verify("--list") == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == [check.name for check in choice.known()]
    assert any(line.startswith("boots") and "minimal openstack" in line for line in listed)


def test_what_is_set_for_builds_is_not_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known(tmp_path / "image.qcow2")
    monkeypatch.setenv("DIB_IMAGE_SIZE", "abc")
    assert verify("--check", "boots", str(tmp_path / "image.qcow2")) == 0


def known(image: Path) -> Verdict:
    """An image that has passed before what is asked by ``--check boots``."""
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1M"], check=True)
    boots = replace(samples.result("boots"), version=Boots.version)
    digest = content_digest(image, "qcow2", Memory(image.with_name("digests")))
    verdict = samples.verdict(boots, boots=(samples.boot(), samples.boot(2)), digest=digest)
    keep(image, verdict)
    return verdict


def test_a_console_that_is_known_is_written_without_a_boot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdict = known(tmp_path / "image.qcow2")
    console = tmp_path / "console.log"
    assert verify("--check", "boots", "--keep-console", str(console), str(tmp_path / "image.qcow2")) == 0
    lines = [line.text for boot in verdict.boots for line in boot.console]
    assert console.read_text().splitlines() == lines and lines
    said = capsys.readouterr().out
    assert "--again boots for all bytes" in said
    assert "accelerator" not in said  # as nothing was booted


def test_a_file_that_is_no_image_has_a_verdict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = tmp_path / "letter.qcow2"
    image.write_text("Dear Sir or Madam,\n")
    junit = tmp_path / "report.xml"
    assert verify(str(image), "--json", "--junit", str(junit)) == 1
    printed = json.loads(capsys.readouterr().out)
    assert (printed["outcome"], printed["stage"]) == ("failed", "nothing")
    assert printed["reason"].startswith("the image is no disk image")
    assert {check["outcome"] for check in printed["checks"]} == {"not run"}
    assert printed == json.loads((tmp_path / "letter.qcow2.verdict.json").read_text())
    assert "is no disk image" in junit.read_text()
