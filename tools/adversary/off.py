"""Test (d_off): what a stranger learns of whether a box is on. Whole boxes in virtual time (town.py), whose people call each other meanwhile.

Two strangers: somebody who has the target's card and was never taken as a contact, and one who was a contact, has spoken with the target, and was removed. Each calls again
and again, a box that is on and one that is off. What they look at: how long until their own box gives the call up, and how often something valid came over its circuits.
(The junction tells who knocks nothing, PROTOCOL.md §6.2; d_busy looks there.) Control: a contact, for whom it rings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tools.adversary.result import Result
from tools.adversary.statistics import Control, auc, compare, limit
from tools.adversary.town import OFFER, SECOND_US, SETTLED_US, House, Town
from voicebox.b2bua.events import CallEvent, End
from voicebox.contacts.changes import Change, What

NAME, TITLE = "d_off", "on or off, as a stranger finds out"
HOUSES = 6
PATIENCE_S = 15.0
CONTACT, REMOVED, NEVER = "a contact", "somebody who was removed", "somebody who never was a contact"


@dataclass
class Tries:
    """What the calls showed. told_s: until the caller was told something, PATIENCE_S where that was nothing; rang: how often the target's phone did."""

    told_s: list[float] = field(default_factory=list)
    heard: list[float] = field(default_factory=list)
    rang: int = 0

    def looks(self) -> Mapping[str, Sequence[float]]:
        """Return the scores by what is looked at."""
        return {"how long until the call is given up": self.told_s, "how often something is heard": self.heard}


def tries(seed: int, count: int, caller: str, *, is_on: bool) -> Tries:
    """Call a box that is on, or off, so often."""
    town = Town(seed, HOUSES)
    town.world.tap = lambda _what, _circuit, _payload: None
    target = town.homes[0]
    prober, *others = target.friends
    town.run(SETTLED_US / SECOND_US)
    if caller != NEVER:
        _call(town, prober, target, Tries())
    if caller != CONTACT:
        target.change(Change(What.REMOVE, prober.name))
        target.touched()
    for house in town.houses:
        house.start_chaff()
        house.touched()
    if not is_on:
        target.standing.close()
        town.houses.remove(target)
    found = Tries()
    while len(found.told_s) < count:
        talk = town.dial(town.chance.choice(others), target, again=True) if is_on and town.chance.random() < 0.5 else None
        town.run(town.chance.uniform(2, 12))
        if all(circuit.free and circuit.idle for circuit in prober.standing.present()):
            _call(town, prober, target, found)
        if talk is not None:
            town.hang_up(talk)
        town.run(town.chance.uniform(10, 40))
    return found


def _call(town: Town, prober: House, target: House, found: Tries) -> None:
    told_us: list[int] = []

    def hear(_event: CallEvent) -> None:
        told_us.append(town.world.now_us)

    begun_us = town.world.now_us
    prober.heard.clear()
    leg = prober.calls.call(target.name, OFFER, hear)
    town.expect(prober, target, leg)
    talk = town.talks[-1]
    town.run(PATIENCE_S)
    found.told_s.append((told_us[0] - begun_us) / SECOND_US if told_us else PATIENCE_S)
    found.heard.append(float(len(prober.heard)))
    found.rang += talk.far_leg is not None
    leg.send(End())
    town.forget(prober)
    town.run(5)


def test(seed: int, *, strict: bool) -> Result:
    """Run test (d_off)."""
    count = 500 if strict else 100
    by_caller = {
        caller: [tries(seed + 10 * at + is_on, count if caller != CONTACT else count // 3, caller, is_on=is_on) for is_on in (True, False)]
        for at, caller in enumerate((NEVER, REMOVED, CONTACT))
    }
    looks = [(f"{caller}, {name}", scores, off.looks()[name]) for caller, (on, off) in by_caller.items() for name, scores in on.looks().items()]
    comparisons = [compare(name, on, off) for name, on, off in looks if not name.startswith(CONTACT)]
    controls = [Control(name, max(auc(on, off), auc(off, on)), 0.85) for name, on, off in looks if name.startswith(CONTACT)]
    also = {
        "nothing rang for a stranger": not any(each.rang for caller in (NEVER, REMOVED) for each in by_caller[caller]),
        "it rang for a contact": by_caller[CONTACT][0].rang > 0,
    }
    return Result(NAME, TITLE, seed, limit(count, count, len(comparisons)), comparisons, controls, also=also)
