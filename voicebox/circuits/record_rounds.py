"""When a box leaves a record and looks for one, of which contact, and over which circuit.

    a turn is 64 rounds, in a real network 30 s apart in the mean: every contact once, in an order that is drawn, and places of nobody's for the rest
    a round is two questions, one that puts a record and one that gets one, each at a time that is drawn, over a circuit that is drawn

So each contact's record is put once in a turn, whether a text waits or not, which also brings back what died with its holders; and each contact's place is looked at, in
one turn that of the present period, in the next that of the last. No text, call, contact or answer changes when a question is asked or how long it is. What is not
answered when the next is due is given up, and not asked again before the next turn. NOT here: holders (record_ring.py), what waits (contacts/waiting.py), cells
(relay/core). Driver: time, and the engine's events. Pure: takes `now_us`, network time, and randomness. Spec: PROTOCOL.md §12.6.
"""

from __future__ import annotations

import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from voicebox.circuits.circuit import Circuit, Stage
from voicebox.circuits.dummies import scale_of
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.pair_book import PairBook
from voicebox.circuits.record import PlaceKeys, Post, last_epoch_of, place_keys, seal_record
from voicebox.circuits.record_question import Answer, Get, Put, parse_answer
from voicebox.errors import HandshakeError, RemoteError
from voicebox.sensitive import Secret

BETWEEN_US = 15_000_000
"""From one question to the next in the mean: between the half and one and a half of it."""
LEAST_BETWEEN_US = 3_000_000
"""In a network of short epochs, where a turn has fewer rounds: a question wants its time."""
ROUNDS = 64
"""Of a turn: as many as a box can have contacts, and a few."""
METERED_TIMES = 4
"""A box that pays by the octet loses two frames of sound with each slot that a hop is spoken to in: its rounds are as much rarer."""


class Rng(Protocol):
    """Randomness: random.SystemRandom in a daemon, seeded in tests."""

    def uniform(self, low: float, high: float, /) -> float: ...
    def randrange(self, end: int, /) -> int: ...
    def shuffle(self, order: list[int], /) -> None: ...


class Circuits(Protocol):
    """The standing circuits of a box, as far as questions need them."""

    def present(self) -> list[Circuit]: ...


class Mail(Protocol):
    """What waits for contacts, and what they left."""

    def post_for(self, contact_id: bytes) -> Post:
        """Return what is to be left for a contact now."""

    def found(self, contact_id: bytes, post: Post) -> None:
        """Take what a contact has left."""


@dataclass(slots=True)
class _Asked:
    """A question under way. keys: of the place that is looked at; contact_id: whose it is, None where it is nobody's."""

    question: Put | Get
    circuit: Circuit
    began_us: int
    keys: PlaceKeys
    contact_id: bytes | None


