"""What a malicious junction writes down of its splices, and what it can make of each: the features of test (d).

It knows of each circuit its guard and when it came, of each knock the token, the circuits and the time, of each splice who joined, when it began and ended, and who parted
first, and of each circuit when it parted from what never was a splice. It keeps all of that for ever, so that what came later counts as well.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.support.fake_engine import FakeCircuit
from voicebox.circuits.standing import PREPARE_AT_MOST_US

SECOND_US = 1_000_000
LENGTH, PAIR, WAITS, AGAIN, OFTEN = (0,), (1,), (2, 3, 9, 10, 24, 25, 27), (22, 23), (20, 21)
"""Where in the features stand the length, the pair of guards, how long both circuits rested before and after, since they last parted from anything and since the knocker last knocked,
how long since and until the next splice of the two, and how often the token was knocked at and the two were spliced."""
AT_MOST_S = 3_600.0
"""Waits and ages longer than that are taken to be so long."""
TOKEN_OCTETS = 16

Pair = tuple[bytes, bytes]


@dataclass(eq=False)
class Splice:
    """One splice. Circuits are numbered in the order in which they came; at_first: the junction was the first of the two of its epoch.

    is_call: the truth, which the junction does not know.
    """

    knocker: int
    joiner: int
    token: bytes
    join_id: bytes
    knocked_us: int
    begun_us: int
    at_first: bool
    is_call: bool
    ended_us: int = 0
    parts: list[tuple[int, int]] = field(default_factory=list)


@dataclass
class Standing:
    """One circuit as the junction has it. knocked: when each of its knocks began; came_in: distinct knocks delivered to it; parted: when it said part, with any id."""

    guard: bytes
    came_us: int
    splices: list[Splice] = field(default_factory=list)
    knocked_us: list[int] = field(default_factory=list)
    came_in_us: list[int] = field(default_factory=list)
    parted_us: list[int] = field(default_factory=list)


class JunctionLog:
    """What one junction writes down. is_call(join id): asked when a splice begins, kept as the truth. is_first(at_us): whether it is the first junction of the epoch."""

    def __init__(self, junction_id: bytes, is_call: Callable[[bytes], bool], is_first: Callable[[int], bool]) -> None:
        self._junction_id, self._is_call, self._is_first = junction_id, is_call, is_first
        self._numbers: dict[FakeCircuit, int] = {}
        self.circuits: list[Standing] = []
        self.splices: list[Splice] = []
        self._knocks: dict[bytes, tuple[int, bytes, int]] = {}
        self._delivered: set[tuple[bytes, int]] = set()
        self._live: dict[bytes, Splice] = {}
        self._parted: dict[bytes, Splice] = {}

    def take(self, now_us: int, what: str, circuit: FakeCircuit, payload: bytes) -> None:
        """Write down what happened (tests/support/fake_engine.py has the list)."""
        if circuit.junction_id != self._junction_id:
            return
        if what == "open":
            self._numbers[circuit] = len(self.circuits)
            self.circuits.append(Standing(circuit.guard_id, now_us))
            return
        number = self._numbers[circuit]
        match what:
            case "knock":
                self._knock(now_us, number, payload)
            case "knocked":
                if (payload[TOKEN_OCTETS : 2 * TOKEN_OCTETS], number) not in self._delivered:
                    self._delivered.add((payload[TOKEN_OCTETS : 2 * TOKEN_OCTETS], number))
                    self.circuits[number].came_in_us.append(now_us)
            case "splice":
                self._splice(now_us, number, payload)
            case "part":
                self.circuits[number].parted_us.append(now_us)
                if (splice := self._live.get(payload) or self._parted.get(payload)) is not None:
                    splice.parts.append((now_us, number))
                    self._end(now_us, payload)
            case _:
                for join_id in [join_id for join_id, splice in self._live.items() if number in {splice.knocker, splice.joiner}]:
                    self._end(now_us, join_id)

    def _knock(self, now_us: int, number: int, payload: bytes) -> None:
        join_id = payload[TOKEN_OCTETS : 2 * TOKEN_OCTETS]
        if join_id not in self._knocks:
            self._knocks[join_id] = (number, payload[:TOKEN_OCTETS], now_us)
            self.circuits[number].knocked_us.append(now_us)

    def _splice(self, now_us: int, joiner: int, join_id: bytes) -> None:
        knocker, token, knocked_us = self._knocks[join_id]
        at_first = self._is_first(self.circuits[joiner].came_us + PREPARE_AT_MOST_US)
        splice = Splice(knocker, joiner, token, join_id, knocked_us, now_us, at_first, self._is_call(join_id))
        self._live[join_id] = splice
        self.splices.append(splice)
        for number in (knocker, joiner):
            self.circuits[number].splices.append(splice)

    def _end(self, now_us: int, join_id: bytes) -> None:
        splice = self._live.pop(join_id, None)
        if splice is not None:
            splice.ended_us = now_us
            self._parted[join_id] = splice

    def close(self, now_us: int) -> None:
        """Leave out what has not ended."""
        del now_us
        self.splices = [splice for splice in self.splices if splice.ended_us]

    def pair(self, splice: Splice) -> Pair:
        """Return the guards behind which the two circuits are."""
        one, other = sorted(self.circuits[number].guard for number in (splice.knocker, splice.joiner))
        return one, other


def lift_of_pairs(log: JunctionLog) -> dict[Pair, float]:
    """Return how much more often each pair of guards is spliced than its two guards would be by themselves (log)."""
    pairs = Counter(log.pair(splice) for splice in log.splices)
    guards: Counter[bytes] = Counter()
    for pair, count in pairs.items():
        for guard in pair:
            guards[guard] += count
    total = sum(guards.values())
    return {pair: math.log((count + 1) / (guards[pair[0]] * guards[pair[1]] / total + 1)) for pair, count in pairs.items()}


def _waited(later_us: int, earlier_us: int | None) -> float:
    return math.log1p(min(AT_MOST_S, max(0.0, (later_us - earlier_us) / SECOND_US)) if earlier_us is not None else AT_MOST_S)


def _since(now_us: int, times_us: list[int]) -> float:
    at = bisect_left(times_us, now_us)
    return _waited(now_us, times_us[at - 1] if at else None)


def _around(of: Standing, splice: Splice) -> list[float]:
    """Return how long a circuit rested before and after, who it knocked at just before, and what came to it meanwhile."""
    at = of.splices.index(splice)
    before, after = of.splices[at - 1] if at else None, of.splices[at + 1] if at + 1 < len(of.splices) else None
    before_us = before.ended_us if before is not None else None
    first, last = bisect_left(of.came_in_us, splice.begun_us + SECOND_US), bisect_right(of.came_in_us, splice.ended_us)
    return [
        _waited(splice.knocked_us, before_us),
        _waited(after.begun_us, splice.ended_us) if after is not None else math.log1p(AT_MOST_S),
        float(last - first),
        _waited(splice.ended_us, of.came_in_us[last - 1] if last > first else None),
        float(bisect_left(of.knocked_us, splice.knocked_us) - bisect_left(of.knocked_us, splice.knocked_us - 30 * SECOND_US)),
        float(len(of.splices)),
        _waited(splice.knocked_us, of.came_us),
    ]


def features(log: JunctionLog) -> list[list[float]]:
    """Return what the junction knows of each splice: its length first, the lift of its pair of guards second."""
    lifts = lift_of_pairs(log)
    tokens, pairs = Counter(splice.token for splice in log.splices), Counter(frozenset((splice.knocker, splice.joiner)) for splice in log.splices)
    same: dict[frozenset[int], list[Splice]] = defaultdict(list)
    for splice in log.splices:
        same[frozenset((splice.knocker, splice.joiner))].append(splice)
    rows = []
    for splice in log.splices:
        circuits = [log.circuits[number] for number in (splice.knocker, splice.joiner)]
        first_us, last_us = (splice.parts[0][0], splice.parts[-1][0]) if splice.parts else (splice.ended_us, splice.ended_us)
        between = same[frozenset((splice.knocker, splice.joiner))]
        at = between.index(splice)
        rows.append(
            [
                math.log((splice.ended_us - splice.begun_us) / SECOND_US + 0.1),
                lifts[log.pair(splice)],
                *_around(circuits[0], splice),
                *_around(circuits[1], splice),
                (splice.begun_us - splice.knocked_us) / SECOND_US,
                (last_us - first_us) / SECOND_US,
                float(bool(splice.parts) and splice.parts[0][1] == splice.knocker),
                float(len(splice.parts)),
                float(tokens[splice.token]),
                float(pairs[frozenset((splice.knocker, splice.joiner))]),
                _waited(splice.begun_us, between[at - 1].ended_us if at else None),
                _waited(between[at + 1].begun_us, splice.ended_us) if at + 1 < len(between) else math.log1p(AT_MOST_S),
                *(_since(splice.knocked_us, of.parted_us) for of in circuits),
                float(splice.at_first),
                _since(splice.knocked_us, circuits[0].knocked_us),
            ]
        )
    return rows
