"""Guards by rule, in a simulated network of 2 000 relays: few, kept for months, replaced only when a rule says so."""

from __future__ import annotations

import functools
import math
from collections import Counter
from random import Random

import pytest

from tests.support.networks import NOW, make_network
from tests.support.simulated import simulated_network
from tools.bench.year import WAYS, Stay, bad_relays, network_of_year, year_of_guards
from voicebox.circuits.descriptor import Role
from voicebox.circuits.exposure import bad_call, bad_guard, bad_path, ever_bad_path
from voicebox.circuits.guards import AWAY_WAIT_S, BUDGET_S, DAY_S, GONE_WAIT_S, KEEP_S, GuardSet, State
from voicebox.circuits.network import VerifiedNetwork, with_relays
from voicebox.circuits.path import Pool, apart
from voicebox.errors import FileProblem

START_S = int(NOW.timestamp())
LARGE = simulated_network(2_000)


@functools.cache
def large() -> Pool:
    return Pool(LARGE, Role.GUARD, NOW)


def guard_set(seed: int, saved: list[str] | None = None, text: str = "", **options: object) -> GuardSet:
    saved = [] if saved is None else saved
    return GuardSet(2, Random(seed), saved.append, text, **options)  # type: ignore[arg-type]  # options by name


def without(network: VerifiedNetwork, gone: set[bytes]) -> Pool:
    """Return the guards of a network that has lost some."""
    left = {relay_id: relay for relay_id, relay in network.by_id.items() if relay_id not in gone}
    return Pool(with_relays(network.terms, network.network_id, left), Role.GUARD, NOW)


def ids(guards: GuardSet) -> list[bytes]:
    return [guard.relay_id for guard in guards.guards]


# ------------------------------------------------------------------------------------------------------------------------ keeping


def test_guards_are_two_and_a_spare_one_and_apart() -> None:
    for seed in range(100):
        guards = guard_set(seed)
        guards.refresh(large(), START_S)
        relays = guards.in_order(large(), START_S)
        assert len(relays) == 3
        assert all(apart(LARGE.terms, one, other) for at, one in enumerate(relays) for other in relays[at + 1 :])


def test_guards_are_drawn_by_bandwidth() -> None:
    drawn: Counter[int] = Counter()
    for seed in range(3_000):
        guards = guard_set(seed)
        guards.refresh(large(), START_S)
        drawn[guards.in_order(large(), START_S)[0].mbit_s] += 1
    total = sum(relay.mbit_s for relay in large().relays)
    for mbit_s, count in drawn.items():
        share = sum(relay.mbit_s for relay in large().relays if relay.mbit_s == mbit_s) / total
        assert abs(count - 3_000 * share) < 5 * math.sqrt(3_000 * share * (1 - share)), "five sigma"


def test_guards_stay_through_restarts_and_hours_whatever_happens() -> None:
    saved: list[str] = []
    guards = guard_set(1, saved)
    guards.refresh(large(), START_S)
    first = ids(guards)
    for hour in range(24 * 100):
        if hour % 24 == 0:
            guards = guard_set(hour, saved, saved[-1])
        guards.refresh(large(), START_S + 3600 * hour)
        assert ids(guards) == first
    assert len(saved) == 2, "written when it was drawn, and when the draws of sixty days ago were forgotten"


def test_each_is_kept_for_four_to_eight_months_and_replaced_in_its_place() -> None:
    times = []
    for seed in range(300):
        guards = guard_set(seed)
        guards.refresh(large(), START_S)
        first = guards.guards[0]
        times.append(first.until_s - START_S)
        others = ids(guards)[1:]
        for guard in guards.guards[1:]:
            guard.until_s = START_S + 999 * DAY_S
        guards.refresh(large(), first.until_s - 1)
        assert guards.guards[0] is first
        guards.refresh(large(), first.until_s)
        assert guards.guards[0].relay_id != first.relay_id
        assert ids(guards)[1:] == others
    assert KEEP_S[0] <= min(times) < max(times) <= KEEP_S[1]
    assert sum(times) / 300 == pytest.approx(180 * DAY_S, abs=5 * 34.7 * DAY_S / math.sqrt(300)), "even: five sigma"


# ----------------------------------------------------------------------------------------------------------------------- replacing


