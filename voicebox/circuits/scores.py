"""What a box itself saw of relays: how often circuits failed at them, how long the wire to them takes. It never leaves the box, and no disk has it.

It makes a relay rarer among those that are drawn, by at most FAILING for failures and SLOW for delay: whoever makes circuits of others fail gains little by it, and
no relay is drawn much more often than its weight says. Delay counts only where a draw has at least the floor of entropy even then. NOT here: drawing (path.py).
Pure. Spec: PROTOCOL.md §10.5.
"""

from __future__ import annotations

import math
import statistics
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from voicebox.circuits.circuit import Circuit
from voicebox.circuits.descriptor import Descriptor

FAILING, SLOW = 0.25, 0.5
FADE = 0.9
"""Of what was counted before at each new event: about the last ten count."""
MAX_RELAYS = 1024
FLOOR_BITS = 4.0
"""No relay may be drawn more often than once in sixteen times because it is quick."""
ENOUGH_DELAYS = 8


def delay_counts(entropy_bits: float) -> bool:
    """Return whether a draw that has so much min-entropy by weight alone has the floor even when all that scores can do is done."""
    return entropy_bits - math.log2(1 / (FAILING * SLOW)) >= FLOOR_BITS


@dataclass(slots=True)
class _Score:
    built: float = 0.0
    failed: float = 0.0
    delay_us: float | None = None


class Scores:
    """The scores of the relays met last, at most MAX_RELAYS."""

    def __init__(self) -> None:
        self._scores: OrderedDict[bytes, _Score] = OrderedDict()

    def stood(self, circuit: Circuit) -> None:
        """A circuit came to stand."""
        before_us = 0
        for relay, round_trip_us in zip(circuit.path.relays, circuit.round_trips_us, strict=False):
            score = self._score(relay)
            score.built, score.failed = FADE * score.built + 1, FADE * score.failed
            own_us = max(0, round_trip_us - before_us)
            score.delay_us = own_us if score.delay_us is None else FADE * score.delay_us + (1 - FADE) * own_us
            before_us = round_trip_us

    def failed(self, circuit: Circuit) -> None:
        """A circuit failed: one of its suspects did it, so each is blamed for its part."""
        for relay in circuit.suspects:
            score = self._score(relay)
            score.built, score.failed = FADE * score.built, FADE * score.failed + 1 / len(circuit.suspects)

    def favour(self, entropy_bits: float) -> Callable[[Descriptor], float]:
        """Return by what the weight of a relay is multiplied in a draw that has so much min-entropy by weight alone."""
        typical_us = self._typical_us() if delay_counts(entropy_bits) else None

        def of(relay: Descriptor) -> float:
            score = self._scores.get(relay.identity)
            if score is None:
                return 1.0
            reliable = max(FAILING, (1 + score.built) / (1 + score.built + score.failed))
            if typical_us is None or not score.delay_us:
                return reliable
            return reliable * max(SLOW, min(1.0, typical_us / score.delay_us))

        return of

    def _typical_us(self) -> float | None:
        known = [score.delay_us for score in self._scores.values() if score.delay_us is not None]
        return statistics.median(known) if len(known) >= ENOUGH_DELAYS else None

    def _score(self, relay: Descriptor) -> _Score:
        score = self._scores.setdefault(relay.identity, _Score())
        self._scores.move_to_end(relay.identity)
        if len(self._scores) > MAX_RELAYS:
            self._scores.popitem(last=False)
        return score
