"""A town whose people call each other, and whose boxes probe each other: what a junction sees of both.

Calls, circuits, dummies and the length of a probe's call are the code of boxes (town.py); what the two ends of a probe say is scripted, because there are no cells here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tools.adversary.town import House, Town
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call
from voicebox.circuits.dummies import draw_answered
from voicebox.errors import Bug
from voicebox.probe.ends import ANSWER_US
from voicebox.probe.length import call_length_s

CODEC = Codec.OPUS
MEASURED_S = 30.0
PROBES_AN_HOUR = 1.5
"""Begun by each box; more than people do, so that a run is short."""
DUMMY, CALL, PROBE = 0, 1, 2
OLD_TAIL = 0.25


@dataclass(eq=False)
class Probe:
    """One probe, from its knock to its end."""

    caller: House
    callee: House
    leg: Call | None = None
    far_leg: CircuitLeg | None = None
    over: bool = False


class ProbingTown(Town):
    """Houses that probe, too. kinds: of the splices of the junction's log, by their join ids.

    switch `round`: the control. A probe's call ends when all is known, and a quarter of that later at most, as it once did.
    """

    def __init__(self, seed: int, houses: int = 16, *, switch: str = "") -> None:
        self.kinds: dict[bytes, int] = {}
        self.probes: list[Probe] = []
        super().__init__(seed, houses, switch=switch)
        self._probing: dict[House, Probe] = {}
        for house in self.homes:
            self._answer_probes(house)

    def _is_call(self, join_id: bytes) -> bool:
        is_probe = any(probe.leg is not None and join_id in probe.leg.circuits.join_ids() for probe in reversed(self.probes[-200:]))
        is_call = super()._is_call(join_id)
        self.kinds[join_id] = PROBE if is_probe else CALL if is_call else DUMMY
        return is_call

    def _dial_later(self, house: House) -> None:
        super()._dial_later(house)
        if house not in self._probing:  # once for each house: later ones follow by themselves
            self._probing[house] = Probe(house, house, over=True)
            self._probe_later(house)

    def _probe_later(self, house: House) -> None:
        self._after(self.chance.expovariate(PROBES_AN_HOUR / 3_600), lambda: self._probe_next(house))

    def _probe_next(self, house: House) -> None:
        self._probe_later(house)
        if house.talk is not None or not self._probing[house].over:
            return
        weights = [1 / rank for rank in range(1, len(house.friends) + 1)]
        self._begin_probe(Probe(house, self.chance.choices(house.friends, weights)[0]))

    def _begin_probe(self, probe: Probe) -> None:
        leg = probe.caller.calls.call(probe.callee.name, Offer((CODEC,), probe=True), lambda event: self._caller_hears(probe, event))
        if not isinstance(leg, Call):
            raise Bug("a leg that is no call of circuits")
        probe.leg = leg
        self._probing[probe.caller] = probe
        self.probes.append(probe)
        probe.caller.touched()

    def _caller_hears(self, probe: Probe, event: CallEvent) -> None:
        if isinstance(event, Answer):
            self._after(self._length_s(), lambda: self._end(probe))
        elif isinstance(event, End | Refuse):
            probe.over = True

    def _length_s(self) -> float:
        if self.switch == "round":
            return MEASURED_S + self.chance.uniform(0, OLD_TAIL * MEASURED_S)
        return call_length_s(MEASURED_S, lambda: draw_answered(self.chance).length_us / 1e6, self.chance)

    def _end(self, probe: Probe) -> None:
        if not probe.over and probe.leg is not None:
            probe.over = True
            probe.leg.send(End())
            probe.caller.touched()

    def _answer_probes(self, house: House) -> None:
        """Let a house answer probes, one at a time, and end its own and those of others where a call finds no circuit."""
        answering: list[Probe] = []

        def accept(petname: str, _offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
            probe = next(probe for probe in reversed(self.probes) if probe.caller.name == petname and probe.callee is house)
            busy = any(not each.over for each in answering)
            answering[:] = [probe] if not busy else answering
            probe.far_leg = leg
            self.world.at(0, lambda: self._far_says(house, probe, leg, Refuse(Refusal.DECLINED) if busy else Ringing()))
            if not busy:
                self.world.at(ANSWER_US, lambda: self._far_says(house, probe, leg, Answer(CODEC)))
            return lambda event: self._over_there(probe, event)

        def scarce() -> None:
            for probe in (*answering, self._probing.get(house)):
                if probe is not None and not probe.over:
                    probe.over = True
                    mine = probe.leg if probe.caller is house else probe.far_leg
                    if mine is not None:
                        mine.send(End())
                    house.touched()

        house.calls.on_probe(accept)
        house.calls.on_scarce = scarce

    def _over_there(self, probe: Probe, event: CallEvent) -> None:
        probe.over = probe.over or isinstance(event, End | Refuse)

    def _far_says(self, house: House, probe: Probe, leg: CircuitLeg, event: CallEvent) -> None:
        if not probe.over:
            leg.send(event)
            house.touched()
