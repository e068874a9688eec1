"""Calls over the ends of epochs in virtual time: they move to the next epoch's circuits, are never without a path, and change no link's life."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Hold, Offer
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.circuit import Circuit, Stage
from voicebox.circuits.dummies import Script

EPOCH_S = 60
SMALL = make_network(epoch_s=EPOCH_S)
OFFER = Offer((Codec.OPUS, Codec.PCMA))
LONG = Script(600_000)
COUNTS = [(1, 1), (2, 2), (1, 2), (2, 1)]


def in_call(counts: tuple[int, int], *, dummy: bool = False) -> tuple[FakeWorld, Box, Box, CircuitLeg | None]:
    world, alice, bob = two_boxes(SMALL, counts=counts)
    leg = None
    if dummy:
        alice.calls._coin = lambda: False  # at the first junction, where a box of one circuit is
        alice.calls.begin_dummy("bob", LONG, world.now_us)
    else:
        leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 6)
    return world, alice, bob, leg


def circuits_of(box: Box) -> list[Circuit]:
    return [circuit for call in box.calls._calls for circuit in call.circuits.all()]


def paths(world: FakeWorld, alice: Box, bob: Box) -> int:
    """Return over how many splices the first call passes both ways; of a dummy its caller hears nothing."""
    pairs = [(alice.plane.circuit(circuit.link), alice.plane.circuit(circuit.link).mate) for circuit in circuits_of(alice)]
    forth = [(ours, mate) for ours, mate in pairs if mate is not None and ours.send_key in mate.receive_keys]
    back = [mate.send_key in ours.receive_keys for ours, mate in forth]
    assert not any(back) if alice.calls._calls[0].is_dummy else all(back)
    return len(forth)


def to_epoch(world: FakeWorld, boxes: list[Box], number: int, seconds_after: float = 0.0) -> None:
    run(world, boxes, number * EPOCH_S + seconds_after - world.now_us / 1e6)


@pytest.mark.parametrize("dummy", [False, True])
@pytest.mark.parametrize("counts", COUNTS)
def test_call_and_dummy_cross_epochs_and_are_never_without_a_path(counts: tuple[int, int], dummy: bool) -> None:
    world, alice, bob, leg = in_call(counts, dummy=dummy)
    wanted = min(counts)
    epochs: list[set[int]] = []
    for epoch in range(1, 5):
        while world.now_us < (epoch * EPOCH_S + 10) * 1_000_000:
            run(world, [alice, bob], 0.05)
            assert wanted <= paths(world, alice, bob) <= wanted + 1
        epochs.append({circuit.epoch for box in (alice, bob) for circuit in circuits_of(box)})
        assert [len(circuits_of(box)) for box in (alice, bob)] == [counts[0] if dummy else wanted, wanted], "of a dummy's spare its caller hears nothing"
    assert epochs == [{1}, {2}, {3}, {4}], "ten seconds after the end of an epoch nothing is over its circuits"
    assert alice.events == bob.events == []
    assert len(bob.rung) == (0 if dummy else 1)
    if leg is not None:
        leg.send(Hold())
        bob.rung[0][2].send(Answer(Codec.PCMA))
        run(world, [alice, bob], 1)
        assert (alice.events, bob.events) == ([Answer(Codec.PCMA)], [Hold()])
        leg.send(End())
        run(world, [alice, bob], 28)
        assert bob.events[-1] == End()
        assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())
        assert [len(box.plane.links()) for box in (alice, bob)] == list(counts)


@pytest.mark.parametrize("counts", COUNTS)
def test_links_live_as_long_whatever_goes_over_them(counts: tuple[int, int]) -> None:
    def nothing(alice: Box, bob: Box) -> None:
        """Let the boxes be idle."""

    def one_call(alice: Box, _bob: Box) -> None:
        alice.calls.call("bob", OFFER, alice.listener)

    def dummies(alice: Box, bob: Box) -> None:
        alice.start_chaff()
        bob.start_chaff()

    seen = [lives(counts, begin) for begin in (nothing, one_call, dummies)]
    assert len(seen[0]) == 2 * 5 * counts[0]
    for other in seen[1:]:
        assert len(other) == len(seen[0])
        assert all(abs(left - right) <= 20_000 for left, right in zip(seen[0], other, strict=True)), "to the step of this clock"


def lives(counts: tuple[int, int], begin: Callable[[Box, Box], None]) -> list[int]:
    """Return when alice's links began and ended, over four ends of epochs."""
    world, alice, bob = two_boxes(SMALL, counts=counts)
    begin(alice, bob)
    to_epoch(world, [alice, bob], 4, 25)
    alice.standing.close()
    return [time_us for life in alice.plane.lives.values() for time_us in life]


