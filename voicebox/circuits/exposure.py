"""How likely it is that relays which work together stand where they learn something, for an assumed share of bad relays.

share: of all that draws go by (bandwidth), 0 to 1. A guard is bad where it is one of them. A path is bad where all relays of one's own circuit are: guard and
junction, with a middle all three; they learn that the box is in a call or a dummy with somebody behind another guard. Draws are taken for independent, as they
nearly are where no relay or operator is large. NOT here: drawing (path.py, guards.py), whose rules the simulation in tests and benchmarks follows. Pure.
"""

from __future__ import annotations

from collections.abc import Callable

from voicebox.circuits.guards import DAY_S, KEEP_S

YEAR_DAYS = 365


def bad_guard(share: float, guards: int = 2, days: int = YEAR_DAYS) -> float:
    """Return the probability that a box has had a bad guard within that time. guards: how many are in use at once."""
    return 1 - _never(days, lambda _days: 1 - share) ** guards


def bad_path(share: float, middles: int = 0) -> float:
    """Return the probability that a circuit is bad at some moment: guard, middles and junction all are."""
    return share ** (2 + middles)


def bad_call(share: float, middles: int = 0) -> float:
    """Return the probability that who calls whom is known of a call: all relays from box to box are bad. middles: of each of the two boxes."""
    return share ** (3 + 2 * middles)


def ever_bad_path(share: float, epochs_per_day: float, middles: int = 0, guards: int = 2, days: int = YEAR_DAYS) -> float:
    """Return the probability that a box has had a bad circuit within that time: in each epoch junctions and middles are drawn anew."""
    tail = share ** (1 + middles)
    return 1 - _never(days, lambda kept: 1 - share + share * (1 - tail) ** (epochs_per_day * kept)) ** guards


def _never(days: int, clean: Callable[[int], float]) -> float:
    """Return the probability that it never happens at one place of the guard set. clean(n): that it does not with a guard that is used for n days."""
    kept = range(KEEP_S[0] // DAY_S, KEEP_S[1] // DAY_S + 1)
    never = [1.0]
    """By the days that are left when a guard is drawn."""
    for left in range(1, days + 1):
        never.append(sum(clean(min(time, left)) * never[max(0, left - time)] for time in kept) / len(kept))
    return never[days]
