"""Digests as people give them and as publishers list them."""

from __future__ import annotations

import hashlib
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dib_py.base.checksum import Checksum, file_name, from_published, parse_digest
from dib_py.errors import BaseError

A256, B256, A512 = "a" * 64, "b" * 64, "a" * 128
URL = "https://cloud.example/bookworm/latest/debian-12%20generic.qcow2?token=1"
NAME = "debian-12 generic.qcow2"


SIGNED = f"""-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# {NAME}: 12 bytes
SHA256 ({NAME}) = {A256}
-----BEGIN PGP SIGNATURE-----

iQIzBAEBCAAdFiEE
-----END PGP SIGNATURE-----
"""


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b"])
def test_named_algorithms(algorithm: str) -> None:
    digest = hashlib.new(algorithm, b"").hexdigest()
    assert parse_digest(f"{algorithm.upper()}:{digest.upper()}") == Checksum(algorithm, digest)


def test_the_length_tells_the_algorithm() -> None:
    assert str(parse_digest(A256)) == f"sha256:{A256}"
    assert str(parse_digest(A512)) == f"sha512:{A512}"


@pytest.mark.parametrize(
    "text", ["https://example/SHA256SUMS", "./SHA256SUMS", "/tmp/SHA512SUMS", "file:///x", "SHA256SUMS"]
)
def test_addresses_are_no_digests(text: str) -> None:
    assert parse_digest(text) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abcdef", "has 6 digits"),
        (f"sha512:{A256}", "has 64 digits, which sha512 does not have"),
        ("sha256:hello", "is not hexadecimal"),
    ],
)
def test_digests_that_can_not_be(text: str, message: str) -> None:
    with pytest.raises(BaseError, match=message):
        parse_digest(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{B256}  other.qcow2\n{A256}  {NAME}\n",
        f"{A256} *{NAME}",
        f"{A256}  ./images/{NAME}",
        f"SHA256 ({NAME}) = {A256}",
        f"SHA2-256 (x) = {B256}\nSHA-256 ({NAME}) = {A256.upper()}",
        SIGNED,
        f"{A256}\n",
        f"{'c' * 32}  {NAME}\n{A256}  {NAME}",  # the strongest counts
        f"{A256}  a/{NAME}\r\n{A256}  b/{NAME}\r\n",
    ],
)
def test_published(text: str) -> None:
    assert from_published(text, URL, "SUMS") == Checksum("sha256", A256)


def test_published_twice_with_different_digests() -> None:
    with pytest.raises(BaseError, match="more than once"):
        from_published(f"{A256}  a/{NAME}\n{B256}  b/{NAME}", URL, "SUMS")


@pytest.mark.parametrize("text", ["", "<html>\n<p>hello</p>", "deadbeef  x"])
def test_no_list_at_all(text: str) -> None:
    with pytest.raises(BaseError, match="SUMS is no checksum file"):
        from_published(text, URL, "SUMS")


def test_a_file_of_its_own_may_name_the_build_that_the_name_is_a_link_to() -> None:
    text = f"{A256}  Build-7-{NAME}\n"
    assert from_published(text, URL, f"https://x/{NAME}.sha256") == Checksum("sha256", A256)
    for published, listed in ((f"{NAME}.sha256", f"{text}{B256}  other\n"), ("SHA256SUMS", text), (f"{NAME}x", text)):
        with pytest.raises(BaseError, match="lists no"):
            from_published(listed, URL, published)


def test_names_of_addresses() -> None:
    assert file_name(URL) == NAME
    assert file_name("/srv/images/a.qcow2") == "a.qcow2"


@given(st.text())
def test_any_text_is_judged_without_a_crash(text: str) -> None:
    for judge in (parse_digest, lambda text: from_published(text, URL, "SUMS")):
        with suppress(BaseError):
            judge(text)
