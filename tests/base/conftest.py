"""A server on loopback that publishes files and misbehaves as told."""

from __future__ import annotations

import hashlib
import http.server
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dib_py.base.download import Patience
from dib_py.events import Event, Events, Message
from dib_py.settings import Settings

Trick = Callable[["Handler", bytes], None]


@dataclass
class Publisher:
    """``files`` by path; ``tricks`` are used up one a request, then the server is honest."""

    files: dict[str, bytes] = field(default_factory=dict)
    tricks: list[Trick] = field(default_factory=list)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0
    server: http.server.ThreadingHTTPServer | None = None
    validators: bool = True
    ranges: bool = True

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}/{path}"

    # what the next request that is not planned yet will meet

    def cut(self, after: int) -> None:
        """The connection ends after so many bytes of what was announced."""
        self.tricks.append(_cut(after))

    def stall(self, after: int, seconds: float) -> None:
        """So many bytes, then nothing for so long."""
        self.tricks.append(_stall(after, seconds))

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Something else than the file."""
        self.tricks.append(_answer(status, body, headers))

    def rest_of_another_version(self) -> None:
        """Range is heeded, If-Range is not."""
        self.tricks.append(_rest_of_another_version)

    def no_length(self) -> None:
        """The connection's end is the file's end."""
        self.tricks.append(_no_length)

    def trickle(self, seconds: float) -> None:
        """One byte at a time, for so long."""
        self.tricks.append(_trickle(seconds))

    def asked(self, name: str) -> list[dict[str, str]]:
        """The headers of each request for a file."""
        return [headers for path, headers in self.requests if path == f"/{name}"]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    publisher: Publisher

    def do_GET(self) -> None:
        self.publisher.requests.append((self.path, dict(self.headers.items())))
        content = self.publisher.files.get(self.path.removeprefix("/"))
        if content is None:
            return self.send_error(404)
        trick = self.publisher.tricks.pop(0) if self.publisher.tricks else honest
        self.close_connection = True
        return trick(self, content)

    def etag(self, content: bytes) -> str:
        return f'"{hashlib.md5(content).hexdigest()}"'

    def start(self, status: int, content: bytes, length: int | None, **headers: str) -> None:
        self.send_response(status)
        if self.publisher.validators:
            self.send_header("ETag", self.etag(content))
        if length is not None:
            self.send_header("Content-Length", str(length))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def honest(handler: Handler, content: bytes) -> None:
    publisher, etag = handler.publisher, handler.etag(content)
    if publisher.validators and handler.headers.get("If-None-Match") == etag:
        return handler.start(304, content, 0)
    wanted = handler.headers.get("Range", "")
    if publisher.ranges and wanted and handler.headers.get("If-Range", etag) == etag:
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        total = len(content)
        if start >= total:
            return handler.start(416, content, 0, Content_Range=f"bytes */{total}")
        handler.start(206, content, total - start, Content_Range=f"bytes {start}-{total - 1}/{total}")
        content = content[start:]
    else:
        handler.start(200, content, len(content))
    handler.wfile.write(content)
    return None


def _cut(after: int) -> Trick:
    def trick(handler: Handler, content: bytes) -> None:
        write = handler.wfile.write
        sent = 0

        def limited(data: bytes) -> int:
            nonlocal sent
            if data.startswith(b"HTTP/"):
                return write(data)
            part = data[: max(0, after - sent)]
            sent += len(part)
            return write(part)

        handler.wfile.write = limited
        honest(handler, content)

    return trick


def _stall(after: int, seconds: float) -> Trick:
    def trick(handler: Handler, content: bytes) -> None:
        _cut(after)(handler, content)
        handler.wfile.flush()
        time.sleep(seconds)

    return trick


def _answer(status: int, body: bytes, headers: dict[str, str]) -> Trick:
    def trick(handler: Handler, _content: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return trick


def _rest_of_another_version(handler: Handler, content: bytes) -> None:
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    total = len(content)
    handler.start(206, content, total - start, Content_Range=f"bytes {start}-{total - 1}/{total}")
    handler.wfile.write(content[start:])


def _no_length(handler: Handler, content: bytes) -> None:
    handler.start(200, content, None, Connection="close")
    handler.wfile.write(content)


def _trickle(seconds: float) -> Trick:
    def trick(handler: Handler, content: bytes) -> None:
        handler.start(200, content, len(content))
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            handler.wfile.write(b"Q")
            time.sleep(0.1)

    return trick


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    published = Publisher()
    handler = type("Bound", (Handler,), {"publisher": published})
    server = Server(("127.0.0.1", 0), handler)
    published.server = server
    published.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield published
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A qcow2 image of half a megabyte."""
    path = tmp_path_factory.mktemp("image") / "base.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "16M"], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -q -P 7 0 256k", str(path)], check=True)
    return path.read_bytes()


@pytest.fixture
def patience() -> Patience:
    return Patience(attempts=3, first_wait=0.01, longest_wait=0.05, stall=2.0)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path / "cache", environ={})


@pytest.fixture
def seen() -> list[Event]:
    return []


@pytest.fixture
def events(seen: list[Event]) -> Events:
    return Events(seen.append)


@pytest.fixture
def said(seen: list[Event]) -> Callable[[], str]:
    """All that was told as messages."""
    return lambda: "\n".join(event.text for event in seen if isinstance(event, Message))
