"""Gossip: two nodes have the same list after a round, whatever either lacked; what a peer forges, repeats or keeps back changes nothing and is counted or told."""

from __future__ import annotations

import datetime as dt
import hashlib
import zlib
from collections.abc import Iterator
from random import Random

import pytest

from tests.support.gossip import NOW_S, SETTLED_S, changed, grown, look, node, one_round, vouched, without
from tests.support.networks import NOW, make_network, make_relay
from voicebox.circuits import gossip_messages
from voicebox.circuits.descriptor import RelayAddress, Role
from voicebox.circuits.gossip import Answering, Asking
from voicebox.circuits.gossip_messages import (
    GREETING_OCTETS,
    MAX_NEWS_CHARACTERS,
    MAX_SUMMARY_OCTETS,
    PAGE_OCTETS,
    Answer,
    Greeting,
    Summary,
    bits_for,
    bucket_of,
    octets_to_come,
    packed,
    paged,
    parse_answer,
    parse_greeting,
    parse_summary,
    proof,
    serialise_answer,
    serialise_greeting,
    serialise_summary,
    unpacked,
    unpaged,
)
from voicebox.circuits.network import VerifiedNetwork
from voicebox.errors import RemoteError

SMALL = make_network(guards=8, junctions=4)
IDS = list(SMALL.network.by_id)
NEWER = changed(SMALL, SMALL.relays[0], sequence=7, addresses=(RelayAddress("192.0.2.7", 7),))
FRESH = vouched(SMALL, make_relay(Role.GUARD, "fresh", 7_000).verified)
WITHDRAWN = vouched(SMALL, SMALL.relays[1].verified, NOW + dt.timedelta(seconds=60), -1)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (SMALL.network, SMALL.network),
        (without(SMALL.network, *IDS), SMALL.network),
        (SMALL.network, without(SMALL.network, *IDS)),
        (without(SMALL.network, *IDS[:5]), without(SMALL.network, *IDS[3:])),
        (grown(SMALL.network, NEWER), SMALL.network),
        (SMALL.network, grown(SMALL.network, NEWER)),
        (grown(SMALL.network, FRESH), grown(SMALL.network, WITHDRAWN)),
        (grown(SMALL.network, WITHDRAWN, NEWER), grown(SMALL.network, FRESH)),
    ],
    ids=["same", "we have nothing", "they have nothing", "both lack", "we have a newer", "they have a newer", "we a new one, they a withdrawn", "and round"],
)
def test_after_a_round_both_relays_have_all_that_either_had(ours: VerifiedNetwork, theirs: VerifiedNetwork) -> None:
    one, other = node(ours), node(theirs)
    assert one_round(one, other).kept_word
    everything = grown(ours, *(relay.verified for relay in theirs.relays))
    assert one.network == other.network == everything
    assert one.counters["gossip_refused"] == other.counters["gossip_refused"] == 0
    assert one_round(one, other) == one_round(other, one)
    assert one.network == everything


def test_a_box_tells_nobody_anything() -> None:
    box, guard = node(grown(SMALL.network, NEWER)), node(grown(SMALL.network, FRESH))
    one_round(box, guard, tell_news=False)
    assert (len(box.network.by_id), len(guard.network.by_id)) == (13, 13)
    assert guard.network.by_id[NEWER.descriptor.relay_id].verified != NEWER


def test_a_voucher_that_was_taken_back_reaches_others_and_nobody_brings_the_relay_back() -> None:
    one, other = node(grown(SMALL.network, WITHDRAWN)), node(SMALL.network)
    for _ in range(2):
        one_round(one, other)
        assert [len(each.network.valid(NOW + dt.timedelta(days=1))) for each in (one, other)] == [11, 11]


def test_what_is_not_in_order_is_dropped_and_counted_and_the_rest_is_taken() -> None:
    box = node(SMALL.network)
    stranger = make_relay(Role.GUARD, "stranger", 6_000).verified
    forged = NEWER.text.replace("192.0.2.7 7", "192.0.2.8 7")
    expired = changed(SMALL, SMALL.relays[2], sequence=9, valid_from=NOW - dt.timedelta(days=9), valid_until=NOW - dt.timedelta(days=1))
    asking = Asking(box)
    asking.greeted(serialise_greeting(Greeting(int(NOW_S), bytes(32))))
    text = "".join((forged, "voicebox relay 1\nidentity x\n" * 3, stranger.text, expired.text, "voicebox relay 1\n" + "x" * 40_000 + "\n", FRESH.text))
    look(asking.look, asking.answer(serialise_answer(Answer(more=False, buckets=frozenset(range(64)), text=text), bits_for(12))))
    assert asking.finish(NOW_S)
    assert box.network == grown(SMALL.network, FRESH)
    assert box.counters["gossip_refused"] == 7
    assert not asking.compared(NOW_S).kept_word


