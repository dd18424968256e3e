"""Which base a build asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.base import BaseSpec, base_spec
from dib_py.errors import BaseError, FileError
from dib_py.settings import Settings


@pytest.fixture
def element(tmp_path: Path) -> Path:
    file = tmp_path / "base-image.yaml"
    file.write_text(
        "url: ${DIB_CLOUD_IMAGES}/${DIB_RELEASE}/debian-${ARCH}.qcow2\n"
        "checksum: ${DIB_CLOUD_IMAGES}/${DIB_RELEASE}/SHA512SUMS\n"
    )
    return file


ENVIRONMENT = {"DIB_CLOUD_IMAGES": "https://mirror.example/cloud", "DIB_RELEASE": "bookworm", "ARCH": "amd64"}


def test_nothing_asked_for_is_a_blank_disk() -> None:
    assert base_spec(Settings(), None, ENVIRONMENT) is None


def test_declared_by_the_element(element: Path) -> None:
    assert base_spec(Settings(), element, ENVIRONMENT) == BaseSpec(
        "https://mirror.example/cloud/bookworm/debian-amd64.qcow2",
        "https://mirror.example/cloud/bookworm/SHA512SUMS",
        str(element),
    )


@pytest.mark.parametrize("missing", ["DIB_CLOUD_IMAGES", "ARCH"])
def test_counts_only_if_all_its_variables_are_set(element: Path, missing: str) -> None:
    unset = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    assert base_spec(Settings(), element, unset) is None
    assert base_spec(Settings(), element, {**unset, missing: ""}) is None


def test_an_element_that_can_not_do_without_says_so(element: Path) -> None:
    element.write_text(f"{element.read_text()}missing: ${{DIB_RELEASE}} has no image\n")
    assert base_spec(Settings(), element, ENVIRONMENT) is not None
    assert base_spec(Settings(base="x.qcow2"), element, {}) is not None
    with pytest.raises(BaseError, match="bookworm has no image") as raised:
        base_spec(Settings(), element, {"DIB_RELEASE": "bookworm"})
    assert "--base" in raised.value.hint


def test_the_user_goes_before_the_element(element: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = base_spec(Settings(base="images/x.qcow2", base_checksum="md5:1"), element, ENVIRONMENT)
    assert spec == BaseSpec(f"{tmp_path}/images/x.qcow2", "md5:1", "--base or DIB_LOCAL_IMAGE")


def test_the_users_checksum_goes_before_the_elements(element: Path) -> None:
    spec = base_spec(Settings(base_checksum="a" * 64), element, ENVIRONMENT)
    assert spec and spec.checksum == "a" * 64


def test_a_checksum_of_nothing() -> None:
    with pytest.raises(BaseError, match="starts from no base image"):
        base_spec(Settings(base_checksum="a" * 64), None, ENVIRONMENT)


def test_shown_without_secrets() -> None:
    spec = BaseSpec("https://me:secret@mirror.example/x.qcow2?signature=secret", "", "")
    assert str(spec) == "https://mirror.example/x.qcow2"


def test_a_dollar_is_doubled(tmp_path: Path) -> None:
    file = tmp_path / "base-image.yaml"
    file.write_text("url: https://mirror.example/$$x/$y\n")
    spec = base_spec(Settings(), file, {})
    assert spec and spec.location == "https://mirror.example/$x/$y"


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        ("url: x\nchecksun: y\n", "unknown key 'checksun'", 2),
        ("checksum: y\n", "has no url", None),
        ("url:\n  - x\n", "url takes a text", 1),
        ("url: ''\n", "url takes a text", 1),
        ("- url\n", "is no mapping of url, checksum", 1),
        ("", "is no mapping", 1),
        ("url: x\nchecksum: ${A:-b}\n", "is no variable", 2),
        ("url: x\nurl: [\n", "bad YAML", 3),
    ],
)
def test_mistakes_are_shown_with_their_place(tmp_path: Path, text: str, message: str, line: int | None) -> None:
    file = tmp_path / "base-image.yaml"
    file.write_text(text)
    with pytest.raises(FileError, match=message) as caught:
        base_spec(Settings(), file, ENVIRONMENT)
    assert caught.value.line == line
    assert caught.value.where == (f"{file}:{line}" if line else str(file))


def test_keys_come_with_the_element_or_from_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "base-image.yaml"
    file.write_text(
        "url: https://x.example/a\nchecksum: https://x.example/s\nsignature: ${SIGNATURE}\nkeyring: ${KEYS}\n"
    )
    spec = base_spec(Settings(), file, {"SIGNATURE": "https://x.example/s.gpg", "KEYS": "keys/x.asc"})
    assert spec and (spec.signature, spec.keyring) == ("https://x.example/s.gpg", str(tmp_path / "keys/x.asc"))
    spec = base_spec(Settings(), file, {"KEYS": "/usr/share/keyrings/x.gpg"})
    assert spec and (spec.signature, spec.keyring) == ("", "/usr/share/keyrings/x.gpg")
    spec = base_spec(Settings(), file, {})
    assert spec and (spec.location, spec.signature, spec.keyring) == ("https://x.example/a", "", "")


def test_a_checksum_that_was_given_needs_no_signature(tmp_path: Path) -> None:
    file = tmp_path / "base-image.yaml"
    file.write_text("url: https://x.example/a\nsignature: https://x.example/s.gpg\nkeyring: x.asc\n")
    spec = base_spec(Settings(base_checksum="a" * 64), file, {})
    assert spec and (spec.signature, spec.keyring) == ("", "")
