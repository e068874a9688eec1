"""Gossip among 200 relays in virtual time, a third of them bad: news reach every honest one within hours, and nothing false reaches any.

Cores with real keys and octets (circuits/gossip.py) at drawn times (circuits/gossip_rounds.py); what is left out is the connection. The bad ones answer and tell news
as their kind does, and ask as often as the others.
"""

from __future__ import annotations

import copy
import functools
import heapq
from collections import Counter
from collections.abc import Iterable, Iterator
from random import Random

import pytest

from tests.support.gossip import NOW_S, SETTLED_S, changed, grown, node, one_round, vouched, without
from tests.support.networks import NOW, SmallNetwork, make_network, make_relay
from voicebox.circuits.descriptor import RelayAddress, Role, VerifiedDescriptor, parse_descriptor
from voicebox.circuits.gossip import Answering, Gossip
from voicebox.circuits.gossip_messages import Answer, serialise_answer
from voicebox.circuits.gossip_rounds import Times
from voicebox.circuits.value import ValueSignature

RELAYS = 200
BAD_SHARE = 3
HOURS = 5
TIMES = Times(3_600, is_relay=True)


class Honest:
    """A relay that does as it should."""

    def __init__(self, gossip: Gossip) -> None:
        self.gossip = copy.copy(gossip)  # their lists are values, which are replaced and never changed
        self.gossip.counters = Counter()

    def answering(self, _asks: int) -> Answering:
        return Answering(self.gossip)

    def ask(self, other: Honest, number: int, now_s: float) -> None:
        one_round(self.gossip, other.answering(number), now_s)


class Frozen(Gossip):
    """A list that nothing changes."""

    def take(self, found: list[VerifiedDescriptor], now_s: float, signed: Iterable[ValueSignature] = ()) -> bool:
        return False


class Withholding(Honest):
    """Takes no news, so it answers with the list that it had, and tells nobody anything newer."""

    def __init__(self, gossip: Gossip) -> None:
        super().__init__(gossip)
        self.gossip.__class__ = Frozen

    def ask(self, other: Honest, number: int, now_s: float) -> None:
        one_round(self.gossip, other.answering(number), now_s, tell_news=False)


class Replaying(Withholding):
    """Says what was true before, to all."""

    def ask(self, other: Honest, number: int, now_s: float) -> None:
        one_round(self.gossip, other.answering(number), now_s, tell_news=True)


class TwoLists(Withholding):
    """Has another half of the list for each who asks."""

    def answering(self, asks: int) -> Answering:
        return Answering(HALVES[asks % 2])


class _Forger(Answering):
    def answers(self, content: bytes) -> Iterator[bytes]:
        yield serialise_answer(Answer(more=False, buckets=frozenset(range(1 << content[0])), text=FORGED), content[0])


class Forging(Withholding):
    """Answers with descriptors that nobody signed, and with relays that nobody vouched for."""

    def answering(self, _asks: int) -> Answering:
        return _Forger(self.gossip)


SMALL: SmallNetwork = make_network(guards=RELAYS - 60, junctions=60)
FORGED = SMALL.relays[0].verified.text.replace("sequence 1", "sequence 2") + make_relay(Role.JUNCTION, "nobody", 6_000).verified.text
WHOLE = node(SMALL.network)
HALVES = [Frozen(without(SMALL.network, *list(SMALL.network.by_id)[at::2]), NOW_S, SETTLED_S) for at in range(2)]
KINDS = (Withholding, Replaying, TwoLists, Forging)


@pytest.fixture(autouse=True)
def _parse_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a text says does not change; signatures of the same are verified once for all relays here."""
    monkeypatch.setattr("voicebox.circuits.gossip.parse_descriptor", functools.cache(parse_descriptor))


def test_news_reach_every_honest_relay_within_hours_and_nothing_false_any() -> None:
    fresh = vouched(SMALL, make_relay(Role.JUNCTION, "fresh", 7_000).verified)
    moved = changed(SMALL, SMALL.relays[3], sequence=2, addresses=(RelayAddress("192.0.2.3", 3),))
    withdrawn = vouched(SMALL, SMALL.relays[4].verified, NOW.replace(hour=1), -1)
    everything = grown(SMALL.network, fresh, moved, withdrawn)
    rng = Random(11)
    relays = [KINDS[number % len(KINDS)](WHOLE) if number % BAD_SHARE == 0 else Honest(WHOLE) for number in range(RELAYS)]
    honest = [relay for relay in relays if type(relay) is Honest]
    for relay, news in zip(honest, (fresh, moved, withdrawn), strict=False):
        relay.gossip.take([news], NOW_S)
    due = [(NOW_S + TIMES.first_s(rng), number) for number in range(RELAYS)]
    heapq.heapify(due)
    done_s, rounds = 0.0, 0
    while (now_s := due[0][0]) < NOW_S + HOURS * 3_600:
        _, number = heapq.heappop(due)
        other = rng.randrange(RELAYS - 1)
        relays[number].ask(relays[other + (other >= number)], number, now_s)
        heapq.heappush(due, (now_s + TIMES.next_s(rng), number))
        rounds += 1
        if not done_s and all(relay.gossip.network.by_id == everything.by_id for relay in honest):
            done_s = now_s - NOW_S
            break
    print(f"all {len(honest)} honest relays had three news after {done_s / 3_600:.2f} hours, {rounds / RELAYS:.1f} rounds each")
    assert done_s, f"after {HOURS} hours some honest relay lacks news"
    assert done_s < SETTLED_S, "sooner than a relay that lacks them is suspected"
    assert sum(relay.gossip.counters["gossip_refused"] for relay in honest) > 0, "the forgers were heard"
    assert sum(relay.gossip.counters["gossip_older"] for relay in honest) > 0, "and what was replayed"


def test_a_box_with_one_bad_guard_of_each_kind_has_all_news_and_sees_which_guard_is_bad() -> None:
    fresh = vouched(SMALL, make_relay(Role.JUNCTION, "fresh", 7_000).verified)
    everything = grown(SMALL.network, fresh)
    for kind in KINDS:
        box, good, bad = node(SMALL.network), Honest(node(everything)), kind(WHOLE)
        seen: list[Gossip] = []
        for hour in range(10):
            now_s = NOW_S + hour * 3_600
            of_bad = one_round(box, bad.answering(hour), now_s, tell_news=False)
            of_good = one_round(box, good.answering(hour), now_s, tell_news=False)
            assert (of_good.lacking, of_good.kept_word) == (0, True)
            assert box.network == everything
            if of_bad.lacking or not of_bad.kept_word:
                seen.append(box)
        assert seen, f"a {kind.__name__} guard is not seen"
