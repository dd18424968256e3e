"""Checksum files that publishers sign: beside them or in them, by known keys, by others, or not at all."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dib_py.base import BaseImage, BaseSpec, obtain
from dib_py.base.download import Patience
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings

Publisher = Any  # of conftest.py

pytestmark = pytest.mark.skipif(not (shutil.which("gpg") and shutil.which("gpgv")), reason="needs gpg and gpgv")


class Signer:
    """A key pair of its own."""

    def __init__(self, home: Path) -> None:
        home.mkdir(mode=0o700, parents=True)
        self._home = home
        self.gpg("--passphrase", "", "--quick-generate-key", f"{home.name} <x@example.com>", "ed25519", "sign", "never")
        self.keyring = home / "public.gpg"
        self.keyring.write_bytes(self.gpg("--export"))
        self.armored = home / "public.asc"
        self.armored.write_bytes(b"A note before it.\n\n" + self.gpg("--armor", "--export"))

    def gpg(self, *arguments: str, text: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self._home), "--batch", *arguments]
        return subprocess.run(command, input=text, check=True, capture_output=True).stdout

    def detached(self, text: bytes) -> bytes:
        return self.gpg("--detach-sign", text=text)

    def inline(self, text: bytes) -> bytes:
        return self.gpg("--clearsign", text=text)

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self._home), "--kill", "gpg-agent"], check=False)


@pytest.fixture(scope="module")
def publisher_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    signer = Signer(tmp_path_factory.mktemp("gpg") / "publisher")
    yield signer
    signer.close()


@pytest.fixture(scope="module")
def other_key(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Signer]:
    signer = Signer(tmp_path_factory.mktemp("gpg") / "other")
    yield signer
    signer.close()


IMAGE = bytes(510) + b"\x55\xaa" + bytes(512)
LIST = f"{hashlib.sha256(IMAGE).hexdigest()} *x.raw\n".encode()


Fetch = Callable[..., tuple[BaseImage, str]]


@pytest.fixture
def fetch(
    publisher: Publisher, settings: Settings, events: Events, patience: Patience, said: Callable[[], str]
) -> Fetch:
    """Obtain the image with its list; returns it and what was told."""
    publisher.files = {"x.raw": IMAGE, "SHA256SUMS": LIST}

    def fetched(keyring: Path | str = "", signature: str = "", of_image: str = "") -> tuple[BaseImage, str]:
        where, whole = (publisher.url(name) if name else "" for name in (signature, of_image))
        spec = BaseSpec(publisher.url("x.raw"), publisher.url("SHA256SUMS"), "an element", where, str(keyring), whole)
        return obtain(spec, settings, events, patience), said()

    return fetched


@pytest.mark.parametrize("form", ["keyring", "armored"])
def test_a_signature_beside_the_list(publisher: Publisher, publisher_key: Signer, fetch: Fetch, form: str) -> None:
    publisher.files["SHA256SUMS.gpg"] = publisher_key.detached(LIST)
    image, said = fetch(getattr(publisher_key, form), "SHA256SUMS.gpg")
    assert image.verified
    assert said == ""


def test_a_signed_list(publisher: Publisher, publisher_key: Signer, fetch: Fetch) -> None:
    publisher.files["SHA256SUMS"] = publisher_key.inline(LIST)
    assert fetch(publisher_key.armored)[0].verified


def test_what_stands_outside_the_signed_part_does_not_count(
    publisher: Publisher, publisher_key: Signer, fetch: Fetch
) -> None:
    publisher.files["SHA256SUMS"] = LIST + publisher_key.inline(b"0" * 64 + b" *other.raw\n")
    with pytest.raises(BaseError, match=r"lists no x\.raw"):
        fetch(publisher_key.keyring)


@pytest.mark.parametrize("how", ["unsigned", "changed", "another key's", "a page", "missing"])
def test_signatures_that_are_none(
    publisher: Publisher,
    publisher_key: Signer,
    other_key: Signer,
    fetch: Fetch,
    how: str,
) -> None:
    files = publisher.files
    match how:
        case "unsigned":
            pass  # and no address of a signature: the list has to be signed itself
        case "changed":
            files["SHA256SUMS.gpg"] = publisher_key.detached(LIST)
            files["SHA256SUMS"] = LIST.replace(b"x.raw", b"x.raw\n# a line more")
        case "another key's":
            files["SHA256SUMS.gpg"] = other_key.detached(LIST)
        case "a page":
            files["SHA256SUMS.gpg"] = b"<!DOCTYPE html><html><body>Log in</body></html>"
    with pytest.raises(BaseError) as raised:
        fetch(publisher_key.keyring, "" if how == "unsigned" else "SHA256SUMS.gpg")
    expected = {
        "changed": "SHA256SUMS is not signed as it should be: BAD signature",
        "another key's": "SHA256SUMS is not signed as it should be: Can't check signature: No public key",
        "a page": "SHA256SUMS.gpg is an HTML page",
        "missing": "SHA256SUMS.gpg is not there (404)",
        "unsigned": "SHA256SUMS is not signed as it should be",
    }
    assert expected[how] in str(raised.value)


def test_without_a_keyring_it_is_said(publisher: Publisher, fetch: Fetch) -> None:
    publisher.files["SHA256SUMS.gpg"] = b"never asked for"
    image, said = fetch("", "SHA256SUMS.gpg")
    assert image.verified
    assert "SHA256SUMS is not checked: no keyring" in said
    assert publisher.asked("SHA256SUMS.gpg") == []


def test_a_keyring_that_is_not_there(publisher_key: Signer, fetch: Fetch, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="none can't be read"):
        fetch(tmp_path / "none")


def test_a_page_instead_of_a_list(publisher: Publisher, fetch: Fetch) -> None:
    publisher.files["SHA256SUMS"] = b"<html><body>Not found</body></html>"
    with pytest.raises(BaseError, match="SHA256SUMS is an HTML page"):
        fetch()


def test_a_signed_image(publisher: Publisher, publisher_key: Signer, other_key: Signer, fetch: Fetch) -> None:
    publisher.files["x.raw.sig"] = publisher_key.detached(IMAGE)
    assert fetch(publisher_key.armored, of_image="x.raw.sig")[0].verified
    with pytest.raises(BaseError, match=r"x\.raw is not signed as it should be: Can't check signature: No public key"):
        fetch(other_key.keyring, of_image="x.raw.sig")
    assert "x.raw is not checked: no keyring" in fetch("", of_image="x.raw.sig")[1]