def test_an_older_descriptor_changes_nothing_and_another_of_the_same_number_neither() -> None:
    box = node(grown(SMALL.network, NEWER))
    one_round(box, node(SMALL.network), tell_news=False)
    assert (box.network, box.counters["gossip_older"]) == (grown(SMALL.network, NEWER), 1)
    other = changed(SMALL, SMALL.relays[0], sequence=7, addresses=(RelayAddress("192.0.2.9", 9),))
    compared = one_round(box, node(grown(SMALL.network, other)), NOW_S + SETTLED_S + 1, tell_news=False)
    assert (box.network, box.counters["gossip_contradicting"]) == (grown(SMALL.network, NEWER), 1)
    assert compared.lacking == 0, "which of the two a guard heard first says nothing of the guard"


def test_a_guard_that_keeps_back_what_has_been_known_for_long_is_told_from_one_that_has_not_heard_yet() -> None:
    box = node(SMALL.network)
    honest, bad = node(grown(SMALL.network, FRESH, NEWER, WITHDRAWN)), node(SMALL.network)
    one_round(box, honest, tell_news=False)
    assert one_round(box, bad, NOW_S + SETTLED_S - 1, tell_news=False).lacking == 0
    assert one_round(box, bad, NOW_S + SETTLED_S + 1, tell_news=False).lacking == 3
    assert one_round(box, honest, NOW_S + SETTLED_S + 1, tell_news=False).lacking == 0


def test_a_guard_that_says_of_one_list_that_it_has_it_and_gives_another_is_told() -> None:
    class TwoFaced(Answering):
        """Says that it has everything, and leaves a relay out for this one box."""

        def answers(self, content: bytes) -> Iterator[bytes]:
            return Answering(node(without(SMALL.network, IDS[0]))).answers(content)

    box = node(without(SMALL.network, IDS[0]))
    assert not one_round(box, TwoFaced(node(SMALL.network)), tell_news=False).kept_word


def test_a_guard_cannot_say_that_it_has_what_it_has_not() -> None:
    """Its digest comes before our summary; that nothing differs is then a lie that shows."""

    class Flatterer(Answering):
        def answers(self, content: bytes) -> Iterator[bytes]:
            yield serialise_answer(Answer(more=False, buckets=frozenset(), text=""), content[0])

    box = node(grown(SMALL.network, FRESH))
    assert not one_round(box, Flatterer(node(SMALL.network)), tell_news=False).kept_word


def test_a_long_list_comes_in_several_answers_and_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.gossip.ANSWER_CHARACTERS", 3_000)
    box = node(without(SMALL.network, *IDS))
    asking = Asking(box)
    answers = list(Answering(node(SMALL.network)).answers(asking.summary()))
    assert len(answers) > 2
    told, sizes = list[int](), list[int]()
    box.on_changed = lambda: told.append(len(box.network.by_id))
    for content in answers:
        look(asking.look, asking.answer(content))
        asking.take(NOW_S)
        sizes.append(len(box.network.by_id))
    assert 0 < sizes[0] < sizes[-1], "it is taken in parts"
    asking.finish(NOW_S)
    assert box.network == SMALL.network
    assert told == [len(IDS)], "and told once"


def test_answers_without_end_and_buckets_that_come_twice_are_refused() -> None:
    def answer(*buckets: int, more: bool = True) -> bytes:
        return serialise_answer(Answer(more=more, buckets=frozenset(buckets), text=""), bits_for(12))

    with pytest.raises(RemoteError):
        Asking(node(SMALL.network)).answer(answer())
    twice = Asking(node(SMALL.network))
    twice.answer(answer(1))
    with pytest.raises(RemoteError):
        twice.answer(answer(1, more=False))


def test_news_are_bounded_and_the_rest_comes_with_the_next_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.gossip.NEWS_CHARACTERS", 3_000)
    full, empty = node(SMALL.network), node(without(SMALL.network, *IDS))
    sizes = []
    while len(empty.network.by_id) < len(IDS):
        one_round(full, empty)
        sizes.append(len(empty.network.by_id))
    assert 1 < len(sizes) <= len(IDS)


def test_a_list_that_is_full_takes_no_other_relay_and_still_takes_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.merge.MAX_RELAYS", len(IDS))
    box = node(SMALL.network)
    one_round(box, node(grown(SMALL.network, NEWER)), tell_news=False)
    asking = Asking(box)
    asking.look(FRESH.text)
    assert not asking.finish(NOW_S)
    assert box.network == grown(SMALL.network, NEWER)
    assert box.counters["gossip_refused"] == 1


def test_relays_expire_also_where_nobody_says_anything() -> None:
    box = node(SMALL.network)
    assert box.take([], NOW_S + 400 * 86_400)
    assert box.network.by_id == {}


