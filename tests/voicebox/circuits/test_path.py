"""Which relays stand on a path: the same junctions for everybody, drawn by bandwidth, never two of one operator or one network of addresses."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import math
from collections import Counter
from random import Random

import pytest

from tests.support.networks import NOW, make_network, make_relay
from tests.support.simulated import simulated_network
from voicebox.circuits.descriptor import Descriptor, Role
from voicebox.circuits.merge import merged
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.path import KNOWN_UNITS, OwnView, Path, Pool, apart, junctions_of_epoch, paths_over, prefix_of, with_middle
from voicebox.circuits.terms import NetworkTerms
from voicebox.circuits.voucher import vouch
from voicebox.errors import PolicyError

SMALL = make_network(guards=6, junctions=5)
POOL = Pool(SMALL.network, Role.GUARD, NOW)
GUARDS = [relay.descriptor for relay in SMALL.relays[:3]]
TERMS = SMALL.network.terms


@functools.cache
def large_pool(role: Role) -> Pool:
    return Pool(simulated_network(2_000), role, NOW)


def chi_square_fits(counts: Counter[int], shares: dict[int, float]) -> bool:
    """Return whether counts by class fit their shares: chi-square below its quantile of 1 - 1e-6 (Wilson and Hilferty's approximation, z = 4.75)."""
    total, degrees = sum(counts.values()), len(shares) - 1
    statistic = sum((counts[key] - total * share) ** 2 / (total * share) for key, share in shares.items())
    return statistic < degrees * (1 - 2 / (9 * degrees) + 4.75 * math.sqrt(2 / (9 * degrees))) ** 3


# -------------------------------------------------------------------------------------------------------------------- junctions


def test_junctions_follow_from_the_epoch_alone() -> None:
    seen: set[int] = set()
    for epoch in range(50):
        first = junctions_of_epoch(SMALL.network, epoch)
        assert first == junctions_of_epoch(SMALL.network, epoch)
        assert len(first) == 2
        seen.update(relay.addresses[0].port for relay in first)
    assert len(seen) == 5, "over fifty epochs every junction serves"


def test_junctions_are_ranked_as_written() -> None:
    (first, second), network = junctions_of_epoch(SMALL.network, 7), SMALL.network

    def rank(relay_id: bytes) -> float:
        digest = hashlib.sha256(b"voicebox/1 junction" + network.terms.shared + bytes([0, 0, 0, 7]) + relay_id).digest()
        return -math.log(((int.from_bytes(digest[:8], "big") >> 11) + 0.5) / 2**53) / 10

    ranked = sorted((relay.relay_id for relay in network.with_role(Role.JUNCTION, NOW)), key=rank)
    assert [first.relay_id, second.relay_id] == ranked[:2]


def test_junctions_are_drawn_by_bandwidth() -> None:
    network = simulated_network(300)
    counts = Counter(junctions_of_epoch(network, epoch)[0].mbit_s for epoch in range(3_000))
    assert chi_square_fits(counts, shares_of(Pool(network, Role.JUNCTION, NOW)))


def shares_of(pool: Pool) -> dict[int, float]:
    """Return what share of draws the relays of each bandwidth have by the rule."""
    total = sum(relay.mbit_s for relay in pool.relays)
    shares: dict[int, float] = {}
    for relay in pool.relays:
        shares[relay.mbit_s] = shares.get(relay.mbit_s, 0.0) + relay.mbit_s / total
    return shares


def test_junction_that_expires_within_an_epoch_is_none_of_it() -> None:
    last = SMALL.network.epoch_at(363 * 86_400 * 1_000_000)
    assert len(junctions_of_epoch(SMALL.network, last)) == 2
    assert junctions_of_epoch(SMALL.network, last + 24) == []


# Lists of different hours. A junction of a hundred times the bandwidth would be the first of nearly every epoch.
LATE = make_relay(Role.JUNCTION, "late", 4500, mbit_s=1_000)
VOUCHED = NOW + dt.timedelta(days=3, hours=-1)


def with_late(since: dt.datetime, *, renewed: dt.datetime | None = None) -> VerifiedNetwork:
    """Return the network with one more junction. renewed: when its voucher was made anew, that goes on from the first one."""
    made, until = renewed or since, NOW + dt.timedelta(days=300)
    voucher = vouch(TERMS.network_id, LATE.descriptor.vouched, made, until, SMALL.voucher_key, since)
    return merged(SMALL.network, [LATE.verified.with_vouchers([voucher])], made)[0]


def test_boxes_whose_lists_are_two_days_apart_choose_the_same_junctions() -> None:
    newer = with_late(VOUCHED)
    first = newer.epoch_of(VOUCHED)
    assert all(junctions_of_epoch(newer, epoch) == junctions_of_epoch(SMALL.network, epoch) for epoch in range(first, first + KNOWN_UNITS))
    later = range(first + KNOWN_UNITS, first + KNOWN_UNITS + 10)
    assert sum(junctions_of_epoch(newer, epoch)[0] == newer.relay(LATE.descriptor.relay_id) for epoch in later) >= 7, "19 of 20 by weight"


def test_a_voucher_that_goes_on_from_another_makes_no_junction_new() -> None:
    renewed, anew = VOUCHED + dt.timedelta(days=50), with_late(VOUCHED + dt.timedelta(days=50))
    epochs = range(anew.epoch_of(renewed), anew.epoch_of(renewed) + 10)
    went_on = with_late(VOUCHED, renewed=renewed)
    assert [junctions_of_epoch(went_on, epoch) for epoch in epochs] == [junctions_of_epoch(with_late(VOUCHED), epoch) for epoch in epochs]
    assert all(LATE.descriptor.relay_id not in {relay.relay_id for relay in junctions_of_epoch(anew, epoch)} for epoch in epochs)


def test_where_two_are_not_known_yet_new_ones_come_behind_those_that_are() -> None:
    town = make_network(guards=1, junctions=1)
    voucher = vouch(town.network.network_id, LATE.descriptor.vouched, VOUCHED, NOW + dt.timedelta(days=300), town.voucher_key)
    both = merged(town.network, [LATE.verified.with_vouchers([voucher])], VOUCHED)[0]
    begun = both.epoch_of(VOUCHED)
    assert {tuple(relay.operator for relay in junctions_of_epoch(both, epoch)) for epoch in range(begun, begun + KNOWN_UNITS)} == {("op1", "late")}


# ---------------------------------------------------------------------------------------------------------------------- drawing


def test_relays_are_drawn_by_bandwidth_in_two_thousand() -> None:
    pool, rng = large_pool(Role.GUARD), Random(1)
    counts: Counter[int] = Counter()
    for _ in range(20_000):
        relay = pool.draw(rng, lambda _relay: True)
        assert relay is not None
        counts[relay.mbit_s] += 1
    assert chi_square_fits(counts, shares_of(pool))
    assert pool.entropy_bits == pytest.approx(math.log2(sum(relay.mbit_s for relay in pool.relays) / 1_000))


def test_in_an_open_network_all_are_drawn_alike() -> None:
    pool, rng = Pool(simulated_network(500, threshold=0), Role.GUARD, NOW), Random(2)
    counts: Counter[int] = Counter()
    for _ in range(10_000):
        relay = pool.draw(rng, lambda _relay: True)
        assert relay is not None
        counts[relay.mbit_s] += 1
    kinds = Counter(relay.mbit_s for relay in pool.relays)
    assert chi_square_fits(counts, {kind: number / len(pool.relays) for kind, number in kinds.items()})
    assert pool.entropy_bits == pytest.approx(math.log2(len(pool.relays)))


def test_favour_makes_rarer_by_what_it_says() -> None:
    rng = Random(3)
    disliked = POOL.relays[0].relay_id
    drawn = [POOL.draw(rng, lambda _relay: True, lambda relay: 0.25 if relay.relay_id == disliked else 1.0) for _ in range(6_000)]
    share = sum(relay is not None and relay.relay_id == disliked for relay in drawn) / 6_000
    assert share == pytest.approx(0.25 / 5.25, abs=0.015), "five sigma"


def test_the_one_relay_that_fits_is_found_and_none_is_none() -> None:
    pool = large_pool(Role.GUARD)
    only = min(pool.relays, key=lambda relay: relay.mbit_s)
    assert pool.draw(Random(4), lambda relay: relay is only) is only
    assert pool.draw(Random(4), lambda _relay: False) is None


# ------------------------------------------------------------------------------------------------------------------------- rules


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("8.8.1.1", "8.8.200.9", True),
        ("8.8.1.1", "8.9.1.1", False),
        ("2a00:1450:4001::1", "2a00:1450:ffff::2", True),
        ("2a00:1450:4001::1", "2a00:1451:4001::1", False),
        ("8.8.1.1", "2a00:808::1", False),
    ],
)
def test_prefixes_are_those_of_16_and_32_bits(one: str, other: str, same: bool) -> None:
    assert (prefix_of(one) == prefix_of(other)) is same
    pair = [make_relay(Role.GUARD, f"op{number}", 1, hosts=(host,)).descriptor for number, host in enumerate((one, other))]
    assert apart(TERMS, pair[0], pair[1]) is not same


