"""A circuit at a relay (PROTOCOL.md §5.3-§6.4): takes layers off forward and puts them on backward, hears its owner, fills its slots.

Forward cells come from before (the owner's side) and go on behind; backward cells come from behind. Driven by node.py: cells, the slots it asked for, the control plane's answers.
"""

import struct
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from relay.model.cell import ANSWERS, PAYLOAD_OCTETS, Carousel, Collector, DroppedError, Kind, Speech, fragments, is_speech, parse_speech, serialise_speech
from relay.model.junction import Bond
from relay.model.slots import AHEAD_SLOTS, COMPOSE_US, SLOT_US, Due, Ring, Settling, stride

if TYPE_CHECKING:
    from relay.model.node import Node

QUEUE_CELLS, CREATE_TRIES, SPEECH_SPACING, BOUND_SPACING, ANSWERED_SPACING = 8, 512, 3, 49, 2
# Spacing: other cells between two of a hop's own messages; before a knock if bound; before each fragment of answered.
REASON_NO_LINK, REASON_NUMBER_TAKEN, REASON_NO_ANSWER, NO_SLOT = 1, 2, 4, -(2**63)  # no slot: one before all
UNANSWERED = {Kind.KNOCK, Kind.JOIN, Kind.PART}
HEARD = {False: {Kind.EXTEND, Kind.PHASE, Kind.SETTLE, Kind.ATTACH}, True: {Kind.PHASE, Kind.SETTLE, Kind.TOKENS, Kind.ASK, *UNANSWERED}}

Place = tuple[int, int]
# A circuit's name at this node: link, and the circuit's number on it.
NextState = Enum("NextState", ["NONE", "ASKED", "MAKING", "LIVE", "LOST"])
# The hop behind, in protocol order. ASKED: the control plane has the owner's extend. MAKING: create is being said.
Slots = Enum("Slots", ["FORWARD", "ASKING", "BACKWARD"])
# The three things a hop puts together by the clock, in the order in which it does.


def tweak(slot: int) -> bytes:
    """Return a slot as the layers' tweak (§4): what a cell carries of it."""
    return (slot % 2**32).to_bytes(4, "big")


def hear_created(answer: Collector, body: bytes) -> tuple[int, bytes | None]:
    """Hear a fragment of the answer to a create, outside layers; return its kind, and its payload when it is whole. Raises DroppedError."""
    speech = parse_speech(body) if is_speech(body) else None
    if speech is None or speech.number != 1 or speech.kind not in ANSWERS[Kind.CREATE]:
        raise DroppedError("speech_malformed" if is_speech(body) else "before_created")
    return speech.kind, answer.add(speech)


