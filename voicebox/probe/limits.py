"""Who may probe a box, and how often: contacts, where its user lets them, one at a time. Pure: takes `now_us`.

Nothing is kept but when a contact's last probes began, in memory, for an hour.
"""

from __future__ import annotations

from collections import OrderedDict, deque

HOUR_US = 3_600_000_000
AN_HOUR = 12
"""Probes of one contact that are answered within an hour."""
REMEMBERED = 64
"""Contacts; a box has at most 60 (PROTOCOL.md §8.2)."""


class ProbeLimits:
    """What one box allows."""

    def __init__(self, *, answers: bool) -> None:
        self._answers = answers
        self._began: OrderedDict[str, deque[int]] = OrderedDict()

    def allow(self, petname: str, now_us: int, *, busy: bool) -> bool:
        """Return whether a contact's probe is answered now. busy: another one is being answered. What is refused counts for nothing."""
        began = self._began.setdefault(petname, deque(maxlen=AN_HOUR))
        self._began.move_to_end(petname)
        while len(self._began) > REMEMBERED:
            self._began.popitem(last=False)
        if not self._answers or busy or (len(began) == AN_HOUR and now_us - began[0] < HOUR_US):
            return False
        began.append(now_us)
        return True