def test_private_addresses_belong_to_no_prefix() -> None:
    assert [prefix_of(host) for host in ("127.0.0.1", "10.1.2.3", "192.168.1.1", "fd00::1", "192.0.2.1")] == [""] * 5


def two_paths(terms: NetworkTerms, guards: list[Descriptor], junctions: list[Descriptor]) -> list[Path]:
    """Return what a box of two circuits has whose guards are of one place."""
    return paths_over(terms, [guards] * min(2, len(junctions)), junctions)


def test_no_path_of_two_thousand_relays_breaks_a_rule() -> None:
    network, pool, rng = simulated_network(2_000), large_pool(Role.GUARD), Random(5)
    for epoch in range(200):
        guards = [relay for _ in range(3) if (relay := pool.draw(rng, lambda _relay: True)) is not None]
        try:
            paths = two_paths(network.terms, guards, junctions_of_epoch(network, epoch % 5))
        except PolicyError:
            continue
        for path in paths:
            relays = with_middle(pool, path, guards, rng).relays
            pairs = [(one, other) for at, one in enumerate(relays) for other in relays[at + 1 :]]
            assert len({relay.operator for relay in relays}) == 3
            assert all(apart(network.terms, one, other) for one, other in pairs)
            assert relays[1].identity not in {guard.identity for guard in guards}


