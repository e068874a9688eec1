"""The secrets of contacts over epochs, and over a wrong date. Their use in calls: test_calls.py."""

from __future__ import annotations

from tests.support.boxes import run, two_boxes
from tests.support.networks import make_network
from tests.voicebox.circuits.test_calls import OFFER, finish_first_call


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
