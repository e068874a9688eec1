"""Things that a daemon does again and again. [io]"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Repeating:
    """Runs looks at their intervals, until stop(). It cannot be used without a running loop."""

    def __init__(self) -> None:
        self._timers: dict[Callable[[], None], asyncio.TimerHandle] = {}

    def every(self, seconds: float, look: Callable[[], None]) -> None:
        """Do it now, and from then on again after so many seconds each time."""
        self._timers[look] = asyncio.get_running_loop().call_later(seconds, self.every, seconds, look)
        look()

    def stop(self) -> None:
        """Do none of them any more; idempotent."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
