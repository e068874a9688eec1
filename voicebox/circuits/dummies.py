"""Dummies: calls that nobody makes, so that a junction has to guess which of the splices is one.

A dummy is a call in all that leaves a box: the same knock, join, end-to-end cells, end and part, by the code of calls (call.py). What differs is who
speaks: nobody. Its script, who ends it and after how long, is drawn by the caller from the table below and lies sealed in the knock, so that only
the contact's box knows a dummy from a call; that box rings nobody. NOT here: when a dummy gives way to a call (calls.py). Driver: time. Pure: takes
`now_us` and randomness. Spec: PROTOCOL.md §8.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Protocol

from voicebox.errors import RemoteError

WAIT_US = 900_000_000
"""Mean wait between two dummies that a box begins of itself. More would fill its circuits, so that a call has to end one, which shows (the lab's test (d))."""
WAITS_PER_EPOCH = 4
"""In a network of shorter epochs all of this is shorter, so that an epoch has as many dummies."""
UNIT_US = 100_000
"""Lengths in a script are tenths of a second."""
CALL_S = (12, 17, 22, 27, 33, 39, 46, 54, 64, 77, 93, 115, 148, 205, 310, 600)
"""How long answered ones last, ringing included; each as likely as the others, then drawn between three and five quarters of it. Sixteenths of a lognormal
talk, as telephone calls have (Bolotin, Modeling call holding time distributions, 1994), of 50 s at the median, after some seconds of ringing."""
RING_S = (12, 18, 25, 32, 40, 50)
"""Likewise those that only ring."""
AGAIN = 0.1
"""So often each of the two boxes begins another one with the same contact after a dummy: people call back."""
AGAIN_S = (8, 120)
LONGEST_UNITS = 10 * 600 * 5 // 4


class Rng(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def random(self) -> float: ...
    def uniform(self, low: float, high: float, /) -> float: ...
    def expovariate(self, rate: float, /) -> float: ...
    def choice(self, among: Sequence[float], /) -> float: ...
    def randrange(self, end: int, /) -> int: ...


@unique
class Ending(IntEnum):
    """How a dummy goes; the value is the one on the wire."""

    UNANSWERED = 0
    """The knock is not answered."""
    CALLER = 1
    CALLEE = 2


@dataclass(frozen=True, slots=True)
class Script:
    """How a dummy goes. units: how long it lasts, in UNIT_US, counted by each box from the moment at which it would ring."""

    ending: Ending
    units: int

    @property
    def length_us(self) -> int:
        """Return how long it lasts."""
        return self.units * UNIT_US

    def serialise(self) -> bytes:
        """Return ending u8 | units u16."""
        return bytes([self.ending]) + self.units.to_bytes(2, "big")


def parse_script(record: bytes) -> Script:
    """Read the script in a knock, behind which only zeros may stand. Raises RemoteError for anything else."""
    units = int.from_bytes(record[1:3], "big")
    if len(record) < 3 or record[0] > max(Ending) or units > LONGEST_UNITS or any(record[3:]):
        raise RemoteError("a dummy's script is not one")
    return Script(Ending(record[0]), units)


def draw_script(rng: Rng, scale: float = 1.0) -> Script:
    """Draw from the table: of 20 dummies 2 are not answered, 4 only ring, 14 are answered; either side ends as many of these as the other."""
    drawn = rng.randrange(20)
    if drawn < 2:
        return Script(Ending.UNANSWERED, 0)
    seconds = rng.choice(RING_S if drawn < 6 else CALL_S) * rng.uniform(0.75, 1.25)
    ending = Ending.CALLEE if drawn >= 13 else Ending.CALLER
    return Script(ending, min(LONGEST_UNITS, max(1, int(seconds * scale * 1_000_000) // UNIT_US)))


class Dummies:
    """When this box begins a dummy, and at whom. Contract: call handle_timer, then re-arm at next_timer().

    begin(petname, script, now_us): calls.py begins one, where a circuit is not spliced. petnames(): the contacts.
    """

    def __init__(self, begin: Callable[[str, Script, int], None], petnames: Callable[[], list[str]], rng: Rng, epoch_us: int, now_us: int) -> None:
        self._begin, self._petnames, self._rng = begin, petnames, rng
        self._scale = min(1.0, epoch_us / WAITS_PER_EPOCH / WAIT_US)
        self._next_us = now_us + self._wait_us()
        self._again: tuple[int, str] | None = None

    def over(self, petname: str, now_us: int) -> None:
        """Take that a dummy with a contact is over."""
        if self._again is None and self._rng.random() < AGAIN:
            self._again = now_us + int(self._rng.uniform(*AGAIN_S) * self._scale * 1_000_000), petname

    def handle_timer(self, now_us: int) -> None:
        """Begin one where it is time. Without a contact there is nobody to begin one with."""
        if self._again is not None and self._again[0] <= now_us:
            petname, self._again = self._again[1], None
            self._begin(petname, draw_script(self._rng, self._scale), now_us)
        if now_us < self._next_us:
            return
        self._next_us = now_us + self._wait_us()
        petnames = self._petnames()
        if petnames:
            self._begin(petnames[self._rng.randrange(len(petnames))], draw_script(self._rng, self._scale), now_us)

    def next_timer(self) -> int:
        """Return when handle_timer is to be called next."""
        return min(self._next_us, self._again[0]) if self._again is not None else self._next_us

    def _wait_us(self) -> int:
        return int(self._rng.expovariate(1 / (WAIT_US * self._scale)))
