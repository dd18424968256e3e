"""The ways to a server: TLS with private authorities, proxies, other schemes, and being interrupted."""

from __future__ import annotations

import dataclasses
import signal
import ssl
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from dib_py.base import BaseSpec, obtain
from dib_py.base.download import Patience
from dib_py.base.transport import shown
from dib_py.errors import BaseError
from dib_py.events import Events
from dib_py.settings import Settings

Publisher = Any  # of conftest.py


@pytest.fixture(autouse=True)
def published(publisher: Publisher, image: bytes) -> None:
    publisher.files["debian.qcow2"] = image


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1, with its key, that no system trusts."""
    path = tmp_path / "server.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=test"
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)
    with path.open("a") as file:
        file.write(Path(f"{path}.crt").read_text())
    return path


@pytest.fixture
def secure(publisher: Publisher, certificate: Path) -> str:
    """The publisher speaks TLS; the address of its image."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    publisher.server.socket = context.wrap_socket(publisher.server.socket, server_side=True)
    return str(publisher.url("debian.qcow2").replace("http:", "https:"))


def test_an_unknown_authority_is_refused_at_once(
    secure: str, settings: Settings, events: Events, patience: Patience, said: Callable[[], str]
) -> None:
    with pytest.raises(BaseError, match="the server's certificate can't be trusted") as caught:
        obtain(BaseSpec(secure, "", "a test"), settings, events, patience)
    assert "--ca-bundle" in caught.value.hint
    assert said() == ""


@pytest.mark.parametrize("way", ["option", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_an_authority_of_ones_own(
    secure: str, certificate: Path, settings: Settings, events: Events, image: bytes, way: str
) -> None:
    changes: dict[str, Any] = (
        {"ca_bundle": str(certificate)} if way == "option" else {"environ": {way: str(certificate)}}
    )
    base = obtain(BaseSpec(secure, "", "a test"), dataclasses.replace(settings, **changes), events)
    assert base.path.read_bytes() == image


def test_a_bundle_that_is_none(secure: str, settings: Settings, events: Events) -> None:
    with pytest.raises(BaseError, match="certificate authorities can't be read from /missing"):
        obtain(BaseSpec(secure, "", "a test"), dataclasses.replace(settings, ca_bundle="/missing"), events)


def test_a_proxy_of_the_environment(
    publisher: Publisher, settings: Settings, events: Events, image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy is asked for the whole address; here it is the publisher itself."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", publisher.url(""))
    publisher.files["http://mirror.invalid/debian.qcow2"] = image
    base = obtain(BaseSpec("http://mirror.invalid/debian.qcow2", "", "a test"), settings, events)
    assert base.path.read_bytes() == image
    assert [path for path, _headers in publisher.requests] == ["http://mirror.invalid/debian.qcow2"]


def test_any_scheme_of_fsspec(settings: Settings, events: Events, image: bytes) -> None:
    with fsspec.open("memory://bucket/debian.qcow2", "wb") as file:
        file.write(image)
    base = obtain(BaseSpec("memory://bucket/debian.qcow2", "", "a test"), settings, events)
    assert base.path.read_bytes() == image


@pytest.mark.parametrize("url", ["nosuch://x/debian.qcow2", "memory://bucket/missing.qcow2"])
def test_what_can_not_be_reached(settings: Settings, events: Events, url: str) -> None:
    with pytest.raises(BaseError, match=url):
        obtain(BaseSpec(url, "", "a test"), settings, events)


def test_addresses_are_shown_without_secrets() -> None:
    assert shown("https://me:pass@mirror.example:8/a.qcow2?sig=1#x") == "https://mirror.example:8/a.qcow2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_frees_the_cache(
    publisher: Publisher, settings: Settings, events: Events, image: bytes, number: signal.Signals
) -> None:
    publisher.stall(100_000, 30)
    program = f"""
        from pathlib import Path
        from dib_py.base import BaseSpec, obtain
        from dib_py.events import Events
        from dib_py.settings import Settings
        settings = Settings(cache_dir=Path({str(settings.cache_dir)!r}), environ={{}})
        obtain(BaseSpec({publisher.url("debian.qcow2")!r}, "", "a test"), settings, Events())
    """
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stderr=subprocess.PIPE) as build:
        _wait_for(lambda: _partial_size(settings) == 100_000)
        build.send_signal(number)
        build.communicate(timeout=60)
    publisher.requests.clear()
    base = obtain(BaseSpec(publisher.url("debian.qcow2"), "", "a test"), settings, events)
    assert base.path.read_bytes() == image
    assert publisher.asked("debian.qcow2")[0]["Range"].startswith("bytes=")


def _partial_size(settings: Settings) -> int:
    assert settings.cache_dir
    return sum(path.stat().st_size for path in settings.cache_dir.glob("base/*/partial"))


def _wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_no_thread_is_left(publisher: Publisher, settings: Settings, events: Events) -> None:
    """A build forks after it has its base, which a process of many threads had better not do."""
    obtain(BaseSpec(publisher.url("debian.qcow2"), "", "a test"), settings, events)
    names = {thread.name for thread in threading.enumerate()}
    assert not {name for name in names if name.startswith(("fsspec", "asyncio", "ThreadPoolExecutor"))}
