"""The metadata service of clouds, as OpenStack and EC2 have it, for images that take nothing from a NoCloud disk.

Formats: https://docs.openstack.org/nova/latest/user/metadata.html and EC2's "instance metadata categories"; of both,
what cloud-init's data sources read.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dib_py.verify.checks import Request, Seed
from dib_py.verify.namespace import METADATA_ADDRESS
from dib_py.verify.seed import user_data

PORT = 80
VERSIONS = ("2012-08-10", "2013-10-17", "2015-10-15", "2018-08-27", "latest")  # of OpenStack's
EC2_VERSIONS = ("1.0", "2009-04-04", "latest")
_MOST_REQUESTS = 10_000  # that are remembered: a guest may ask in a loop
_IDLE = 30.0  # seconds for one request
_TOKEN = "/latest/api/token"  # EC2's second version, which cloud-init asks for first


class Metadata:
    """What the service answers, and what it was asked."""

    def __init__(self, seed: Seed, started: float) -> None:
        """``started``: the verification's, on the monotonic clock."""
        self._files = {**_openstack(seed), **_ec2(seed)}
        self._started = started
        self._requests: list[Request] = []
        self._lock = threading.Lock()

    @property
    def requests(self) -> Sequence[Request]:
        with self._lock:
            return tuple(self._requests)

    def answer(self, method: str, path: str) -> tuple[int, str]:
        """Status and body for a request, which is remembered."""
        status, body = self._find(method, path)
        with self._lock:
            if len(self._requests) < _MOST_REQUESTS:
                self._requests.append(Request(time.monotonic() - self._started, method, path, status))
        return status, body

    def _find(self, method: str, path: str) -> tuple[int, str]:
        wanted = re.sub("/+", "/", path.partition("?")[0]).rstrip("/")
        if method == "PUT":
            return (200, "token") if wanted == _TOKEN else (405, "")
        if wanted in self._files:
            return 200, self._files[wanted]
        names = {self._below(name, wanted) for name in self._files if name.startswith(f"{wanted}/")}
        names -= {name.rstrip("/") for name in names if name.endswith("/")}
        return (200, "\n".join(sorted(names))) if names else (404, "")

    def _below(self, name: str, directory: str) -> str:
        """The entry of a directory that leads to ``name``; EC2 ends the names of directories with a slash."""
        first, slash, _ = name[len(directory) + 1 :].partition("/")
        return first + (slash if directory.rpartition("/")[2] not in ("", "openstack") else "")


@contextmanager
def served(metadata: Metadata, address: str = METADATA_ADDRESS, port: int = PORT) -> Iterator[tuple[str, int]]:
    """The address at which the service listens, in the network namespace of the thread that calls this."""

    class Handler(BaseHTTPRequestHandler):
        timeout = _IDLE

        def _answer(self) -> None:
            status, body = metadata.answer(self.command, self.path)
            data = body.encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json" if body.startswith("{") else "text/plain")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_HEAD = do_PUT = do_POST = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: requests are remembered."""

    with ThreadingHTTPServer((address, port), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, name="metadata", daemon=True)
        thread.start()
        try:
            yield str(server.server_address[0]), int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join()


def _openstack(seed: Seed) -> dict[str, str]:
    document = {
        "uuid": seed.instance_id,
        "hostname": seed.host_name,
        "name": seed.host_name,
        "launch_index": 0,
        "availability_zone": "nova",
        "public_keys": {"verify": seed.public_key},
        "keys": [{"name": "verify", "type": "ssh", "data": seed.public_key}],
    }
    files = {}
    for version in VERSIONS:
        files[f"/openstack/{version}/meta_data.json"] = json.dumps(document)
        files[f"/openstack/{version}/user_data"] = user_data(seed)
        files[f"/openstack/{version}/vendor_data.json"] = "{}"
    return files


def _ec2(seed: Seed) -> dict[str, str]:
    values = {
        "instance-id": seed.instance_id,
        "ami-id": "ami-verify",
        "hostname": seed.host_name,
        "local-hostname": seed.host_name,
        "local-ipv4": "10.0.2.15",
        "instance-type": "verify",
        "placement/availability-zone": "nova",
        "public-keys": "0=verify",
        "public-keys/0/openssh-key": seed.public_key,
    }
    files: dict[str, str] = {}
    for version in EC2_VERSIONS:
        files |= {f"/{version}/meta-data/{name}": value for name, value in values.items()}
        files[f"/{version}/user-data"] = user_data(seed)
    return files