class RecordRounds:
    """The rounds of one box. Contract: call handle_timer and answered, then re-arm at next_timer(). network(): the list now; own_id: the box's own contact id."""

    def __init__(
        self,
        network: Callable[[], VerifiedNetwork],
        book: PairBook,
        own_id: bytes,
        circuits: Circuits,
        mail: Mail,
        rng: Rng,
        now_us: int,
        *,
        metered: bool = False,
    ) -> None:
        self._network, self._book, self._own_id, self._circuits, self._mail, self._rng = network, book, own_id, circuits, mail, rng
        times = METERED_TIMES if metered else 1
        scale = scale_of(network().epoch_us)
        self._between_us = times * max(LEAST_BETWEEN_US, int(BETWEEN_US * scale))
        self._least_rounds = max(4, int(ROUNDS * min(1, BETWEEN_US * scale / LEAST_BETWEEN_US)))
        self._nobodys = Secret(secrets.token_bytes(32))
        """From which places follow that are nobody's, for as long as the box runs: they come again and again, as those of contacts do."""
        self._turn, self._order, self._who = -1, list[int](), list[bytes]()
        self._entry: int | None = None
        """Whose record was put by the question before the next one; None: a put is next."""
        self._asked: _Asked | None = None
        self._next_us = now_us + self._draw_us()
        self._sequence = 0
        self._seen: dict[bytes, int] = {}
        """The highest sequence that was seen at a place."""
        self.counters: Counter[str] = Counter()
        self.took_us: deque[int] = deque(maxlen=1_000)
        """How long the last questions took that were answered, at most 1 000: for measurements."""

    def _draw_us(self) -> int:
        return int(self._rng.uniform(0.5, 1.5) * self._between_us)

    def next_timer(self) -> int:
        """Return when handle_timer is to be called next."""
        return self._next_us

    def handle_timer(self, now_us: int) -> None:
        """Ask the next question where it is time, and give up the one before."""
        if now_us < self._next_us:
            return
        self._next_us += self._draw_us()
        if self._next_us <= now_us:  # a machine that stood still
            self._next_us = now_us + self._draw_us()
        if self._asked is not None:
            self.counters["questions_unanswered"] += 1
            self._asked.circuit.ask(None, now_us)
            self._asked = None
        put = self._entry is None
        entry = self._next_entry() if self._entry is None else self._entry
        self._entry = entry if put else None
        circuits = self._circuits.present()
        circuit = circuits[self._rng.randrange(len(circuits))] if circuits else None
        if circuit is None or circuit.stage is not Stage.STANDING:
            self.counters["questions_without_circuit"] += 1
        else:
            self._ask(entry, circuit, now_us, put=put)

    def answered(self, link: int, payload: bytes, now_us: int) -> None:
        """Take what a junction answered over a circuit with this link. What was not asked, or is no answer to it, is counted."""
        asked = self._asked
        if asked is None or link != asked.circuit.link:
            self.counters["answers_unasked"] += 1
            return
        try:
            answer = parse_answer(self._network().network_id, asked.question, payload)
            self._take(asked, answer)
        except RemoteError:
            self.counters["answers_bad"] += 1
        self.took_us.append(now_us - asked.began_us)
        self._asked = None

    def _take(self, asked: _Asked, answer: Answer) -> None:
        if isinstance(asked.question, Put):
            self.counters["records_left" if answer.count else "records_not_left"] += 1
            return
        self.counters["records_looked_for" if answer.count else "holders_silent"] += 1
        record = answer.record
        if record is None or asked.contact_id is None:
            return
        post = record.open(asked.keys)
        if record.sequence < self._seen.get(record.place, 0):
            self.counters["records_old"] += 1
            return
        if len(self._seen) >= 4 * ROUNDS:
            self._seen.pop(next(iter(self._seen)))
        self._seen[record.place] = record.sequence
        self.counters["records_found"] += 1
        self._mail.found(asked.contact_id, post)

    # -------------------------------------------------------------------------------------------------------------- a round

    def _next_entry(self) -> int:
        """Return whose turn it is: a place in the list of contacts, or beyond it."""
        if not self._order:
            self._turn += 1
            self._who = [contact.contact_id for contact in self._book.contacts()]
            self._order = list(range(max(self._least_rounds, len(self._who))))
            self._rng.shuffle(self._order)
        return self._order.pop()

    def _ask(self, entry: int, circuit: Circuit, now_us: int, *, put: bool) -> None:
        network = self._network()
        period = network.period_at(now_us)
        if not put and self._turn % 2:
            period = max(0, period - 1)
        contact_id, keys = self._keys(entry, period, put=put)
        question: Put | Get = Get(keys.place, period)
        if put:
            self._sequence = max(self._sequence + 1, now_us)
            post = Post() if contact_id is None else self._mail.post_for(contact_id)
            question = Put(seal_record(network.network_id, keys, self._sequence, post))
        self._asked = _Asked(question, circuit, now_us, keys, contact_id)
        circuit.ask(question.serialise(), now_us)

    def _keys(self, entry: int, period: int, *, put: bool) -> tuple[bytes | None, PlaceKeys]:
        """Return the contact and the keys of the place that is written or read; nobody, and keys that nobody else has, where there is no contact of that number."""
        contact_id = self._who[entry] if entry < len(self._who) else None
        contact = self._book.with_id(contact_id) if contact_id is not None else None
        if contact is not None:
            try:
                owners = self._book.secrets_of(contact.petname, last_epoch_of(period))
            except HandshakeError:
                owners = []
            if owners:  # two between a full handshake and its confirmation: the other box may have either
                owner = owners[self._rng.randrange(len(owners))]
                ends = (self._own_id, contact.contact_id) if put else (contact.contact_id, self._own_id)
                return contact.contact_id, place_keys(owner.secret, period, *ends)
        return None, place_keys(self._nobodys, period, bytes([put]), entry.to_bytes(4, "big"))
