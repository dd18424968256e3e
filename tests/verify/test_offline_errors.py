"""What libguestfs refuses is an error of ours, and nothing is written over what a terminal shows."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from dib_py.verify.checks import Unreachable
from dib_py.verify.offline import Offline

pytest.importorskip("guestfs", reason="needs the libguestfs python bindings")


@pytest.fixture
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Offline:
    """One whose appliance is not launched: libguestfs refuses drives that are not there before that."""
    monkeypatch.setattr(Offline, "_launch", lambda self: None)
    image = tmp_path / "image.raw"
    image.write_bytes(bytes(1024**2))
    return Offline(image, "raw", tmp_path, kvm=False, limit=60)


def test_whichever_thread_asks_standard_error_stays_empty(offline: Offline, capfd: pytest.CaptureFixture[str]) -> None:
    refused: list[str] = []

    def ask() -> None:
        try:
            offline.call(lambda handle: handle.add_drive_opts("/no/such/drive", format="raw", readonly=True))
        except Unreachable as error:
            refused.append(str(error))

    with offline:
        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        ask()
    assert refused == ["libguestfs: /no/such/drive: No such file or directory"] * 3
    assert capfd.readouterr() == ("", "")


def test_it_can_be_closed_from_anywhere_and_again(offline: Offline) -> None:
    with offline:
        closing = threading.Thread(target=offline.close)
        closing.start()
        closing.join()
        with pytest.raises(Unreachable, match="is not running"):
            offline.call(lambda handle: handle.version())
