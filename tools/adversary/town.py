"""A town of whole boxes in virtual time, whose people call each other, and what one junction of its network sees.

Circuits, calls and dummies are those of voicebox/circuits, unchanged, over the data plane of tests/support. What is made up here is people: when they call, whom,
how long it rings and how long they talk. NOT here: what an attacker makes of it (splices.py), cells (world.py).

Keys are drawn afresh in each run: a seed says what people do and when dummies begin, not which junction of an epoch comes first.

People: everybody has FRIENDS contacts and prefers some (the k-th is called 1/k as often as the first). A talk's length is lognormal, as holding times of telephone
calls are (Bolotin, Modeling call holding time distributions, 1994), here with a median of 55 s and a mean of two minutes; three of four calls are answered, after a
lognormal time of ringing; the others ring until the caller gives up, or are declined. After a call in five the same two talk again within two minutes. People call at
all hours alike: where they do not, the hour tells more than anything that is looked at here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.support.boxes import Box
from tests.support.fake_engine import HOP_US, SILENT_US, SLOT_US, FakeCircuit, FakePlane, FakeWorld
from tests.support.networks import make_network
from tools.adversary.splices import JunctionLog
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Refusal, Refuse, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.call import Call
from voicebox.circuits.dummies import Dummies, Script
from voicebox.circuits.path import junctions_of_epoch
from voicebox.errors import Bug

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
OFFER = Offer((Codec.PCMA,))
FRIENDS = 5
CALLS_AN_HOUR = 1.5
"""Begun by each box. More than people do, so that a run is short; dummies outnumber calls less than they would."""
ANSWERED, DECLINED = 0.75, 0.07
RING_MEDIAN_S, RING_SIGMA = 9.0, 0.5
TALK_MEDIAN_S, TALK_SIGMA = 55.0, 1.25
AGAIN = 0.2
SETTLED_US = 30 * SECOND_US
IDLE_US = 6 * SECOND_US
"""How often end-to-end cells are looked at that say nothing new, or that nobody hears; SILENT_US is longer."""
TICK_US = 1_000
"""A timer that is due again at once is asked again so much later."""

assert IDLE_US < SILENT_US


class SparsePlane(FakePlane):
    """The data plane, with most of the cells left out that say nothing new."""

    def __init__(self, world: FakeWorld) -> None:
        super().__init__(world)
        self._turns: dict[FakeCircuit, int] = {}

    def _cells(self, circuit: FakeCircuit) -> None:
        turn = self._turns[circuit] = self._turns.get(circuit, 0) + 1
        self._slot(circuit, turn)

    def _slot(self, circuit: FakeCircuit, turn: int) -> None:
        if self._turns.get(circuit) != turn:
            return
        if not circuit.speaking or circuit not in self.world.circuits:
            del self._turns[circuit]
            return
        if not circuit.told_silent and self.world.now_us - circuit.last_valid_us >= SILENT_US:
            circuit.told_silent = True
            self._event(0, "silent", circuit.link, circuit.number)
        mate, key = circuit.mate, circuit.send_key
        if mate is not None and key is not None:
            carries = bool(circuit.messages)  # a message that is said later does not travel in this cell
            self.world.at(2 * HOP_US, lambda: self._arrive(circuit, mate, key) if carries or not circuit.messages else None)
            new = bool(circuit.messages) or (key in mate.receive_keys and mate.receive_keys.index(key) not in mate.heard)
            wait_us = SLOT_US if new else IDLE_US
        else:
            wait_us = IDLE_US
        self.world.at(wait_us, lambda: self._slot(circuit, turn))

    def speak(self, link: int, number: int, send_key: bytes | None, receive_keys: list[bytes]) -> None:
        """Begin, or change keys: cells are looked at again from now on, here and at the mate's."""
        super().speak(link, number, send_key, receive_keys)
        self._wake(self._own(link, number))

    def channel_send(self, link: int, number: int, message: bytes) -> None:
        """Send a message with the next cell."""
        super().channel_send(link, number, message)
        self._wake(self._own(link, number))

    def _join(self, circuit: FakeCircuit, join_id: bytes, ticket: bytes) -> None:
        before = circuit.mate
        super()._join(circuit, join_id, ticket)
        if circuit.mate is not before:
            self._wake(circuit)

    def _wake(self, circuit: FakeCircuit) -> None:
        for each in (circuit, circuit.mate, *circuit.coupled):
            if each is not None and each.speaking:
                plane = each.box
                assert isinstance(plane, SparsePlane)
                self.world.at(SLOT_US, partial(plane._cells, each))  # noqa: SLF001  # its own class


