"""A box that gets another address in a call: real cores in virtual time, wires of 19 ms. Handshakes of links take no time here (tests/system/test_move.py has them)."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.sim.test_calls_cross_epochs import CODEC, OFFER, SLOT_US, speak
from tests.support.boxes import Box, acquaint, run
from tests.support.core_world import CoreWorld
from tests.support.networks import make_network
from tests.support.probed_network import Port, plane_of
from tools.adversary.statistics import auc
from voicebox.b2bua.events import Answer, Codec, End
from voicebox.circuits.circuit import ATTACH_LIMIT_US, Stage

SMALL = make_network()
WIRE_US = 19_000
HANDSHAKE_US = 6 * WIRE_US
"""What a link takes until it stands: a cookie, and three flights of DTLS."""
ELSEWHERE = "198.51.100.7"
BOXES = 24


def in_call(count: int, *, metered: bool = False) -> tuple[CoreWorld, Box, Box]:
    """Return a world in which alice is in a call with bob, who talk. metered: alice is."""
    world = CoreWorld(SMALL, 5_000_000, lambda _port: WIRE_US)
    alice, bob = Box(world, "alice", count, 1, metered=metered), Box(world, "bob", count, 2)
    acquaint(world, [alice, bob], 12)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 3)
    ((_, _, other),) = bob.rung
    for box, each in ((alice, leg), (bob, other)):
        each.bind(Port(world, plane_of(box), CODEC), Codec.PCMA)
    other.send(Answer(Codec.PCMA))
    run(world, [alice, bob], 2)
    alice.events.clear()
    for box in (alice, bob):
        speak(world, box, 50 * 30)
    run(world, [alice, bob], 2)
    return world, alice, bob


def unplug(world: CoreWorld, box: Box) -> None:
    """Let nothing of a box's links pass any more, without a word."""
    world.unplugged |= {(plane_of(box).name, link) for link in plane_of(box).links()}


def move(world: CoreWorld, alice: Box, bob: Box) -> None:
    """Give alice another address; her new links stand after a handshake's time."""
    unplug(world, alice)
    run(world, [alice, bob], HANDSHAKE_US / 1e6)
    plane_of(alice).address = ELSEWHERE
    alice.standing.look_at_addresses(world.now_us)


def heard_us(world: CoreWorld, box: Box, from_us: int) -> list[int]:
    return [each.at_us for each in world.heard if each.box == plane_of(box).name and each.at_us >= from_us - 100_000]


@pytest.mark.parametrize(("count", "metered"), [(2, False), (1, False), (1, True)], ids=["home", "dsl", "metered"])
def test_the_call_goes_on_over_the_same_circuits(count: int, metered: bool) -> None:
    world, alice, bob = in_call(count, metered=metered)
    (call,) = alice.calls._calls
    before = [(circuit, circuit.link, circuit.circuit) for circuit in call.circuits.all()]
    assert len(before) == count
    moved_us = world.now_us
    move(world, alice, bob)
    run(world, [alice, bob], 12)
    assert [(circuit, circuit.circuit) for circuit in call.circuits.all()] == [(circuit, number) for circuit, _, number in before]
    for circuit, link, _ in before:
        assert circuit.stage is Stage.STANDING
        assert circuit.link != link
        assert circuit.next_timer() is None
    assert alice.events == bob.events == []
    for box in (alice, bob):
        heard = heard_us(world, box, moved_us)
        gap_us = max(later - sooner for sooner, later in pairwise(heard))
        print(f"{count} circuits: the longest time between two packets for a phone is {gap_us / 1000:.0f} ms")
        assert gap_us <= 500_000
        assert heard[-1] >= world.now_us - 5 * SLOT_US
        recent = [at_us for at_us in heard if at_us >= world.now_us - 5_000_000]
        assert len(recent) >= 245, "no frame is late for ever"
        assert world.counters(plane_of(box).name)["bad_command"] == 0
    call.send(End())
    run(world, [alice, bob], 3)
    assert bob.events == [End()]
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


