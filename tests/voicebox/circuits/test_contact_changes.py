"""Contacts that are renamed, blocked, changed or removed while their box runs: what their own phones see, and what the other side sees."""

from __future__ import annotations

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.networks import NOW, make_network
from tests.voicebox.circuits.test_calls import OFFER, all_free, finish_first_call
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Refusal, Refuse, Resume
from voicebox.contacts.card import serialise_card
from voicebox.contacts.changes import Change, What
from voicebox.contacts.identity import Identity, new_identity
from voicebox.errors import UsageError

SMALL = make_network()
UNREACHABLE_S = 12


def change(box: Box, what: What, petname: str, value: str = "") -> None:
    """Do what the daemon does."""
    box.change(Change(what, petname, value))


def other_card() -> str:
    identity: Identity = new_identity("alice", NOW)
    return serialise_card(identity)


CLOSED = {"blocked": (What.BLOCK, ""), "removed": (What.REMOVE, ""), "changed": (What.ADD, other_card())}


def seen_of(way: str, wait_s: float) -> tuple[list[CallEvent], list[int]]:
    """Return what a contact's phone is told, and when, who calls a while after it was closed out or the box was switched off."""
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    if way == "off":
        bob.standing.close()
    else:
        what, value = CLOSED[way]
        change(bob, what, "alice", value)
    run(world, [alice, bob], wait_s)
    begun_us = world.now_us
    alice.events_at_us.clear()
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], UNREACHABLE_S)
    assert bob.rung == []
    return alice.events, [at_us - begun_us for at_us in alice.events_at_us]


@pytest.mark.parametrize("way", CLOSED)
@pytest.mark.parametrize("wait_s", [0, 5], ids=["at once", "once tokens are left anew"])
def test_what_a_closed_out_contact_sees_is_a_box_that_is_off(way: str, wait_s: float) -> None:
    seen = seen_of(way, wait_s)
    assert seen[0] == [Refuse(Refusal.UNREACHABLE)]
    assert seen == seen_of("off", wait_s), "at the same time, to the microsecond"


@pytest.mark.parametrize("what", [What.BLOCK, What.REMOVE])
def test_tokens_of_a_closed_out_contact_are_taken_from_the_junctions(what: What) -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    circuits = bob.standing.present()
    former = [set(bob.book.tokens(circuit.path.junction.relay_id, circuit.epoch)) for circuit in circuits]
    assert all(tokens and tokens <= set(bob.plane.circuit(circuit.link).tokens) for tokens, circuit in zip(former, circuits, strict=True))
    change(bob, what, "alice")
    run(world, [alice, bob], 3)
    assert not any(tokens & set(bob.plane.circuit(circuit.link).tokens) for tokens, circuit in zip(former, circuits, strict=True))
    assert bob.book.petnames() == [], "nor do dummies go there"


def test_who_is_unblocked_is_a_contact_as_before() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    finish_first_call(world, alice, bob)
    change(bob, What.BLOCK, "alice")
    with pytest.raises(UsageError):
        bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 150)
    assert bob.standing.epoch >= 2
    change(bob, What.UNBLOCK, "alice")
    run(world, [alice, bob], 3)
    assert bob.book.met("alice")
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]


@pytest.mark.parametrize("way", CLOSED)
def test_a_call_ends_when_its_contact_is_closed_out(way: str) -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 1)
    bob.rung[0][2].send(Answer(Codec.OPUS))
    run(world, [alice, bob], 1)
    what, value = CLOSED[way]
    change(bob, what, "alice", value)
    assert bob.events == [End()]
    run(world, [alice, bob], UNREACHABLE_S)
    assert alice.events == [Answer(Codec.OPUS), End()], "it heard nothing for 10 s, as of a box that was switched off"
    assert all_free(alice, bob)


def test_a_call_goes_on_under_the_new_petname_and_over_the_end_of_an_epoch() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    finish_first_call(world, alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 1)
    bob.rung[0][2].send(Answer(Codec.OPUS))
    run(world, [alice, bob], 1)
    change(alice, What.RENAME, "bob", "robert")
    change(bob, What.RENAME, "alice", "alicia")
    run(world, [alice, bob], 90)
    assert (alice.calls.active(), bob.calls.active()) == (1, 1)
    bob.rung[0][2].send(Resume())
    run(world, [alice, bob], 1)
    assert alice.events == [Answer(Codec.OPUS), Resume()]


def test_a_renamed_contact_rings_at_once_and_is_called_by_its_new_petname() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    change(bob, What.RENAME, "alice", "alicia")
    alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
    run(world, [alice, bob], 1)
    assert [petname for petname, _, _ in bob.rung] == ["alicia"]
    bob.rung[0][2].send(Refuse(Refusal.BUSY))
    run(world, [alice, bob], 3)
    bob.calls.call("alicia", OFFER, bob.listener)
    run(world, [alice, bob], 1)
    assert [petname for petname, _, _ in alice.rung] == ["bob"]


def test_after_a_changed_key_was_accepted_the_former_key_reaches_nobody_and_the_new_one_does() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    new_alice = Box(world, "alice", 2, 3)
    new_alice.knows(bob)
    new_alice.start()
    run(world, [alice, bob, new_alice], 8)
    change(bob, What.ADD, "alice", serialise_card(new_alice.identity))
    change(bob, What.ACCEPT, "alice")
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob, new_alice], UNREACHABLE_S)
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]
    assert bob.rung == []
    new_alice.calls.call("bob", OFFER, new_alice.listener)
    run(world, [alice, bob, new_alice], 2)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]
    assert bob.book.met("alice")


def test_a_former_key_whose_tokens_are_still_left_does_not_pass_for_the_new_one() -> None:
    """The knock comes before the tokens of the accepted key are left."""
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    change(bob, What.ADD, "alice", other_card())
    change(bob, What.ACCEPT, "alice")
    run(world, [alice, bob], UNREACHABLE_S)
    assert bob.calls.counters["knock_refused"] > 0
    assert bob.rung == []
