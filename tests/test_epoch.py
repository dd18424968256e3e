"""How fresh packages are: the day, what was asked for, and what a refresh leaves to later builds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dib_py import epoch
from dib_py.settings import Settings

NOON = 1767268800.0  # 2026-01-01T12:00:00Z
DAY = 86400.0
PLAIN, REFRESH = Settings(environ={}), Settings(environ={}, refresh=True)
STABLE = Settings(environ={}, packages_epoch="stable")


def test_the_epoch_is_the_day_or_what_was_asked_for(tmp_path: Path) -> None:
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01"
    assert epoch.find(PLAIN, None, NOON) == "2026-01-01"
    assert epoch.find(STABLE, tmp_path / "nowhere", NOON) == "stable"


def test_builds_of_the_day_go_on_from_what_was_refreshed(tmp_path: Path) -> None:
    fresh = epoch.find(REFRESH, tmp_path, NOON)
    assert fresh == "2026-01-01T12:00:00Z"
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01"  # as long as nothing was fetched with it
    epoch.remember(REFRESH, tmp_path, fresh)
    assert epoch.find(PLAIN, tmp_path, NOON + 60) == fresh
    assert epoch.find(PLAIN, tmp_path, NOON + DAY) == "2026-01-02"
    assert epoch.find(STABLE, tmp_path, NOON) == "stable"
    assert epoch.find(REFRESH, tmp_path, NOON + 60) == "2026-01-01T12:01:00Z"


def test_an_epoch_of_ones_own_can_be_refreshed_too(tmp_path: Path) -> None:
    settings = Settings(environ={}, packages_epoch="stable", refresh=True)
    fresh = epoch.find(settings, tmp_path, NOON)
    assert fresh == "stable 2026-01-01T12:00:00Z"
    epoch.remember(settings, tmp_path, fresh)
    assert epoch.find(STABLE, tmp_path, NOON + 9 * DAY) == fresh
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01"


def test_the_last_refresh_counts_and_old_days_go(tmp_path: Path) -> None:
    for day in range(epoch.KEPT + 5):
        for hour in (0.0, 3600.0):
            now = NOON + day * DAY + hour
            epoch.remember(REFRESH, tmp_path, epoch.find(REFRESH, tmp_path, now))
    assert epoch.find(PLAIN, tmp_path, now) == "2026-02-06T13:00:00Z"
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01"
    assert len((tmp_path / epoch.FILE).read_text().splitlines()) == epoch.KEPT + 2
    assert [path.name for path in tmp_path.iterdir()] == [epoch.FILE]


def test_only_a_refresh_is_remembered(tmp_path: Path) -> None:
    epoch.remember(PLAIN, tmp_path, "2026-01-01")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "[]", "{", '{"2026-01-01": 1}', "\xff"])
def test_a_broken_file_counts_as_none(content: str, tmp_path: Path) -> None:
    (tmp_path / epoch.FILE).write_bytes(content.encode("latin-1"))
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01"
    epoch.remember(REFRESH, tmp_path, "2026-01-01T12:00:00Z")
    assert epoch.find(PLAIN, tmp_path, NOON) == "2026-01-01T12:00:00Z"


def test_a_store_that_is_not_there_or_full_stops_no_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epoch.remember(REFRESH, tmp_path / "nowhere", "x")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("json.dump", full)
    epoch.remember(REFRESH, tmp_path, "x")
    assert list(tmp_path.iterdir()) == []
