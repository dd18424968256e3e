"""The digest of a base that is here is known before a build asks for it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dib_py.base import BaseSpec, obtain
from dib_py.base.known import known_digest
from dib_py.events import Events
from dib_py.settings import Settings

Publisher = Any  # of conftest.py


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "compressed"])
@pytest.mark.parametrize("local", [False, True], ids=["remote", "local"])
def test_it_is_what_a_build_finds(
    packed: bool, local: bool, publisher: Publisher, image: bytes, settings: Settings, tmp_path: Path
) -> None:
    name, content = ("x.qcow2.gz", gzip.compress(image)) if packed else ("x.qcow2", image)
    publisher.files[name] = content
    (tmp_path / name).write_bytes(content)
    spec = BaseSpec(str(tmp_path / name) if local else publisher.url(name), "", "a test")
    if packed or not local:
        assert known_digest(spec, settings) == ""
    base = obtain(spec, settings, Events())
    asked = len(publisher.requests)
    assert known_digest(spec, settings) == base.digest
    assert len(publisher.requests) == asked


def test_another_content_has_another_digest(image: bytes, settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "x.qcow2"
    file.write_bytes(image)
    spec = BaseSpec(str(file), "", "a test")
    assert known_digest(spec, settings) == f"sha256:{hashlib.sha256(image).hexdigest()}"
    file.write_bytes(image + b"\0" * 512)
    assert known_digest(spec, settings) == f"sha256:{hashlib.sha256(image + bytes(512)).hexdigest()}"


def test_what_is_cached_must_be_what_is_asked_for(publisher: Publisher, image: bytes, settings: Settings) -> None:
    publisher.files["x.qcow2"] = image
    spec = BaseSpec(publisher.url("x.qcow2"), "", "a test")
    obtain(spec, settings, Events())
    assert known_digest(replace(spec, checksum=f"sha256:{'0' * 64}"), settings) == ""
    assert known_digest(replace(spec, checksum=f"sha256:{hashlib.sha256(image).hexdigest()}"), settings) != ""


def test_an_absent_cache_stays_so(settings: Settings, tmp_path: Path) -> None:
    nowhere = replace(settings, cache_dir=tmp_path / "nowhere")
    for location in ("http://127.0.0.1:1/x.qcow2", "/nowhere/x.qcow2"):
        assert known_digest(BaseSpec(location, "", "a test"), nowhere) == ""
    assert not (tmp_path / "nowhere").exists()
