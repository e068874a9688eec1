"""Whether network time and the machine's date have parted. Pure.

Network time is the machine's date once, when the engine starts, then the monotonic clock (PROTOCOL.md §1.2). So it stays behind in a machine that sleeps,
and is wrong from the start in one without a clock of its own, which learns the date only when it has been up for a while. Whoever watches begins anew then.
"""

from __future__ import annotations

LOOK_EVERY_S = 5
MOST_APART_US = 5_000_000
"""Less harms nobody: slots go by what comes from the guard, and circuits of the next epoch stand minutes before it."""
LOOKS = 2
"""One may fall into a pause of this process between the reading of the two clocks."""


class DateWatch:
    """Compares the two. Contract: look() every LOOK_EVERY_S; anew() when network time was set from the date."""

    def __init__(self, born_unix_us: int) -> None:
        self._born_us, self._apart = born_unix_us, 0

    def look(self, date_s: float, network_us: int) -> bool:
        """Return whether they have parted. date_s: Unix time; network_us: network time."""
        apart = abs(date_s * 1e6 - self._born_us - network_us) > MOST_APART_US
        self._apart = self._apart + 1 if apart else 0
        return self._apart >= LOOKS

    def anew(self) -> None:
        """Begin to watch anew."""
        self._apart = 0
