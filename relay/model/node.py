"""A node: links, circuits and timers behind one machine (PROTOCOL.md §2 to §6 and §9.1, without DTLS and handshakes).

Contract: handle(now_us, input), then poll() until the next input; call handle(now_us, ("timer",)) at next_timer().
Inputs: ("link_up", link, kind), ("link_down", link), ("cell", link, 256 octets), ("timer",), ("command", name, link, circuit, ...) with the names and arguments of the
engine's methods (voicebox/_relay.pyi). Outputs, in order: ("send", link, cell, at_us), ("event", name, ...). Timers that are due run before the input, by time, then: sweep,
access links' ticks, circuits (oldest first: forward, asking, backward), own links. Bad input is dropped and counted; nothing is raised. The order of random draws counts.
"""

import heapq
from collections import Counter
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from relay.model.cell import PAYLOAD_OCTETS, Collector, DroppedError, Kind, Speech, is_speech, parse_cell, parse_speech, serialise_cell, serialise_speech
from relay.model.hop import REASON_NO_LINK, REASON_NUMBER_TAKEN, Hop, NextState, Place, Slots
from relay.model.junction import Junction
from relay.model.layer import CipherMaker, Hctr2
from relay.model.owner import OwnLink, need
from relay.model.randomness import SeededRandom
from relay.model.slots import COMPOSE_US, GRID_US, SLOT_US, STEP_US, STEPS_US, grid, stride, unwrap

SWEEP_US, IDLE_US, CREATE_LIFE_US, FIRST_TICK_US = 1_000_000, 3_000 * SLOT_US, 512 * SLOT_US, 10_000

Output = tuple[object, ...]
LinkKind = IntEnum("LinkKind", {"OWNER": 0, "GUARD": 1, "RELAY": 2})
# Whose a link is: we are the box; a box's access link to us; a relay's.
Order = IntEnum("Order", ["SWEEP", "GUARD_TICK", "HOP", "OWN_TICK"])
# What runs first among what is due at one time.
CREATES, FAST = {LinkKind.GUARD: 8, LinkKind.RELAY: 256}, 1 << 30


@dataclass
class Create:
    """A create being collected, or asked about and not yet accepted."""

    began_us: int
    collector: Collector = field(default_factory=Collector)
    refusal: Speech | None = None


@dataclass
class Link:
    """A link; tick_us, hop and refusal only where a box is at its other end."""

    number: int
    serial: int
    kind: LinkKind
    own: OwnLink | None = None
    creates: dict[int, Create] = field(default_factory=dict)
    tick_us: int | None = None
    hop: Hop | None = None
    refusal: tuple[int, Speech] | None = None
    stride: int = 1  # of its ticks, while it has no circuit: 2 since one was metered


