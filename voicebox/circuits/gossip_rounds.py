"""When a node asks others for their lists, whom, and what it tells its user of that; and whom a relay answers.

    a unit is an hour, or an epoch where that is shorter
    a relay asks one other relay of its list at a time, drawn evenly, after 1/12 to 1/4 unit each time
    a box asks the first two guards of its set, one after the other, after 1/2 to 3/2 units each time; no failure and no call changes when

NOT here: what is said (gossip.py), connections (gossip_peer.py). Pure; takes `now_s`, Unix time, and randomness. Spec: PROTOCOL.md §10.6.
"""

from __future__ import annotations

import ipaddress
import statistics
from collections import Counter, OrderedDict
from dataclasses import dataclass

from voicebox.circuits.gossip import SETTLED_UNITS, Comparison
from voicebox.circuits.path import Rng
from voicebox.circuits.terms import unit_s

FIRST = (1 / 360, 1 / 60)
"""Units before the first round, from the start of a node."""
BETWEEN_BOX = (1 / 2, 3 / 2)
BETWEEN_RELAY = (1 / 12, 1 / 4)
GUARDS_ASKED = 2
REMEMBERED_UNITS = 24
MAX_REMEMBERED = 64
CLOCK_OFF_S = 30
CLOCK_PEERS = {True: 3, False: 2}
"""So many must have said what time it is, to a relay (True) or a box."""
MAX_CLIENTS = 16
MAX_CLIENTS_OF_ONE = 3
ROUNDS_AT_ONCE = 30
ROUNDS_PER_UNIT = 120
MAX_ADDRESSES = 4_096


@dataclass(frozen=True, slots=True)
class Times:
    """The times of a node's rounds, in a network whose epoch has that many seconds."""

    epoch_s: int
    is_relay: bool

    @property
    def unit_s(self) -> float:
        """Return the unit in seconds."""
        return unit_s(self.epoch_s)

    @property
    def settled_s(self) -> float:
        """Return after how many seconds everybody should know a relay."""
        return SETTLED_UNITS * self.unit_s

    def first_s(self, rng: Rng) -> float:
        """Return the seconds from the start to the first round."""
        return rng.uniform(*FIRST) * self.unit_s

    def next_s(self, rng: Rng) -> float:
        """Return the seconds from one round to the next."""
        return rng.uniform(*(BETWEEN_RELAY if self.is_relay else BETWEEN_BOX)) * self.unit_s


@dataclass(frozen=True, slots=True)
class _Round:
    at_s: float
    off_s: float
    comparison: Comparison


class Rounds:
    """What came of the rounds with each peer, of the last 24 units and 64 peers."""

    def __init__(self, times: Times) -> None:
        self._times = times
        self._of: OrderedDict[bytes, _Round] = OrderedDict()
        self._failed: set[bytes] = set()
        self.counters: Counter[str] = Counter()

    def went(self, peer: bytes, now_s: float, their_s: int, comparison: Comparison) -> None:
        """A round with a peer is done. their_s: what its clock said."""
        self.counters["gossip_rounds"] += 1
        self._failed.discard(peer)
        self._of[peer] = _Round(now_s, their_s - now_s, comparison)
        self._of.move_to_end(peer)
        while len(self._of) > MAX_REMEMBERED:
            self._of.popitem(last=False)

    def failed(self, peer: bytes) -> None:
        """A round with a peer came to nothing."""
        self.counters["gossip_failed"] += 1
        if len(self._failed) < MAX_REMEMBERED:
            self._failed.add(peer)

    def told(self, now_s: float, peers: list[bytes]) -> dict[str, int | None]:
        """Return what is told of them, in numbers. peers: of a box its guards, of whom alone it tells; empty: of all.

        fetched_s: seconds since the last; asked: how many peers answered; unreachable: how many did not, the last time; lacking: how many of them lack relays that we have
        had for long; broke_word: how many gave another list than they had said; clock_off_s: by how much this machine's clock is behind theirs.
        """
        lately = {peer: each for peer, each in self._of.items() if now_s - each.at_s <= REMEMBERED_UNITS * self._times.unit_s and (not peers or peer in peers)}
        return {
            "fetched_s": round(now_s - max(each.at_s for each in lately.values())) if lately else None,
            "asked": len(lately),
            "unreachable": len(self._failed & set(peers)) if peers else len(self._failed),
            "lacking": sum(each.comparison.lacking > 0 for each in lately.values()),
            "broke_word": sum(not each.comparison.kept_word for each in lately.values()),
            "clock_off_s": self._clock_off_s([each.off_s for each in lately.values()]),
        }

    def _clock_off_s(self, offs: list[float]) -> int:
        """Return by how much most peers say this clock is behind, in seconds; 0 where they say nothing of the kind, or are too few to tell."""
        ahead, behind = sum(off > CLOCK_OFF_S for off in offs), sum(off < -CLOCK_OFF_S for off in offs)
        if len(offs) < CLOCK_PEERS[self._times.is_relay] or 2 * max(ahead, behind) <= len(offs):
            return 0
        return round(statistics.median(offs))


class Admission:
    """How many may ask a relay at once and one after the other, overall and of one address; an IPv6 /64 is one."""

    def __init__(self, unit_s: float) -> None:
        self._refill_s = unit_s / ROUNDS_PER_UNIT
        self._here: Counter[str] = Counter()
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enters(self, host: str, now_s: float) -> str | None:
        """Return under what one who connects is to leave(), or None for one who may not stay. now_s: any clock that does not go back."""
        source = _source(host)
        left, at_s = self._left.pop(source, (float(ROUNDS_AT_ONCE), now_s))
        left = min(float(ROUNDS_AT_ONCE), left + (now_s - at_s) / self._refill_s)
        may = left >= 1 and self._here.total() < MAX_CLIENTS and self._here[source] < MAX_CLIENTS_OF_ONE
        self._left[source] = (left - may, now_s)
        while len(self._left) > MAX_ADDRESSES:
            self._left.popitem(last=False)
        if not may:
            return None
        self._here[source] += 1
        return source

    def leaves(self, source: str) -> None:
        """One who was let in is gone."""
        self._here[source] -= 1
        if not self._here[source]:
            del self._here[source]


def _source(host: str) -> str:
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
