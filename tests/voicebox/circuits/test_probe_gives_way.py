"""A probe is in no call's way: it ends where somebody calls and finds its circuit taken, and for no other probe and no dummy."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.boxes import acquainted, run
from tests.support.networks import make_network
from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.dummies import Script

SMALL = make_network()
OFFER, PROBE = Offer((Codec.OPUS, Codec.PCMA)), Offer((Codec.OPUS,), probe=True)


class Probed:
    """Three boxes that know each other, with so many circuits each; alice probes bob."""

    def __init__(self, circuits: int) -> None:
        self.world, self.boxes = acquainted(SMALL, dict.fromkeys(("alice", "bob", "carol"), circuits))
        self.alice, self.bob, self.carol = self.boxes
        for box in (self.alice, self.carol):  # they have met
            leg = box.calls.call("bob", OFFER, box.listener)
            self.run(3)
            leg.send(End())
            self.run(4)
        self.bob.rung.clear()
        self.ended: list[str] = []
        self.answered: list[CircuitLeg] = []
        self.bob.calls.on_probe(self._accept)
        self.leg = self.alice.calls.call("bob", PROBE, lambda event: self.ended.append("alice") if isinstance(event, End) else None)
        for box, legs in ((self.alice, [self.leg]), (self.bob, self.answered)):
            box.calls.on_scarce = self._ends(box.name, legs)
        self.run(3)
        assert len(self.answered) == 1

    def _accept(self, _petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        assert offer == PROBE
        self.answered.append(leg)
        self.world.at(0, lambda: leg.send(Ringing()))
        return lambda event: self.ended.append("bob") if isinstance(event, End) else None

    def _ends(self, name: str, legs: list[CircuitLeg]) -> Callable[[], None]:
        def end() -> None:
            self.ended.append(f"{name} ends it")
            legs[-1].send(End())

        return end

    def run(self, seconds: float) -> None:
        run(self.world, self.boxes, seconds)


def test_a_call_ends_a_probe_that_has_its_circuit() -> None:
    out = Probed(1)
    out.alice.calls.call("bob", OFFER, out.alice.listener)
    out.run(6)
    assert out.ended[0] == "alice ends it"
    assert [petname for petname, *_ in out.bob.rung] == ["alice"]
    coming = Probed(1)
    coming.carol.calls.call("bob", OFFER, coming.carol.listener)
    coming.run(6)
    assert coming.ended[0] == "bob ends it"
    assert [petname for petname, *_ in coming.bob.rung] == ["carol"]


def test_a_call_rings_at_a_box_of_two_circuits_that_is_in_a_probe() -> None:
    """At one of the two junctions, at each of which it knocks for 2 s first."""
    probed = Probed(2)
    probed.carol.calls.call("bob", OFFER, probed.carol.listener)
    probed.run(3)
    assert [petname for petname, *_ in probed.bob.rung] == ["carol"]


def test_neither_another_probe_nor_a_dummy_ends_a_probe() -> None:
    probed = Probed(1)
    probed.carol.calls.call("bob", PROBE, probed.carol.listener)
    probed.run(9)
    probed.carol.calls.begin_dummy("bob", Script(60_000), probed.world.now_us)
    probed.run(6)
    assert probed.ended == []
    assert len(probed.answered) == 1
