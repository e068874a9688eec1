"""What a box knows of the delay of its calls: the round trip of the first words that both boxes say (between.py), in virtual time."""

from __future__ import annotations

from tests.support.boxes import run, two_boxes
from tests.support.networks import make_network
from voicebox.b2bua.events import Codec, End, Offer

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))


def test_the_round_trip_is_known_at_both_ends_but_in_the_first_call() -> None:
    """By what both boxes say anyway. The fake engine's way takes no time but for its turns, so here it is short; behind a full handshake it would be that handshake's."""
    world, alice, bob = two_boxes(SMALL)
    for known in (False, True):
        leg = alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 2)
        trips = [box.calls.round_trips_ms() for box in (alice, bob)]
        assert [len(trip) for trip in trips] == [known, known]
        assert all(0 <= each <= 1_000 for trip in trips for each in trip)
        leg.send(End())
        run(world, [alice, bob], 4)
        assert alice.calls.round_trips_ms() == bob.calls.round_trips_ms() == []
