"""The second circuit of a call in virtual time: how it comes to the call, what it is good for, and to whom it gives way."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from tests.support.boxes import Box, acquainted, run, two_boxes
from tests.support.fake_engine import FakeCircuit, FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Hold, Offer, Refuse, Resume
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits import spare
from voicebox.circuits.call_record import RecordType
from voicebox.circuits.circuit import Circuit
from voicebox.circuits.dummies import Script
from voicebox.circuits.pair import seal_spare
from voicebox.circuits.speech import Speech

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))
LONG = Script(600_000)
LOOKS_US = (5_000_000, 25_000_000)
"""Shorter than they are, so that these tests are."""


class Port:
    """A media port as far as a call knows it."""

    reference = 17
    rtp_port = 20_000

    def nothing(self, *arguments: Any, **named: Any) -> None:
        """Stand for what a call never uses."""

    set_remote = protect = set_packets = set_direction = on_digit = play_digit = join = play = close = nothing


def in_call(counts: tuple[int, int] = (2, 2), *, met: bool = True) -> tuple[FakeWorld, Box, Box, CircuitLeg]:
    world, alice, bob = two_boxes(SMALL, counts=counts)
    if met:
        leg = alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 2)
        leg.send(End())
        run(world, [alice, bob], 4)
        bob.rung.clear()
        bob.events.clear()
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert len(bob.rung) == 1
    return world, alice, bob, leg


def coupled(world: FakeWorld) -> list[FakeCircuit]:
    return [circuit for circuit in world.circuits if circuit.coupled]


def first_of(box: Box) -> Circuit:
    circuit = box.calls._calls[0].circuits.first
    assert circuit is not None
    return circuit


def spare_of(box: Box) -> Circuit:
    found = box.calls._calls[0].circuits.spare
    assert found is not None
    return found.circuit


def all_free(*boxes: Box) -> bool:
    return all(circuit.free and not box.plane.circuit(circuit.link).speaking for box in boxes for circuit in box.standing.present())


def passes(world: FakeWorld, alice: Box, bob: Box, leg: CircuitLeg) -> None:
    """Whatever happened to the circuits: the call is there, both ways, and its end frees everything."""
    alice.events.clear()
    bob.events.clear()
    leg.send(Hold())
    bob.rung[0][2].send(Answer(Codec.PCMA))
    run(world, [alice, bob], 1)
    assert (alice.events, bob.events) == ([Answer(Codec.PCMA)], [Hold()])
    leg.send(End())
    run(world, [alice, bob], 40)
    assert bob.events[-1] == End()
    assert all_free(alice, bob)
    assert coupled(world) == []


@pytest.mark.parametrize("met", [True, False])
def test_call_of_two_homes_is_over_both_junctions_at_once(met: bool) -> None:
    world, alice, bob, leg = in_call(met=met)
    assert len(coupled(world)) == 4
    assert len({circuit.junction_id for circuit in coupled(world)}) == 2
    assert not any(circuit.free for box in (alice, bob) for circuit in box.standing.present())
    passes(world, alice, bob, leg)


@pytest.mark.parametrize("counts", [(2, 1), (1, 2), (1, 1)])
def test_where_one_has_no_second_circuit_the_knock_for_it_is_withdrawn(counts: tuple[int, int]) -> None:
    world, alice, bob, leg = in_call(counts)
    assert len(coupled(world)) == (2 if counts[0] == 2 else 0), "from its first cell on a spare says what the first circuit says"
    run(world, [alice, bob], 4)
    assert coupled(world) == []
    free = [circuit.free for box in (alice, bob) for circuit in box.standing.present()]
    assert sorted(free) == [False] * 2 + [True] * (sum(counts) - 2)
    passes(world, alice, bob, leg)


@pytest.mark.parametrize("whose", ["caller", "callee"])
@pytest.mark.parametrize("which", ["first", "spare"])
def test_call_outlives_the_loss_of_either_circuit(whose: str, which: str) -> None:
    world, alice, bob, leg = in_call()
    leg.bind(Port(), Codec.OPUS)
    box = alice if whose == "caller" else bob
    lost = first_of(box) if which == "first" else spare_of(box)
    box.standing.lost(lost.link, world.now_us)
    run(world, [alice, bob], 0.5)
    assert (alice.events, bob.events) == ([], [])
    run(world, [alice, bob], 12)
    assert coupled(world) == [], "the other's circuit at that junction has left too, after 10 s without a valid cell"
    bound = [circuit.bound for circuit in world.circuits if circuit.bound is not None]
    assert bound == [(17, Codec.OPUS)]
    passes(world, alice, bob, leg)


@pytest.mark.parametrize("which", ["first", "spare"])
def test_path_that_falls_silent_leaves_the_call_and_both_silent_end_it(which: str) -> None:
    world, alice, bob, leg = in_call()
    silent = {box.name: first_of(box) if which == "first" else spare_of(box) for box in (alice, bob)}
    others = {box.name: spare_of(box) if which == "first" else first_of(box) for box in (alice, bob)}
    for box in (alice, bob):
        box.calls.silent(silent[box.name].link, world.now_us)
    run(world, [alice, bob], 1)
    assert (alice.events, bob.events) == ([], [])
    assert all(circuit.free for circuit in silent.values())
    assert [first_of(box) for box in (alice, bob)] == list(others.values())
    leg.send(Resume())
    run(world, [alice, bob], 1)
    assert bob.events == [Resume()]
    alice.calls.silent(first_of(alice).link, world.now_us)
    assert alice.events == [End()]


@pytest.mark.parametrize("caller", ["alice", "bob", "carol"])
def test_another_call_takes_the_spare(caller: str) -> None:
    world, alice, bob, leg = in_call()
    carol = Box(world, "carol", 2, 3)
    for box in (alice, bob):
        box.knows(carol)
        box.book.add(box.contacts[-1])
        carol.knows(box)
        box.standing.renew_tokens(world.now_us)
    carol.start()
    boxes = {box.name: box for box in (alice, bob, carol)}
    run(world, list(boxes.values()), 8)
    # Tokens that name carol are left when a circuit is free; in a call nothing can be left.
    leg.send(End())
    run(world, list(boxes.values()), 4)
    for box in boxes.values():
        box.rung.clear()
        box.events.clear()
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, list(boxes.values()), 2)
    assert len(coupled(world)) == 4
    callee = {"alice": "carol", "bob": "carol", "carol": "bob"}[caller]
    since_us = world.now_us
    second = boxes[caller].calls.call(callee, OFFER, boxes[caller].listener)
    rung = len(boxes[callee].rung)
    while len(boxes[callee].rung) == rung:
        run(world, list(boxes.values()), 0.02)
        assert world.now_us - since_us < 7_000_000
    assert coupled(world) == [] or carol.calls.active() == 2
    run(world, list(boxes.values()), 6)
    assert not [event for box in boxes.values() for event in box.events if isinstance(event, End | Refuse)]
    second.send(End())
    run(world, list(boxes.values()), 4)
    leg.send(Hold())
    run(world, list(boxes.values()), 1)
    assert Hold() in bob.events
    leg.send(End())
    run(world, list(boxes.values()), 4)
    assert all_free(*boxes.values())


def test_spare_takes_no_circuit_from_a_dummy() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(2, 2))
    carol = Box(world, "carol", 2, 3)
    bob.knows(carol)
    bob.book.add(bob.contacts[-1])
    carol.knows(bob)
    carol.start()
    boxes = [alice, bob, carol]
    bob.standing.renew_tokens(world.now_us)
    run(world, boxes, 8)
    first, second = bob.standing.present()
    bob.calls._coin = lambda: True
    bob.calls.begin_dummy("carol", Script(600_000, doubled=False), world.now_us)
    run(world, boxes, 3)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 8)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]
    assert bob.calls._calls[-1].circuits.first is first
    assert second.gives_way is not None
    assert second.gives_way.is_dummy
    assert coupled(world) == []
    assert (bob.calls.active(), bob.calls.dummies(world.now_us)[0]) == (1, 1)


@pytest.mark.parametrize("whose", ["caller's", "callee's", "between the two"])
@pytest.mark.parametrize("at_second", [True, False])
def test_call_that_found_a_dummy_in_the_way_has_its_spare_when_that_is_over(whose: str, at_second: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """However the dummy is there; and not right behind the dummy's part, which would tell the junction that a call waited."""
    monkeypatch.setattr(spare, "LOOK_AGAIN_US", LOOKS_US)
    world, boxes = acquainted(SMALL, dict.fromkeys(("alice", "bob", "carol"), 2))
    alice, bob, _ = boxes
    begins, at = {"caller's": (alice, "carol"), "callee's": (bob, "carol"), "between the two": (bob, "alice")}[whose]
    begins.calls._coin = lambda: at_second
    begins.calls.begin_dummy(at, Script(30_000, doubled=False), world.now_us)
    run(world, boxes, 5)
    ended_us: list[int] = []
    knocks: list[int] = []
    world.tap = lambda what, _circuit, _payload: knocks.append(world.now_us) if what == "knock" and ended_us else None
    leg = alice.calls.call("bob", OFFER, alice.listener)
    while len(coupled(world)) < 4:
        run(world, boxes, 0.5)
        if not ended_us and not any(box.calls.dummies(world.now_us)[0] for box in boxes):
            ended_us.append(world.now_us)
        assert world.now_us < 100_000_000
    assert ended_us
    assert ended_us[0] < knocks[0] <= ended_us[0] + 2 * LOOKS_US[1]
    assert len({circuit.junction_id for circuit in coupled(world)}) == 2
    run(world, boxes, 3)
    first = first_of(alice)
    for box, circuit in ((alice, first), (bob, first_of(bob))):
        box.calls.silent(circuit.link, world.now_us)
    assert (bob.calls.active(), alice.events, bob.events) == (1, [], []), "it outlives its first path"
    leg.send(End())
    run(world, boxes, 4)
    assert all_free(*boxes)


