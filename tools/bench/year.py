"""A year of many boxes' guards and epochs by the real rules, and how often bad relays stood where they learn something.

Every box draws and keeps its guards as a daemon does (circuits/guards.py), looked at every STEP_DAYS; the junctions are those of each epoch, the same for all
boxes; with a middle one is drawn for each circuit and epoch. Then relays are called bad at random until they have the share in question of all bandwidth of their role, anew for
every SET of boxes. NOT here: the arithmetic that this is compared with (circuits/exposure.py).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tests.support.networks import NOW
from tests.support.simulated import simulated_network
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.guards import DAY_S, GuardSet
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.path import Pool, junctions_of_epoch

STEP_DAYS = 3
YEAR_DAYS = 365
WAYS = 2
EPOCHS_PER_DAY = 24


@dataclass(frozen=True, slots=True)
class Stay:
    """A guard at one place of a box's set. days: how long it was there, within the year."""

    place: int
    relay_id: bytes
    days: int


def year_of_guards(network: VerifiedNetwork, rng: Random) -> list[Stay]:
    """Live a year as one box; return the guards that were in use."""
    born_s = int(NOW.timestamp())
    pool = Pool(network, Role.GUARD, NOW)
    guards = GuardSet(WAYS, rng, lambda _text: None)
    days: dict[tuple[int, bytes], int] = {}
    for day in range(0, YEAR_DAYS, STEP_DAYS):
        guards.refresh(pool, born_s + day * DAY_S)
        for place, guard in enumerate(guards.guards[:WAYS]):
            key = (place, guard.relay_id)
            days[key] = days.get(key, 0) + min(STEP_DAYS, YEAR_DAYS - day)
    return [Stay(place, relay_id, length) for (place, relay_id), length in days.items()]


def junction_days(network: VerifiedNetwork) -> list[list[bytes]]:
    """Return the junctions of each epoch of a year, in their order."""
    return [[relay.relay_id for relay in junctions_of_epoch(network, epoch)] for epoch in range(YEAR_DAYS * EPOCHS_PER_DAY)]


def bad_relays(relays: Sequence[Descriptor], share: float, rng: Random) -> tuple[set[bytes], float]:
    """Call relays bad until they have that share of the bandwidth; return their ids and the share that they have."""
    total, wanted = sum(relay.mbit_s for relay in relays), share * sum(relay.mbit_s for relay in relays)
    bad: set[bytes] = set()
    have = 0
    for relay in rng.sample(relays, len(relays)):
        if have + relay.mbit_s <= wanted:
            bad.add(relay.relay_id)
            have += relay.mbit_s
    return bad, have / total


@dataclass(frozen=True, slots=True)
class Found:
    """Shares of boxes, and of circuits times epochs."""

    bad_guard: float
    bad_path_now: float
    bad_path_in_a_year: float


def exposed(
    years: Sequence[Sequence[Stay]], network: VerifiedNetwork, junctions: Sequence[Sequence[bytes]], share: float, rng: Random, *, middle: bool, sets: int
) -> Found:
    """Return how often it happened. junctions: of each epoch of the year; the i-th circuit goes to the i-th of them."""
    guards, all_junctions = (network.with_role(role, NOW + dt.timedelta(days=1)) for role in (Role.GUARD, Role.JUNCTION))
    with_guard = with_path = epochs_bad = 0
    for number in range(sets):
        bad, have = bad_relays(guards, share, rng)
        bad_junctions, _ = bad_relays(all_junctions, share, rng)
        tried = [[rng.random() < have if middle else True for _ in range(WAYS)] for _ in junctions]
        hit = [[ids[way] in bad_junctions and tries[way] for way in range(WAYS)] for ids, tries in zip(junctions, tried, strict=True)]
        for stays in years[number::sets]:
            was = [stay for stay in stays if stay.relay_id in bad]
            with_guard += bool(was)
            count = sum(_hits(stay, stays, hit) for stay in was)
            with_path += count > 0
            epochs_bad += count
    return Found(with_guard / len(years), epochs_bad / (len(years) * WAYS * len(junctions)), with_path / len(years))


def _hits(stay: Stay, stays: Sequence[Stay], hit: Sequence[Sequence[bool]]) -> int:
    """Return in how many epochs of a stay the rest of the circuit was bad too."""
    before = sum(other.days for other in stays[: stays.index(stay)] if other.place == stay.place)
    per_day = len(hit) / YEAR_DAYS
    return sum(tries[stay.place] for tries in hit[round(before * per_day) : round((before + stay.days) * per_day)])


def network_of_year() -> VerifiedNetwork:
    """Return the network in which the year is lived: 2 000 relays."""
    return simulated_network(2_000)