@dataclass(eq=False)
class Talk:
    """A call between two people, from dialling to its end. again: it follows another between the two."""

    caller: House
    callee: House
    again: bool
    leg: Call | None = None
    far_leg: CircuitLeg | None = None
    over: bool = False


class House(Box):
    """A box and who lives there."""

    def __init__(self, town: Town, name: str, count: int, seed: int) -> None:
        super().__init__(town.world, name, count, seed)
        self.plane = SparsePlane(town.world)
        self.town = town
        self.talk: Talk | None = None
        self.friends: list[House] = []
        self.makes_dummies = True
        self.heard: list[tuple[int, int]] = []
        """When something valid came, and over which link."""
        self.due_us = 0

    def start_chaff(self) -> None:
        """Begin dummies, as a running box does; with the switch `loops` they go to the twin, which is this house's other circuit."""
        town = self.town
        petnames = (lambda: [town.twin_of(self).name]) if town.switch == "loops" else self.book.petnames
        self.dummies = Dummies(self._begin, petnames, self.chance, town.small.network.epoch_us, town.world.now_us)
        self.calls.on_dummy_over = self.dummies.over

    def _begin(self, petname: str, script: Script, now_us: int) -> None:
        if self.makes_dummies:
            self.calls.begin_dummy(petname, script, now_us)

    def _event(self, event: tuple[object, ...]) -> None:
        if event[0] in {"heard", "message"} and isinstance(event[1], int):
            self.heard.append((self.world.now_us, event[1]))
        super()._event(event)
        self.touched()

    def timers(self, now_us: int) -> None:
        """Do what is due."""
        super().timers(now_us)
        self.touched()

    def touched(self) -> None:
        """Ask for the next timer again before time passes."""
        self.town.touched.add(self)

    def ask_due(self) -> None:
        """Ask all parts when they are due."""
        times = [self.standing.next_timer(), self.calls.next_timer(), self.dummies.next_timer() if self.dummies is not None else None]
        self.due_us = max(min(time for time in times if time is not None), self.world.now_us + TICK_US)

    def _rings(self, petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        super()._rings(petname, offer, leg)
        self.rung.clear()
        return self.town.rings(self, petname, leg)


class Town:
    """Houses, their network and the log of one junction. circuits: how many each house has.

    switch: `per_call` or `loops`, the controls. With `loops` a house has two halves of one circuit each at one junction, and its dummies go to the other half.
    """

    def __init__(self, seed: int, houses: int = 16, *, guards: int = 8, circuits: int = 2, switch: str = "") -> None:
        self.chance, self.switch, twins = Random(seed), switch, switch == "loops"
        self.small = make_network(guards, 1 if twins else 2)
        self.world = FakeWorld(self.small, 5 * SECOND_US)
        self.touched: set[House] = set()
        junction_id = next(relay.descriptor.relay_id for relay in self.small.relays[guards:])
        self.log = JunctionLog(junction_id, self._is_call, lambda at_us: self._is_first(junction_id, at_us))
        self.world.tap = lambda what, circuit, payload: self.log.take(self.world.now_us, what, circuit, payload)
        self.talks: list[Talk] = []
        self.failed = self._due_us = 0
        self.houses = [House(self, f"house{index}", 1 if twins else circuits, seed * 1_000 + index) for index in range(houses * (2 if twins else 1))]
        self.homes = self.houses[:houses]
        self._befriend()
        self._halves = dict(zip(self.homes, self.houses[houses:], strict=True)) if twins else {}
        for home, half in self._halves.items():
            home.knows(half)
            half.knows(home)
        for house in self.houses:
            house.start()
            house.touched()

    def _befriend(self) -> None:
        """Make everybody FRIENDS contacts, both ways, as a ring of random order with chords."""
        count = len(self.homes)
        order = self.chance.sample(self.homes, count)
        pairs = {frozenset((order[at], order[(at + 1) % count])) for at in range(count)}
        while len(pairs) < count * FRIENDS // 2:
            pairs.add(frozenset(self.chance.sample(self.homes, 2)))
        for one, other in sorted((sorted(pair, key=lambda house: house.name) for pair in pairs), key=lambda pair: [house.name for house in pair]):
            one.knows(other)
            other.knows(one)
            one.friends.append(other)
            other.friends.append(one)
        for house in self.homes:
            self.chance.shuffle(house.friends)

    def _is_first(self, junction_id: bytes, at_us: int) -> bool:
        """Return whether a junction is the first of the two of this epoch, which everybody can compute."""
        network = self.small.network
        return junctions_of_epoch(network, network.epoch_at(at_us))[0].relay_id == junction_id

    def twin_of(self, house: House) -> House:
        """Return the other half of a house."""
        return self._halves.get(house) or next(home for home, half in self._halves.items() if half is house)

    # ---------------------------------------------------------------------------------------------------------------- time

    def run(self, seconds: float) -> None:
        """Let time pass."""
        self.world.run_events(self.world.now_us + int(seconds * SECOND_US), self._next_timer, self._timers)

    def _next_timer(self) -> int:
        if self.touched:
            for house in self.touched:
                house.ask_due()
            self.touched.clear()
            self._due_us = min(house.due_us for house in self.houses)
        return self._due_us

    def _timers(self, now_us: int) -> None:
        for house in self.houses:
            if house.due_us <= now_us:
                house.timers(now_us)

    def live(self, hours: float) -> JunctionLog:
        """Let circuits stand, dummies begin, people call for so many hours; return what the junction saw."""
        self.run(SETTLED_US / SECOND_US)
        for house in self.houses:
            house.start_chaff()
            house.touched()
        for home in self.homes:
            self._dial_later(home)
        self.run(hours * 3_600)
        self.log.close(self.world.now_us)
        return self.log

    # -------------------------------------------------------------------------------------------------------------- people

    def _after(self, seconds: float, action: Callable[[], None]) -> None:
        self.world.at(int(seconds * SECOND_US), action)

    def _dial_later(self, house: House) -> None:
        self._after(self.chance.expovariate(CALLS_AN_HOUR / 3_600), lambda: self._dial_next(house))

    def _dial_next(self, house: House) -> None:
        self._dial_later(house)
        weights = [1 / rank for rank in range(1, len(house.friends) + 1)]
        self.dial(house, self.chance.choices(house.friends, weights)[0])

    def dial(self, caller: House, callee: House, *, again: bool = False) -> Talk | None:
        """Let somebody call, who is not on the phone."""
        if caller.talk is not None:
            return None
        caller.talk = talk = Talk(caller, callee, again)
        if self.switch == "per_call":
            for house in (caller, callee):
                house.makes_dummies = False
                for circuit in house.standing.present():
                    house.standing.lost(circuit.link, self.world.now_us)
                house.touched()
            self._when_ready(talk, 60)
        else:
            self._begin(talk)
        return talk

    def expect(self, caller: House, callee: House, leg: CircuitLeg) -> None:
        """Take a call that somebody made by hand for one of the town's."""
        if not isinstance(leg, Call):
            raise Bug("a leg that is no call of circuits")
        caller.talk = talk = Talk(caller, callee, again=True, leg=leg)
        self.talks.append(talk)
        caller.touched()

    def hang_up(self, talk: Talk) -> None:
        """Let the caller of a call end it, where it is not over."""
        self._hang_up(talk, by_caller=True)

    def forget(self, caller: House) -> None:
        """Let it be over."""
        if caller.talk is not None:
            self._over(caller.talk)
        caller.touched()

    def _when_ready(self, talk: Talk, patience_s: float) -> None:
        """The control `per_call`: call as soon as new circuits stand."""
        if all(house.standing.ready() for house in (talk.caller, talk.callee)) or patience_s <= 0:
            for house in (talk.caller, talk.callee):
                house.makes_dummies = True
            self._begin(talk)
        else:
            self._after(0.1, lambda: self._when_ready(talk, patience_s - 0.1))

    def _begin(self, talk: Talk) -> None:
        leg = talk.caller.calls.call(talk.callee.name, OFFER, lambda event: self._told(talk, event))
        if not isinstance(leg, Call):
            raise Bug("a leg that is no call of circuits")
        talk.leg = leg
        self.talks.append(talk)
        talk.caller.touched()

    def rings(self, callee: House, petname: str, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        """Let a phone ring; return who hears of the call at the callee's."""
        talk = next(talk for talk in reversed(self.talks) if talk.caller.name == petname and talk.callee is callee)
        talk.far_leg = leg
        self.world.at(0, lambda: self._react(talk, leg))
        return lambda event: self._over(talk) if isinstance(event, End | Refuse) else None

    def _react(self, talk: Talk, leg: CircuitLeg) -> None:
        if talk.callee.talk is not None:
            return self._say(talk, leg, talk.callee, Refuse(Refusal.BUSY))
        talk.callee.talk = talk
        self._say(talk, leg, talk.callee, Ringing())
        fate = self.chance.random()
        ring_s = self._lognormal(RING_MEDIAN_S, RING_SIGMA)
        if fate < ANSWERED:
            self._after(ring_s, lambda: self._pick_up(talk, leg))
        elif fate < ANSWERED + DECLINED:
            self._after(ring_s, lambda: self._say(talk, leg, talk.callee, Refuse(Refusal.DECLINED)))
        else:
            self._after(max(8.0, self.chance.gauss(28, 7)), lambda: self._hang_up(talk, by_caller=True))
        return None

    def _pick_up(self, talk: Talk, leg: CircuitLeg) -> None:
        self._say(talk, leg, talk.callee, Answer(Codec.PCMA))
        by_caller = self.chance.random() < 0.5
        self._after(self._lognormal(TALK_MEDIAN_S, TALK_SIGMA), lambda: self._hang_up(talk, by_caller=by_caller))

    def _hang_up(self, talk: Talk, *, by_caller: bool) -> None:
        leg, house = (talk.leg, talk.caller) if by_caller else (talk.far_leg, talk.callee)
        if leg is not None:
            self._say(talk, leg, house, End())

    def _say(self, talk: Talk, leg: CircuitLeg, house: House, event: CallEvent) -> None:
        if not talk.over:
            leg.send(event)
            house.touched()
            if isinstance(event, End | Refuse):
                self._over(talk)

    def _told(self, talk: Talk, event: CallEvent) -> None:
        if isinstance(event, End | Refuse):
            if event == Refuse(Refusal.UNREACHABLE):
                self.failed += 1
            self._over(talk)

    def _over(self, talk: Talk) -> None:
        if talk.over:
            return
        talk.over = True
        for house in (talk.caller, talk.callee):
            if house.talk is talk:
                house.talk = None
        if not talk.again and self.chance.random() < AGAIN:
            one, other = self.chance.sample([talk.caller, talk.callee], 2)
            self._after(self.chance.uniform(8, 120), lambda: self._call_again(one, other))

    def _call_again(self, one: House, other: House) -> None:
        self.dial(one, other, again=True)

    def _lognormal(self, median_s: float, sigma: float) -> float:
        return self.chance.lognormvariate(math.log(median_s), sigma)

    def _is_call(self, join_id: bytes) -> bool:
        return any(talk.leg is not None and join_id in talk.leg.circuits.join_ids() for talk in reversed(self.talks[-200:]))
