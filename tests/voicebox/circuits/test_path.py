"""Guards and junctions: the same junctions for everybody, guards that stay, no two relays of one operator."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.networks import NOW, make_network
from voicebox.circuits.descriptor import Role
from voicebox.circuits.path import Path, choose_guards, junctions_of_epoch, paths_of_epoch, with_middle
from voicebox.errors import PolicyError

SMALL = make_network(guards=6, junctions=5)


def test_junctions_follow_from_the_epoch_alone() -> None:
    seen: set[int] = set()
    for epoch in range(50):
        first = junctions_of_epoch(SMALL.network, epoch, NOW)
        assert first == junctions_of_epoch(SMALL.network, epoch, NOW)
        assert len(first) == 2
        seen.update(relay.port for relay in first)
    assert len(seen) == 5, "over fifty epochs every junction serves"


def test_kept_guards_stay_first() -> None:
    first = choose_guards(SMALL.network, [], 2, NOW, Random(1))
    assert len(first) == 3
    kept = [guard.relay_id for guard in first]
    for seed in range(20):
        assert choose_guards(SMALL.network, kept, 2, NOW, Random(seed)) == first


def test_gone_guard_is_replaced_at_the_end() -> None:
    first = choose_guards(SMALL.network, [], 2, NOW, Random(1))
    kept = [bytes(32), *(guard.relay_id for guard in first[1:])]
    again = choose_guards(SMALL.network, kept, 2, NOW, Random(5))
    assert again[:2] == first[1:]
    assert len(again) == 3


def test_guards_are_spread_over_seeds() -> None:
    assert len({choose_guards(SMALL.network, [], 1, NOW, Random(seed))[0].port for seed in range(60)}) == 6


def test_paths_use_different_guards_and_junctions() -> None:
    guards = choose_guards(SMALL.network, [], 2, NOW, Random(1))
    paths = paths_of_epoch(SMALL.network, guards, junctions_of_epoch(SMALL.network, 1, NOW), 2)
    assert [path.guard for path in paths] == guards[:2]
    assert len({path.junction.relay_id for path in paths}) == 2


def test_no_two_relays_of_one_operator() -> None:
    shared = make_network(guards=4, junctions=2, operators=4)
    for seed in range(20):
        guards = choose_guards(shared.network, [], 2, NOW, Random(seed))
        try:
            paths = paths_of_epoch(shared.network, guards, junctions_of_epoch(shared.network, 0, NOW), 2)
        except PolicyError:
            continue
        assert all(path.guard.operator != path.junction.operator for path in paths)


def test_network_of_one_operator_has_no_path_unless_the_file_says_so() -> None:
    one = make_network(operators=1)
    guards = choose_guards(one.network, [], 2, NOW, Random(1))
    assert len(guards) == 1
    with pytest.raises(PolicyError):
        paths_of_epoch(one.network, guards, junctions_of_epoch(one.network, 0, NOW), 1)
    allowed = make_network(operators=1, distinct=False)
    guards = choose_guards(allowed.network, [], 2, NOW, Random(1))
    assert len(paths_of_epoch(allowed.network, guards, junctions_of_epoch(allowed.network, 0, NOW), 2)) == 2


def test_only_guards_of_chosen_operators_are_taken() -> None:
    for seed in range(20):
        guards = choose_guards(SMALL.network, [], 2, NOW, Random(seed), {"op1", "op4"})
        assert {guard.operator for guard in guards} == {"op1", "op4"}
    kept = [guard.relay_id for guard in choose_guards(SMALL.network, [], 2, NOW, Random(1))]
    assert choose_guards(SMALL.network, kept, 2, NOW, Random(1), {"nobody"}) == []


def test_middle_is_any_other_guard_of_another_operator() -> None:
    guards = choose_guards(SMALL.network, [], 2, NOW, Random(1))
    path = paths_of_epoch(SMALL.network, guards, junctions_of_epoch(SMALL.network, 1, NOW), 2)[0]
    paths = [with_middle(SMALL.network, path, guards, NOW, Random(seed)) for seed in range(50)]
    middles = {each.middle.port for each in paths if each.middle is not None}
    assert len(middles) == 3, "six guards, of which three are the box's own"
    assert not middles & {guard.port for guard in guards}
    assert all(each.relays == (path.guard, each.middle, path.junction) for each in paths)
    with pytest.raises(PolicyError):
        with_middle(SMALL.network, path, SMALL.network.with_role(Role.GUARD, NOW), NOW, Random(1))
    few = make_network(guards=3, junctions=2, operators=2)
    with pytest.raises(PolicyError):
        with_middle(few.network, Path(few.relays[0].descriptor, few.relays[3].descriptor), [], NOW, Random(1))
