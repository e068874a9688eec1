"""Test (d'): what a prober learns of whether somebody is in a call. Whole boxes in virtual time (town.py), of profile `home` and of `dsl`.

The prober is a contact, for nobody else's knock is opened, with a box of its own making. It knocks with a dummy, at which nothing rings. A box in a call cannot join, unless the
call has one of its two circuits only; so the prober looks for a sign that it was joined: something valid of the other box, or of the junction, whether its circuit can be spliced with another.
Controls: dummies whose cells their caller can open, as they once were; a call, which is told `busy`, or nothing where both circuits are taken, or rings.
"""

from __future__ import annotations

from dataclasses import dataclass
from unittest import mock

from tests.support.fake_engine import FakeCircuit
from tools.adversary.result import Result
from tools.adversary.statistics import Control, auc, compare, limit
from tools.adversary.town import OFFER, SECOND_US, SETTLED_US, House, Town
from voicebox.b2bua.events import CallEvent, End, Ringing
from voicebox.circuits.dummies import Script
from voicebox.sensitive import Secret

NAME, TITLE = "d_busy", "busy or not, as a contact finds out"
HOUSES = 6
ANSWER_S = 6.0
PROBE = Script(10_000)
JOIN_ID, ROOM = b"another join id.", bytes(184)


@dataclass
class Probed:
    """One try. waited_s: until something of the target's box was heard, ANSWER_S where nothing was; taken: the circuit that knocked could not be spliced with another."""

    in_call: bool
    waited_s: float
    taken: bool = False


def probe(seed: int, rounds: int, *, circuits: int = 2, by_calling: bool = False) -> list[Probed]:
    """Probe so often; in half of the rounds the target is in a call with somebody else. Rounds in which the prober has no circuit free are left out."""
    town = Town(seed, HOUSES, circuits=circuits)
    target, prober, *others = town.homes
    prober.calls._coin = lambda: False  # noqa: SLF001  # it knocks at the first junction, where a call's first circuit is, which gives way to no dummy
    town.world.tap = lambda _what, _circuit, _payload: None
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
        if in_call == wants_call and all(circuit.free and circuit.idle for circuit in prober.standing.present()):
            probed.append((_call if by_calling else _dummy)(town, prober, target, in_call=in_call))
        if talk is not None and not talk.over and talk.leg is not None:
            talk.leg.send(End())
            talk.over, talk.caller.talk, target.talk = True, None, None
            talk.caller.touched()
        town.run(town.chance.uniform(20, 60))
    return probed


def _dummy(town: Town, prober: House, target: House, *, in_call: bool) -> Probed:
    begun_us = town.world.now_us
    prober.heard.clear()
    prober.calls.begin_dummy(target.name, PROBE, begun_us)
    prober.touched()
    circuits = prober.calls._calls[-1].circuits  # noqa: SLF001  # the prober's own box
    first = circuits.present()
    town.run(ANSWER_S)
    links = {first.link, *(circuit.link for circuit in circuits.all())}
    waited_s = next(((at_us - begun_us) / SECOND_US for at_us, link in prober.heard if link in links), ANSWER_S)
    return Probed(in_call, waited_s, _taken(town, prober.plane.circuit(first.link)))


def _taken(town: Town, circuit: FakeCircuit) -> bool:
    """Let the prober knock over the same circuit at an accomplice, who joins. Return whether the junction did not splice the two."""
    accomplice = FakeCircuit(circuit.box, 0, 0, b"", circuit.junction_id, tokens=[JOIN_ID])
    town.world.circuits.append(accomplice)
    junction = circuit.box
    junction._knock(circuit, JOIN_ID + JOIN_ID + ROOM)  # noqa: SLF001  # the fake junction's
    ticket = circuit.knock.ticket if circuit.knock is not None else b""
    junction._join(accomplice, JOIN_ID, ticket)  # noqa: SLF001  # the fake junction's
    taken = accomplice.mate is not circuit
    junction._unbind(accomplice)  # noqa: SLF001  # the fake junction's
    junction._unbind(circuit)  # noqa: SLF001  # the fake junction's
    town.world.circuits.remove(accomplice)
    return taken


def _call(town: Town, prober: House, target: House, *, in_call: bool) -> Probed:
    heard: list[tuple[int, CallEvent]] = []
    begun_us = town.world.now_us
    leg = prober.calls.call(target.name, OFFER, lambda event: heard.append((town.world.now_us, event)))
    town.expect(prober, target, leg)
    town.run(ANSWER_S)
    leg.send(End())
    town.forget(prober)
    return Probed(in_call, next(((at_us - begun_us) / SECOND_US for at_us, event in heard if event == Ringing()), ANSWER_S))


def scores(of: list[Probed], *, by_time: bool = False) -> tuple[list[float], list[float]]:
    """Return the belief that the target is in a call: that no answer came, or how long it took."""
    positive, negative = ([each.waited_s if by_time else float(each.waited_s >= ANSWER_S) for each in of if each.in_call == label] for label in (True, False))
    return positive, negative


def free(of: list[Probed]) -> tuple[list[float], list[float]]:
    """Return the belief that the target is in a call: that the circuit was not taken."""
    positive, negative = ([float(not each.taken) for each in of if each.in_call == label] for label in (True, False))
    return positive, negative


def test(seed: int, *, strict: bool) -> Result:
    """Run test (d')."""
    count = 1_500 if strict else 440
    probed = {"home": probe(seed, count), "dsl": probe(seed + 1, count, circuits=1)}
    with mock.patch("voicebox.circuits.pair.nobodys_key", return_value=Secret(bytes(16))):
        opened = probe(seed + 2, count // 3)
    called = probe(seed + 3, count // 3, by_calling=True)
    comparisons = [
        compare(f"{what}, {profile}", *scored)
        for profile, of in probed.items()
        for what, scored in (
            ("nothing is heard of a dummy", scores(of)),
            ("how long until something is", scores(of, by_time=True)),
            ("the circuit is free", free(of)),
        )
    ]
    controls = [
        Control(f"{what}{who}", auc(*scores(of, by_time=by_time)), 0.85)
        for what, of in (("a dummy that its caller can open", opened), ("a call that does not ring", called))
        for who, by_time in (("", False), (", second attacker", True))
    ]
    return Result(NAME, TITLE, seed, limit(*comparisons[0].n, len(comparisons)), comparisons, controls)
