"""What a box asks the holders of a record, and what it is answered; both have one size, whatever they are.

    question   what u8 (1 put, 2 get) | put: record 2 015; get: place 32 | period u32 | zeros     2 016 octets
    answer     count u8 | record 2 015, or zeros                                                  2 016 octets

A box says a question to the junction of a standing circuit, and that to each holder; a holder answers with count 1 where it took the record or has one. The junction
answers the box with how many holders did, and with the record of the highest sequence. NOT here: who is asked (record_ring.py). Pure. Spec: PROTOCOL.md §12.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from voicebox.circuits.record import PLACE_OCTETS, RECORD_OCTETS, Record, parse_record
from voicebox.errors import HandshakeError, RemoteError

QUESTION_OCTETS = 1 + RECORD_OCTETS
_PUT, _GET = b"\x01", b"\x02"
_NAME_OCTETS = PLACE_OCTETS + 4
NOTHING = bytes(QUESTION_OCTETS)
"""The answer where no holder has or took anything."""


@dataclass(frozen=True, slots=True)
class Put:
    """Keep a record."""

    record: Record

    @property
    def place(self) -> bytes:
        """Return whose holders are asked."""
        return self.record.place

    @property
    def period(self) -> int:
        """Return in which period."""
        return self.record.period

    def serialise(self) -> bytes:
        """Return 2 016 octets."""
        return _PUT + self.record.serialise()


@dataclass(frozen=True, slots=True)
class Get:
    """Say what is at a place."""

    place: bytes = field(repr=False)
    period: int

    def serialise(self) -> bytes:
        """Return 2 016 octets."""
        return (_GET + self.place + self.period.to_bytes(4, "big")).ljust(QUESTION_OCTETS, b"\0")


def parse_question(network_id: bytes, octets: bytes) -> Put | Get:
    """Read a question. Raises HandshakeError for a record that is none, RemoteError for anything else."""
    what, rest = octets[:1], octets[1:]
    if len(octets) != QUESTION_OCTETS:
        raise RemoteError("a question has the wrong length")
    if what == _PUT:
        return Put(parse_record(network_id, rest))
    if what != _GET or any(rest[_NAME_OCTETS:]):
        raise RemoteError("a question is none that there is")
    return Get(rest[:PLACE_OCTETS], int.from_bytes(rest[PLACE_OCTETS:_NAME_OCTETS], "big"))


@dataclass(frozen=True, slots=True)
class Answer:
    """What holders answered. count: how many took the record, or answered at all; record: what is there."""

    count: int
    record: Record | None = None

    def serialise(self) -> bytes:
        """Return 2 016 octets."""
        return bytes([self.count]) + (bytes(RECORD_OCTETS) if self.record is None else self.record.serialise())


def parse_answer(network_id: bytes, asked: Put | Get, octets: bytes) -> Answer:
    """Read what was answered to a question. Raises HandshakeError for a record that is none, or of another place; RemoteError for another length."""
    if len(octets) != QUESTION_OCTETS:
        raise RemoteError("an answer has the wrong length")
    if not any(octets[1:]):
        return Answer(octets[0])
    record = parse_record(network_id, octets[1:])
    if (record.place, record.period) != (asked.place, asked.period):
        raise HandshakeError("an answer about another place")
    return Answer(octets[0], record)


def best(answers: list[Answer]) -> Answer:
    """Return what a junction tells the box of what holders answered: the sum, and the record of the highest sequence."""
    records = [answer.record for answer in answers if answer.record is not None]
    return Answer(min(255, sum(answer.count for answer in answers)), max(records, key=lambda record: record.sequence, default=None))