def test_dummy_that_comes_takes_the_place_of_a_spare_and_the_call_has_it_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a call does, so that a splice that ends at a knock does not tell that the knock was a call's."""
    monkeypatch.setattr(spare, "LOOK_AGAIN_US", LOOKS_US)
    world = FakeWorld(SMALL, 5_000_000)
    alice, bob, carol = boxes = [Box(world, name, 2, seed) for seed, name in enumerate(("alice", "bob", "carol"), start=1)]
    for one, other in ((alice, bob), (bob, carol)):
        one.knows(other)
        other.knows(one)
    for box in boxes:
        box.start()
    run(world, boxes, 8)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, boxes, 4)
    assert len(coupled(world)) == 4
    for at_second in (False, True):
        carol.calls._coin = partial(bool, at_second)
        carol.calls.begin_dummy("bob", Script(8_000, doubled=False), world.now_us)
        run(world, boxes, 2)
        assert (len(coupled(world)), bob.calls.dummies(world.now_us)[0]) == ((0, 1) if at_second else (4, 0)), (
            "the first circuit of a call gives way to nothing"
        )
        run(world, boxes, 8)
    while len(coupled(world)) < 4:
        run(world, boxes, 1)
        assert world.now_us < 120_000_000
    assert (alice.events, bob.events, bob.calls.active()) == ([], [], 1)


