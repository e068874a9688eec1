"""Calls for streams: they are carried over a circuit that is free, ring nobody, and are in nobody's way who talks."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from tests.support.boxes import acquainted, run
from tests.support.networks import make_network
from tests.voicebox.circuits.test_pairing import accept, invite, outcome
from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Ringing, Tie
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call
from voicebox.errors import UsageError

SMALL = make_network()
OFFER, STREAMS = Offer((Codec.OPUS, Codec.PCMA)), Offer((), streams=True)
A_TIE = Tie(b"12345678", bytes(8))


class Streaming:
    """Three boxes that know each other and have met, with so many circuits each; alice has a call for streams with bob."""

    def __init__(self, circuits: int) -> None:
        self.world, self.boxes = acquainted(SMALL, dict.fromkeys(("alice", "bob", "carol"), circuits))
        self.alice, self.bob, self.carol = self.boxes
        for box in (self.alice, self.carol):
            leg = box.calls.call("bob", OFFER, box.listener)
            self.run(3)
            leg.send(End())
            self.run(4)
        self.bob.rung.clear()
        self.heard: list[tuple[str, CallEvent]] = []
        self.taken: list[CircuitLeg] = []
        self.bob.calls.on_streams(self._accept)
        self.leg = self.alice.calls.call("bob", STREAMS, lambda event: self.heard.append(("alice", event)))
        self.alice.calls.on_people = self.alice.calls.on_scarce = lambda: self.leg.send(End())
        self.bob.calls.on_people = self.bob.calls.on_scarce = lambda: self.taken[-1].send(End())
        self.run(3)

    def _accept(self, petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        assert (petname, offer) == ("alice", STREAMS)
        self.taken.append(leg)
        leg.send(Ringing())
        return lambda event: self.heard.append(("bob", event))

    def run(self, seconds: float) -> None:
        run(self.world, self.boxes, seconds)


@pytest.mark.parametrize("circuits", [1, 2])
def test_a_tie_crosses_and_the_circuits_carry_the_bundle(circuits: int) -> None:
    town = Streaming(circuits)
    assert town.heard == [("alice", Ringing())]
    town.leg.send(A_TIE)
    town.run(1)
    assert town.heard == [("alice", Ringing()), ("bob", A_TIE)]
    for box, leg in ((town.alice, town.leg), (town.bob, town.taken[0])):
        cast("Call", leg).carry(7)
        assert [bundle for bundle, _ in box.plane.bundles] == [7]
    assert town.bob.rung == []


@pytest.mark.parametrize("circuits", [1, 2])
def test_people_who_call_have_the_circuits(circuits: int) -> None:
    town = Streaming(circuits)
    town.alice.calls.call("carol", OFFER, town.alice.listener)
    town.run(6)
    assert [petname for petname, *_ in town.carol.rung] == ["alice"]
    assert ("bob", End()) in town.heard
    with pytest.raises(UsageError, match="No circuit is free"):
        town.alice.calls.call("bob", STREAMS, town.alice.listener)


def test_what_measures_goes_on_where_streams_make_room() -> None:
    town, ended = Streaming(1), list[str]()
    town.alice.calls.on_scarce = lambda: ended.append("probe")
    town.alice.calls.call("carol", OFFER, town.alice.listener)
    town.run(6)
    assert [petname for petname, *_ in town.carol.rung] == ["alice"]
    assert ended == []


def test_a_meeting_has_the_circuit_that_streams_had() -> None:
    town = Streaming(1)
    invite(town.carol)
    town.run(2)
    accept(town.alice)
    town.run(6)
    assert ("bob", End()) in town.heard
    assert outcome(town.alice) == "met"


@pytest.mark.parametrize("circuits", [1, 2])
def test_people_who_are_called_have_the_circuits(circuits: int) -> None:
    town = Streaming(circuits)
    town.carol.calls.call("bob", OFFER, town.carol.listener)
    town.run(9)
    assert [petname for petname, *_ in town.bob.rung] == ["carol"]
    assert ("alice", End()) in town.heard


def test_the_spare_of_a_call_does_not_give_way_to_streams() -> None:
    town = Streaming(2)
    town.leg.send(End())
    town.run(3)
    town.carol.calls.call("bob", OFFER, town.carol.listener)
    town.run(9)
    before = [circuit.busy for circuit in town.bob.standing.present()]
    town.alice.calls.call("bob", STREAMS, lambda event: town.heard.append(("alice", event)))
    town.run(6)
    assert [circuit.busy for circuit in town.bob.standing.present()] == before == [True, True]
    assert len(town.taken) == 1
