"""What a holder keeps, and what it refuses: rolled back, replayed, of another time, too much; and its files. Where records lie, and who stands beside a place."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace

import pytest

from tests.support.networks import make_network, make_relay
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.record import RECORD_OCTETS, PlaceKeys, Post, Record, place_keys, seal_record
from voicebox.circuits.record_holder import MAX_SHARD_OCTETS, SHARDS, Holder
from voicebox.circuits.record_question import Answer, Get, Put
from voicebox.circuits.record_ring import HOLDERS, Ring, Rings, position, ring_of
from voicebox.circuits.value import PERIOD_EPOCHS
from voicebox.sensitive import Secret

NETWORK, JUNCTION = b"n" * 32, b"j" * 32
NOW = 7


def keys(number: int, period: int = NOW) -> PlaceKeys:
    return place_keys(Secret(number.to_bytes(32, "big")), period, b"w" * 32, b"r" * 32)


def record(number: int, sequence: int, period: int = NOW) -> Record:
    return seal_record(NETWORK, keys(number, period), sequence, Post(sequence))


@pytest.fixture
def holder() -> Holder:
    return Holder(NETWORK, Counter())


def put(holder: Holder, told: Record, period: int = NOW, junction: bytes = JUNCTION) -> int:
    return holder.answer(Put(told), junction, period).count


def found(holder: Holder, number: int, period: int = NOW, *, now: int = NOW) -> Record | None:
    return holder.answer(Get(keys(number, period).place, period), JUNCTION, now).record


def test_the_latest_record_of_a_place_is_kept_and_none_that_is_rolled_back_or_replayed(holder: Holder) -> None:
    first, second = record(1, 10), record(1, 11)
    assert [put(holder, each) for each in (first, second, second)] == [1, 1, 1], "the same once more is no harm"
    assert [put(holder, each) for each in (first, record(1, 11), record(1, 5))] == [0, 0, 0]
    assert found(holder, 1) == second
    assert found(holder, 2) is None
    assert holder.counters == {"records_taken": 3, "records_rolled_back": 3, "records_asked": 2}
    assert len(holder) == 1


def test_a_record_is_of_the_present_period_or_beside_it_and_is_over_after_the_next(holder: Holder) -> None:
    assert [put(holder, record(period, 1, period)) for period in range(NOW - 2, NOW + 3)] == [0, 1, 1, 1, 0]
    assert [found(holder, period, period, now=NOW + 1) is not None for period in (NOW - 1, NOW, NOW + 1)] == [False, True, True]
    assert put(holder, record(NOW - 1, 9, NOW - 1), NOW + 1) == 0
    assert found(holder, NOW, NOW, now=NOW + 2) is None
    assert len(holder) == 1


def test_there_are_bounds_in_all_and_for_one_junction() -> None:
    holder = Holder(NETWORK, Counter(), most=4)
    assert [put(holder, record(number, 1)) for number in range(6)] == [1, 1, 1, 1, 0, 0]
    assert put(holder, record(2, 2)) == 1, "a place that is there is written anew"
    assert holder.counters["records_too_many"] == 2
    assert put(holder, record(9, 1, NOW + 2), NOW + 2) == 1, "another time, other records"


def test_one_junction_fills_half_of_a_holder_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.record_holder.MAX_OF_ONE", 2)
    holder = Holder(NETWORK, Counter(), most=4)
    assert [put(holder, record(number, 1)) for number in range(3)] == [1, 1, 0]
    assert put(holder, record(3, 1), junction=b"k" * 32) == 1


def test_what_is_on_disk_comes_back_and_what_is_damaged_or_over_does_not(holder: Holder) -> None:
    for number in range(40):
        put(holder, record(number, 1))
    shards = holder.changed_shards()
    assert holder.changed_shards() == {}
    assert sum(len(octets) for octets in shards.values()) == 40 * RECORD_OCTETS
    assert set(shards) <= set(range(SHARDS))
    again, later = Holder(NETWORK, Counter()), Holder(NETWORK, Counter())
    for octets in shards.values():
        again.load(octets, NOW)
        later.load(octets, NOW + 2)
    assert all(found(again, number) == found(holder, number) is not None for number in range(40))
    assert len(later) == 0
    bad = Holder(NETWORK, Counter())
    spoiled = bytearray(next(iter(shards.values())))
    spoiled[100] ^= 1
    bad.load(bytes(spoiled) + b"cut off", NOW)
    assert bad.counters["records_damaged"] == 2
    bad.load(bytes(MAX_SHARD_OCTETS + RECORD_OCTETS), NOW)
    assert bad.counters["records_damaged"] == 2 + MAX_SHARD_OCTETS // RECORD_OCTETS


def test_a_holder_answers_with_what_it_has_and_nothing_lists_it(holder: Holder) -> None:
    put(holder, record(1, 1))
    assert holder.answer(Get(keys(2).place, NOW), JUNCTION, NOW) == Answer(1)
    assert holder.answer(Get(keys(1).place, NOW - 1), JUNCTION, NOW) == Answer(1), "of that period there is none"


# ----------------------------------------------------------------------------------------------------------------- the ring


def with_value(network: VerifiedNetwork, octet: int) -> VerifiedNetwork:
    """Return a network in which another value is shared."""
    return replace(network, terms=replace(network.terms, shared=bytes([octet]) * 32))


def test_everybody_finds_the_same_eight_and_all_of_a_network_that_has_fewer() -> None:
    network = make_network(20, 4).network
    ring = ring_of(network, 3, 0)
    places = [random.Random(number).randbytes(32) for number in range(2_000)]
    assert all(len({relay.relay_id for relay in ring.holders(place)}) == HOLDERS for place in places)
    assert [ring.holders(place) for place in places[:9]] == [ring_of(network, 3, 0).holders(place) for place in places[:9]]
    loads = Counter(relay.relay_id for place in places for relay in ring.holders(place))
    assert len(loads) == 24
    assert len(ring_of(make_network(3, 2).network, 3, 0).holders(places[0])) == 5


def test_another_period_or_value_moves_every_relay() -> None:
    network = make_network(40, 8).network
    place = b"p" * 32
    holders = [
        {relay.relay_id for relay in ring.holders(place)} for ring in (ring_of(network, 3, 0), ring_of(network, 4, 0), ring_of(with_value(network, 9), 3, 0))
    ]
    assert len(holders[0] & holders[1]) < 6
    assert len(holders[0] & holders[2]) < 6


def test_eight_relays_that_were_made_beside_a_place_are_not_there_when_the_value_is_another() -> None:
    """Whoever knew a place ahead, and made relays for it, finds them anywhere once the value of the period is known."""
    place, honest = b"p" * 32, [make_relay(Role.GUARD, f"op{number}", 4_000 + number).descriptor for number in range(200)]
    drawn = [make_relay(Role.GUARD, "mallory", 9_000 + number).descriptor for number in range(1_500)]
    by_chance = ring_with(b"1" * 32, drawn).holders(place)
    made = {relay.relay_id for relay in by_chance}
    assert len(made) == HOLDERS
    held = {shared: sum(relay.relay_id in made for relay in ring_with(shared, [*honest, *by_chance]).holders(place)) for shared in (b"1" * 32, b"2" * 32)}
    assert held[b"1" * 32] >= 6, "with the value known ahead they stand before every honest one"
    assert held[b"2" * 32] <= 3, "with another they stand where chance puts them: 8 among 208"


def ring_with(shared: bytes, relays: list[Descriptor]) -> Ring:
    standing = sorted((position(b"relay", shared, 3, relay.relay_id), relay) for relay in relays)
    return Ring(3, shared, [at for at, _ in standing], [relay for _, relay in standing])


def test_rings_are_made_once_for_a_list_and_an_epoch() -> None:
    network, rings = make_network().network, Rings()
    ring = rings.of(network, 0, 0)
    assert rings.of(network, 0, 5) is ring
    assert rings.of(network, 0, network.epoch_us) is not ring
    assert rings.of(make_network().network, 0, network.epoch_us) is not rings.of(network, 0, network.epoch_us)
    assert PERIOD_EPOCHS == 24
