"""Calls over the ends of epochs on real cores in virtual time: no frame is lost but in gaps, nothing rings or ends, and no link shows anything."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise

import pytest

from tests.support.boxes import Box, acquaint, run
from tests.support.core_world import CoreWorld
from tests.support.networks import make_network
from tests.support.probed_network import PORT, Port, plane_of
from voicebox.b2bua.events import Answer, Codec, End, Offer
from voicebox.circuits.dummies import Script
from voicebox.probe.codecs import ProbeCodec

EPOCH_S = 40
ENDS = 4
SMALL = make_network(epoch_s=EPOCH_S)
OFFER = Offer((Codec.PCMA,))
SLOT_US = 20_000
CODEC = ProbeCodec.PCMA
UNTIL_S = ENDS * EPOCH_S + 14


def wire_us(port: int) -> int:
    """Return a length of wires that is another for each relay, so that paths differ by up to some 60 ms."""
    return 2_000 + 9_000 * (port % 4)


def two_boxes(count: int, *, metered: bool = False) -> tuple[CoreWorld, Box, Box]:
    """Return a world in which alice and bob have their circuits. metered: alice's is."""
    world = CoreWorld(SMALL, 5_000_000, wire_us)
    alice, bob = Box(world, "alice", count, 1, metered=metered), Box(world, "bob", count, 2)
    acquaint(world, [alice, bob], 12)
    assert alice.standing.ready()
    assert bob.standing.ready()
    return world, alice, bob


def lives(box: Box) -> list[list[int]]:
    return list(plane_of(box).lives.values())


def speak(world: CoreWorld, box: Box, frames: int) -> None:
    """Let a phone talk, one frame a slot; each frame says which it is."""
    plane = plane_of(box)
    for index in range(frames):
        datagram = struct.pack(">BBHII", 0x80, CODEC.payload_type, index % 2**16, index * 160, 99) + struct.pack(">I", index) * 40
        world.at(SLOT_US * index, lambda datagram=datagram: world.give(plane.name, "rtp", PORT, datagram))  # type: ignore[misc] # this one


@dataclass(frozen=True)
class Idle:
    """How many circuits the boxes have, whether alice is metered, and how long the links of each live when nothing happens."""

    count: int
    metered: bool
    lives: list[list[list[int]]]


@pytest.fixture(scope="module", params=[(1, False), (2, False), (1, True)], ids=["dsl", "home", "metered"])
def idle(request: pytest.FixtureRequest) -> Idle:
    count, metered = request.param
    world, alice, bob = two_boxes(count, metered=metered)
    run(world, [alice, bob], UNTIL_S - world.now_us / 1e6)
    return Idle(count, metered, [lives(alice), lives(bob)])