def test_call_does_not_knock_again_for_a_spare_that_nobody_answered() -> None:
    """A junction that sees a knock each half minute would know that a call is on at the other."""
    world, alice, bob = two_boxes(SMALL, counts=(2, 1))
    knocks: list[int] = []
    world.tap = lambda what, _circuit, _payload: knocks.append(world.now_us) if what == "knock" else None
    alice.calls.call("bob", OFFER, alice.listener)
    begun_us = world.now_us
    run(world, [alice, bob], 120)
    assert (bob.calls.active(), alice.calls.active()) == (1, 1)
    assert begun_us + 4_000_000 < knocks[-1] < begun_us + 6_000_000


def test_only_the_callee_says_that_there_is_room_and_never_in_a_dummy() -> None:
    world, alice, bob, leg = in_call((2, 1))
    run(world, [alice, bob], 6)
    assert coupled(world) == []
    bob.calls._calls[0]._send(bytes([RecordType.ROOM]))
    run(world, [alice, bob], 1)
    assert len(coupled(world)) == 2, "the caller knocks again"
    run(world, [alice, bob], 5)
    alice.calls._calls[0]._send(bytes([RecordType.ROOM]))
    run(world, [alice, bob], 1)
    assert bob.calls.active() == 0
    assert bob.calls.counters["call_broken"] == 1
    leg.send(End())
    run(world, [alice, bob], 20)
    alice.calls._coin = lambda: False
    alice.calls.begin_dummy("bob", LONG, world.now_us)
    run(world, [alice, bob], 3)
    assert bob.calls.dummies(world.now_us)[0] == 1
    alice.calls._calls[0]._send(bytes([RecordType.ROOM]))
    run(world, [alice, bob], 1)
    assert bob.calls.counters["call_broken"] == 2


def test_knocks_that_ask_for_no_spare_of_ours_are_not_answered() -> None:
    world, alice, bob, _leg = in_call((1, 2))
    run(world, [alice, bob], 5)
    circuit = next(circuit for circuit in bob.standing.present() if circuit.free)
    owner = bob.book.secrets_of("alice", circuit.epoch)[0]
    call = bob.calls._calls[0]
    for digest in (bytes(32), call._knock_digest[:31] + bytes([call._knock_digest[31] ^ 1]), call._knock_digest + b"\x01"):
        knock = seal_spare(owner.secret, circuit.path.junction.relay_id, bob.identity.contact_id, digest)
        bob.calls.knocked(circuit.link, knock.serialise() + bytes(8), world.now_us)
        assert circuit.free
    true = seal_spare(owner.secret, circuit.path.junction.relay_id, bob.identity.contact_id, call._knock_digest)
    for _ in range(3):
        bob.calls.knocked(circuit.link, true.serialise() + bytes(8), world.now_us)
    saying = bob.plane.circuit(circuit.link).saying
    assert saying is not None
    assert saying[0] == Speech.JOIN, "with the right digest it is"
    run(world, [alice, bob], 5)
    assert [each.free for each in bob.standing.present()] == [False, True], "nobody spoke there"
    assert len(bob.rung) == 1
    assert bob.calls.active() == 1