class Node:
    """The machine. Bounds: circuits by max_circuits, creates per link by CREATES, all else by PROTOCOL.md §6.3. metered: its own circuits are."""

    def __init__(self, seed: bytes, make_cipher: CipherMaker = Hctr2, max_circuits: int = 4_096, *, metered: bool = False) -> None:
        self.random, self.make_cipher, self.max_circuits, self.stride = SeededRandom(seed), make_cipher, max_circuits, 1 + metered
        self.junction = Junction(self.random.u32() % (SLOT_US // GRID_US) * GRID_US)
        self.random.octets(16)  # the key of the engine's hash tables
        self.now_us = self._serial = self._sweep_us = 0
        self.counters: Counter[str] = Counter()
        self.links: dict[int, Link] = {}
        self.hops: dict[int, Hop] = {}  # by serial
        self._serials: dict[int, Link] = {}
        self._places: dict[Place, Hop] = {}  # both places of each hop
        self._timers: list[tuple[int, int, int, int]] = []  # time, order, serial of link or hop, slots; stale ones are passed over
        self._outputs: list[Output] = []

    def handle(self, now_us: int, given: tuple[Any, ...]) -> None:
        """Run what is due, then take one input."""
        now_us, (name, *arguments) = max(now_us, self.now_us), given
        if not self._sweep_us:
            self._sweep_us = now_us // SWEEP_US * SWEEP_US
            self._arm_sweep()
        while self._timers and self._timers[0][0] <= now_us:
            self.now_us, order, serial, slots = heapq.heappop(self._timers)
            self._run(order, serial, slots)
        self.now_us = now_us
        try:
            getattr(self, f"on_{name}", lambda: None)(*arguments)
        except DroppedError as problem:
            self.drop(problem.args[0])

    def poll(self) -> list[Output]:
        """Return what there is to do since the last call."""
        outputs, self._outputs = self._outputs, []
        return outputs

    def next_timer(self) -> int | None:
        """Return when handle() is wanted at the latest."""
        return self._timers[0][0] if self._timers else None

    # What hops and links ask for.

    def send(self, place: Place, slot: int, body: bytes, at_us: int) -> None:
        """Send a cell on a place's link at a time."""
        self._outputs.append(("send", place[0], serialise_cell((place[1], slot % 2**32, body)), at_us))

    def event(self, *fields: object) -> None:
        """Tell the control plane."""
        self._outputs.append(("event", *fields))

    def drop(self, reason: str) -> None:
        """Count a drop."""
        self.counters[reason] += 1

    def arm_hop(self, hop: Hop, slots: Slots, due_us: int) -> None:
        """Ask for a hop's slot to be put together before it is due."""
        heapq.heappush(self._timers, (due_us - COMPOSE_US, Order.HOP, hop.serial, slots.value))

    def set_tick(self, number: int, tick_us: int) -> None:
        """Set the next tick of an access link, at either end."""
        link = self.links[number]
        link.tick_us = tick_us
        heapq.heappush(self._timers, (tick_us - COMPOSE_US, Order.OWN_TICK if link.own is not None else Order.GUARD_TICK, link.serial, 0))

    def forget_place(self, place: Place | None) -> None:
        """Free a circuit number."""
        if place is not None:
            self._places.pop(place, None)

    # Timers.

    def _arm_sweep(self) -> None:
        self._sweep_us += SWEEP_US
        heapq.heappush(self._timers, (self._sweep_us, Order.SWEEP, 0, 0))

    def _run(self, order: int, serial: int, slots: int) -> None:
        due_us, hop, link = self.now_us + COMPOSE_US, self.hops.get(serial), self._serials.get(serial)
        if order == Order.SWEEP:
            self._sweep()
        elif hop is not None and hop.at_us.get(Slots(slots)) == due_us:
            hop.run(Slots(slots), due_us)
        elif link is not None and link.tick_us == due_us:
            self.set_tick(link.number, self._tick(link, due_us) if link.own is None else link.own.tick())

    def _tick(self, link: Link, tick_us: int) -> int:
        """Send one cell towards the box (§5.2); return the next tick."""
        slots = link.stride if link.hop is None else link.hop.stride
        number, refusal, link.refusal = tick_us // SLOT_US // slots * slots, link.refusal, None
        carried = link.hop.tick(tick_us) if link.hop is not None and refusal is None else None
        if refusal is not None:
            self.send((link.number, refusal[0]), number, serialise_speech(refusal[1]), tick_us)
        elif link.hop is None or carried is None:
            self.send((link.number, 0), number, self.random.body(), tick_us)
        else:
            self.send(link.hop.before, *carried, tick_us)
        return tick_us + SLOT_US * slots

    def _sweep(self) -> None:
        """End circuits without a cell from before, forget creates that nobody finished or accepted (§6.3)."""
        for hop in [hop for hop in self.hops.values() if self.now_us - hop.last_cell_us > IDLE_US]:
            self._end(hop)
        for link in self.links.values():
            link.creates = {circuit: create for circuit, create in link.creates.items() if self.now_us - create.began_us < CREATE_LIFE_US}
        self._arm_sweep()

    # Links and cells. on_x takes input x.

    def on_link_up(self, number: int, kind: int) -> None:
        need(number not in self.links)
        self._serial += 1
        link = self.links[number] = self._serials[self._serial] = Link(number, self._serial, LinkKind(kind))
        if kind == LinkKind.OWNER:
            link.own = OwnLink(self, number)
            self.set_tick(number, link.own.tick_us)

    def on_link_down(self, number: int) -> None:
        if number not in self.links:
            raise DroppedError("unknown_link")
        link = self.links.pop(number)
        del self._serials[link.serial]
        if link.own is not None and link.own.own is not None:
            link.own.do_close(link.own.own)
        for hop in list(self.hops.values()):
            if hop.before[0] == number:
                self._end(hop)
            elif hop.behind is not None and hop.behind[0] == number:
                hop.lose_behind()

    def on_cell(self, number: int, octets: bytes) -> None:
        link, cell = self.links.get(number), parse_cell(octets)
        if link is None or cell is None or cell.circuit & FAST or cell.slot % stride(cell.circuit):
            return self.drop("unknown_link" if link is None else "cell_malformed" if cell is None else "fast_unasked" if cell.circuit & FAST else "slot_odd")
        if link.own is not None:
            return link.own.take(*cell)
        if link.kind is LinkKind.GUARD and link.tick_us is None:
            self.set_tick(number, grid(self.now_us + FIRST_TICK_US))
        place, slot, hop = (number, cell.circuit), unwrap(cell.slot, self.now_us), self._places.get((number, cell.circuit))
        if cell.circuit == 0:
            return None
        if hop is None and link.kind is LinkKind.GUARD and link.hop is None:
            hop = self._attach(place, link, slot, cell.body)
        if hop is None:
            return self._take_create(place, link, slot, cell.body)
        if place == hop.behind:
            return hop.take_backward(slot, cell.body)
        try:
            return hop.take_forward(slot, cell.body)
        except DroppedError:
            self.drop("broke_protocol")
            return self._end(hop)

    def _attach(self, place: Place, link: Link, slot: int, body: bytes) -> Hop | None:
        """Let a circuit of this number go on over another access link, where its owner says so (§6.5); return it."""
        hop = next((hop for hop in self.hops.values() if hop.before[1] == place[1] and hop.attach_in(slot, body) is not None), None)
        if hop is not None:
            self.links[hop.before[0]].hop = None
            del self._places[hop.before]
            link.hop, link.stride, hop.before, self._places[place] = hop, hop.stride, place, hop
        return hop

    def _take_create(self, place: Place, link: Link, slot: int, body: bytes) -> None:
        """Collect a create on a number not in use (§6.1). Raises DroppedError."""
        speech, create = parse_speech(body) if is_speech(body) else None, link.creates.get(place[1])
        if speech is None or speech.kind != Kind.CREATE:
            return self.drop("speech_malformed" if speech is None and is_speech(body) else "unknown_circuit")
        if create is None:
            if len(link.creates) == CREATES[link.kind]:
                return self.drop("creates_full")
            if len(self.hops) + sum(len(each.creates) for each in self.links.values()) >= self.max_circuits:
                return self.drop("circuits_full")
            create, link.stride = link.creates.setdefault(place[1], Create(self.now_us)), max(link.stride, stride(place[1]))
        handshake = create.collector.add(speech)
        create.refusal = create.refusal if create.collector.whole and handshake is None else None
        if handshake is not None:
            self.event("create", *place, handshake)
        elif create.refusal is not None and link.kind is LinkKind.GUARD:
            link.refusal = (place[1], create.refusal)
        elif create.refusal is not None:
            self.send(place, slot, serialise_speech(create.refusal), self.now_us)
        return None

    # Commands. Raise DroppedError where one names what is not there.

    def on_command(self, name: str, number: int, *arguments: Any) -> None:
        link, place, answers = self.links.get(number), (number, arguments[0]), name == "answer_ask" and len(arguments[2]) == PAYLOAD_OCTETS[Kind.ANSWERED]
        if link is None:
            raise DroppedError("answer_late" if answers else "bad_command")
        hop, create = self._places.get(place), link.creates.get(arguments[0])
        if link.own is not None and not answers:
            link.own.command(name, *arguments)
        elif hop is not None and hop.before == place and (answers or (name in {"extend", "refuse_extend"} and hop.next_state is NextState.ASKED)):
            (self._extend if name == "extend" else getattr(Hop, name))(hop, *arguments[1:])
        elif name in {"accept", "refuse"} and create is not None and create.collector.whole and create.refusal is None and {*arguments[5:]} <= {*STEPS_US}:
            (self._accept if name == "accept" else self._refuse)(place, link, create, *arguments[1:])
        else:
            raise DroppedError("answer_late" if answers else "bad_command")

    def _accept(self, place: Place, link: Link, create: Create, forward: bytes, backward: bytes, created: bytes, junction: bool, *steps_us: int) -> None:  # noqa: FBT001 -- as in the engine
        del link.creates[place[1]]
        if link.hop is not None:  # a box has one circuit on its access link; the new one replaces it
            self._end(link.hop)
        self._serial += 1
        guard = link.kind is LinkKind.GUARD
        hop = Hop(self, self._serial, place, (forward, backward), steps_us or (STEP_US, STEP_US), guard=guard, junction=junction and not guard)
        hop.give_answer(Kind.CREATED, create.collector.number or 0, created)
        self.hops[hop.serial] = self._places[place] = hop
        link.hop = hop if guard else None

    def _refuse(self, _place: Place, _link: Link, create: Create, reason: int) -> None:
        create.refusal = Speech(Kind.REFUSED, 0, 1, create.collector.number or 0, bytes([reason]))

    def _extend(self, hop: Hop, next_link: int, next_circuit: int, handshake: bytes) -> None:
        link, behind = self.links.get(next_link), (next_link, next_circuit)
        if link is None or link.kind is not LinkKind.RELAY:
            hop.refuse_extend(REASON_NO_LINK)
        elif next_circuit == 0 or stride(next_circuit) != hop.stride or behind in self._places or next_circuit in link.creates:
            hop.refuse_extend(REASON_NUMBER_TAKEN)
        else:
            self._places[behind] = hop
            hop.extend(behind, handshake)

    def _end(self, hop: Hop) -> None:
        """Forget a circuit, at once and without a word (§6.4)."""
        del self.hops[hop.serial]
        self.forget_place(hop.before)
        self.forget_place(hop.behind)
        link = self.links.get(hop.before[0])
        if link is not None and link.hop is hop:
            link.hop = None
        self.junction.leave(hop, b"")
        self.junction.part(hop)
        self.event("circuit_ended", *hop.before)
