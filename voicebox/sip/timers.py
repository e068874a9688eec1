"""Many timers, one next deadline. Pure: takes `now`, in seconds of any monotonic clock.

A heap with lazy deletion: setting a timer again or cancelling it leaves the old entry behind, which is skipped when it comes up,
and swept once more than half of the heap is such entries.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Timers(Generic[K]):
    """Deadlines by key; each key has at most one. The bound is that of what the keys stand for."""

    def __init__(self) -> None:
        self._deadlines: dict[K, tuple[float, int]] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0

    def __len__(self) -> int:
        return len(self._deadlines)

    def set(self, key: K, deadline: float) -> None:
        """Set or move a timer."""
        self._serial += 1
        self._deadlines[key] = (deadline, self._serial)
        heapq.heappush(self._heap, (deadline, self._serial, key))
        if len(self._heap) > 64 and len(self._heap) > 2 * len(self._deadlines):
            self._heap = [(when, serial, name) for name, (when, serial) in self._deadlines.items()]
            heapq.heapify(self._heap)

    def cancel(self, key: K) -> None:
        """Forget a timer, if it is there."""
        self._deadlines.pop(key, None)

    def __contains__(self, key: K) -> bool:
        return key in self._deadlines

    def next(self) -> float | None:
        """Return the earliest deadline, None where there is none."""
        while self._heap:
            deadline, serial, key = self._heap[0]
            if self._deadlines.get(key) == (deadline, serial):
                return deadline
            heapq.heappop(self._heap)
        return None

    def due(self, now: float) -> list[K]:
        """Take the timers whose deadline has come, in order."""
        expired: list[K] = []
        while (deadline := self.next()) is not None and deadline <= now:
            key = heapq.heappop(self._heap)[2]
            del self._deadlines[key]
            expired.append(key)
        return expired
