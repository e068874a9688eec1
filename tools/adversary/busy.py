"""Test (d'): what a prober learns of whether somebody is in a call. Whole boxes in virtual time (town.py).

The prober is a contact, for nobody else's knock is opened. It knocks with a dummy, at which nothing rings, and sees whether it is joined: a box in a call cannot join, unless the call has one of its two circuits only.
Control: it calls, and is told `busy`, or nothing where both circuits are taken, or it rings.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.support.fake_engine import FakeCircuit
from tools.adversary.result import Result
from tools.adversary.statistics import Control, auc, compare, limit
from tools.adversary.town import OFFER, SECOND_US, SETTLED_US, House, Town
from voicebox.b2bua.events import CallEvent, End, Ringing
from voicebox.circuits.dummies import Ending, Script

NAME, TITLE = "d_busy", "busy or not, as a contact finds out"
HOUSES = 6
ANSWER_S = 6.0
PROBE = Script(Ending.CALLER, 10)


@dataclass
class Probed:
    """One try. waited_s: until the target's box answered, ANSWER_S where it did not."""

    in_call: bool
    waited_s: float


def probe(seed: int, rounds: int, *, by_calling: bool) -> list[Probed]:
    """Probe so often; in half of the rounds the target is in a call with somebody else. Rounds in which the prober has no circuit free are left out."""
    town = Town(seed, HOUSES)
    target, prober, *others = town.homes
    joined_us: list[int] = []

    def tap(what: str, circuit: FakeCircuit, _payload: bytes) -> None:
        mate = circuit.mate
        if what == "splice" and mate is not None and {circuit.box, mate.box} == {target.plane, prober.plane}:
            joined_us.append(town.world.now_us)

    town.world.tap = tap
    town.run(SETTLED_US / SECOND_US)
    for house in town.houses:
        house.start_chaff()
        house.touched()
    town.run(600)
    probed = []
    for wants_call in town.chance.sample([True, False] * (rounds // 2), rounds // 2 * 2):
        talk = town.dial(town.chance.choice(others), target) if wants_call else None
        town.run(town.chance.uniform(8, 12))
        in_call = talk is not None and not talk.over and target.talk is talk
        if in_call == wants_call and any(circuit.free for circuit in prober.standing.present()):
            probed.append(Probed(in_call, _call(town, prober, target) if by_calling else _dummy(town, prober, target, joined_us)))
        if talk is not None and not talk.over and talk.leg is not None:
            talk.leg.send(End())
            talk.over, talk.caller.talk, target.talk = True, None, None
            talk.caller.touched()
        town.run(town.chance.uniform(20, 60))
    return probed


def _dummy(town: Town, prober: House, target: House, joined_us: list[int]) -> float:
    joined_us.clear()
    begun_us = town.world.now_us
    prober.calls.begin_dummy(target.name, PROBE, begun_us)
    prober.touched()
    town.run(ANSWER_S)
    return (joined_us[0] - begun_us) / SECOND_US if joined_us else ANSWER_S


def _call(town: Town, prober: House, target: House) -> float:
    heard: list[tuple[int, CallEvent]] = []
    begun_us = town.world.now_us
    leg = prober.calls.call(target.name, OFFER, lambda event: heard.append((town.world.now_us, event)))
    town.expect(prober, target, leg)
    town.run(ANSWER_S)
    leg.send(End())
    town.forget(prober)
    return next(((at_us - begun_us) / SECOND_US for at_us, event in heard if event == Ringing()), ANSWER_S)


def scores(of: list[Probed], *, by_time: bool = False) -> tuple[list[float], list[float]]:
    """Return the belief that the target is in a call: that no answer came, or how long it took."""
    positive, negative = ([each.waited_s if by_time else float(each.waited_s >= ANSWER_S) for each in of if each.in_call == label] for label in (True, False))
    return positive, negative


def test(seed: int, *, strict: bool) -> Result:
    """Run test (d')."""
    count = 1_500 if strict else 440
    probed, called = probe(seed, count, by_calling=False), probe(seed + 1, count // 3, by_calling=True)
    comparisons = [compare("a dummy is not joined", *scores(probed)), compare("how long it takes to be joined", *scores(probed, by_time=True))]
    controls = [
        Control("a call that does not ring", auc(*scores(called)), 0.85),
        Control("a call that does not ring, second attacker", auc(*scores(called, by_time=True)), 0.85),
    ]
    return Result(NAME, TITLE, seed, limit(*comparisons[0].n, len(comparisons)), comparisons, controls)