@pytest.mark.parametrize("counts", [(1, 1), (2, 2)])
def test_move_that_fails_ends_the_call_when_the_former_links_go(counts: tuple[int, int]) -> None:
    world, alice, bob, _ = in_call(counts)
    to_epoch(world, [alice, bob], 1, -0.5)
    former = circuits_of(alice)
    assert all(circuit.stage is Stage.STANDING for circuit in alice.standing.all())
    world.mute.update(circuit.path.junction.relay_id for circuit in alice.standing.all())
    to_epoch(world, [alice, bob], 1, 9)
    assert alice.events == bob.events == []
    assert any(circuit.stage is Stage.STANDING for circuit in former)
    to_epoch(world, [alice, bob], 1, 21)
    assert all(circuit.stage is Stage.GONE for circuit in former), "at most a third of an epoch after its end"
    run(world, [alice, bob], 12)
    assert (alice.events, bob.events) == ([End()], [End()])


def test_nobody_else_takes_the_circuit_to_which_a_call_will_move() -> None:
    world, alice, bob, leg = in_call((1, 1))
    to_epoch(world, [alice, bob], 1, 0.2)
    for box in (alice, bob):
        (present,) = box.standing.present()
        assert (present.vacant, present.free, present.soon_free) == (True, False, False)
    second = bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 0.5)
    second.send(End())
    to_epoch(world, [alice, bob], 1, 10)
    assert (paths(world, alice, bob), alice.rung) == (1, [])
    assert leg is not None
    leg.send(End())
    run(world, [alice, bob], 3)
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


@pytest.mark.parametrize("whose", ["caller", "callee"])
def test_call_that_moves_takes_the_circuit_from_a_dummy(whose: str) -> None:
    world, alice, bob, _ = in_call((1, 1))
    carol = Box(world, "carol", 1, 3)
    box = alice if whose == "caller" else bob
    box.knows(carol)
    box.book.add(box.contacts[-1])
    carol.knows(box)
    carol.start()
    boxes = [alice, bob, carol]
    to_epoch(world, boxes, 1, 0.05)
    (present,) = box.standing.present()
    (former,) = circuits_of(box)
    former.busy = False  # so that the dummy is let in
    box.calls.begin_dummy("carol", LONG, world.now_us)
    former.busy = True
    assert present.gives_way is not None
    to_epoch(world, boxes, 1, 12)
    assert alice.events == bob.events == []
    assert [circuit.epoch for each in (alice, bob) for circuit in circuits_of(each)] == [1, 1]
    assert box.calls.dummies(world.now_us)[0] == 0


def test_dummy_that_finds_a_call_on_its_next_circuit_ends() -> None:
    world, alice, bob, _ = in_call((1, 1), dummy=True)
    to_epoch(world, [alice, bob], 1, 0.05)
    alice.calls.call("bob", OFFER, alice.listener)
    to_epoch(world, [alice, bob], 1, 14)
    assert len(bob.rung) == 1
    assert [box.calls.dummies(world.now_us)[0] for box in (alice, bob)] == [0, 0]
    assert paths(world, alice, bob) == 1
    to_epoch(world, [alice, bob], 2, 14)
    assert alice.events == bob.events == []
