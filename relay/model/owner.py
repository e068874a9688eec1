"""The box's end: an access link with its one circuit (PROTOCOL.md §5.2, §5.6, §9.1). One cell per tick, always, at the same cost whether it says something or not."""

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.model.cell import ANSWERS, MAX_MESSAGE_OCTETS, PAYLOAD_OCTETS, Carousel, Collector, DroppedError, Kind, fragments, is_speech, parse_speech
from relay.model.clock import PARTS, Clock
from relay.model.end_to_end import METERED, NO_TWEAK, CounterWindow, EndToEnd, Sound, parse_sound, serialise_sound
from relay.model.hop import hear_created, tweak
from relay.model.layer import Cipher
from relay.model.slots import AHEAD_SLOTS, COMPOSE_US, MEASURED_CELLS, SLOT_US, STEP_US, STEPS_US, Settling, stride, unwrap

if TYPE_CHECKING:
    from relay.model.node import Node

MAX_HOPS, MAX_MATES, MAX_RECEIVE_KEYS, NUMBER_WINDOW, SHIFT_US, SILENT_US = 4, 2, 8, 64, 500, 10_000_000


@dataclass
class OwnHop:
    """A hop's layers, and the number of the last message said to it."""

    forward: Cipher
    backward: Cipher
    said: int = 0


@dataclass
class Say:
    """The message being said to a hop: one fragment in each `every`-th tick, `times` rounds (0: until hushed or answered); what came of the answer."""

    hop: int
    kind: int
    number: int
    carousel: Carousel
    every: int
    times: int
    ticks: int = 0
    answer: Collector = field(default_factory=Collector)


@dataclass(eq=False)
class OwnCircuit:
    """An own circuit. asks: what is said before all else: create, in the clear; then hops grow one by one; attach."""

    circuit: int
    asks: Say | None
    hops: list[OwnHop] = field(default_factory=list)
    say: Say | None = None
    slots: CounterWindow = field(default_factory=lambda: CounterWindow(NUMBER_WINDOW))
    settling: Settling | None = None  # of the own end; its earliest_us is the `a` of §5.3, by the link's clock
    end_to_end: EndToEnd | None = None
    mates: "list[OwnCircuit]" = field(default_factory=list)  # carry the same call (§9.5)


def need(fits: bool) -> None:  # noqa: FBT001 -- a condition, as of assert
    """Raise DroppedError where a command does not fit."""
    if not fits:
        raise DroppedError("bad_command")