def test_a_guard_that_is_gone_is_waited_for_and_replaced_after_one_to_three_days() -> None:
    waits = []
    for seed in range(100):
        guards = guard_set(seed)
        guards.refresh(large(), START_S)
        first = ids(guards)
        pool = without(LARGE, {first[0]})
        guards.refresh(pool, START_S + 1)
        assert [relay.relay_id for relay in guards.in_order(pool, START_S + 1)] == [first[2], first[1]], "the spare one serves"
        assert ids(guards) == first
        wait_s = guards.guards[0].replace_s - START_S - 1
        guards.refresh(pool, START_S + wait_s)
        assert ids(guards) == first
        guards.refresh(pool, START_S + 1 + wait_s)
        assert ids(guards)[1:] == first[1:]
        assert ids(guards)[0] not in first
        waits.append(wait_s)
    assert GONE_WAIT_S[0] <= min(waits) < max(waits) <= GONE_WAIT_S[1]
    assert len(set(waits)) > 90, "drawn, so that nobody knows when"


def test_a_guard_that_comes_back_in_time_is_the_guard_again() -> None:
    guards = guard_set(1)
    guards.refresh(large(), START_S)
    first = ids(guards)
    guards.refresh(without(LARGE, {first[1]}), START_S + 1)
    guards.refresh(large(), START_S + 3600)
    assert [relay.relay_id for relay in guards.in_order(large(), START_S + 3600)] == first
    guards.refresh(large(), START_S + 10 * DAY_S)
    assert ids(guards) == first


def test_only_where_all_are_gone_nothing_is_waited_for() -> None:
    guards = guard_set(1)
    guards.refresh(large(), START_S)
    first = set(ids(guards))
    pool = without(LARGE, first)
    guards.refresh(pool, START_S + 1)
    assert len(guards.in_order(pool, START_S + 1)) == 3
    assert not first & set(ids(guards))


def test_a_guard_out_of_reach_is_last_for_hours_and_replaced_after_days() -> None:
    guards = guard_set(2)
    guards.refresh(large(), START_S)
    first = ids(guards)
    guards.out_of_reach(first[0], START_S)
    assert [relay.relay_id for relay in guards.in_order(large(), START_S)] == first[::-1]
    assert [relay.relay_id for relay in guards.in_order(large(), START_S + 12 * 3600)] == first, "tried again"
    guards.out_of_reach(first[0], START_S + 12 * 3600)
    replace_s = guards.guards[0].replace_s
    assert AWAY_WAIT_S[0] <= replace_s - START_S <= AWAY_WAIT_S[1], "from the first time on"
    guards.refresh(large(), replace_s - 1)
    assert ids(guards) == first
    guards.refresh(large(), replace_s)
    assert ids(guards)[0] not in first
    assert ids(guards)[1:] == first[1:]


def test_a_guard_that_is_reached_again_stays() -> None:
    guards = guard_set(2)
    guards.refresh(large(), START_S)
    first = ids(guards)
    guards.out_of_reach(first[0], START_S)
    guards.reached(first[0])
    guards.refresh(large(), START_S + 30 * DAY_S)
    assert ids(guards) == first


def test_whoever_cuts_a_box_off_cannot_make_it_try_many_guards() -> None:
    guards, seen, gone = guard_set(3), set[bytes](), set[bytes]()
    for day in range(60):
        pool = without(LARGE, gone)
        guards.refresh(pool, START_S + day * DAY_S)
        seen |= set(ids(guards))
        gone |= set(ids(guards))
    assert len(seen) == 6, "twice the set in sixty days"
    guards.refresh(without(LARGE, gone), START_S + BUDGET_S + DAY_S)
    assert len(set(ids(guards)) - seen) > 0


# ------------------------------------------------------------------------------------------------------------------ what users say


def test_only_guards_of_the_named_operators_are_taken_and_a_change_of_that_counts_at_once() -> None:
    small = make_network(guards=6, junctions=2)
    pool = Pool(small.network, Role.GUARD, NOW)
    saved: list[str] = []
    for seed in range(20):
        guards = guard_set(seed, saved, only={"op1", "op4"})
        guards.refresh(pool, START_S)
        assert {guard.operator for guard in guards.in_order(pool, START_S)} == {"op1", "op4"}
    guards = guard_set(1, [], saved[-1], only={"op2", "op3"})
    guards.refresh(pool, START_S)
    assert {guard.operator for guard in guards.in_order(pool, START_S)} == {"op2", "op3"}
    nobody = guard_set(1, only={"nobody"})
    nobody.refresh(pool, START_S)
    assert nobody.in_order(pool, START_S) == []