def test_no_frame_is_lost_and_links_live_as_when_idle(idle: Idle) -> None:
    count = idle.count
    world, alice, bob = two_boxes(count, metered=idle.metered)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 3)
    ((_, _, other),) = bob.rung
    for box, each in ((alice, leg), (bob, other)):
        each.bind(Port(world, plane_of(box), CODEC), Codec.PCMA)
    other.send(Answer(Codec.PCMA))
    run(world, [alice, bob], 1)
    alice.events.clear()
    frames = int((UNTIL_S - 2 - world.now_us / 1e6) * 50)
    for box in (alice, bob):
        speak(world, box, frames)
    run(world, [alice, bob], UNTIL_S - world.now_us / 1e6)
    for box in (alice, bob):
        heard = [(each.at_us, each.datagram) for each in world.heard if each.box == plane_of(box).name]
        counters, others = (world.counters(plane_of(each).name) for each in (box, alice if box is bob else bob))
        assert len(heard) == frames - others["sound_slip"]
        headers = [struct.unpack_from(">HI", datagram, 2) for _, datagram in heard]
        steps = [((later[0] - sooner[0]) % 2**16, (later[1] - sooner[1]) % 2**32) for sooner, later in pairwise(headers)]
        assert set(steps) == {(1, 160), (3, 480)}, "each frame once, in order, none left out but in gaps"
        assert 1 <= steps.count((3, 480)) <= 4, "one in 40 to 80 s, the first after 20 to 40"
        said = [int.from_bytes(datagram[12:16], "big") for _, datagram in heard if datagram[12:] == datagram[12:16] * 40]
        whole = [number for number in said if number < frames]
        assert whole == sorted(set(whole))
        repaired = counters["sound_repaired"]
        assert len(heard) - len(whole) == repaired
        if idle.metered:  # every second frame, but for the moments in which the call is over two circuits
            assert 0.4 * frames <= repaired <= 0.5 * frames
        else:
            assert repaired <= 16, (
                "two circuits come into the call at each of four ends of epochs; at each a frame may be heard from its copy, and one more for each slot by which it is ahead"
            )
        gaps_us = [later - sooner for (sooner, _), (later, _) in pairwise(heard)]
        print(f"{count} circuits: time between two packets {min(gaps_us)} to {max(gaps_us)} us")
        assert max(gaps_us) <= 150_000, "no longer than the longest path is longer than the shortest"
        assert [counters[name] for name in ("sound_overflow", "channel_junk", "bad_command")] == [0] * 3
        assert counters["sound_late"] <= 3, "whose copies were played before they came"
        (call,) = box.calls._calls
        assert {circuit.epoch for circuit in call.circuits.all()} == {ENDS}
        assert len(call.circuits.all()) == count
    assert alice.events == bob.events == []
    assert len(bob.rung) == 1
    compare(idle.lives, [lives(alice), lives(bob)])
    leg.send(End())
    run(world, [alice, bob], 3)
    assert bob.events == [End()]
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


def test_dummies_move_likewise(idle: Idle) -> None:
    world, alice, bob = two_boxes(idle.count, metered=idle.metered)
    alice.calls.begin_dummy("bob", Script(600_000), world.now_us)
    run(world, [alice, bob], UNTIL_S - world.now_us / 1e6)
    for box in (alice, bob):
        (dummy,) = box.calls._calls
        assert ({circuit.epoch for circuit in dummy.circuits.all()}, len(dummy.circuits.all())) == ({ENDS}, idle.count)
    assert (alice.events, bob.events, bob.rung) == ([], [], [])
    compare(idle.lives, [lives(alice), lives(bob)])


@pytest.mark.parametrize("seed", [2, 5])
def test_call_moves_where_dummies_come_and_go_on_the_next_circuits(seed: int) -> None:
    """Found by watching: where a dummy had just parted from the circuit, the call waited for two seconds, and the next dummy was there.
    (Boxes whose circuits are all in calls begin none any more: those of before the call are left.)
    """
    world = CoreWorld(SMALL, 5_000_000, lambda _port: 200)
    alice, bob = Box(world, "alice", 2, seed), Box(world, "bob", 2, 1_000 + seed)
    boxes = [alice, bob]
    acquaint(world, boxes, 12)
    for box in boxes:
        box.start_chaff()
    run(world, boxes, 5)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 7)
    assert len(bob.rung) == 1
    for epoch in range(1, ENDS + 1):
        run(world, boxes, epoch * EPOCH_S + 9 - world.now_us / 1e6)
        for box in boxes:
            (call,) = (call for call in box.calls._calls if call.script is None)
            assert [circuit.epoch for circuit in call.circuits.all()] == [epoch] * 2
    assert alice.events == bob.events == []
    leg.send(End())
    run(world, boxes, 3)
    assert bob.events == [End()]


def compare(idle: list[list[list[int]]], other: list[list[list[int]]]) -> None:
    """Whatever goes over them, links begin and end at the same times, to the step of this clock."""
    for left, right in zip(idle, other, strict=True):
        assert [len(life) for life in left] == [len(life) for life in right]
        apart_us = [abs(one - two) for lefts, rights in zip(left, right, strict=True) for one, two in zip(lefts, rights, strict=True)]
        assert max(apart_us) <= 20_000
        assert sum(len(life) == 2 for life in left) >= ENDS
