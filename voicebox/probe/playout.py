"""What a phone's jitter buffer would make of the arrivals: buffers of fixed size, one that adapts, and the best. Pure.

A frame that came is *too late* where its turn had passed. Delays are those *above best*: how much later than the quickest frame of the direction.
A fixed buffer waits so long for each frame; one that adapts follows the delay and its spread, as softphones do.
Source of the adaptive one: Ramjee, Kurose, Towsley, Schulzrinne: *Adaptive playout mechanisms for packetized audio applications in wide-area networks*,
Infocom 1994, algorithm 2, changed at each frame instead of at the beginning of a talk spurt, for phones stretch time today.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

FIXED_MS = (50, 200)
"""Shown side by side, with the adaptive one, as VoIP monitors do."""
SIZES_MS = tuple(range(20, 201, 10))
"""Among these the best is looked for."""
ADAPTIVE_LEAST_MS, ADAPTIVE_MOST_MS = 20.0, 500.0
SLOW, QUICK = 0.998002, 0.75
"""Weights of what is known against what comes: of the paper, where delays fall or rise."""
SPREADS = 4.0

Delays = Sequence[float | None]
"""Milliseconds above best, in order of sending; None where a frame never came."""


@dataclass(frozen=True, slots=True)
class Played:
    """What one buffer does. size_ms: how long a frame waits, on average; missing: of each frame, whether it is not played; late: those that came in vain."""

    name: str
    size_ms: float
    missing: tuple[bool, ...]
    late: int

    @property
    def missing_pct(self) -> float:
        """Share of frames not played; all where nothing was sent."""
        return 100 * sum(self.missing) / len(self.missing) if self.missing else 100.0


def play_fixed(delays: Delays, size_ms: float) -> Played:
    """Return what a buffer of a fixed size plays."""
    missing = tuple(delay is None or delay > size_ms for delay in delays)
    return Played(f"fixed {size_ms:g} ms", size_ms, missing, sum(delay is not None and delay > size_ms for delay in delays))


def play_adaptive(delays: Delays) -> Played:
    """Return what a buffer that adapts plays; size_ms is its mean."""
    expected, spread = 0.0, ADAPTIVE_LEAST_MS / SPREADS
    missing, sizes = [], []
    for delay in delays:
        size = min(ADAPTIVE_MOST_MS, max(ADAPTIVE_LEAST_MS, expected + SPREADS * spread))
        missing.append(delay is None or delay > size)
        if delay is None:
            continue
        sizes.append(size)
        weight = QUICK if delay > expected else SLOW
        expected = weight * expected + (1 - weight) * delay
        spread = weight * spread + (1 - weight) * abs(delay - expected)
    late = sum(gone and delay is not None for gone, delay in zip(missing, delays, strict=True))
    return Played("adaptive", sum(sizes) / len(sizes) if sizes else ADAPTIVE_LEAST_MS, tuple(missing), late)


def best_fixed(delays: Delays, worth: Callable[[Played], float]) -> Played:
    """Return what the fixed buffer plays that is worth most, of several the smallest. worth: R, say."""
    return max((play_fixed(delays, size_ms) for size_ms in SIZES_MS), key=worth)
