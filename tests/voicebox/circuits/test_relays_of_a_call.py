"""Who runs the relays of a call's circuits, for the owner of the box."""

from __future__ import annotations

from tests.support.boxes import run, two_boxes
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Offer, Ringing


def test_relays_of_both_circuits_are_named_as_long_as_there_is_the_call() -> None:
    world, alice, bob = two_boxes(make_network())
    leg = alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
    run(world, [alice, bob], 3)
    ((_, _, other),) = bob.rung
    other.send(Ringing())
    other.send(Answer(Codec.PCMA))
    run(world, [alice, bob], 6)
    own = {(relays[0], relays[-1]): len(relays) for circuit in alice.standing.present() if (relays := [relay.operator for relay in circuit.path.relays])}
    told = alice.calls.relays_of(leg)
    assert {(relays[0], relays[-1]): len(relays) for relays in told} == own
    assert len(told) == 2
    leg.send(End())
    run(world, [alice, bob], 6)
    assert alice.calls.relays_of(leg) == []