def test_preferred_operators_come_first_and_others_after_them() -> None:
    preferred = {large().relays[0].operator, large().relays[-1].operator}
    for seed in range(20):
        guards = guard_set(seed, prefer=preferred)
        guards.refresh(large(), START_S)
        operators = [relay.operator for relay in guards.in_order(large(), START_S)]
        assert set(operators[:2]) == preferred
        assert operators[2] not in preferred


# ------------------------------------------------------------------------------------------------------------------------ the file


def test_what_is_kept_is_read_back() -> None:
    saved: list[str] = []
    guards = guard_set(1, saved)
    guards.refresh(large(), START_S)
    guards.out_of_reach(ids(guards)[1], START_S)
    again = guard_set(9, [], saved[-1])
    assert again.text() == saved[-1]
    assert [guard.state for guard in again.guards] == [State.KEPT, State.AWAY, State.KEPT]


@pytest.mark.parametrize(
    "text",
    [
        "voicebox guards 2\n",
        "voicebox guards 1\nguard 00 1 kept 0\n",
        f"voicebox guards 1\nguard {'00' * 32} 1 lost 0\n",
        f"voicebox guards 1\nguard {'00' * 32} -1 kept 0\n",
        f"voicebox guards 1\nguard {'00' * 32} 1 kept\n",
        f"voicebox guards 1\nguard {'00' * 32} 1 kept 0\nguard {'00' * 32} 1 kept 0\n",
        "voicebox guards 1\ndrawn x\n",
        "00\n",
    ],
)
def test_damaged_file_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(FileProblem, match=r"guards:\d+: .*other guards are drawn"):
        guard_set(1, text=text)


# -------------------------------------------------------------------------------------------------------------------- probabilities


@functools.cache
def years() -> list[list[Stay]]:
    rng = Random(7)
    return [year_of_guards(network_of_year(), rng) for _ in range(400)]


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_bad_guards_within_a_year_are_as_many_as_computed(share: float) -> None:
    rng, hits, expected = Random(11), 0, 0.0
    for number in range(40):
        bad, have = bad_relays(large().relays, share, rng)
        mine = years()[number::40]
        hits += sum(any(stay.relay_id in bad for stay in stays) for stays in mine)
        expected += len(mine) * bad_guard(have)
    assert abs(hits - expected) < 5 * math.sqrt(expected * (1 - expected / 400)) + 0.02 * expected, "five sigma, and what steps of three days may do"


def test_a_year_has_two_or_three_guards_at_each_place() -> None:
    counts = Counter(sum(stay.place == place for stay in stays) for stays in years() for place in range(WAYS))
    assert set(counts) <= {2, 3, 4}
    assert counts[4] < 0.01 * sum(counts.values())


def test_probabilities_are_what_they_must_be_at_the_ends_and_grow() -> None:
    for chance in (bad_guard, bad_path, bad_call, lambda share: ever_bad_path(share, 24), lambda share: ever_bad_path(share, 24, 1)):
        assert chance(0.0) == pytest.approx(0, abs=1e-12)
        assert chance(1.0) == pytest.approx(1)
        assert chance(0.02) < chance(0.1) < chance(0.3)
    assert bad_guard(0.1, 2, 100) == pytest.approx(1 - 0.9**2), "within the shortest time there is one guard at each place"
    assert bad_guard(0.1, 1, 240) == pytest.approx(1 - 0.9 * 0.9, abs=0.005)
    assert ever_bad_path(0.01, 24) == pytest.approx(bad_guard(0.01), rel=0.03), "of thousands of junctions one is bad"
    assert ever_bad_path(0.01, 24, 1) < ever_bad_path(0.01, 24) / 2
    assert (bad_path(0.1), bad_path(0.1, 1), bad_call(0.1), bad_call(0.1, 1)) == pytest.approx((1e-2, 1e-3, 1e-3, 1e-5))
