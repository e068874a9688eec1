"""A relay of the path that misbehaves during a call: it stops, repeats, flips bits, sends out of slot, for other circuits, or junk. Nothing false is
taken, what does not fit is counted, nothing ends, and the sound is back once the relay behaves. PROTOCOL.md §5, §6.4, §9.1.

Played with the engine's core. A guard that extends to another relay than asked is noticed by the handshake: tests/voicebox/circuits/test_relay.py.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest

from relay.model.cell import parse_cell
from tests.sim.boxes import CoreNode
from tests.sim.call import built, call
from tests.sim.network import Network

SEED = 4_021
BAD_S = 3.0
Sent = list[tuple[int, bytes]]


def flip(octets: bytes, bit: int) -> bytes:
    """Flip one bit."""
    changed = bytearray(octets)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def at_slot(octets: bytes, slots: int) -> bytes:
    """Return a cell under a number that is some slots away."""
    cell = parse_cell(octets)
    assert cell is not None
    return octets[:4] + ((cell.slot + slots) % 2**32).to_bytes(4, "big") + octets[8:]


def misbehaves(kind: str, chance: random.Random) -> Callable[[int, bytes], Sent]:
    """Return what a bad relay makes of the cells it should send."""
    kept: list[bytes] = []

    def tamper(_at_us: int, octets: bytes) -> Sent:
        kept.append(octets)
        del kept[:-200]
        match kind:
            case "stops":
                return []
            case "repeats":
                return [(0, octets), (100, octets), (15_000, chance.choice(kept))]
            case "flips":
                return [(0, flip(octets, chance.randrange(64, 8 * 256)))]
            case "flips the head":
                return [(0, flip(octets, chance.randrange(64)))]
            case "out of slot":
                return [(0, at_slot(octets, chance.choice((-40_000, -3, -1, 2, 5, 60, 2**31))))]
            case "late and early":
                return [(chance.choice((0, 70_000, 400_000)), octets)]
            case _:
                return [(0, octets[:4] + chance.randbytes(252)), (0, chance.randbytes(256))]

    return tamper


KINDS: dict[str, set[str]] = {
    "stops": {"filled"},
    "repeats": {"slot_twice", "owner_replayed"},
    "flips": {"not_opened"},
    "flips the head": {"unknown_circuit", "owner_unknown_circuit"},
    "out of slot": {"slot_ahead", "owner_ahead", "slot_twice", "owner_replayed"},
    "late and early": {"slot_late", "owner_late"},
    "junk": {"unknown_circuit", "owner_unknown_circuit", "slot_ahead", "owner_ahead"},
}
"""What a relay does, and the counters of which at least one must show it."""


def totals(network: Network) -> dict[str, Counter[str]]:
    """Return the counters of all nodes."""
    found = {}
    for name, node in network.nodes.items():
        assert isinstance(node, CoreNode)
        found[name] = Counter(node.core.counters())
    return found


def rise(network: Network, former: dict[str, Counter[str]]) -> dict[str, Counter[str]]:
    """Return by how much each counter of each node rose."""
    return {name: counters - former[name] for name, counters in totals(network).items()}


def heard(rose: dict[str, Counter[str]]) -> list[int]:
    """Return how many cells of the call either box took: those of its circuits that were opened and not dropped."""
    dropped = ("not_opened", "control_in", "owner_unknown_circuit", "owner_replayed", "owner_ahead", "end_to_end_replayed", "end_to_end_malformed")
    return [rose[box]["cells_in"] - sum(rose[box][name] for name in dropped) for box in ("box_a", "box_b")]


def heard_in_a_second(network: Network) -> list[int]:
    """Return how many cells of the call either box takes within the next second."""
    former = totals(network)
    network.run(1)
    return heard(rise(network, former))


def in_a_call() -> Network:
    """Return a network in which box_a and box_b talk over guard1, junction1 and guard3."""
    network, caller, callee = built(SEED, make_node=CoreNode)
    call(network, caller, callee)
    assert heard_in_a_second(network) == pytest.approx([50, 50], abs=2)
    return network


def turn_bad(network: Network, relay: str, kind: str) -> None:
    """Let a relay misbehave on all its links from now on."""
    chance = random.Random(f"{SEED} {kind} {relay}")
    for (name, _), wire in network.wires.items():
        wire.tamper = misbehaves(kind, chance) if name == relay else None


@pytest.mark.parametrize("relay", ["guard1", "junction1", "guard3"])
@pytest.mark.parametrize("kind", KINDS)
def test_call_outlives_a_relay_that_misbehaves(kind: str, relay: str) -> None:
    network = in_a_call()
    former, told = totals(network), len(network.events)
    network.run(BAD_S)
    usual = sum(rise(network, former).values(), Counter[str]())
    former = totals(network)
    turn_bad(network, relay, kind)
    network.run(BAD_S)
    rose = rise(network, former)
    everywhere = sum(rose.values(), Counter[str]())
    assert [reason for reason in KINDS[kind] if everywhere[reason] > usual[reason] + 20], everywhere - usual
    assert everywhere["broke_protocol"] == 0
    assert max(heard(rose)) <= BAD_S * 50 + 3, "each cell at most once"
    for wire in network.wires.values():
        wire.tamper = None
    network.run(0.5)
    assert heard_in_a_second(network) == pytest.approx([50, 50], abs=2)
    assert network.events[told:] == [], "no circuit ended, no message came, nothing was taken that nobody said"


@pytest.mark.parametrize(("kind", "share"), [("flips", 0), ("junk", 0), ("stops", 0), ("repeats", 50)])
def test_what_is_heard_meanwhile(kind: str, share: int) -> None:
    """A flipped, false or missing cell is never heard, a repeated one is heard once."""
    network = in_a_call()
    turn_bad(network, "junction1", kind)
    network.run(0.2)
    assert heard_in_a_second(network) == pytest.approx([share, share], abs=2)
