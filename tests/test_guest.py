"""What the engine brings into the guest is looked at before a build starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dib_py.errors import UsageError
from dib_py.guest import authorities


def test_authorities_that_were_asked_for_are_certificates(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    with pytest.raises(UsageError, match=r"--ca-bundle: .*ca.crt can't be read: No such file"):
        authorities(str(bundle), {})
    bundle.write_text("root:x:0:0\n")
    with pytest.raises(UsageError, match=r"--ca-bundle: .*ca.crt holds no certificates"):
        authorities(str(bundle), {})
    bundle.write_text("a comment\n-----BEGIN CERTIFICATE-----\n")
    assert authorities(str(bundle), {}) == bundle


def test_authorities_of_the_environment_are_taken_where_they_are(tmp_path: Path) -> None:
    bundle = tmp_path / "ca.crt"
    assert authorities("", {"SSL_CERT_FILE": str(bundle)}) is None
    bundle.touch()
    assert authorities("", {"SSL_CERT_FILE": str(bundle)}) == bundle