def test_a_box_that_moves_twice_at_once_keeps_its_circuits() -> None:
    world, alice, bob = in_call(2)
    circuits = alice.standing.present()
    move(world, alice, bob)
    unplug(world, alice)
    plane_of(alice).address = ""
    alice.standing.look_at_addresses(world.now_us)
    run(world, [alice, bob], 0.2)
    plane_of(alice).address = ELSEWHERE
    alice.standing.look_at_addresses(world.now_us)
    run(world, [alice, bob], 8)
    assert alice.standing.present() == circuits
    assert [circuit.stage for circuit in circuits] == [Stage.STANDING] * 2
    assert alice.events == bob.events == []


def test_a_guard_that_does_not_attach_costs_the_circuit_and_another_is_made() -> None:
    world, alice, bob = in_call(1)
    (before,) = alice.standing.present()
    move(world, alice, bob)
    unplug(world, alice)
    run(world, [alice, bob], ATTACH_LIMIT_US / 1e6 + 0.1)
    assert before.stage is Stage.GONE
    assert alice.events == [End()]
    run(world, [alice, bob], 40)
    assert alice.standing.ready()


def test_what_does_not_stand_yet_is_made_anew() -> None:
    world = CoreWorld(SMALL, 5_000_000, lambda _port: WIRE_US)
    alice = Box(world, "alice", 2, 1)
    alice.start()
    run(world, [alice], 1)
    begun = alice.standing.present()
    plane_of(alice).address = ELSEWHERE
    alice.standing.look_at_addresses(world.now_us)
    assert [circuit.stage for circuit in begun] == [Stage.GONE] * 2
    run(world, [alice], 12)
    assert alice.standing.ready()


def phases(world: CoreWorld, box: Box) -> list[tuple[int, ...]]:
    """Return when cells leave in a slot, at both ends of each link of a box, as who watches the link sees it."""
    ends = [(circuit.link, (plane_of(box).name, circuit.path.guard.relay_id.hex())) for circuit in box.standing.present()]
    return [tuple(world.left_us[node, link][-3] % SLOT_US for node in nodes) for link, nodes in ends]


def likeness(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    return -float(sum(min((left - right) % SLOT_US, (right - left) % SLOT_US) for left, right in zip(one, other, strict=True)))


def linked(before: list[tuple[int, ...]], after: list[tuple[int, ...]]) -> float:
    """Return the AUC with which the likeness of phases tells which link before is which after."""
    same = [likeness(one, other) for one, other in zip(before, after, strict=True)]
    others = [likeness(one, other) for place, one in enumerate(before) for at, other in enumerate(after) if at != place]
    return auc(same, others)


def test_nothing_but_the_time_of_the_move_links_the_former_links_with_the_new_ones() -> None:
    """What datagrams show is their times: all have one length, and every octet is DTLS of a handshake of its own. The control: ticks that keep their phase within a millisecond."""
    world = CoreWorld(SMALL, 5_000_000, lambda _port: WIRE_US)
    boxes = [Box(world, f"box {number}", 1, number + 1) for number in range(BOXES)]
    for box in boxes:
        box.start()
    run(world, boxes, 12)
    before = [phase for box in boxes for phase in phases(world, box)]
    for box in boxes:
        unplug(world, box)
    run(world, boxes, HANDSHAKE_US / 1e6)
    for box in boxes:
        plane_of(box).address = ELSEWHERE
        box.standing.look_at_addresses(world.now_us)
    run(world, boxes, 3)
    after = [phase for box in boxes for phase in phases(world, box)]
    assert all(box.standing.ready() for box in boxes)
    kept = [tuple((phase + 997 * place % 1_000) % SLOT_US for place, phase in enumerate(each)) for each in before]
    found, control = linked(before, after), linked(before, kept)
    print(f"{BOXES} boxes that move at once: AUC {found:.2f}, with kept phases {control:.2f}")
    assert control > 0.95
    assert abs(found - 0.5) < 0.25
