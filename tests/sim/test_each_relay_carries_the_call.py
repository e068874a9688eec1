"""The sound goes through each of the three relays: stop one, and it stops, in both directions; stop one that is not on the path, and nothing happens."""

from __future__ import annotations

import pytest

from tests.sim.call import built, call, valid_cells
from tests.sim.network import Circuit, Network


def heard_after_stopping(network: Network, ends: tuple[Circuit, Circuit], relay: str) -> list[int]:
    """Cut a relay's wires; return how many cells caller and callee hear in the second that begins 100 ms later."""
    for (name, _), wire in network.wires.items():
        if relay in {name, wire.to[0]}:
            wire.loss = 1.0
    network.run(0.1)
    before = [valid_cells(network, end) for end in ends]
    network.run(1)
    return [valid_cells(network, end) - was for end, was in zip(ends, before, strict=True)]


@pytest.mark.parametrize(("relay", "heard"), [("guard1", 0), ("junction1", 0), ("guard3", 0), ("guard2", 50), ("junction2", 50), ("guard4", 50)])
def test_stopping_a_relay(relay: str, heard: int) -> None:
    network, caller, callee = built(612)
    call(network, caller, callee)
    assert heard_after_stopping(network, (caller, callee), relay) == pytest.approx([heard, heard], abs=1)
