"""Dummies: calls that nobody makes, so that a junction has to guess which of the splices is one.

A dummy is a call in all that leaves a box: the same knock, join, end-to-end cells, end and part, by the code of calls (call.py). What differs is who
speaks: nobody. How long it lasts is drawn by its caller's box from the table below. Only the contact's box knows a dummy from a call, by the knock; it rings
nobody, and says nothing that the caller's box could open: so a contact never learns what came of a dummy, and not whether a box that it knocks at is in a
call. NOT here: when a dummy gives way to a call (calls.py). Driver: time. Pure: takes `now_us` and randomness. Spec: PROTOCOL.md §8.6.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from voicebox.errors import RemoteError

WAIT_US = 1_800_000_000
"""Mean wait between two dummies that a box begins of itself. More would leave more calls with one path: a dummy stays where a call comes."""
WAITS_PER_EPOCH = 2
"""In a network of shorter epochs all of this is shorter, so that an epoch has as many dummies."""
CALL_S = (14, 20, 25, 31, 37, 44, 52, 61, 72, 85, 102, 125, 158, 208, 305, 650)
"""How long answered ones last, ringing included; each as likely as the others, then drawn between three and five quarters of it. Sixteenths of a lognormal
talk, as telephone calls have (Bolotin, Modeling call holding time distributions, 1994), of 55 s at the median, after some seconds of ringing."""
RING_S = (0.2, 7, 9, 12, 20, 24, 27, 30, 33, 38)
"""Likewise those of which nothing comes: somebody is busy, declines, or is not there."""
CALLS, RINGS, UNANSWERED = 13, 5, 2
"""Of 20."""
AGAIN = 0.13
"""So often each of the two boxes begins another one with the same contact after a dummy: people call back."""
AGAIN_S = (8, 120)
LONGEST_MS = 1_000_000
DOUBLED = 0.5
"""So many have a spare, where their boxes have the circuits: more would be in the way of calls, fewer would let two junctions together tell calls by their having one."""
ANSWERED_OCTET = b"\x01"


class Rng(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def random(self) -> float: ...
    def uniform(self, low: float, high: float, /) -> float: ...
    def expovariate(self, rate: float, /) -> float: ...
    def choice(self, among: Sequence[float], /) -> float: ...
    def randrange(self, end: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Script:
    """How a dummy goes. length_ms: how long it lasts once its knock was said; 0: the knock is not to be answered.

    doubled: it has a spare, where it can; one that is not answered is tried at every junction, as a call to a box that is off.
    """

    length_ms: int
    doubled: bool = True

    @property
    def answered(self) -> bool:
        """Return whether the knock is to be answered."""
        return self.length_ms > 0

    @property
    def length_us(self) -> int:
        """Return how long it lasts."""
        return 1_000 * self.length_ms

    def serialise(self) -> bytes:
        """Return what the knock says of it: answered u8."""
        return ANSWERED_OCTET if self.answered else b"\0"


LONGEST = Script(LONGEST_MS)
"""That of the box that was knocked at, which is not told how long."""


def parse_answered(record: bytes) -> bool:
    """Read in a dummy's knock whether it is to be answered; only zeros may stand behind. Raises RemoteError for anything else."""
    if record[:1] not in {ANSWERED_OCTET, b"\0"} or any(record[1:]):
        raise RemoteError("a dummy's knock holds something else")
    return record[:1] == ANSWERED_OCTET


def draw_script(rng: Rng, scale: float = 1.0) -> Script:
    """Draw from the table."""
    drawn, doubled = rng.randrange(CALLS + RINGS + UNANSWERED), rng.random() < DOUBLED
    if drawn < UNANSWERED:
        return Script(0, doubled)
    seconds = rng.choice(CALL_S if drawn >= UNANSWERED + RINGS else RING_S) * rng.uniform(0.75, 1.25)
    return Script(min(LONGEST_MS, max(1, int(seconds * scale * 1_000))), doubled)


def draw_answered(rng: Rng, scale: float = 1.0) -> Script:
    """Draw from the table until it is one that is answered."""
    while not (script := draw_script(rng, scale)).answered:
        pass
    return script


def scale_of(epoch_us: int) -> float:
    """Return by how much all times of dummies are shorter in a network of such epochs."""
    return min(1.0, epoch_us / WAITS_PER_EPOCH / WAIT_US)


class Dummies:
    """When this box begins a dummy, and at whom. Contract: call handle_timer, then re-arm at next_timer().

    begin(petname, script, now_us): calls.py begins one, where a circuit is not spliced. petnames(): the contacts.
    """

    def __init__(self, begin: Callable[[str, Script, int], None], petnames: Callable[[], list[str]], rng: Rng, epoch_us: int, now_us: int) -> None:
        self._begin, self._petnames, self._rng = begin, petnames, rng
        self._scale = scale_of(epoch_us)
        self._next_us = now_us + self._wait_us()
        self._again: tuple[int, str] | None = None
        self._liking: dict[str, float] = {}
        """By which contacts are ordered, drawn for each."""

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
            self._begin(self._choose(petnames), draw_script(self._rng, self._scale), now_us)

    def _choose(self, petnames: list[str]) -> str:
        """Draw a contact, the k-th of an order of our own 1/k as often as the first: people call some more than others, too."""
        self._liking = {petname: self._liking.get(petname, self._rng.random()) for petname in petnames}
        ordered = sorted(petnames, key=self._liking.__getitem__)
        left = self._rng.uniform(0, sum(1 / rank for rank in range(1, len(ordered) + 1)))
        for rank, petname in enumerate(ordered, start=1):
            left -= 1 / rank
            if left <= 0:
                return petname
        return ordered[-1]

    def next_timer(self) -> int:
        """Return when handle_timer is to be called next."""
        return min(self._next_us, self._again[0]) if self._again is not None else self._next_us

    def _wait_us(self) -> int:
        return int(self._rng.expovariate(1 / (WAIT_US * self._scale)))
