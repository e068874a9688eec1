"""A box with two uplinks loses one of them in a call: real cores in virtual time, wires of 19 ms."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.sim.test_box_moves import HANDSHAKE_US, heard_us, in_call
from tests.sim.test_calls_cross_epochs import SLOT_US
from tests.support.boxes import run
from tests.support.probed_network import plane_of
from voicebox.b2bua.events import End
from voicebox.circuits.circuit import Stage

FIRST, SECOND = "eth0", "wlan0"
MOST_GAP_US = 60_000


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("told_after_us", [0, 1_000_000])
def test_a_line_that_is_pulled_costs_some_frames_at_most(lost: int, told_after_us: int) -> None:
    """told_after_us: how long the kernel keeps it that the carrier is gone, or a line is silent."""
    world, alice, bob = in_call(2)
    uplinks = alice.standing.uplinks
    uplinks.choose((FIRST, SECOND))
    for way, circuit in enumerate(alice.standing.present()):
        circuit.uplink, circuit._leaves_from = uplinks.own(way), plane_of(alice).source("", uplinks.own(way))
    circuit = alice.standing.present()[lost]
    link = circuit.link
    pulled_us = world.now_us
    world.unplugged.add((plane_of(alice).name, link))
    run(world, [alice, bob], (told_after_us + HANDSHAKE_US) / 1e6)
    uplinks.see({uplinks.chosen[1 - lost]})
    alice.standing.look_at_addresses(world.now_us)
    run(world, [alice, bob], 12)
    assert (circuit.stage, circuit.next_timer(), circuit.uplink) == (Stage.STANDING, None, uplinks.chosen[1 - lost])
    assert circuit.link != link
    assert alice.events == bob.events == []
    for box in (alice, bob):
        heard = heard_us(world, box, pulled_us)
        gap_us, at_us = max((later - sooner, sooner - pulled_us) for sooner, later in pairwise(heard))
        print(f"{box.name}: the longest time between two packets for a phone is {gap_us / 1000:.0f} ms, {at_us / 1000:.0f} ms after the line was pulled")
        assert gap_us <= MOST_GAP_US
        assert heard[-1] >= world.now_us - 5 * SLOT_US
        assert len([at_us for at_us in heard if at_us >= world.now_us - 5_000_000]) >= 245, "no frame is late for ever"
    (call,) = alice.calls._calls
    call.send(End())
    run(world, [alice, bob], 3)
    assert bob.events == [End()]
