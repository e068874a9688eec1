"""A whole call over three relays in virtual time: it works, and no access link shows that it happens."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.model.hop import Hop
from relay.model.slots import SLOT_US
from tests.sim.call import built, call, part, valid_cells
from tests.sim.network import Circuit, Network, relay_id

SEED = 20_240_501


def access_wires(network: Network) -> list[tuple[str, int]]:
    """Return both directions of all access links."""
    boxes = [place for place in network.wires if place[0].startswith("box")]
    return boxes + [network.wires[place].to for place in boxes]


def spliced(network: Network) -> list[Hop]:
    """Return the circuits that are part of a splice."""
    return [hop for name in ("junction1", "junction2") for hop in network.nodes[name].hops.values() if hop.bond is not None and hop.bond.mate is not None]


@pytest.fixture(scope="module")
def whole_call() -> tuple[Network, Circuit, Circuit, dict[str, int]]:
    """Run set-up, 2 s idle, a call of 3 s, 2 s idle, on wires with jitter and reordering."""
    network, caller, callee = built(SEED, jitter_us=3_500)
    marks = {"idle": network.now_us}
    network.run(2)
    marks["call"] = network.now_us
    call(network, caller, callee)
    assert len(spliced(network)) == 2
    before = valid_cells(network, caller), valid_cells(network, callee)
    network.run(2)
    marks["to_caller"], marks["to_callee"] = valid_cells(network, caller) - before[0], valid_cells(network, callee) - before[1]
    marks["part"] = network.now_us
    part(network, caller)
    network.run(1)
    marks["end"] = network.now_us
    return network, caller, callee, marks


def test_both_are_heard_in_every_slot_of_the_call(whole_call: tuple[Network, Circuit, Circuit, dict[str, int]]) -> None:
    *_, marks = whole_call
    assert marks["to_caller"] == pytest.approx(100, abs=1)
    assert marks["to_callee"] == pytest.approx(100, abs=1)


def test_the_splice_is_gone_after_part_and_the_circuits_run_on(whole_call: tuple[Network, Circuit, Circuit, dict[str, int]]) -> None:
    network, *_ = whole_call
    assert spliced(network) == []
    assert all(len(network.nodes[name].hops) == 2 for name in ("junction1", "junction2"))
    assert not any(event[0] in {"circuit_ended", "ended"} for _, _, event in network.events)


def test_every_access_link_carries_one_cell_per_slot_from_its_first_tick(whole_call: tuple[Network, Circuit, Circuit, dict[str, int]]) -> None:
    network, _, _, marks = whole_call
    for place in access_wires(network):
        times = [at for at, _ in network.wires[place].sent]
        gaps = [later - sooner for sooner, later in pairwise(times)]
        assert len(times) > 400
        assert max(gaps) <= 3 * SLOT_US
        for second in range(times[0], times[-1] - 1_000_000, 1_000_000):
            assert 49 <= sum(second <= at < second + 1_000_000 for at in times) <= 51
        settled = [gap for gap, at in zip(gaps, times, strict=False) if at >= marks["idle"]]
        assert all(abs(gap - SLOT_US) <= 8 for gap in settled), "only the clock of a box moves a tick, by 300 ppm, and its rounding"


def test_a_guard_sends_on_one_grid_before_during_and_after_the_call(whole_call: tuple[Network, Circuit, Circuit, dict[str, int]]) -> None:
    network, _, _, marks = whole_call
    for place, wire in network.wires.items():
        if place[0].startswith("guard"):
            times = [at for at, _ in wire.sent if marks["idle"] <= at < marks["end"]]
            assert len({at % SLOT_US for at in times}) == 1
            assert len(set(times)) == len(times) == pytest.approx((marks["end"] - marks["idle"]) / SLOT_US, abs=1)


def test_numbers_rise_by_one_and_are_those_of_the_head(whole_call: tuple[Network, Circuit, Circuit, dict[str, int]]) -> None:
    network, caller, _, marks = whole_call
    behind = caller.guard, network.relay_links[caller.guard, relay_id(caller.junction)]
    near = {cell.slot for at, cell in network.wires[caller.box, caller.link].sent if marks["idle"] <= at < marks["part"]}
    far = [cell.slot for at, cell in network.wires[behind].sent if marks["idle"] + 100_000 <= at < marks["part"]]
    assert far == list(range(far[0], far[0] + len(far)))
    assert set(far) <= near
