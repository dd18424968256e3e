"""Mirrors that are down, answer with web pages or lack what is asked of them: named, soon, and nothing is left."""

from __future__ import annotations

import http.server
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import build, left_behind

EXPLAIN = Path(__file__).parents[1] / "elements/debootstrap/bootstrap/explain-sources"
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"
NOBODY = "http://127.0.0.1:9"  # discard: nothing listens there


class Portal(http.server.BaseHTTPRequestHandler):
    """A page for everything, as networks do that want somebody to log in first; below /empty nothing is there."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path.startswith("/empty/"):
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(PAGE)))
        self.end_headers()
        self.wfile.write(PAGE)
        return None

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def portal() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.mark.skipif(not Path("/usr/lib/apt/apt-helper").exists(), reason="needs apt")
def test_sources_that_give_nothing_are_told_apart(portal: str) -> None:
    sources = (
        f"deb {portal}/debian bookworm main\n"
        f"deb [signed-by=/x,/y] {NOBODY}/debian bookworm-updates main contrib\n"
        f"deb {portal}/empty sid main\n"
        f"deb {portal}/empty flat/\n"
    )
    done = subprocess.run([EXPLAIN], input=sources, capture_output=True, text=True, check=True)
    page, down, missing, flat = done.stdout.splitlines()
    assert page == f"debootstrap: {portal}/debian has no bookworm: it answers with a web page"
    assert down.startswith(f"debootstrap: {NOBODY}/debian has no bookworm-updates: ")
    assert "refused" in down
    assert missing.startswith(f"debootstrap: {portal}/empty has no sid: 404")
    assert flat.startswith(f"debootstrap: {portal}/empty has no flat/: 404")


@pytest.mark.root
@pytest.mark.skipif(not shutil.which("mmdebstrap"), reason="needs mmdebstrap")
@pytest.mark.parametrize("how", ["down", "page"])
def test_a_bootstrap_from_such_a_mirror(portal: str, how: str, tmp_path: Path) -> None:
    mirror = f"{NOBODY if how == 'down' else portal}/debian"
    environ = {"DIB_DISTRIBUTION_MIRROR": mirror, "DIB_DEBIAN_SECURITY_MIRROR": mirror, "ARCH": "amd64"}
    code, output = build(tmp_path, Path(), "debian-minimal", **environ)
    assert code == 1
    last = output.splitlines()[-1]
    assert f"{mirror} has no trixie-security: " in last
    assert ("refused" if how == "down" else "web page") in last
    assert "08-debootstrap of element debootstrap failed" in output
    assert not list(tmp_path.glob("out*"))
    assert left_behind(tmp_path) == []


@pytest.mark.root
@pytest.mark.parametrize(
    ("mirror", "said"),
    [
        ("{portal}", "{portal}/SHA256SUMS is an HTML page"),
        ("{portal}/empty", "{portal}/empty/SHA256SUMS is not there (404)"),
    ],
)
def test_a_cloud_image_from_such_a_mirror(portal: str, mirror: str, said: str, tmp_path: Path) -> None:
    code, output = build(tmp_path, Path(), "ubuntu", DIB_CLOUD_IMAGES=mirror.format(portal=portal), ARCH="amd64")
    assert code == 1
    assert said.format(portal=portal) in output
    assert not list(tmp_path.glob("out*"))
    assert left_behind(tmp_path) == []
