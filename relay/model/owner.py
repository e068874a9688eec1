"""The box's end: an access link with its one circuit (PROTOCOL.md §5.2, §5.6, §9.1). One cell per tick, always, at the same cost whether it says something or not."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from relay.model.cell import ANSWERS, FRAGMENT_OCTETS, MAX_FRAGMENTS, PAYLOAD_OCTETS, Carousel, Collector, Kind, fragments, is_speech, parse_speech
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
    """An own circuit. create: while it is said; then hops grow one by one."""

    circuit: int
    create: Say | None
    hops: list[OwnHop] = field(default_factory=list)
    say: Say | None = None
    slots: CounterWindow = field(default_factory=lambda: CounterWindow(NUMBER_WINDOW))
    settling: Settling | None = None  # of the own end; its earliest_us is the `a` of §5.3, by the link's clock
    end_to_end: EndToEnd | None = None
    mates: "list[OwnCircuit]" = field(default_factory=list)  # carry the same call (§9.5)


class OwnLink:
    """An access link seen from the box. do_x obeys command x of the control plane; False where it names what is not there or does not fit."""

    def __init__(self, node: "Node", link: int) -> None:
        self.node, self.link = node, link
        self.tick_us = self.nominal_us = node.now_us + COMPOSE_US + node.random.u32() % (SLOT_US * node.stride)
        self.slot, self.shift_us, self.clock = self.tick_us // SLOT_US // node.stride * node.stride, 0, Clock(node.random)
        self.own: OwnCircuit | None = None

    def tick(self) -> None:
        """Put together what leaves at tick_us, and set the next."""
        own, slots, circuit, body = self.own, self.node.stride, 0, self.node.random.body()  # drawn at each tick, whether it leaves or not
        if own is not None:
            end = own.end_to_end
            if end is not None and not end.silent and self.node.now_us - end.last_valid_us >= SILENT_US:
                end.silent = True
                self.node.event("silent", self.link, own.circuit)
            circuit, body = own.circuit if own.create or own.hops else 0, self._body(own, body)
        self.node.send((self.link, circuit), self.slot, body, self.tick_us)
        step_us, jumped_us, (high, low) = min(SHIFT_US * slots, self.shift_us), self.clock.tick(slots), divmod(self.node.random.u32(), 2**16)
        if own is not None and own.settling is not None and own.settling.cells == MEASURED_CELLS:
            own.settling.earliest_us += jumped_us
        self.nominal_us, self.slot, self.shift_us = self.nominal_us + SLOT_US * slots + step_us, self.slot + slots, self.shift_us - step_us
        self.tick_us = self.nominal_us + (self.clock.beat + high + low) // PARTS

    def _body(self, own: OwnCircuit, body: bytes) -> bytes:
        """A fragment of what is said, else an end-to-end cell, else filler; inside all layers of the hops it passes."""
        if own.create is not None:
            return own.create.carousel.next_body()
        hops, say, end = own.hops, own.say, own.end_to_end
        if end is not None:
            end.counter += self.node.stride
            sound = Sound(end.counter, flags=METERED * (self.node.stride - 1))
            body = end.send.encipher(NO_TWEAK, serialise_sound(sound)) if end.send is not None else body
        if say is not None:
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
        if own.create is None or not is_speech(body):
            return
        kind, payload = hear_created(own.create.answer, body)
        if payload is not None and kind == Kind.CREATED:
            own.create = None
            self.node.event("created", self.link, own.circuit, payload)
        elif payload is not None:
            self.own = None
            self.node.event("refused", self.link, own.circuit, payload[0])

    def _hear(self, own: OwnCircuit, hop: int, body: bytes) -> None:
        """Hear a hop: a fragment of the answer to what is being said, or a knock, which is one fragment. Raises FragmentError."""
        speech, say = parse_speech(body), own.say
        if speech is None:
            return self.node.drop("speech_malformed")
        knocked = speech.kind == Kind.KNOCKED
        asked = say is not None and (say.hop, say.number) == (hop, speech.number) and speech.kind in ANSWERS.get(say.kind, ())
        if not asked and not knocked:
            return self.node.drop("unasked")
        payload = (Collector() if knocked or say is None else say.answer).add(speech)
        if payload is None:
            return self.node.drop("speech_malformed") if knocked else None
        own.say = say if knocked else None
        if (hop, speech.kind) == (0, Kind.SETTLED):
            self.clock.anchor()
        return self.node.event("answer", self.link, own.circuit, hop, speech.kind, payload)

    def _open(self, circuit: int, end: EndToEnd, body: bytes) -> None:
        """Try the end-to-end keys; what none opens is filler."""
        opened = end.open(body)
        if opened is None:
            return None
        sound = parse_sound(opened[1])
        if sound is None or not end.window.take(sound.counter):
            return self.node.drop("end_to_end_malformed" if sound is None else "end_to_end_replayed")
        end.last_valid_us, end.silent = self.node.now_us, False
        if opened[0] not in end.heard:
            end.heard.add(opened[0])
            self.node.event("heard", self.link, circuit, opened[0])
        return None

    def command(self, name: str, *arguments: Any) -> bool:
        """Obey; all commands but `shift` name the circuit, all but `open` one that is there."""
        if name not in {"open", "shift"}:
            if self.own is None or self.own.circuit != arguments[0]:
                return False
            arguments = (self.own, *arguments[1:])
        return getattr(self, f"do_{name}", lambda *_: False)(*arguments) is not False

    def do_shift(self, delay_us: int) -> bool | None:
        self.shift_us = delay_us if (fits := 0 <= delay_us <= SLOT_US * self.node.stride) else self.shift_us
        return fits

    def do_open(self, circuit: int, handshake: bytes) -> bool | None:
        if self.own is not None or circuit == 0 or stride(circuit) != self.node.stride or len(handshake) != PAYLOAD_OCTETS[Kind.CREATE]:
            return False
        self.own = OwnCircuit(circuit, Say(0, Kind.CREATE, 1, Carousel(fragments(Kind.CREATE, 1, handshake)), 1, 0))
        self.clock.begin(settled=False)
        return True

    def do_add_hop(self, own: OwnCircuit, forward: bytes, backward: bytes) -> bool | None:
        if own.create is not None or len(own.hops) == MAX_HOPS:
            return False
        own.hops.append(OwnHop(self.node.make_cipher(forward), self.node.make_cipher(backward)))
        return True

    def do_say(self, own: OwnCircuit, hop: int, kind: int, payload: bytes, every: int, times: int) -> bool | None:
        if hop >= len(own.hops) or kind > 255 or len(payload) > MAX_FRAGMENTS * FRAGMENT_OCTETS or every == 0:
            return False
        own.hops[hop].said = number = (own.hops[hop].said + 1) % 2**16
        own.say = Say(hop, kind, number, Carousel(fragments(kind, number, payload)), every, times)
        return True

    def do_hush(self, own: OwnCircuit) -> None:
        own.say = None

    def do_settle_own(self, own: OwnCircuit, step_us: int = STEP_US) -> bool | None:
        if not own.hops or step_us not in STEPS_US:
            return False
        own.settling = Settling(step_us=step_us)
        self.clock.begin(settled=True)
        return True

    def do_speak(self, own: OwnCircuit, send: bytes | None, receive: list[bytes]) -> bool | None:
        if not own.hops or len(receive) > MAX_RECEIVE_KEYS:
            return False
        make, before = self.node.make_cipher, own.end_to_end
        own.end_to_end = EndToEnd(None if send is None else make(send), [make(key) for key in receive], self.node.now_us)
        if before is not None:  # new keys on a splice: its counter and window go on
            own.end_to_end.counter, own.end_to_end.window = before.counter, before.window
        return True

    def do_couple(self, own: OwnCircuit, spare_link: int, spare_circuit: int) -> bool | None:
        """Let the spare count as this circuit and its mates do: what this one sends at a tick goes out on the spare's next."""
        other = self.node.links[spare_link].own if spare_link in self.node.links else None
        spare = other.own if other is not None and other is not self else None
        if spare is None or other is None or spare.circuit != spare_circuit or spare.mates or len(own.mates) == MAX_MATES:
            return False
        first, second = own.end_to_end, spare.end_to_end
        if first is None or second is None or (counter := max(0, first.counter - self.node.stride * (other.tick_us < self.tick_us))) < second.counter:
            return False
        second.counter, spare.mates = counter, [own, *own.mates]
        for mate in spare.mates:
            mate.mates.append(spare)
        return True

    def uncouple(self, own: OwnCircuit) -> None:
        """A coupled circuit goes; the others go on."""
        for mate in own.mates:
            mate.mates.remove(own)
        own.mates = []

    def do_quiet(self, own: OwnCircuit) -> None:
        self.uncouple(own)
        own.end_to_end = None

    def do_close(self, own: OwnCircuit) -> None:
        """Forget the circuit, on command or with its link."""
        self.uncouple(own)
        self.own = None
        self.node.event("ended", self.link, own.circuit)
