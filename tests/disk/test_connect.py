"""Meeting a storage daemon that starts: one that answers only when a second client comes is still met."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path

from dib_py.disk.storage_daemon import SOCKET_NAME, StorageDaemon

GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}, "package": ""}, "capabilities": []}}


def _stuck_daemon(listener: socket.socket) -> None:
    """As qemu-storage-daemon is when two of its threads see its first client."""
    client, _ = listener.accept()
    listener.accept()[0].close()
    with client:
        client.sendall(json.dumps(GREETING).encode() + b"\n")
        while data := client.recv(4096):
            request = json.loads(data)
            value = {} if request["execute"] == "qmp_capabilities" else ["all"]
            reply = {"return": value, **({"id": request["id"]} if "id" in request else {})}
            client.sendall(json.dumps(reply).encode() + b"\n")


def test_a_daemon_that_waits_for_a_second_client(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / SOCKET_NAME))
        listener.listen()
        server = threading.Thread(target=_stuck_daemon, args=(listener,), daemon=True)
        server.start()
        with StorageDaemon.connect(tmp_path, timeout=10) as daemon:
            assert daemon.execute("query-jobs") == ["all"]
        server.join(5)
        assert not server.is_alive()