class Hop:
    """One circuit at this relay. before: (link, circuit number) towards the owner; behind: likewise away from it. steps_us: D forward and backward."""

    def __init__(self, node: "Node", serial: int, before: Place, keys: tuple[bytes, bytes], steps_us: tuple[int, ...], *, guard: bool, junction: bool) -> None:
        self.node, self.serial, self.before, self.guard, self.junction, self.steps_us = node, serial, before, guard, junction, steps_us
        self.forward, self.backward = (node.make_cipher(key) for key in keys)
        self.last_cell_us, self.open, self.stride = node.now_us, False, stride(before[1])  # open: the first cell inside the layer came
        self.collector, self.since_speech, self.knocked_count, self.answer_number, self.answer_until = Collector(), SPEECH_SPACING, 0, 0, 0
        self.behind: Place | None = None
        self.next_state, self.create, self.created, self.asked_number = NextState.NONE, Carousel([]), Collector(), 0
        self.settling: Settling | None = None
        self.forward_due: Due | None = None
        self.forward_ring, self.backward_ring = Ring(), Ring()
        self.taken_slot = self.returned_slot = NO_SLOT
        self.earliest_us: int | None = None
        self.backward_settling: Settling | None = None
        self.backward_due: Due | None = None
        self.queue: deque[tuple[int, bytes]] = deque()  # at a guard, what waits for its unsettled ticks
        self.bond: Bond | None = None
        self.knocks: dict[bytes, int] = {}  # join ids lately knocked with: slot of the last time
        self.knocked: Speech | None = None
        self.at_us: dict[Slots, int] = {}  # what is asked of the clock
        self.head_slot = 0 if guard else self._arm_own_phase(Slots.BACKWARD)

    def take_forward(self, slot: int, body: bytes) -> None:
        """Take a cell from before. Raises DroppedError."""
        self.last_cell_us = now_us = self.node.now_us
        if not self.open and is_speech(body):
            speech = parse_speech(body)
            if speech is None or (speech.kind, speech.number) != (Kind.CREATE, self.answer_number):
                return self.node.drop("outside_layers")
            self.answer_until = max(self.answer_until, self.answer.said + 1)
            return None
        if not self.open:  # the first cell inside the layer: created is not said again
            self.open, self.answer_number, self.answer_until = True, -1, 0
        refusal = self.forward_ring.refusal(slot, self.forward_due, now_us) if self.forward_due is not None else None
        if refusal:
            attach = self.attach_in(slot, body)
            self.taken_slot = self.taken_slot if attach is None else slot
            return self.node.drop(refusal) if attach is None else self._hear(slot, attach)
        self.taken_slot = max(slot, self.taken_slot)
        offset_us = now_us - SLOT_US * slot
        self.earliest_us = offset_us if self.earliest_us is None else min(self.earliest_us, offset_us)
        base_us = self.settling.measure(slot, now_us) if self.settling is not None else None
        plain: bytes | None = self.forward.decipher(tweak(slot), body)
        if plain is not None and is_speech(plain):
            self._hear(slot, plain)
            plain = None
        if self.forward_due is not None:
            self.forward_ring.put(slot, plain)
        elif self.next_state is NextState.LIVE and self.behind is not None:
            self.node.send(self.behind, slot, self.node.random.body() if plain is None else plain, now_us)
        return self._settle_forward(base_us) if base_us is not None else None

    def attach_in(self, slot: int, body: bytes) -> bytes | None:
        """At a settled guard: return the owner's attach, where a cell with a number that is above all taken ones is one (§6.5)."""
        fresh = self.guard and self.forward_due is not None and self.backward_due is not None and slot > self.taken_slot
        speech = parse_speech(plain) if fresh and is_speech(plain := self.forward.decipher(tweak(slot), body)) else None
        return plain if speech is not None and speech.kind == Kind.ATTACH else None

    def _settle_forward(self, base_us: int) -> None:
        self.settling, self.forward_due = None, Due(base_us)
        if self.next_state is NextState.LIVE:
            started = self._from(max(self.forward_due.next_slot(self.node.now_us), self.taken_slot + 1))
            self.forward_due = Due(base_us, started)
            self._arm(Slots.FORWARD, self.forward_due.time_us(started))
        self.give_answer(Kind.SETTLED, self.asked_number, struct.pack(">H", self.steps_us[0] // 10))

    def run(self, slots: Slots, due_us: int) -> None:
        """Put together what leaves at due_us."""
        slot = due_us // SLOT_US
        if slots is Slots.BACKWARD:
            self.head_slot += self.stride
            self.node.send(self.before, slot, self._head_body(slot), due_us)
        elif self.behind is not None and slots is Slots.FORWARD and self.forward_due is not None:
            slot = self.forward_due.last_slot(due_us)
            self.node.send(self.behind, slot, self.forward_ring.body(slot) or self.node.random.body(), due_us)
        elif self.behind is not None and self.create.said < CREATE_TRIES:
            self.node.send(self.behind, slot, self.create.next_body(), due_us)
        else:
            return self.refuse_extend(REASON_NO_ANSWER)
        return self._arm(slots, due_us + SLOT_US * self.stride)

    def _head_body(self, slot: int) -> bytes:
        """What the head of the backward direction sends (§5.5): own speech, the mate's body, filler."""
        spoken = self._speak(slot)
        if spoken is None and self.bond is not None and self.bond.mate is not None:
            body = self.bond.mate.forward_ring.body(slot - self.bond.offset)
            spoken = None if body is None else self.backward.encipher(tweak(slot), body)
        return spoken or self.node.random.body()

    def tick(self, tick_us: int) -> tuple[int, bytes] | None:
        """At a guard: what goes back to the box at its tick (§5.2): slot and body; None where link control fills it."""
        slot = tick_us // SLOT_US // self.stride * self.stride
        if self.backward_due is not None:
            slot = self.backward_due.last_slot(tick_us) // self.stride * self.stride
            return slot, self._speak(slot) or self.backward_ring.body(slot) or self.node.random.body()
        if self.next_state not in {NextState.LIVE, NextState.LOST}:
            return slot, self._head_body(slot)
        spoken, oldest = self._speak(slot), self.queue.popleft() if self.queue else None  # a slot that is stolen is not made up for
        if spoken is not None or oldest is None:
            return None if spoken is None else (slot, spoken)
        self.returned_slot = max(oldest[0], self.returned_slot)
        return oldest

    def _arm_own_phase(self, slots: Slots) -> int:
        """Ask for the relay's own next slot (§5.4) and return its number."""
        own = Due(self.node.junction.phase_us)
        self._arm(slots, own.time_us(slot := self._from(own.next_slot(self.node.now_us))))
        return slot

    def _from(self, slot: int) -> int:
        """Return the first slot at or after one in which this circuit has a cell."""
        return slot + slot % self.stride

    def _arm(self, slots: Slots, due_us: int) -> None:
        self.at_us[slots] = due_us
        self.node.arm_hop(self, slots, due_us)

    def take_backward(self, slot: int, body: bytes) -> None:
        """Take a cell from behind."""
        if self.next_state is NextState.MAKING:
            return self._take_created(body)
        if is_speech(body):
            return self.node.drop("clear_inside")
        if not self.guard:  # a hop in the middle passes on at once; the guard's ring evens it out
            return self.node.send(self.before, slot, self._speak(slot) or self.backward.encipher(tweak(slot), body), self.node.now_us)
        self.queue.append((slot, self.backward.encipher(tweak(slot), body)))
        if self.backward_due is not None:
            return self._keep_queue(self.backward_due)
        if len(self.queue) > QUEUE_CELLS:
            self.queue.popleft()
            self.node.drop("queue_full")
        base_us = self.backward_settling.measure(slot, self.node.now_us) if self.backward_settling is not None else None
        return self._settle_backward(base_us) if base_us is not None else None

    def _settle_backward(self, base_us: int) -> None:
        """The tick towards the box takes the phase of the due times; what waits goes into the ring where it fits."""
        due = Due(base_us)
        started = max(due.next_slot(self.node.now_us), due.last_slot((self.node.links[self.before[0]].tick_us or 0) - SLOT_US * self.stride) + 1)
        if self.returned_slot < started + AHEAD_SLOTS:  # not where a junction made up a far number
            started = max(started, self.returned_slot + 1)
        self.backward_due = Due(base_us, self._from(started))
        self.node.set_tick(self.before[0], due.time_us(self._from(started)))
        self._keep_queue(self.backward_due)

    def _keep_queue(self, due: Due) -> None:
        while self.queue:
            slot, body = self.queue.popleft()
            refusal = self.backward_ring.refusal(slot, due, self.node.now_us)
            self.node.drop(refusal) if refusal else self.backward_ring.put(slot, body)

    def extend(self, behind: Place, handshake: bytes) -> None:
        """Carry out the owner's extend."""
        self.behind, self.next_state, self.create, self.created = behind, NextState.MAKING, Carousel(fragments(Kind.CREATE, 1, handshake)), Collector()
        self._arm_own_phase(Slots.ASKING)

    def refuse_extend(self, reason: int) -> None:
        """Say that the owner's extend cannot be done."""
        self.lose_behind(NextState.NONE)
        self.give_answer(Kind.NOT_EXTENDED, self.asked_number, bytes([reason]))

    def lose_behind(self, state: NextState = NextState.LOST) -> None:
        """Forget the hop behind. Where its link is gone forward cells are swallowed from now on, and a guard goes on filling."""
        self.node.forget_place(self.behind)
        self.behind, self.next_state = None, state
        self.at_us = {slots: at_us for slots, at_us in self.at_us.items() if slots is Slots.BACKWARD}

    def _take_created(self, body: bytes) -> None:
        """Hear created or refused from behind, outside layers. Raises DroppedError."""
        kind, payload = hear_created(self.created, body)
        if payload is not None and kind == Kind.REFUSED:
            self.refuse_extend(payload[0])
        elif payload is not None:
            self.next_state, self.at_us = NextState.LIVE, {}  # no longer the head
            self.give_answer(Kind.EXTENDED, self.asked_number, payload)

    def _speak(self, slot: int) -> bytes | None:
        """Return own speech for a backward slot, as it goes out; None where there is none or it is not its turn."""
        due = self.answer.said < self.answer_until
        if not self.open:  # created, outside the layer
            return self.answer.next_body() if due else None
        self.since_speech += 1
        if due and self.since_speech > (ANSWERED_SPACING if self.paced else SPEECH_SPACING * (self.answer.said % len(self.answer.bodies) == 0)):
            body = self.answer.next_body()
        elif self.knocked is not None and not due and self.since_speech > (SPEECH_SPACING if self.bond is None else BOUND_SPACING):
            body, self.knocked = serialise_speech(self.knocked), None
        else:
            return None
        self.since_speech = 0
        return self.backward.encipher(tweak(slot), body)

    def give_answer(self, kind: Kind, number: int, payload: bytes) -> None:
        """Answer what was said under a number, until there is another answer."""
        self.answer, self.answer_number, self.paced = Carousel(fragments(kind, number, payload)), number, kind is Kind.ANSWERED
        self.answer_until = len(self.answer.bodies)  # so many of its fragments are to be said in all

    def answer_ask(self, number: int, payload: bytes) -> None:
        """Answer a question. Raises DroppedError where it is not the message that was heard last."""
        if not self.collector.whole or (self.collector.head[0], self.collector.number) != (Kind.ASK, number):
            raise DroppedError("answer_late")
        self.give_answer(Kind.ANSWERED, number, payload)

    def put_knocked(self, payload: bytes) -> bool:
        """Put a knock into the inbox; False where one waits already."""
        free = self.knocked is None
        if free:
            self.knocked_count = (self.knocked_count + 1) % 2**16
            self.knocked = Speech(Kind.KNOCKED, 0, 1, self.knocked_count, payload)
        return free

    def _hear(self, slot: int, body: bytes) -> None:
        """Hear the owner inside the layer. Raises DroppedError (§6.4)."""
        speech = parse_speech(body)
        if speech is None or speech.kind not in HEARD[self.junction]:
            raise DroppedError("broke_protocol")
        if self.collector.is_stale(speech):
            return self.node.drop("speech_stale")
        payload = self.collector.add(speech)
        if payload is None and self.collector.whole:
            payload = speech.fragment if speech.kind in UNANSWERED else None
            if payload is None and self.answer_number == speech.number:
                self.answer_until = max(self.answer_until, self.answer.said + 1)
        if payload is not None and len(payload) != PAYLOAD_OCTETS[speech.kind]:
            raise DroppedError("broke_protocol")
        return self._obey(Kind(speech.kind), slot, speech.number, payload) if payload is not None else None

    def _obey(self, kind: Kind, slot: int, number: int, payload: bytes) -> None:
        junction, refusal = self.node.junction, None
        if kind is Kind.PHASE:
            wait_us, self.earliest_us = (junction.phase_us - (self.earliest_us or 0)) % (SLOT_US * self.stride), None
            self.give_answer(Kind.PHASED, number, struct.pack(">HH", wait_us // 10, self.steps_us[0] // 10))
        elif kind is Kind.ATTACH:
            if self.forward_due is None:
                raise DroppedError("broke_protocol")
            wait_us = self.forward_due.time_us(slot) - COMPOSE_US - self.node.now_us
            self.give_answer(Kind.ATTACHED, number, struct.pack(">iH", max(-(2**31), min(2**31 - 1, wait_us)), self.steps_us[0] // 10))
        elif kind is Kind.TOKENS:
            junction.leave(self, payload)
            self.give_answer(Kind.LEFT, number, b"")
        elif kind is Kind.EXTEND:
            if self.next_state is not NextState.NONE:
                raise DroppedError("broke_protocol")
            self.next_state, self.asked_number = NextState.ASKED, number
            self.node.event("extend", *self.before, payload[:32], int.from_bytes(payload[32:36], "big"), payload[36:])
        elif kind is Kind.SETTLE:
            if self.settling is not None or self.forward_due is not None or not (self.junction or self.next_state is NextState.LIVE):
                raise DroppedError("broke_protocol")
            self.settling, self.asked_number = Settling(int.from_bytes(payload, "big"), self.steps_us[0]), number
            self.backward_settling = Settling(None, self.steps_us[1]) if self.guard else None
        elif kind is Kind.KNOCK:
            refusal = junction.knock(self, slot, self.node.now_us, payload, self.node.random.octets(8))
        elif kind is Kind.JOIN:
            refusal = junction.join(self, self.node.now_us, payload)
        elif kind is Kind.ASK:
            self.node.event("ask", *self.before, number, payload)
        else:
            junction.part(self, payload)
        return self.node.drop(refusal) if refusal is not None else None