def test_paths_use_different_guards_and_junctions() -> None:
    paths = two_paths(TERMS, GUARDS, junctions_of_epoch(SMALL.network, 1))
    assert [path.guard for path in paths] == GUARDS[:2]
    assert len({path.junction.relay_id for path in paths}) == 2


def test_network_of_one_operator_has_no_path_unless_its_terms_say_so() -> None:
    one = make_network(operators=1)
    with pytest.raises(PolicyError):
        paths_over(one.network.terms, [[one.relays[0].descriptor]], junctions_of_epoch(one.network, 0))
    allowed = make_network(operators=1, distinct=False)
    guards = [relay.descriptor for relay in allowed.relays[:2]]
    assert len(two_paths(allowed.network.terms, guards, junctions_of_epoch(allowed.network, 0))) == 2


def test_a_box_does_not_draw_the_relay_that_has_its_own_address() -> None:
    mine = SMALL.relays[0].descriptor
    pool = Pool(SMALL.network, Role.GUARD, NOW, OwnView(avoid=frozenset({mine.relay_id})))
    assert mine in POOL.relays
    assert len(pool.relays) == len(POOL.relays) - 1
    assert mine.relay_id not in pool.by_id
    assert all(pool.draw(Random(seed), lambda _relay: True) != mine for seed in range(200))


def test_middle_is_any_other_guard_of_another_operator() -> None:
    path = two_paths(TERMS, GUARDS, junctions_of_epoch(SMALL.network, 1))[0]
    paths = [with_middle(POOL, path, GUARDS, Random(seed)) for seed in range(50)]
    middles = {each.middle.relay_id for each in paths if each.middle is not None}
    assert len(middles) == 3, "six guards, of which three are the box's own"
    assert not middles & {guard.relay_id for guard in GUARDS}
    assert all(each.relays == (path.guard, each.middle, path.junction) for each in paths)
    with pytest.raises(PolicyError):
        with_middle(POOL, path, POOL.relays, Random(1))
    few = make_network(guards=3, junctions=2, operators=2)
    with pytest.raises(PolicyError):
        with_middle(Pool(few.network, Role.GUARD, NOW), Path(few.relays[0].descriptor, few.relays[3].descriptor), [], Random(1))
