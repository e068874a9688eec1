"""After a probe another splice of the same two may follow, as after a call or a dummy: boxes see to that, where people do not."""

from __future__ import annotations

from tests.support.boxes import run, two_boxes
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, End, Offer, Ringing


def test_both_boxes_take_a_probe_for_a_dummy_that_is_over_and_a_call_for_none() -> None:
    world, alice, bob = two_boxes(make_network())
    told: list[tuple[str, str]] = []
    for box in (alice, bob):
        box.calls.on_dummy_over = lambda petname, _now_us, name=box.name: told.append((name, petname))  # type: ignore[misc]  # of this box
    bob.calls.on_probe(bob._rings)
    for probe, expected in ((True, [("alice", "bob"), ("bob", "alice")]), (False, [])):
        told.clear()
        leg = alice.calls.call("bob", Offer((Codec.PCMA,), probe=probe), alice.listener)
        run(world, [alice, bob], 3)
        other = bob.rung[-1][2]
        other.send(Ringing())
        other.send(Answer(Codec.PCMA))
        run(world, [alice, bob], 3)
        assert told == []
        leg.send(End())
        run(world, [alice, bob], 6)
        assert sorted(told) == expected


def test_a_probe_that_nobody_answers_is_none() -> None:
    world, alice, bob = two_boxes(make_network(), mutual=False)
    told: list[str] = []
    alice.calls.on_dummy_over = lambda petname, _now_us: told.append(petname)
    alice.calls.call("bob", Offer((Codec.PCMA,), probe=True), alice.listener)
    run(world, [alice, bob], 20)
    assert told == []
