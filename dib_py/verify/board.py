"""What is there of what checks need: each need is awaited, has come, or is known not to come any more."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

from dib_py.verify.checks import Need


class Board:
    """Written by those who watch a boot, read by checks; a need that is settled stays as it is."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._settled: dict[Need, str] = {}  # with the reason why it won't come; empty for what has come

    def up(self, *needs: Need) -> None:
        """These have come."""
        self._settle(needs, "")

    def never(self, reason: str, *needs: Need) -> None:
        """These won't come any more, unless they have come already."""
        self._settle(needs, reason)

    def is_up(self, need: Need) -> bool:
        return self.reason(need) == ""

    def reason(self, need: Need) -> str | None:
        """Why a need won't come; empty for one that has come, None for one that is awaited."""
        with self._changed:
            return self._settled.get(need)

    def settled(self, need: Need, timeout: float) -> bool:
        """Wait until it is known of a need whether it comes; whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: need in self._settled, max(0.0, timeout))

    def wait(self, need: Need, timeout: float) -> bool:
        """Wait until a need has come; False at once where it won't."""
        return self.settled(need, timeout) and self.is_up(need)

    def missing(self, needs: Iterable[Need], deadline: float) -> str:
        """Wait for all of them until ``deadline`` (monotonic): why the first won't come; empty once all have come."""
        for need in sorted(needs, key=list(Need).index):
            if not self.settled(need, deadline - time.monotonic()):
                return f"the limit had passed before this was so: {need.value}"
            if reason := self.reason(need):
                return reason
        return ""

    def _settle(self, needs: Iterable[Need], reason: str) -> None:
        with self._changed:
            for need in needs:
                self._settled.setdefault(need, reason)
            self._changed.notify_all()