# ------------------------------------------------------------------------------------------------------------------- messages


def test_messages_are_read_back_and_have_whole_pages() -> None:
    greeting, summary = Greeting(1_780_000_000, bytes(range(32))), Summary(6, tuple(bytes([at]) * 8 for at in range(64)))
    assert parse_greeting(serialise_greeting(greeting)) == greeting
    assert len(serialise_greeting(greeting)) == GREETING_OCTETS
    assert parse_summary(serialise_summary(summary)) == summary
    answer = Answer(more=True, buckets=frozenset((0, 5, 63)), text="voicebox relay 1\n")
    assert parse_answer(serialise_answer(answer, 6), 6) == answer
    for length in (0, 1, PAGE_OCTETS - 4, PAGE_OCTETS - 3, MAX_SUMMARY_OCTETS):
        message = paged(b"x" * length)
        assert len(message) % PAGE_OCTETS == 0
        assert octets_to_come(message[:PAGE_OCTETS], MAX_SUMMARY_OCTETS) == len(message) - PAGE_OCTETS
        assert unpaged(message) == b"x" * length


def test_a_round_in_which_nothing_is_new_has_one_size_whatever_the_list() -> None:
    for network in (SMALL.network, without(SMALL.network, *IDS[:6])):
        asking = Asking(node(network))
        (answer,) = Answering(node(network)).answers(asking.summary())
        assert (len(paged(asking.summary())), len(paged(answer))) == (PAGE_OCTETS, PAGE_OCTETS)


@pytest.mark.parametrize(("relays", "bits"), [(0, 6), (255, 6), (256, 7), (2_000, 9), (20_000, 13), (10**6, 13)])
def test_a_summary_is_as_fine_as_the_list_is_long(relays: int, bits: int) -> None:
    assert bits_for(relays) == bits
    assert bucket_of(b"\xff" * 32, bits) == (1 << bits) - 1
    assert bucket_of(bytes(32), bits) == 0


@pytest.mark.parametrize(
    "content",
    [b"", b"\x05" + bytes(8 << 5), b"\x0e" + bytes(8 << 14), b"\x06" + bytes(511), b"\x06" + bytes(513)],
    ids=["nothing", "coarse", "fine", "cut", "long"],
)
def test_what_is_no_summary_is_refused(content: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_summary(content)
    with pytest.raises(RemoteError):
        Answering(node(SMALL.network)).answers(content)


def test_a_bomb_is_never_unpacked() -> None:
    bomb = zlib.compress(b"v" * (MAX_NEWS_CHARACTERS + 1))
    assert len(bomb) < 1_000
    for octets in (bomb, packed("text")[:-1], packed("text") + b"x", b"", b"\xff" * 9, zlib.compress(b"\xff")):
        with pytest.raises(RemoteError):
            unpacked(octets, MAX_NEWS_CHARACTERS)


def test_messages_that_are_too_long_or_say_something_in_their_padding_are_refused() -> None:
    with pytest.raises(RemoteError):
        octets_to_come(paged(bytes(101))[:PAGE_OCTETS], 100)
    with pytest.raises(RemoteError):
        unpaged(paged(b"x")[:-1] + b"x")
    with pytest.raises(RemoteError):
        unpaged((100).to_bytes(4, "big") + bytes(99))


def test_the_proof_is_of_a_network_and_of_a_connection() -> None:
    """HMAC-SHA256 (RFC 2104), computed here by its definition."""
    key = bytes(range(32)).ljust(64, b"\0")
    inner = hashlib.sha256(bytes(x ^ 0x36 for x in key) + b"voicebox/1 gossip" + b"finished").digest()
    assert proof(bytes(range(32)), b"finished") == hashlib.sha256(bytes(x ^ 0x5C for x in key) + inner).digest()
    assert len({proof(bytes(32), b"a"), proof(bytes(32), b"b"), proof(bytes(31) + b"x", b"a")}) == 3


def test_any_octets_are_refused_or_read() -> None:
    rng = Random(5)
    asking = Asking(node(SMALL.network))
    good = next(iter(Answering(node(without(SMALL.network, *IDS[:3]))).answers(asking.summary())))
    taken = 0
    for _ in range(2_000):
        octets = bytearray(good)
        for _ in range(rng.randrange(1, 4)):
            octets[rng.randrange(len(octets))] ^= 1 << rng.randrange(8)
        try:
            parse_answer(bytes(octets[: rng.randrange(len(octets) + 1)] if rng.random() < 0.3 else octets), 6)
            taken += 1
        except RemoteError:
            continue
    assert taken < 1_000
    assert gossip_messages.MAX_ANSWERS * gossip_messages.ANSWER_CHARACTERS >= 20_000 * 4_096, "the longest list has room"
