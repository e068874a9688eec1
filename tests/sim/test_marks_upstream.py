"""Whatever happens upstream of a settled hop, delay, drop, replay, flip, its cells leave downstream at the same times under the same numbers (PROTOCOL.md §5.3)."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from relay.model.slots import STEP_US
from tests.sim.call import built, call
from tests.sim.network import relay_id

SEED = 7_301
Tamper = Callable[[int, bytes], list[tuple[int, bytes]]]


def flip(octets: bytes, bit: int) -> bytes:
    """Flip one bit of a body."""
    changed = bytearray(octets)
    changed[8 + bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def tampering(kind: str) -> Tamper | None:
    """Return what somebody upstream does to the cells of a link."""
    chance = random.Random(99)
    kept: list[bytes] = []

    def tamper(_at_us: int, octets: bytes) -> list[tuple[int, bytes]]:
        kept.append(octets)
        if kind == "delay":  # a mark: bursts of delayed cells
            return [(90_000 if len(kept) % 20 < 10 else 0, octets)]
        if kind == "drop":
            return [] if chance.random() < 0.3 else [(0, octets)]
        if kind == "replay":
            return [(0, octets), (500, octets), (30_000, octets), (0, kept[len(kept) // 2])]
        if kind == "flip":
            return [(0, flip(octets, chance.randrange(248 * 8)))]
        assert kind == "all"
        return [(chance.randrange(60_000), flip(octets, 5)), (0, chance.choice(kept))] if chance.random() < 0.5 else []

    return None if kind == "nothing" else tamper


def downstream(kind: str) -> dict[str, list[tuple[int, int, int]]]:
    """Run a call of 2 s, tampered with on the caller's access link; return when and as what cells leave on the links behind."""
    network, caller, callee = built(SEED)
    call(network, caller, callee)
    start_us = network.now_us
    network.wires[caller.box, caller.link].tamper = tampering(kind)
    network.run(2)
    places = {
        "guard to junction": (caller.guard, network.relay_links[caller.guard, relay_id(caller.junction)]),
        "junction to guard": (callee.junction, network.relay_links[callee.junction, relay_id(callee.guard)]),
        "guard to callee": network.wires[callee.box, callee.link].to,
    }
    return {name: [(at, cell.circuit, cell.slot) for at, cell in network.wires[place].sent if at >= start_us + STEP_US] for name, place in places.items()}


@pytest.fixture(scope="module")
def untouched() -> dict[str, list[tuple[int, int, int]]]:
    """Return what leaves when nobody interferes."""
    return downstream("nothing")


@pytest.mark.parametrize("kind", ["delay", "drop", "replay", "flip", "all"])
def test_nothing_is_seen_downstream(kind: str, untouched: dict[str, list[tuple[int, int, int]]]) -> None:
    assert all(len(cells) >= 98 for cells in untouched.values())
    assert downstream(kind) == untouched


def test_the_tampered_link_itself_shows_it(untouched: dict[str, list[tuple[int, int, int]]]) -> None:
    """The control: the link that is tampered with itself differs, so equality above is not for want of tampering."""
    network, caller, callee = built(SEED)
    call(network, caller, callee)
    network.wires[caller.box, caller.link].tamper = tampering("drop")
    mark = len(network.wires[caller.box, caller.link].came)
    network.run(2)
    came = network.wires[caller.box, caller.link].came[mark:]
    assert len(came) < 0.9 * len(untouched["guard to junction"])
