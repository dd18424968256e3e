"""A tiny repository of Debian packages, served on this machine, that counts what is asked of it."""

from __future__ import annotations

import functools
import hashlib
import http.server
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

RELEASE = "Origin: tests\nCodename: tests\nDate: Sat, 01 Nov 2025 00:00:00 UTC\nSHA256:\n {digest} {size} Packages\n"


def make(directory: Path, *names: str) -> None:
    """Packages of these names in a flat repository; each has one file, /opt/NAME."""
    entries = []
    for name in names:
        tree = directory / f"{name}.tree"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: 1.0\nArchitecture: all\nMaintainer: x <x@example.com>\nDescription: x\n"
        (tree / "DEBIAN/control").write_text(control)
        (tree / "opt").mkdir()
        (tree / "opt" / name).write_text(f"{name}\n")
        package = directory / f"{name}_1.0_all.deb"
        argv = ["dpkg-deb", "--root-owner-group", "--build", tree, package]
        subprocess.run(argv, check=True, capture_output=True)
        digest = hashlib.sha256(package.read_bytes()).hexdigest()
        place = f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
        entries.append(control + place)
    listed = "\n".join(entries).encode()
    (directory / "Packages").write_bytes(listed)
    (directory / "Release").write_text(RELEASE.format(digest=hashlib.sha256(listed).hexdigest(), size=len(listed)))


class Server(http.server.ThreadingHTTPServer):
    """Serves the repository; ``asked`` has the names that were sent whole."""

    def __init__(self, directory: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Handler, directory=str(directory)))
        self.asked: list[str] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])


class Handler(http.server.SimpleHTTPRequestHandler):
    """It answers If-Modified-Since, as mirrors do."""

    server: Server

    def log_request(self, code: object = "-", size: object = "-") -> None:
        if str(int(code) if isinstance(code, int) else code) == "200":
            self.server.asked.append(self.path.rpartition("/")[2])

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(directory: Path) -> Iterator[Server]:
    """The repository on a port of this machine, until the end: then nothing answers there."""
    server = Server(directory)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join(60)
