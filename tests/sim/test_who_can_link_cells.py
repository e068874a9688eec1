"""Who can link a cell of the first link of a call to one of its last? Only who has the keys of all three relays.

The attacker has every captured cell of the four links and the layer keys of some of the relays on the path, and knows how the network works. He takes off
or puts on every layer he can, from both ends, and looks for equal or at least similar bodies. Same code, one key more: he succeeds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations

import pytest

from relay.model.hop import tweak
from relay.model.layer import Hctr2
from tests.sim.call import built, call
from tests.sim.network import Circuit, Network, relay_id

Step = Callable[[bytes], bytes]
RELAYS = ("caller's guard", "junction", "callee's guard")


@dataclass
class Capture:
    """Bodies of the four links of the path by slot number, and the keys of each relay: what it does with a body, in the order of the path."""

    links: list[dict[int, bytes]]
    guard_in: Hctr2
    junction_in: Hctr2
    junction_out: Hctr2
    guard_out: Hctr2
    offset: int  # slot numbers of the callee's circuit less those of the caller's: anybody can find it by counting


@pytest.fixture(scope="module")
def capture() -> Capture:
    """Capture 2 s of a call."""
    network, caller, callee = built(88)
    call(network, caller, callee)
    start_us = network.now_us
    network.run(2)
    links = [
        captured(network, caller.box, caller.link, start_us),
        captured(network, caller.guard, behind(network, caller), start_us),
        captured(network, *network.wires[callee.guard, behind(network, callee)].to, start_us),
        captured(network, *network.wires[callee.box, callee.link].to, start_us),
    ]
    hop = next(h for h in network.nodes["junction1"].hops.values() if h.before[1] == callee.next_number)
    assert hop.bond is not None
    (forward_guard, _), (forward_junction, _) = caller.keys
    (_, backward_guard), (_, backward_junction) = callee.keys
    return Capture(links, Hctr2(forward_guard), Hctr2(forward_junction), Hctr2(backward_junction), Hctr2(backward_guard), hop.bond.offset)


def behind(network: Network, circuit: Circuit) -> int:
    """Return the guard's link to the junction."""
    return network.relay_links[circuit.guard, relay_id(circuit.junction)]


def captured(network: Network, name: str, link: int, start_us: int) -> dict[int, bytes]:
    """Return what was sent on one direction of a link, by slot number."""
    return {cell.slot: cell.body for at, cell in network.wires[name, link].sent if at >= start_us and cell.circuit}


def as_far_as_the_keys_reach(cell: bytes, steps: list[tuple[str, Step]], keys: tuple[str, ...]) -> list[bytes]:
    """Return the cell and what each step makes of it, up to the first relay whose keys are missing."""
    stages = [cell]
    for relay, step in steps:
        if relay not in keys:
            break
        stages.append(step(stages[-1]))
    return stages


def from_the_front(capture: Capture, keys: tuple[str, ...], slot: int) -> list[bytes]:
    """Return all that can be made of a cell of link 1 by going on along the path, as far as the keys reach."""
    later = slot + capture.offset
    steps: list[tuple[str, Step]] = [
        (RELAYS[0], lambda body: capture.guard_in.decipher(tweak(slot), body)),
        (RELAYS[1], lambda body: capture.junction_out.encipher(tweak(later), capture.junction_in.decipher(tweak(slot), body))),
        (RELAYS[2], lambda body: capture.guard_out.encipher(tweak(later), body)),
    ]
    return as_far_as_the_keys_reach(capture.links[0][slot], steps, keys)


def from_the_back(capture: Capture, keys: tuple[str, ...], slot: int) -> list[bytes]:
    """Return all that can be made of a cell of link 4 by going back along the path."""
    sooner = slot - capture.offset
    steps: list[tuple[str, Step]] = [
        (RELAYS[2], lambda body: capture.guard_out.decipher(tweak(slot), body)),
        (RELAYS[1], lambda body: capture.junction_in.encipher(tweak(sooner), capture.junction_out.decipher(tweak(slot), body))),
        (RELAYS[0], lambda body: capture.guard_in.encipher(tweak(sooner), body)),
    ]
    return as_far_as_the_keys_reach(capture.links[3][slot], steps, keys)


def distance(left: bytes, right: bytes) -> int:
    """Return in how many bits two bodies differ."""
    return (int.from_bytes(left, "big") ^ int.from_bytes(right, "big")).bit_count()


def linked(capture: Capture, keys: tuple[str, ...], candidates: int = 4) -> tuple[int, int]:
    """For each cell of link 1 choose among cells of link 4 the most similar at any stage; return (right choices, cells).

    The right cell is always among the candidates; the attacker is told nothing of which it is.
    """
    first = [slot for slot in capture.links[0] if all(slot + capture.offset + i in capture.links[3] for i in range(candidates))]
    right = 0
    for slot in first:
        front = from_the_front(capture, keys, slot)
        scores = []
        for other in range(slot + capture.offset, slot + capture.offset + candidates):
            back = from_the_back(capture, keys, other)
            scores.append(min(distance(a, b) for a in front for b in back))
        right += scores[0] == min(scores)
    return right, len(first)


@pytest.mark.parametrize("keys", [*combinations(RELAYS, 2), *combinations(RELAYS, 1), ()])
def test_two_of_three_relays_do_not_link(capture: Capture, keys: tuple[str, ...]) -> None:
    right, cells = linked(capture, keys)
    assert cells >= 80
    assert right / cells <= 0.25 + 4 * (0.25 * 0.75 / cells) ** 0.5, "no better than a guess among four"


def test_all_three_relays_link_every_cell(capture: Capture) -> None:
    right, cells = linked(capture, RELAYS)
    assert cells >= 80
    assert right == cells


def test_no_body_is_seen_twice_on_the_links(capture: Capture) -> None:
    bodies = [body for link in capture.links for body in link.values()]
    assert len(bodies) == len(set(bodies)) > 390