class OwnLink:
    """An access link seen from the box. do_x obeys command x of the control plane; all raise DroppedError where it does not fit."""

    def __init__(self, node: "Node", link: int) -> None:
        self.node, self.link = node, link
        self.tick_us = self.nominal_us = node.now_us + COMPOSE_US + node.random.u32() % (SLOT_US * node.stride)
        self.slot, self.shift_us, self.clock = self.tick_us // SLOT_US // node.stride * node.stride, 0, Clock(node.random)
        self.own: OwnCircuit | None = None

    def tick(self) -> int:
        """Put together what leaves at tick_us; return the next."""
        own, slots, circuit, body = self.own, self.node.stride, 0, self.node.random.body()  # drawn at each tick, whether it leaves or not
        if own is not None:
            end = own.end_to_end
            if end is not None and not end.silent and self.node.now_us - end.last_valid_us >= SILENT_US:
                end.silent = True
                self.node.event("silent", self.link, own.circuit)
            circuit, body = own.circuit if own.asks or own.hops else 0, self._body(own, body)
        self.node.send((self.link, circuit), self.slot, body, self.tick_us)
        step_us, jumped_us, (high, low) = min(SHIFT_US * slots, self.shift_us), self.clock.tick(slots), divmod(self.node.random.u32(), 2**16)
        if own is not None and own.settling is not None and own.settling.cells == MEASURED_CELLS:
            own.settling.earliest_us += jumped_us
        self.nominal_us, self.slot, self.shift_us = self.nominal_us + SLOT_US * slots + step_us, self.slot + slots, self.shift_us - step_us
        self.tick_us = self.nominal_us + (self.clock.beat + high + low) // PARTS
        return self.tick_us

    def _body(self, own: OwnCircuit, body: bytes) -> bytes:
        """A fragment of what is said, else an end-to-end cell, else filler; inside all layers of the hops it passes."""
        hops, say, end = own.hops, own.say, own.end_to_end
        if end is not None:
            end.counter += self.node.stride
            body = end.send.encipher(NO_TWEAK, serialise_sound(Sound(end.counter, flags=METERED * (self.node.stride - 1)))) if end.send is not None else body
        if own.asks is not None:
            body, hops = own.asks.carousel.next_body(), own.hops[:1]
        elif say is not None:
            say.ticks += 1
            if (say.ticks - 1) % say.every == 0:
                body, hops = say.carousel.next_body(), own.hops[: say.hop + 1]
            if say.carousel.said == say.times * len(say.carousel.bodies) > 0:
                own.say = None
        for hop in reversed(hops):
            body = hop.forward.encipher(tweak(self.slot), body)
        return body

    def take(self, circuit: int, number: int, body: bytes) -> None:
        """Take a cell of this link."""
        own, now_us = self.own, self.node.now_us
        if own is None or circuit != own.circuit:
            return self.node.drop("owner_unknown_circuit") if circuit else None
        slot, at_us, settling = unwrap(number, now_us), now_us - self.clock.model // PARTS, own.settling
        if settling is not None and settling.cells == MEASURED_CELLS and slot > (at_us - settling.earliest_us - settling.step_us) // SLOT_US + AHEAD_SLOTS:
            return self.node.drop("owner_ahead")
        if not own.slots.take(slot):
            return self.node.drop("owner_replayed")
        self.clock.note(now_us - SLOT_US * slot)
        if settling is not None:
            settling.measure(slot, at_us)
        if not own.hops:
            return self._take_created(own, body)
        for index, hop in enumerate(own.hops):
            body = hop.backward.decipher(tweak(slot), body)
            if is_speech(body):
                return self._hear(own, index, body)
        return self._open(own.circuit, own.end_to_end, body) if own.end_to_end is not None else None

    def _take_created(self, own: OwnCircuit, body: bytes) -> None:
        if own.asks is None or not is_speech(body):
            return
        kind, payload = hear_created(own.asks.answer, body)
        if payload is not None:
            name, own.asks, self.own = ("created", None, own) if kind == Kind.CREATED else ("refused", None, None)
            self.node.event(name, self.link, own.circuit, payload if self.own else payload[0])

    def _hear(self, own: OwnCircuit, hop: int, body: bytes) -> None:
        """Hear a hop: a fragment of the answer to what is being said, or a knock, which is one fragment. Raises DroppedError."""
        speech, say = parse_speech(body), own.asks or own.say
        if speech is None:
            return self.node.drop("speech_malformed")
        knocked = speech.kind == Kind.KNOCKED
        asked = say is not None and (say.hop, say.number) == (hop, speech.number) and speech.kind in ANSWERS.get(say.kind, ())
        if not asked and not knocked:
            return self.node.drop("unasked")
        payload = (Collector() if knocked or say is None else say.answer).add(speech)
        if payload is None:
            return self.node.drop("speech_malformed") if knocked else None
        own.asks, own.say = (own.asks, own.say) if knocked else (None, own.say if own.asks else None)
        if hop == 0 and speech.kind in {Kind.SETTLED, Kind.ATTACHED}:
            self.clock.anchor()
        if speech.kind == Kind.ATTACHED:
            wait_us, step = struct.unpack(">iH", payload)
            self.slot += max(0, -((wait_us - 10 * step) // (SLOT_US * self.node.stride))) * self.node.stride
        return self.node.event("answer", self.link, own.circuit, hop, speech.kind, payload)

    def _open(self, circuit: int, end: EndToEnd, body: bytes) -> None:
        """Try the end-to-end keys; what none opens is filler."""
        opened = end.open(body)
        if opened is None:
            return
        sound = parse_sound(opened[1])
        if sound is None or not end.window.take(sound.counter):
            raise DroppedError("end_to_end_malformed" if sound is None else "end_to_end_replayed")
        end.last_valid_us, end.silent = self.node.now_us, False
        if opened[0] not in end.heard:
            end.heard.add(opened[0])
            self.node.event("heard", self.link, circuit, opened[0])

    def command(self, name: str, *arguments: Any) -> None:
        """Obey; all commands but `shift` name the circuit, all but `open` one that is there."""
        names_own = name not in {"open", "shift"}
        need(hasattr(self, f"do_{name}") and not (names_own and (self.own is None or self.own.circuit != arguments[0])))
        getattr(self, f"do_{name}")(*((self.own, *arguments[1:]) if names_own else arguments))

    def do_shift(self, delay_us: int) -> None:
        need(0 <= delay_us <= SLOT_US * self.node.stride)
        self.shift_us = delay_us

    def do_open(self, circuit: int, handshake: bytes) -> None:
        need(self.own is None and circuit != 0 and stride(circuit) == self.node.stride and len(handshake) == PAYLOAD_OCTETS[Kind.CREATE])
        self.own = OwnCircuit(circuit, Say(0, Kind.CREATE, 1, Carousel(fragments(Kind.CREATE, 1, handshake)), 1, 0))
        self.clock.begin(settled=False)

    def do_add_hop(self, own: OwnCircuit, forward: bytes, backward: bytes) -> None:
        need(own.asks is None and len(own.hops) < MAX_HOPS)
        own.hops.append(OwnHop(self.node.make_cipher(forward), self.node.make_cipher(backward)))

    def do_say(self, own: OwnCircuit, hop: int, kind: int, payload: bytes, every: int, times: int) -> None:
        need(hop < len(own.hops) and kind <= 255 and len(payload) <= MAX_MESSAGE_OCTETS and every > 0)
        own.hops[hop].said = number = (own.hops[hop].said + 1) % 2**16
        own.say = Say(hop, kind, number, Carousel(fragments(kind, number, payload)), every, times)

    def do_hush(self, own: OwnCircuit) -> None:
        own.say = None

    def do_settle_own(self, own: OwnCircuit, step_us: int = STEP_US) -> None:
        need(bool(own.hops) and step_us in STEPS_US)
        own.settling = Settling(step_us=step_us)
        self.clock.begin(settled=True)

    def do_attach_circuit(self, own: OwnCircuit, next_link: int) -> None:
        """Go on over another link, which stands and has no circuit, and say so to the guard (§6.5). The own end is due by the first cell that comes there."""
        other, settling, say = self._other(next_link), own.settling, own.say
        if other is None or other.own is not None or settling is None or settling.cells < MEASURED_CELLS - 1:
            raise DroppedError("bad_command")
        self.do_say(own, 0, Kind.ATTACH, b"", 1, 0)
        own.asks, own.say, own.settling = own.say, say, Settling(step_us=settling.step_us, cells=MEASURED_CELLS - 1, earliest_us=2**62)
        other.own, other.slot, self.own = own, self.slot, None
        other.clock.begin(settled=True)

    def _other(self, link: int) -> "OwnLink | None":
        return self.node.links[link].own if link in self.node.links else None

    def do_speak(self, own: OwnCircuit, send: bytes | None, receive: list[bytes]) -> None:
        need(bool(own.hops) and len(receive) <= MAX_RECEIVE_KEYS)
        make, before = self.node.make_cipher, own.end_to_end
        own.end_to_end = EndToEnd(None if send is None else make(send), [make(key) for key in receive], self.node.now_us)
        if before is not None:  # new keys on a splice: its counter and window go on
            own.end_to_end.counter, own.end_to_end.window = before.counter, before.window

    def do_couple(self, own: OwnCircuit, spare_link: int, spare_circuit: int) -> None:
        """Let the spare count as this circuit and its mates do: what this one sends at a tick goes out on the spare's next."""
        other = self._other(spare_link)
        spare = other.own if other is not None and other is not self else None
        if spare is None or other is None or spare.circuit != spare_circuit or spare.mates or len(own.mates) == MAX_MATES:
            raise DroppedError("bad_command")
        first, second = own.end_to_end, spare.end_to_end
        if first is None or second is None or (counter := max(0, first.counter - self.node.stride * (other.tick_us < self.tick_us))) < second.counter:
            raise DroppedError("bad_command")
        second.counter, spare.mates = counter, [own, *own.mates]
        for mate in spare.mates:
            mate.mates.append(spare)

    def do_quiet(self, own: OwnCircuit) -> None:
        """End the end-to-end layer; circuits that this one was coupled with go on."""
        for mate in own.mates:
            mate.mates.remove(own)
        own.mates, own.end_to_end = [], None

    def do_close(self, own: OwnCircuit) -> None:
        """Forget the circuit, on command or with its link."""
        self.do_quiet(own)
        self.own = None
        self.node.event("ended", self.link, own.circuit)
