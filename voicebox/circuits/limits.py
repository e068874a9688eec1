"""What a relay takes upon itself: creates in a second, Mbit/s, GB a month; and what it tells of its traffic.

    creates    at most 500 a second, of one link (preceding hop) at most 100; from the half of either on discarded at random, the likelier the fuller
    Mbit/s     what all circuits that it may have would use in each direction: a bound on their number
    GB a month what came and left; once reached, creates of the present epoch are still taken, none of the next ones until the month is over

NOT here: rates of cells (relay/node/src/bucket.rs), circuits in the engine. Pure: takes `now_us`, dates and randomness. Spec: PROTOCOL.md §6.3, §7.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Protocol

from voicebox.circuits.descriptor import Role
from voicebox.errors import FileProblem

CREATES_PER_S = 500
CREATES_PER_S_AND_LINK = 100
DATAGRAM_OCTETS = 306
"""A cell on the wire, with UDP and IPv4."""
CIRCUIT_KBIT_S = DATAGRAM_OCTETS * 8 * 50 / 1000
"""One circuit on one link in one direction."""
LINKS_OF_A_CIRCUIT = {Role.GUARD: 2, Role.JUNCTION: 1}
OCTETS_OF_A_GB = 10**9
TRAFFIC_TOTALS = frozenset({"cells_in", "cells_out", "link_cells_in", "link_cells_out", "control_in", "filled", "receives", "turns", "ticks"})


def cells_within(mbit_s: int | None) -> int | None:
    """Return how many cells a second so many Mbit/s are, each way; None without a limit. Fast cells have what slots leave of it (PROTOCOL.md §13.6)."""
    return None if mbit_s is None else int(mbit_s * 1e6 / (DATAGRAM_OCTETS * 8))


class Chance(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def random(self) -> float: ...


class CreateLimits:
    """How many creates are answered, overall and for each preceding hop. At most 500 links are remembered, for a second."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._second = -1
        self._total = 0
        self._of_link: Counter[int] = Counter()

    def admits(self, link: int, now_us: int) -> bool:
        """Count a create, and return whether its public-key work may be done."""
        second = now_us // 1_000_000
        if second != self._second:
            self._second, self._total = second, 0
            self._of_link.clear()
        if self._discards(self._total, CREATES_PER_S) or self._discards(self._of_link[link], CREATES_PER_S_AND_LINK):
            return False
        self._total += 1
        self._of_link[link] += 1
        return True

    def _discards(self, admitted: int, bound: int) -> bool:
        """Discard early and at random. Spec: Floyd and Jacobson, Random early detection, 1993, on the count of a second."""
        return self._chance.random() < 2 * admitted / bound - 1


def circuits_within(mbit_s: int, role: Role) -> int:
    """Return how many circuits a relay may have so that all its links together carry at most mbit_s in each direction; at least one."""
    return max(1, int(mbit_s * 1000 / (LINKS_OF_A_CIRCUIT[role] * CIRCUIT_KBIT_S)))


class MonthlyTraffic:
    """Octets in and out since the month began. Contract: note() with the engine's totals, which begin at 0; text() is to be kept on disk."""

    def __init__(self, text: str, file: str, cap_gb: int | None) -> None:
        """Read what text() made; an empty text begins with nothing. Raises FileProblem."""
        self._cap_gb = cap_gb
        self._cells = 0
        self._month, self._octets = "", 0
        if text:
            month, _, tenths = text.removesuffix("\n").partition(" ")
            if len(month) != 7 or not tenths.isascii() or not tenths.isdecimal() or len(tenths) > 12:
                raise FileProblem(file, 1, "should be a month and tenths of a GB", "Remove the file: the month is then counted anew.")
            self._month, self._octets = month, int(tenths) * OCTETS_OF_A_GB // 10

    def note(self, cells: int, now: dt.datetime) -> bool:
        """Take the number of cells that came or left since the engine started; return whether the month's cap is reached."""
        month = now.strftime("%Y-%m")
        if month != self._month:
            self._month, self._octets = month, 0
        self._octets += max(0, cells - self._cells) * DATAGRAM_OCTETS
        self._cells = max(self._cells, cells)  # an engine that is too busy to answer tells none
        return self._cap_gb is not None and self._octets >= self._cap_gb * OCTETS_OF_A_GB

    def engine_began(self) -> None:
        """Take that the engine's numbers begin at nothing again."""
        self._cells = 0

    def text(self) -> str:
        """Return the month and its traffic in tenths of a GB, rounded up."""
        return f"{self._month} {-(-self._octets * 10 // OCTETS_OF_A_GB)}\n"


def rounded(totals: dict[str, int]) -> dict[str, int]:
    """Return totals with those of traffic cut to two digits from 1 000 on, so that two looks at them say nothing of single cells."""
    return {name: _two_digits(total) if name in TRAFFIC_TOTALS else total for name, total in totals.items()}


def _two_digits(total: int) -> int:
    unit = 10 ** max(0, len(str(total)) - 2)
    return total if total < 1000 else total // unit * unit
