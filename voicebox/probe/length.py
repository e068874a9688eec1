"""How long the call of a probe lasts, so that its length does not say what it is. Pure.

What a probe measures lasts as long as its user says: half a minute as a rule, which no call of people's does every time. So the call goes on, and all of it is as long
as an answered call drawn by chance, of those that are long enough. Spec: PROTOCOL.md §9.9.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

BESIDE_S = 5.0
"""What a probe takes beside what it measures, as a rule: the last frames to be decided, and told."""
DRAWS = 256
LEAST_TAIL_S = 5.0


class Rng(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def uniform(self, low: float, high: float, /) -> float: ...


def call_length_s(measured_s: float, draw_s: Callable[[], float], rng: Rng) -> float:
    """Return how long the call of a probe is to last. draw_s(): draws how long an answered call lasts.

    Where none so long is drawn, as in a network of short epochs, it is what is needed and a time drawn evenly, a quarter of it or LEAST_TAIL_S at most.
    """
    least_s = measured_s + BESIDE_S
    for _ in range(DRAWS):
        if (drawn_s := draw_s()) >= least_s:
            return drawn_s
    return least_s + rng.uniform(0, max(LEAST_TAIL_S, least_s / 4))
