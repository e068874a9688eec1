"""Profile `lan` in virtual time: eight circuits over the two ways of `home`, and as many calls at once."""

from __future__ import annotations

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Codec, End, Hold, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call
from voicebox.config.model import Profile

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))
LAN = Profile.LAN.circuits


def met(counts: tuple[int, int] = (LAN, LAN)) -> tuple[FakeWorld, Box, Box]:
    world, alice, bob = two_boxes(SMALL, counts=counts)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 3)
    leg.send(End())
    run(world, [alice, bob], 4)
    for box in (alice, bob):
        box.events.clear()
        box.events_at_us.clear()
        box.rung.clear()
    return world, alice, bob


def calls(box: Box) -> list[Call]:
    return box.calls._calls


def first_of(call: Call) -> tuple[int, bytes]:
    first = call.circuits.present()
    return first.link, first.path.junction.relay_id


def test_lan_goes_the_two_ways_of_home_four_times() -> None:
    _, alice, bob = two_boxes(SMALL, counts=(LAN, 2))
    assert alice.standing.ready()
    ways = [(circuit.path.guard.relay_id, circuit.path.junction.relay_id) for circuit in alice.standing.present()]
    assert ways == ways[:2] * 4
    assert len(set(ways)) == 2
    assert [junction for _, junction in ways[:2]] == [circuit.path.junction.relay_id for circuit in bob.standing.present()]
    assert len({circuit.link for circuit in alice.standing.present()}) == LAN
    assert len(alice.standing.guards()) == len(bob.standing.guards()) == 3, "two and a spare one"


def test_the_same_tokens_never_lie_at_two_circuits() -> None:
    world, alice, bob = met()
    for box in (alice, bob):
        box.standing.renew_tokens(world.now_us)
    run(world, [alice, bob], 2)
    left = [set(bob.plane.circuit(circuit.link).tokens) for circuit in bob.standing.present()]
    assert [len(tokens) for tokens in left] == [128] * LAN
    assert len(set.union(*left)) == 128 * LAN
    for door, circuit in zip(left, bob.standing.present()[:2], strict=False):
        assert set(bob.book.tokens(circuit.path.junction.relay_id, circuit.epoch)) <= door


def test_eight_calls_at_once_and_a_ninth_gets_no_answer() -> None:
    world, alice, bob = met()
    legs: list[CircuitLeg] = []
    for count in range(1, LAN + 1):
        legs.append(alice.calls.call("bob", OFFER, alice.listener))
        run(world, [alice, bob], 6)
        assert len(bob.rung) == count
        bob.rung[-1][2].send(Ringing())
        run(world, [alice, bob], 1)
        assert alice.events == [Ringing()] * count, "no call was ended for another"
    assert len({first_of(call) for call in calls(bob)}) == len({first_of(call) for call in calls(alice)}) == LAN
    assert all(circuit.mate is not None and not circuit.coupled for circuit in world.circuits), "every circuit has a call of its own; none a spare"
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 12)
    assert alice.events[LAN:] == [Refuse(Refusal.UNREACHABLE)]
    assert len(bob.rung) == LAN
    for leg in legs:
        leg.send(Hold())
    run(world, [alice, bob], 1)
    assert bob.events == [Hold()] * LAN
    for leg in legs:
        leg.send(End())
    run(world, [alice, bob], 4)
    assert bob.events[LAN:] == [End()] * LAN
    assert all(circuit.free for box in (alice, bob) for circuit in box.standing.present())


def test_call_to_a_box_whose_eight_circuits_are_taken_gets_what_one_that_is_off_would_say() -> None:
    world, alice, bob = met((LAN, 2))
    for circuit in alice.standing.present():
        circuit.busy = True
    began_us = world.now_us
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 12)
    taken = [(at_us - began_us, event) for at_us, event in zip(bob.events_at_us, bob.events, strict=True)]
    assert alice.rung == []
    world, alice, bob = met((LAN, 2))
    alice.standing.close()
    began_us = world.now_us
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [bob], 12)
    assert [(at_us - began_us, event) for at_us, event in zip(bob.events_at_us, bob.events, strict=True)] == taken
    assert [event for _, event in taken] == [Refuse(Refusal.UNREACHABLE)]


def test_second_call_in_is_joined_beside_the_circuit_that_it_came_to() -> None:
    world, alice, bob = met((LAN, 2))
    door = alice.standing.present()[0]
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 2)
    assert calls(alice)[0].circuits.first is door, "so that the first call shows nothing of the other circuits"
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 8)
    assert len(alice.rung) == 2
    assert alice.events == bob.events == []
    assert len({link for link, _ in map(first_of, calls(alice))}) == 2


def test_calls_out_leave_the_circuits_free_that_contacts_knock_at() -> None:
    world, alice, bob = met()
    for _ in range(3):
        alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 2)
    doors = alice.standing.present()[:2]
    assert all(circuit.free for circuit in doors)


def test_spare_is_at_the_other_junction() -> None:
    world, alice, bob = met()
    for _ in range(3):
        alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 3)
    for box in (alice, bob):
        assert len(calls(box)) == 3
        for call in calls(box):
            spare = call.circuits.spare
            assert spare is not None
            assert spare.up
            assert spare.circuit.path.junction.relay_id != first_of(call)[1]


def test_lan_keeps_its_circuits_over_epochs_and_the_loss_of_one() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60), counts=(LAN, LAN))
    run(world, [alice, bob], 130)
    assert alice.standing.epoch == 2
    assert alice.standing.ready()
    lost = alice.standing.present()[5]
    way = lost.path.guard, lost.path.junction
    alice.standing.lost(lost.link, world.now_us)
    assert not alice.standing.ready()
    run(world, [alice, bob], 30)
    assert alice.standing.ready()
    made = alice.standing.present()[5].path
    if alice.standing.epoch == 2:
        assert (made.guard, made.junction) == way
    run(world, [alice, bob], 100)
    assert len(alice.standing.all()) <= 2 * LAN
