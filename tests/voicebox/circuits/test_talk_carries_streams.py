"""Calls of people carry streams beside their sound: both boxes are told of each that is open, Tie crosses and no phone hears of it. Others carry none."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.networks import make_network
from tests.voicebox.circuits.test_pairing import accept, invite, outcome
from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Ringing, Text, Tie
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))
TIES = {"alice": Tie(b"12345678", bytes(8)), "bob": Tie(b"abcdefgh", b"12345678")}


class Carrying:
    """Two boxes of so many circuits, each with a note of the calls that may carry streams, and of what came there."""

    def __init__(self, circuits: int = 2) -> None:
        self.world, self.alice, self.bob = two_boxes(SMALL, counts=(circuits, circuits))
        self.boxes = [self.alice, self.bob]
        self.talks: list[tuple[str, str, CircuitLeg, bytes]] = []
        self.heard: list[tuple[str, CallEvent]] = []
        for box in self.boxes:
            box.calls.on_talk = self._of(box)

    def _of(self, box: Box) -> Callable[[str, CircuitLeg, bytes], Callable[[CallEvent], None]]:
        def talk(petname: str, leg: CircuitLeg, binding: bytes) -> Callable[[CallEvent], None]:
            self.talks.append((box.name, petname, leg, binding))
            return lambda event: self.heard.append((box.name, event))

        return talk

    def run(self, seconds: float) -> None:
        run(self.world, self.boxes, seconds)


@pytest.mark.parametrize("met", [False, True], ids=["first contact", "met before"])
@pytest.mark.parametrize("circuits", [1, 2])
def test_both_boxes_tie_a_call_and_its_circuits_carry_the_bundle(circuits: int, *, met: bool) -> None:
    town = Carrying(circuits)
    if met:
        former = town.alice.calls.call("bob", OFFER, town.alice.listener)
        town.run(3)
        former.send(End())
        town.run(4)
        town.talks.clear()
        town.heard.clear()
        town.alice.events.clear()
    leg = town.alice.calls.call("bob", OFFER, town.alice.listener)
    town.run(6)
    assert sorted((name, petname) for name, petname, *_ in town.talks) == [("alice", "bob"), ("bob", "alice")]
    assert town.talks[0][3] == town.talks[1][3] != b"", "both know it by the same"
    for name, _, talk, _ in town.talks:
        talk.send(TIES[name])
    town.run(1)
    assert sorted(town.heard, key=lambda heard: heard[0]) == [("alice", TIES["bob"]), ("bob", TIES["alice"])]
    for _, _, talk, _ in town.talks:
        cast("Call", talk).carry(7)
    assert [[bundle for bundle, _ in box.plane.bundles] for box in town.boxes] == [[7], [7]]
    leg.send(End())
    town.run(3)
    assert sorted(name for name, event in town.heard if event == End()) == ["alice", "bob"]
    assert not [event for box in town.boxes for event in box.events if isinstance(event, Tie)]


@pytest.mark.parametrize("offer", [Offer(()), Offer((Codec.PCMA,), probe=True), Offer((), streams=True)], ids=["texts", "probe", "streams"])
def test_calls_of_nobody_carry_none_beside(offer: Offer) -> None:
    town = Carrying()
    taken: list[CircuitLeg] = []

    def accept_any(_petname: str, _offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        taken.append(leg)
        leg.send(Ringing())
        return town.bob.listener

    for use in (town.bob.calls.on_call, town.bob.calls.on_probe, town.bob.calls.on_streams):
        use(accept_any)
    town.alice.calls.call("bob", offer, town.alice.listener).send(Text(b"hello"))
    town.run(6)
    assert len(taken) == 1
    assert (town.talks, town.heard) == ([], [])


def test_a_meeting_carries_none() -> None:
    town = Carrying()
    invite(town.bob)
    town.run(2)
    accept(town.alice)
    town.run(6)
    assert outcome(town.alice) == "met"
    assert town.talks == []
