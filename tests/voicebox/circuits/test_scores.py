"""What a box saw of relays makes some of them rarer, within bounds, and delay counts only where enough entropy is left."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random
from typing import cast

import pytest

from tests.support.networks import NOW
from tests.support.simulated import simulated_network
from voicebox.circuits.circuit import Circuit
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.path import Path, Pool
from voicebox.circuits.scores import FAILING, FLOOR_BITS, MAX_RELAYS, SLOW, Scores, delay_counts

POOL = Pool(simulated_network(2_000), Role.GUARD, NOW)
MANY_BITS = 10.0


@dataclass
class Seen:
    """As much of a circuit as a score takes."""

    path: Path
    round_trips_us: list[int] = field(default_factory=list)
    suspects: tuple[Descriptor, ...] = ()


def stood(scores: Scores, relay: Descriptor, round_trip_us: int = 20_000) -> None:
    scores.stood(cast("Circuit", Seen(Path(relay, POOL.relays[-1]), [round_trip_us])))


def failed(scores: Scores, *suspects: Descriptor) -> None:
    scores.failed(cast("Circuit", Seen(Path(suspects[0], POOL.relays[-1]), suspects=suspects)))


def test_a_relay_at_which_circuits_fail_is_drawn_down_to_a_quarter_as_often_and_recovers() -> None:
    scores = Scores()
    bad, good = POOL.relays[0], POOL.relays[1]
    for _ in range(200):
        failed(scores, bad)
        stood(scores, good)
    favour = scores.favour(0.0)
    assert (favour(bad), favour(POOL.relays[2])) == (FAILING, 1.0)
    assert favour(good) == 1.0
    for _ in range(60):
        stood(scores, bad)
    assert scores.favour(0.0)(bad) > 0.95


def test_blame_is_shared_by_those_who_may_have_done_it() -> None:
    alone, shared = Scores(), Scores()
    relays = POOL.relays[:3]
    failed(alone, relays[0])
    failed(shared, *relays)
    assert alone.favour(0.0)(relays[0]) < shared.favour(0.0)(relays[0]) < 1.0


def test_slow_relays_are_drawn_down_to_half_as_often_where_the_entropy_allows_it() -> None:
    scores = Scores()
    for number, relay in enumerate(POOL.relays[:20]):
        stood(scores, relay, 20_000 if number else 400_000)
    slow = POOL.relays[0]
    assert scores.favour(MANY_BITS)(slow) == SLOW
    assert scores.favour(MANY_BITS)(POOL.relays[1]) == 1.0
    limit = FLOOR_BITS + math.log2(1 / (FAILING * SLOW))
    assert (delay_counts(limit), delay_counts(limit - 0.01)) == (True, False)
    assert scores.favour(limit - 0.01)(slow) == 1.0


def test_no_relay_is_drawn_more_often_than_the_floor_says_whatever_was_measured() -> None:
    """The worst that scores can do: all but one relay are slow and fail always."""
    scores, lucky = Scores(), POOL.relays[0]
    for relay in POOL.relays[1 : MAX_RELAYS - 2]:
        failed(scores, relay)
        stood(scores, relay, 900_000)
        for _ in range(40):
            failed(scores, relay)
    for _ in range(20):
        stood(scores, lucky, 1_000)
    favour = scores.favour(POOL.entropy_bits)
    weights = [relay.mbit_s * favour(relay) for relay in POOL.relays]
    assert max(weights) / sum(weights) <= 2 ** -(POOL.entropy_bits - math.log2(1 / (FAILING * SLOW)))
    drawn = sum(POOL.draw(rng, lambda _relay: True, favour) is lucky for rng in map(Random, range(300)))
    assert drawn <= 300 * 2**-FLOOR_BITS


def test_delay_of_few_relays_says_nothing() -> None:
    scores = Scores()
    for number, relay in enumerate(POOL.relays[:7]):
        stood(scores, relay, 1_000 if number else 400_000)
    assert scores.favour(MANY_BITS)(POOL.relays[0]) == 1.0


def test_a_hop_answers_for_its_own_part_of_the_delay() -> None:
    scores = Scores()
    guard, middle, junction = POOL.relays[:3]
    for relay in POOL.relays[10:30]:
        stood(scores, relay, 40_000)
    scores.stood(cast("Circuit", Seen(Path(guard, junction, middle), [400_000, 440_000, 900_000])))
    assert [scores.favour(MANY_BITS)(relay) for relay in (guard, middle, junction)] == [SLOW, 1.0, SLOW]


@pytest.mark.parametrize("count", [MAX_RELAYS + 10])
def test_no_more_relays_than_the_bound_are_remembered(count: int) -> None:
    scores = Scores()
    for relay in POOL.relays[:count]:
        failed(scores, relay)
    assert [scores.favour(0.0)(relay) == 1.0 for relay in (POOL.relays[0], POOL.relays[9], POOL.relays[10])] == [True, True, False]
