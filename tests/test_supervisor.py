"""The supervisor with small works: what crosses from the worker, how it ends, and what is left."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dib_py import state, supervisor
from dib_py.disk.storage_daemon import StorageDaemon
from dib_py.errors import DiskError, HookFailed, HostError
from dib_py.events import BuildFailed, Event, Message, StepOutput
from dib_py.isolation import Worker
from dib_py.settings import Settings

pytestmark = [pytest.mark.root, pytest.mark.timeout(60)]

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[Worker], None]], tuple[int, list[Event]]]:
    """Run a work; its exit code and events. Nothing may be left in the build's directory."""

    def run_work(work: Callable[[Worker], None]) -> tuple[int, list[Event]]:
        seen: list[Event] = []
        code = supervisor.run(work, Settings(tmp_dir=tmp_path), [seen.append])
        assert list(tmp_path.iterdir()) == []
        return code, seen

    return run_work


Run = Callable[[Callable[[Worker], None]], tuple[int, list[Event]]]


def _texts(seen: list[Event]) -> list[str]:
    return [event.text for event in seen if isinstance(event, Message)]


def test_events_cross_in_order(run: Run) -> None:
    def work(worker: Worker) -> None:
        for number in range(2000):
            worker.events.emit(StepOutput(f"line {number} \udcff ü"))

    code, seen = run(work)
    assert code == 0
    assert [event.text for event in seen if isinstance(event, StepOutput)] == [
        f"line {number} \udcff ü" for number in range(2000)
    ]


def test_a_large_event_crosses(run: Run) -> None:
    code, seen = run(lambda worker: worker.events.info("x" * 5_000_000))
    assert code == 0
    assert len(_texts(seen)[0]) == 5_000_000


def test_an_error_crosses_with_its_hint_and_code(run: Run) -> None:
    def work(worker: Worker) -> None:
        raise DiskError("it broke", hint="mend it")

    code, seen = run(work)
    failure = seen[-1]
    assert code == 1
    assert isinstance(failure, BuildFailed)
    assert (failure.message, failure.hint) == ("it broke", "mend it")


def test_the_hooks_exit_code_is_ours(run: Run) -> None:
    def work(worker: Worker) -> None:
        raise HookFailed("install.d/10-x", "x", 37)

    code, seen = run(work)
    failure = seen[-1]
    assert code == 37
    assert isinstance(failure, BuildFailed)
    assert (failure.step, failure.element, failure.exit_code) == ("install.d/10-x", "x", 37)


def test_a_bug_is_one_line_and_a_traceback_for_the_log(run: Run) -> None:
    def work(worker: Worker) -> None:
        raise ZeroDivisionError("oops")

    code, seen = run(work)
    assert code == 1
    assert isinstance(seen[-1], BuildFailed)
    assert seen[-1].message == "internal error: ZeroDivisionError: oops"
    (debug,) = [event for event in seen if isinstance(event, Message)]
    assert (debug.level, "Traceback" in debug.text) == ("debug", True)


def test_a_killed_worker_is_reported(run: Run) -> None:
    code, seen = run(lambda worker: os.kill(os.getpid(), 9))
    assert code == 1
    assert isinstance(seen[-1], BuildFailed)
    assert "signal 9" in seen[-1].message


def test_what_is_written_past_the_events_is_kept_as_debug(run: Run) -> None:
    code, seen = run(lambda worker: os.write(2, b"odd\xff\nend without newline") and None)
    assert code == 0
    assert _texts(seen) == ["odd�", "end without newline"]


def test_the_build_has_namespaces_of_its_own(run: Run) -> None:
    def work(worker: Worker) -> None:
        worker.events.info(str(worker.build_dir))
        worker.events.info(" ".join(sorted(p.name for p in Path("/proc").glob("[0-9]*"))))
        worker.events.info(Path("/proc/self/mountinfo").read_text())

    _, seen = run(work)
    directory, processes, mounts = _texts(seen)
    assert Path(directory) == state.build_path()
    assert len(processes.split()) == 3  # init, storage daemon, worker
    assert processes.startswith("1 ")
    own = next(line.split() for line in mounts.splitlines() if line.split()[4] == directory)
    assert any(field.startswith("shared:") for field in own)
    assert any(field.startswith("master:") for field in own)
    assert directory not in Path("/proc/self/mountinfo").read_text()


def test_the_storage_daemon_is_outside_of_the_workers_mounts(run: Run, tmp_path: Path) -> None:
    def work(worker: Worker) -> None:
        place = worker.build_dir / "mnt"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "none", place], check=True)
        with StorageDaemon.connect(worker.daemon_directory):
            worker.events.info(Path("/proc/2/comm").read_text().strip())
            worker.events.info(str(str(place) in Path("/proc/2/mountinfo").read_text()))
            worker.events.info(str(str(place) in Path("/proc/self/mountinfo").read_text()))

    _, seen = run(work)
    assert _texts(seen) == ["qemu-storage-da", "False", "True"]


def test_leftover_processes_end_with_the_build(run: Run) -> None:
    def work(worker: Worker) -> None:
        subprocess.Popen(["setsid", "sh", "-c", "trap '' TERM HUP; exec sleep 600"])

    started = time.monotonic()
    code, _ = run(work)
    assert code == 0
    assert time.monotonic() - started < 60


def test_partial_files_of_a_failed_build_are_removed(run: Run, tmp_path: Path) -> None:
    def work(worker: Worker) -> None:
        worker.partial(tmp_path / "image.qcow2").write_text("half")
        raise DiskError("no more")

    assert run(work)[0] == 1


def test_a_subscriber_that_fails_ends_the_build(tmp_path: Path) -> None:
    def subscriber(event: Event) -> None:
        raise RuntimeError("a bug of the display")

    def work(worker: Worker) -> None:
        worker.events.info("one")
        time.sleep(600)

    started = time.monotonic()
    with pytest.raises(RuntimeError, match="display"):
        supervisor.run(work, Settings(tmp_dir=tmp_path), [subscriber])
    assert time.monotonic() - started < 60
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_went_away(tmp_path: Path) -> None:
    text = f"""
import sys, time
from pathlib import Path
from dib_py import supervisor
from dib_py.settings import Settings
def work(worker):
    for number in range(100000):
        worker.events.info("x" * 1000)
def show(event):
    print(event.text, flush=True)
code = supervisor.run(work, Settings(tmp_dir=Path({str(tmp_path)!r})), [show])
sys.stderr.write(f"code {{code}}")
"""
    command = [sys.executable, "-c", text]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert "code 141" in process.stderr.read()
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_hold_the_build(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="no build directory"):
        supervisor.run(lambda worker: None, Settings(tmp_dir=tmp_path / "missing"))


def test_where_builds_are_made() -> None:
    assert state.build_root(Settings(environ={})) == Path("/var/tmp")
    assert state.build_root(Settings(environ={"TMP_DIR": "/srv"})) == Path("/srv")
    assert state.build_root(Settings(tmp_dir=Path("/first"), environ={"TMP_DIR": "/srv"})) == Path("/first")
