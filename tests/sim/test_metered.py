"""Calls between a metered box, which has a cell in every second slot, and another: what leaves on which link, and what arrives. PROTOCOL.md §5.7."""

from __future__ import annotations

from itertools import pairwise

import pytest

from relay.model.cell import PAYLOAD_OCTETS, Kind, parse_speech
from relay.model.hop import NextState
from relay.model.node import Node
from relay.model.slots import SLOT_US
from tests.oracle.compared import EngineLayer
from tests.sim.call import built, call, part, valid_cells
from tests.sim.network import Circuit, Network

SEED = 7_301
BOTH = ("box_a", "box_b")
LINKS = ("box_a", "guard1"), ("guard1", "junction1"), ("box_b", "guard3"), ("guard3", "junction1")


def node_of(seed: bytes, *, metered: bool) -> Node:
    """Return a node of the model with the engine's layers, which are fast."""
    return Node(seed, EngineLayer, metered=metered)


def wires(network: Network, box: str) -> list[tuple[str, int]]:
    """Return both directions of both links of a box's circuit at junction1."""
    own = LINKS[:2] if box == "box_a" else LINKS[2:]
    return [place for place, wire in network.wires.items() if (place[0], wire.to[0]) in own or (wire.to[0], place[0]) in own]


def heard_in_a_second(network: Network, circuit: Circuit) -> int:
    before = valid_cells(network, circuit)
    network.run(1)
    return valid_cells(network, circuit) - before


@pytest.fixture(scope="module", params=[("box_a",), ("box_b",), BOTH], ids=["caller", "callee", "both"])
def whole_call(request: pytest.FixtureRequest) -> tuple[Network, tuple[str, ...], dict[str, int], list[int]]:
    """Run set-up, 2 s idle, a call of 4 s, 2 s idle. Return also when what began, and how many cells of the call each end opened in a second of it."""
    network, caller, callee = built(SEED, make_node=node_of, metered=request.param)
    marks = {"idle": network.now_us + 3_000_000}
    network.run(5)
    call(network, caller, callee)
    network.run(1)
    opened = [heard_in_a_second(network, end) for end in (caller, callee)]
    part(network, caller)
    part(network, callee)
    network.run(2)
    marks["end"] = network.now_us
    return network, request.param, marks, opened


def test_a_metered_circuit_has_a_cell_in_each_even_slot_and_another_in_each_slot(
    whole_call: tuple[Network, tuple[str, ...], dict[str, int], list[int]],
) -> None:
    network, metered, marks, _ = whole_call
    for box in BOTH:
        slots = 2 if box in metered else 1
        for place in wires(network, box):
            sent = [(at_us, cell.slot) for at_us, cell in network.wires[place].sent if cell.circuit and marks["idle"] <= at_us < marks["end"]]
            assert len(sent) == pytest.approx((marks["end"] - marks["idle"]) / SLOT_US / slots, abs=2)
            steps = {(later - sooner) % 2**32 for (_, sooner), (_, later) in pairwise(sorted(sent))}
            assert steps == {slots}, "numbers rise evenly, call or no call"
            assert not any(slot % slots for _, slot in sent)
            uneven_us = [abs(later - sooner - SLOT_US * slots) for (sooner, _), (later, _) in pairwise(sorted(sent))]
            assert max(uneven_us) <= 8 * slots, "the clock of a box alone moves a tick, by 300 ppm, and its rounding"


def test_each_end_opens_a_cell_in_40_ms(whole_call: tuple[Network, tuple[str, ...], dict[str, int], list[int]]) -> None:
    assert whole_call[3] == pytest.approx([25, 25], abs=1)


def test_odd_numbers_and_another_stride_are_refused() -> None:
    network, caller, _ = built(SEED, make_node=node_of, metered=("box_a",))
    guard, number = network.wires[caller.box, caller.link].to, caller.number
    for place in (guard, (caller.box, caller.link)):
        node = network.nodes[place[0]]
        odd = number.to_bytes(4, "big") + (network.now_us // SLOT_US | 1).to_bytes(4, "big") + bytes(248)
        node.handle(network.now_us, ("cell", place[1], odd))
        assert node.counters["slot_odd"] == 1
        assert node.poll() == []
    box = network.nodes[caller.box]
    refused = box.counters["bad_command"]
    box.handle(network.now_us, ("command", "close", caller.link, number))
    box.handle(network.now_us, ("command", "open", caller.link, number & 2**31 - 1, bytes(PAYLOAD_OCTETS[Kind.CREATE])))
    assert box.counters["bad_command"] == refused + 1, "a metered box opens no circuit of the other kind"
    hop = next(hop for hop in network.nodes["guard3"].hops.values() if hop.behind is not None)
    assert hop.behind is not None
    hop.next_state = NextState.ASKED
    network.nodes["guard3"].handle(network.now_us, ("command", "extend", *hop.before, hop.behind[0], 2**31 + 5, bytes(PAYLOAD_OCTETS[Kind.CREATE])))
    speech = parse_speech(hop.answer.next_body())
    assert speech is not None
    assert (speech.kind, speech.fragment) == (Kind.NOT_EXTENDED, b"\x02")
