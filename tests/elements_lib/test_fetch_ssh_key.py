"""fetch-ssh-key against a server on the loopback that plays the metadata service, well and badly."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.elements_lib.host_side import ELEMENTS

if TYPE_CHECKING:
    from .conftest import Guest

SCRIPT = ELEMENTS / "fetch-ssh-key/static/usr/local/sbin/fetch-ssh-key"
LIST, KEY = "/latest/meta-data/public-keys/", "/latest/meta-data/public-keys/{}/openssh-key"
OPENSTACK = "/openstack/latest/meta_data.json"
HTML = b"<html><head><title>Please log in</title></head><body>ssh-rsa AAAA</body></html>\n"

Answer = tuple[int, bytes] | Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Service:
    """What it answers, by path; every other path is not found."""

    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    token: bytes = b""  # if there is one, it has to be shown
    port: int = 0

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        self.asked.append(handler.path)
        answer: Answer = self.answers.get(handler.path, (404, HTML))
        if handler.command == "PUT":
            answer = (200, self.token) if self.token else (404, HTML)
        elif self.token and handler.headers["X-aws-ec2-metadata-token"] != self.token.decode():
            answer = (401, b"")
        if callable(answer):
            answer(handler)
            return
        status, body = answer
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        if status == 302:
            handler.send_header("Location", "/elsewhere")
        handler.end_headers()
        handler.wfile.write(body)


@pytest.fixture
def service() -> Iterator[Service]:
    service = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            service.answer(self)

        def do_PUT(self) -> None:
            service.answer(self)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    service.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield service
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("keys")
    for kind in ("rsa", "ed25519", "ecdsa"):
        command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", f"{kind} of me", "-f", directory / kind]
        subprocess.run(command, check=True)
    return [(directory / f"{kind}.pub").read_text().strip() for kind in ("rsa", "ed25519", "ecdsa")]


@dataclass
class Machine:
    root: Path
    port: int
    settings: str = "tries=2\nwait=0\ntimeout=30"
    path: str = os.environ["PATH"]
    shell: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        (self.root / "etc/default").mkdir(parents=True)
        (self.root / "root").mkdir()
        (self.root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\ncloud:x:1000:1001::/home/cloud:/bin/sh\n")

    def run(self, status: int = 0, more: str = "") -> subprocess.CompletedProcess[str]:
        text = f"user=root\nurl=http://127.0.0.1:{self.port}\n{self.settings}\n{more}\n"
        (self.root / "etc/default/fetch-ssh-key").write_text(text)
        environment = {"PATH": self.path, "FETCH_SSH_KEY_ROOT": str(self.root), "http_proxy": "http://127.0.0.1:9"}
        command = [*self.shell, str(SCRIPT)]
        result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert result.returncode == status, result.stdout + result.stderr
        return result

    @property
    def done(self) -> bool:
        return (self.root / "var/lib/fetch-ssh-key/done").exists()

    def authorized(self, home: str = "root") -> list[str] | None:
        path = self.root / home / ".ssh/authorized_keys"
        return path.read_text().splitlines() if path.exists() else None


@pytest.fixture
def machine(tmp_path: Path, service: Service) -> Machine:
    return Machine(tmp_path / "machine", service.port)


def ec2(*keys: str) -> dict[str, Answer]:
    listed = "\n".join(f"{number}=key-{number}" for number in range(len(keys)))
    return {LIST: (200, listed.encode()), **{KEY.format(n): (200, key.encode()) for n, key in enumerate(keys)}}


def openstack(*keys: str) -> dict[str, Answer]:
    named = ", ".join(f'"key \\"{n}\\"" : "{key}\\n"' for n, key in enumerate(keys))
    text = f'{{"uuid": "x", "meta": {{"a": "}}"}},\n "public_keys" :\n {{{named}}}, "name": "public_keys"}}'
    return {OPENSTACK: (200, text.encode())}


# -- good answers


@pytest.mark.parametrize("source", [ec2, openstack])
def test_keys_come_once(
    machine: Machine, service: Service, keys: list[str], source: Callable[..., dict[str, Answer]]
) -> None:
    service.answers = source(*keys)
    assert "3 keys for root" in machine.run().stdout
    assert machine.authorized() == keys
    file = machine.root / "root/.ssh/authorized_keys"
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [path.name for path in file.parent.iterdir()] == ["authorized_keys"]
    asked = len(service.asked)
    assert "was done before" in machine.run().stdout
    assert len(service.asked) == asked


def test_a_service_that_wants_a_token(machine: Machine, service: Service, keys: list[str]) -> None:
    service.token = b"AQAEAL-_zero=="
    service.answers = ec2(keys[0])
    machine.run()
    assert machine.authorized() == keys[:1]


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_keys_of_another_user_join_those_that_are_there(machine: Machine, service: Service, keys: list[str]) -> None:
    service.answers = ec2(*keys)
    ssh = machine.root / "home/cloud/.ssh"
    ssh.mkdir(parents=True)
    (ssh / "authorized_keys").write_text(f"# mine\n{keys[1]}")
    machine.run(more="user=cloud")
    assert machine.authorized("home/cloud") == ["# mine", keys[1], keys[0], keys[2]]
    assert [(path.stat().st_uid, path.stat().st_gid) for path in (ssh, ssh / "authorized_keys")] == [(1000, 1001)] * 2


def test_labels_of_selinux(machine: Machine, service: Service, keys: list[str]) -> None:
    fakes = machine.root / "fakes"
    fakes.mkdir()
    (fakes / "restorecon").write_text(f'#!/bin/sh\necho "$@" > {machine.root}/labelled\n')
    (fakes / "restorecon").chmod(0o755)
    machine.path = f"{fakes}:{machine.path}"
    service.answers = ec2(keys[0])
    machine.run()
    assert (machine.root / "labelled").read_text() == f"-R {machine.root}/root/.ssh\n"


@pytest.mark.parametrize("awk", ["mawk", "gawk", "busybox"])
@pytest.mark.parametrize("shell", ["dash", "bash", "busybox"])
def test_in_other_surroundings(
    machine: Machine, service: Service, keys: list[str], tmp_path: Path, awk: str, shell: str
) -> None:
    """Other shells and awks, wget in place of curl, no ssh-keygen."""
    if shutil.which(awk) is None or shutil.which(shell) is None or shutil.which("wget") is None:
        pytest.skip("needs the programs")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "awk").symlink_to(str(shutil.which(awk)))
    names = (
        "cat",
        "chmod",
        "chown",
        "env",
        "mkdir",
        "mktemp",
        "mv",
        "rm",
        "sleep",
        "timeout",
        "tr",
        "wc",
        "wget",
        "sh",
    )
    for name in names:
        (programs / name).symlink_to(str(shutil.which(name)))
    machine.path = str(programs)
    machine.shell = ("/bin/busybox", "sh") if shell == "busybox" else (str(shutil.which(shell)),)
    service.answers = openstack(*keys)
    machine.run()
    assert machine.authorized() == keys


# -- bad ones


def drip(handler: BaseHTTPRequestHandler) -> None:
    """An answer that never ends, a byte at a time."""
    handler.send_response(200)
    handler.end_headers()
    for _ in range(1200):
        try:
            handler.wfile.write(b"0")
            handler.wfile.flush()
        except OSError:
            return
        time.sleep(0.5)


def silence(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(600)


def flood(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    for _ in range(200):
        try:
            handler.wfile.write(b"0=key\n" * 10000)
        except OSError:
            return


@pytest.mark.parametrize(
    "listed",
    [(404, HTML), (500, b""), (200, b""), (200, HTML), (200, b"\0\1\2"), (302, b"0=key"), drip, silence, flood],
    ids=["404", "500", "empty", "html", "binary", "redirection", "drip", "silence", "flood"],
)
def test_bad_lists(machine: Machine, service: Service, keys: list[str], listed: Answer) -> None:
    service.answers = {"/elsewhere": (200, b"0=key"), **ec2(keys[0]), LIST: listed, OPENSTACK: listed}
    start = time.monotonic()
    assert "no key from http://127.0.0.1" in machine.run(1, "timeout=1").stderr
    assert time.monotonic() - start < 120
    assert service.asked.count(LIST) == 2, "as often as it was told to try"
    assert machine.authorized() is None
    assert not machine.done


@pytest.mark.parametrize(
    "spoil",
    [
        lambda key: b"",
        lambda key: HTML,
        lambda key: key[:200],
        lambda key: key[:201],
        lambda key: b"ssh-rsa AAAA",
        lambda key: key + b"\nYour session has expired\n",
        lambda key: b'command="evil" ' + key,
        lambda key: b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
    ],
    ids=["empty", "html", "cut", "cut-elsewhere", "short", "more-than-keys", "options", "private"],
)
def test_bad_keys(machine: Machine, service: Service, keys: list[str], spoil: Callable[[bytes], bytes]) -> None:
    service.answers = {**ec2(*keys), KEY.format(1): (200, spoil(keys[0].encode()))}
    machine.run(1)
    assert machine.authorized() is None
    assert not machine.done


@pytest.mark.parametrize(
    "text",
    [
        *(b'{"public_keys": null}', b'{"public_keys": {}}', b'{"public_keys": {"a"', b'{"public_keys": {"a": "ssh-rsa'),
        *(
            b'{"public_keys": {"a": 1}}',
            b'{"public_keys": ["a"]}',
            b"{}",
            b"[]",
            b"<public_keys>",
            b'{"public_keys": {"a"}',
        ),
    ],
)
def test_bad_json(machine: Machine, service: Service, text: bytes) -> None:
    service.answers = {OPENSTACK: (200, text)}
    machine.run(1)
    assert machine.authorized() is None


def test_a_service_that_is_late(machine: Machine, service: Service, keys: list[str]) -> None:
    late = threading.Timer(1.5, lambda: service.answers.update(ec2(keys[0])))
    late.start()
    machine.run(more="tries=30\nwait=0.2")
    late.join()
    assert machine.authorized() == keys[:1]
    assert service.asked.count(LIST) > 2


def test_nobody_there(machine: Machine, service: Service) -> None:
    machine.port = 9
    machine.run(1)
    assert machine.authorized() is None


def test_no_such_user(machine: Machine, service: Service) -> None:
    assert "there is no user nobody-here" in machine.run(1, "user=nobody-here").stderr
    assert service.asked == []


# -- the hooks


def test_what_was_asked_for_is_written_down(guest: Guest, service: Service, keys: list[str]) -> None:
    guest.merge("fetch-ssh-key", "install-static", "dib-init-system")
    guest.fake("systemctl")
    guest.write("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nit's me:x:1000:1001::/home/me:/bin/sh\n")
    variables = {
        "DIB_FETCH_SSH_KEY_USER": "it's me",
        "DIB_FETCH_SSH_KEY_URL": f"http://127.0.0.1:{service.port}/",
        "DIB_FETCH_SSH_KEY_TRIES": "1",
    }
    for hook in (
        *("install.d/10-install-static-files", "install.d/20-install-init-scripts", "install.d/50-fetch-ssh-key"),
        "post-install.d/80-fetch-ssh-key",
    ):
        guest.hook(hook, **variables)
    assert guest.calls == ["systemctl enable fetch-ssh-key.service"]
    service.answers = ec2(keys[0])
    unit = guest.read("/usr/lib/systemd/system/fetch-ssh-key.service")
    program = next(line.partition("=")[2] for line in unit.splitlines() if line.startswith("ExecStart="))
    guest.run(program)
    assert guest.read("/home/me/.ssh/authorized_keys") == f"{keys[0]}\n"
    assert guest.exists("/var/lib/fetch-ssh-key/done")


def test_bad_settings(guest: Guest) -> None:
    guest.merge("fetch-ssh-key")
    result = guest.hook("install.d/50-fetch-ssh-key", check=False, DIB_FETCH_SSH_KEY_TRIES="many")
    assert "DIB_FETCH_SSH_KEY_TRIES is 'many'" in result.stderr
    result = guest.hook("post-install.d/80-fetch-ssh-key", check=False, DIB_FETCH_SSH_KEY_USER="none")
    assert "the image has no user none" in result.stderr


def test_the_unit_is_one(guest: Guest) -> None:
    guest.merge("fetch-ssh-key", "install-static", "dib-init-system")
    guest.hook("install.d/10-install-static-files")
    guest.hook("install.d/20-install-init-scripts")
    guest.run("systemctl", "enable", "fetch-ssh-key.service")
    assert (guest.root / "etc/systemd/system/multi-user.target.wants/fetch-ssh-key.service").is_symlink()
    shell = ["sh", "-n", ELEMENTS / "fetch-ssh-key/init-scripts/openrc/fetch-ssh-key"]
    assert subprocess.run(shell, check=False).returncode == 0
