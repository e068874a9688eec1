"""The secrets of contacts over epochs, and over a wrong date. Their use in calls: test_calls.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.voicebox.circuits.test_calls import OFFER, finish_first_call
from voicebox.b2bua.events import End
from voicebox.contacts.contact import Contact


def test_the_secret_of_two_cards_moves_forward_in_memory_only() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    first = alice.book.secrets_of("bob", 5)
    run(world, [alice, bob], 180)
    alice.calls.handle_timer(world.now_us)
    contact = alice.book.get("bob")
    assert contact is not None
    assert contact.pair is not None
    assert contact.pair.epoch >= 2
    assert alice.saved == []
    assert alice.book.secrets_of("bob", 5) == first
    assert alice.book.secrets_of("bob", 0) == []
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert len(bob.rung) == 1


def test_a_date_in_the_future_costs_no_secret() -> None:
    """A machine without a clock of its own may begin with any date. What is hashed forward does not come back."""
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    finish_first_call(world, alice, bob)
    before = alice.book.get("bob")
    alice.standing.handle_timer(world.now_us + 1_000 * 60_000_000)
    alice.calls.handle_timer(world.now_us + 1_000 * 60_000_000)
    run(world, [bob], 8)
    assert alice.standing.epoch >= 1_000
    assert not alice.standing.ready(), "relays refuse the circuits of an epoch that is not"
    alice.calls.handle_timer(world.now_us + 1_000 * 60_000_000)
    assert alice.book.get("bob") == before


def restored(world: FakeWorld, lost: Box, contacts: list[Contact], known: Box) -> Box:
    """Start a box of the same identity, with the contacts as a backup had them, after the first one's machine was lost."""
    lost.standing.close()
    box = Box(world, lost.name, 2, 9)
    box.identity, box.contacts = lost.identity, contacts
    box.start()
    run(world, [box, known], 8)
    return box


@pytest.mark.parametrize("backup_says", ["both met", "the cards alone"])
def test_a_box_restored_from_an_older_state_is_reached_and_reaches_its_contacts(backup_says: str) -> None:
    """What was shared is hashed forward to the present epoch, as on the machine that was lost."""
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    if backup_says == "both met":
        finish_first_call(world, alice, bob)
    backup = [replace(contact) if contact.pair and contact.pair.met else replace(contact, pair=None) for contact in alice.book.contacts()]
    run(world, [alice, bob], 300)
    assert alice.standing.epoch >= 5
    again = restored(world, alice, backup, bob)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [again, bob], 2)
    assert [petname for petname, _, _ in again.rung] == ["bob"]
    again.rung[0][2].send(End())
    run(world, [again, bob], 4)
    again.calls.call("bob", OFFER, again.listener)
    run(world, [again, bob], 2)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]


def test_a_backup_from_before_the_first_call_knows_nothing_of_what_was_shared_in_it() -> None:
    """As the command says; then both remove and add each other."""
    world, alice, bob = two_boxes(make_network())
    backup = [replace(contact, pair=None) for contact in alice.book.contacts()]
    finish_first_call(world, alice, bob)
    again = restored(world, alice, backup, bob)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [again, bob], 12)
    assert again.rung == []
