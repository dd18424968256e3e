"""How the daemon starts, answers and ends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from dib_py.disk import storage_daemon
from dib_py.disk.storage_daemon import LOG_NAME, StorageDaemon, end, spawn
from dib_py.errors import DiskError, HostError

needs_daemon = pytest.mark.skipif(shutil.which("qemu-storage-daemon") is None, reason="needs qemu-storage-daemon")


def ended(pid: int) -> bool:
    """Whether the process is gone, or a zombie that only waits to be reaped by somebody else."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until_it_listens(directory: Path) -> None:
    """It says so once it waits for its first client."""
    deadline = time.monotonic() + 60
    while "waiting" not in (directory / LOG_NAME).read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_daemon
def test_it_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys, time; from dib_py.disk.storage_daemon import spawn;"
        "print(spawn(pathlib.Path(sys.argv[1])).pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    with StorageDaemon.connect(tmp_path):
        assert not ended(pid)
        parent.kill()
        parent.wait()
        deadline = time.monotonic() + 60
        while not ended(pid):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    parent.stdout.close()


def test_an_interrupt_at_the_terminal_does_not_reach_it(daemon: Any) -> None:
    assert os.getsid(daemon.process.pid) == daemon.process.pid


def test_its_last_words_are_in_the_error(daemon: Any) -> None:
    (daemon.directory / LOG_NAME).write_text("one\ntwo\nthree\nfour\nfive\nsix\n")
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    with pytest.raises(DiskError, match=r"query-jobs: the daemon has ended:\ntwo\nthree\nfour\nfive\nsix$"):
        daemon.client.execute("query-jobs")


def test_one_that_is_slow_is_not_said_to_have_ended(daemon: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon.process.send_signal(signal.SIGSTOP)
    monkeypatch.setattr(storage_daemon, "_COMMAND_TIMEOUT", 0.1)
    try:
        with pytest.raises(DiskError, match=r"query-jobs: no answer within 0\.1 s$"):
            daemon.client.execute("query-jobs")
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_commands_from_many_threads(daemon: Any) -> None:
    failures: list[BaseException] = []

    def ask() -> None:
        try:
            for _ in range(50):
                assert daemon.client.execute("query-block-exports") == []
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_an_error_names_its_command(daemon: Any) -> None:
    with pytest.raises(DiskError, match=r"storage daemon: blockdev-del: .*nothing"):
        daemon.client.execute("blockdev-del", node_name="nothing")


def test_a_job_that_fails(daemon: Any, tmp_path: Path) -> None:
    with pytest.raises(DiskError, match=r"storage daemon: blockdev-create: .*No such file"):
        daemon.client.run_job(
            "blockdev-create", options={"driver": "file", "filename": str(tmp_path / "no" / "file"), "size": 0}
        )
    assert daemon.client.execute("query-jobs") == []


def test_a_closed_client(daemon: Any) -> None:
    daemon.client.close()
    daemon.client.close()
    with pytest.raises(DiskError, match="has ended"):
        daemon.client.execute("query-jobs")
    again = StorageDaemon.connect(daemon.directory)  # the daemon goes on
    assert again.execute("query-jobs") == []
    again.close()


def test_no_answer(tmp_path: Path) -> None:
    (tmp_path / LOG_NAME).write_text("qemu-storage-daemon: it hurts\n")
    with pytest.raises(DiskError, match=r"did not answer within 0\.2 s:\nqemu-storage-daemon: it hurts"):
        StorageDaemon.connect(tmp_path, timeout=0.2)


def test_a_directory_whose_path_is_too_long(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    with pytest.raises(DiskError, match="too long for a unix socket") as caught:
        spawn(deep)
    assert "TMPDIR" in caught.value.hint


def test_without_the_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(HostError, match="qemu-storage-daemon is not installed"):
        spawn(tmp_path)


@needs_daemon
def test_its_first_client_is_there_before_its_monitor_s_thread(tmp_path: Path) -> None:
    """Else both threads may see that client, and the daemon crashes."""
    process = spawn(tmp_path)
    threads = Path(f"/proc/{process.pid}/task")
    wait_until_it_listens(tmp_path)
    without = len(list(threads.iterdir()))
    with StorageDaemon.connect(tmp_path) as client:
        client.execute("query-jobs")
        assert len(list(threads.iterdir())) > without
    end(process, tmp_path)


@needs_daemon
@pytest.mark.parametrize("clients", [0, 1, 2])
def test_it_ends_when_asked(tmp_path: Path, clients: int) -> None:
    process = spawn(tmp_path)
    wait_until_it_listens(tmp_path)
    for _ in range(clients):
        StorageDaemon.connect(tmp_path).close()
    end(process, tmp_path)
    assert process.returncode == 0  # not killed


@needs_daemon
def test_what_it_waits_for_is_not_its_last_word(tmp_path: Path) -> None:
    process = spawn(tmp_path)
    with StorageDaemon.connect(tmp_path) as client:
        process.kill()
        process.wait()
        with pytest.raises(DiskError, match=r"the daemon has ended \(its log is empty\)$"):
            client.execute("query-jobs")
