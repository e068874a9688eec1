"""Cells and what nodes say in them (PROTOCOL.md §3): parse_x and serialise_x are exact inverses."""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

CELL_OCTETS, BODY_OCTETS, FRAGMENT_OCTETS, MAX_FRAGMENTS, MAX_MESSAGE_OCTETS, ZEROS = 256, 248, 224, 16, 16 * 224, bytes(16)

Kind = IntEnum("Kind", {"CREATE": 1, "CREATED": 2, "REFUSED": 3, "EXTEND": 16, "EXTENDED": 17, "NOT_EXTENDED": 18, "PHASE": 20, "PHASED": 21, "SETTLE": 22,
    "SETTLED": 23, "TOKENS": 24, "LEFT": 25, "KNOCK": 26, "KNOCKED": 27, "JOIN": 28, "PART": 29, "ATTACH": 30, "ATTACHED": 31, "ASK": 32, "ANSWERED": 33})  # fmt: skip
# What a message is (§3.2).
PAYLOAD_OCTETS: dict[int, int] = {Kind.CREATE: 1220, Kind.CREATED: 1184, Kind.REFUSED: 1, Kind.EXTEND: 1256, Kind.EXTENDED: 1184, Kind.NOT_EXTENDED: 1,
    Kind.PHASE: 0, Kind.PHASED: 4, Kind.SETTLE: 4, Kind.SETTLED: 2, Kind.TOKENS: 2048, Kind.LEFT: 0, Kind.KNOCK: 216, Kind.KNOCKED: 224, Kind.JOIN: 24,
    Kind.PART: 16, Kind.ATTACH: 0, Kind.ATTACHED: 6, Kind.ASK: 2016, Kind.ANSWERED: 2016}  # fmt: skip
ANSWERS: dict[int, tuple[Kind, ...]] = {Kind.CREATE: (Kind.CREATED, Kind.REFUSED), Kind.EXTEND: (Kind.EXTENDED, Kind.NOT_EXTENDED), Kind.PHASE: (Kind.PHASED,),
    Kind.SETTLE: (Kind.SETTLED,), Kind.TOKENS: (Kind.LEFT,), Kind.ATTACH: (Kind.ATTACHED,), Kind.ASK: (Kind.ANSWERED,)}  # fmt: skip


class Cell(NamedTuple):
    """circuit u32 | slot u32 | body 248."""

    circuit: int
    slot: int
    body: bytes


def parse_cell(octets: bytes) -> Cell | None:
    """Read a cell; None where the length is not 256."""
    return Cell(*struct.unpack(">II248s", octets)) if len(octets) == CELL_OCTETS else None


def serialise_cell(cell: tuple[int, int, bytes]) -> bytes:
    """Write a cell."""
    return struct.pack(">II248s", *cell)


def is_speech(body: bytes) -> bool:
    """Say whether a body begins with 16 zero octets (§3.1)."""
    return body.startswith(ZEROS)


@dataclass(frozen=True)
class Speech:
    """One fragment of a message: zero 16 | kind u8 | index u8 | count u8 | zero u8 | number u16 | length u16 | fragment 224."""

    kind: int
    index: int
    count: int
    number: int
    fragment: bytes


def parse_speech(body: bytes) -> Speech | None:
    """Read a body that begins with 16 zeros; None where it does not fit (§3.1)."""
    kind, index, count, zero, number, length = struct.unpack_from(">BBBBHH", body, 16)
    least = FRAGMENT_OCTETS if index + 1 < count else int(count > 1)
    fits = not zero and index < count <= MAX_FRAGMENTS and least <= length <= FRAGMENT_OCTETS and not any(body[24 + length :])
    return Speech(kind, index, count, number, body[24 : 24 + length]) if fits else None


def serialise_speech(speech: Speech) -> bytes:
    """Write a fragment as a body."""
    head = struct.pack(">16xBBBBHH", speech.kind, speech.index, speech.count, 0, speech.number, len(speech.fragment))
    return head + speech.fragment.ljust(FRAGMENT_OCTETS, b"\0")


def fragments(kind: int, number: int, payload: bytes) -> list[bytes]:
    """Cut a message into the bodies that carry it, 1 to 16."""
    cuts = [payload[i : i + FRAGMENT_OCTETS] for i in range(0, len(payload), FRAGMENT_OCTETS)] or [b""]
    return [serialise_speech(Speech(kind, i, len(cuts), number, cut)) for i, cut in enumerate(cuts)]


@dataclass
class Carousel:
    """A message said round and round; said counts the fragments."""

    bodies: list[bytes]
    said: int = 0

    def next_body(self) -> bytes:
        """Return the fragment whose turn it is."""
        self.said += 1
        return self.bodies[(self.said - 1) % len(self.bodies)]


class DroppedError(Exception):
    """What came cannot belong here; the argument is the reason to drop it."""


@dataclass
class Collector:
    """The one message being collected at a place (§3.1); a fragment of a later number begins anew."""

    head: tuple[int, int] = (0, 0)  # kind and count
    number: int | None = None
    whole: bool = False
    parts: dict[int, bytes] = field(default_factory=dict)

    def is_stale(self, speech: Speech) -> bool:
        """Say whether a fragment is of a message before the one that is collected."""
        return self.number is not None and (speech.number - self.number) % 2**16 >= 2**15

    def add(self, speech: Speech) -> bytes | None:
        """Return the payload when it becomes whole, once; of one that has not the length of its kind nothing is kept.

        Raises DroppedError for that, for a sooner number, and for another kind or count under one number.
        """
        if self.is_stale(speech):
            raise DroppedError("speech_stale")
        if speech.number != self.number:
            self.head, self.number, self.whole, self.parts = (speech.kind, speech.count), speech.number, False, {}
        elif (speech.kind, speech.count) != self.head:
            raise DroppedError("speech_malformed")
        if self.whole:
            return None
        self.parts.setdefault(speech.index, speech.fragment)
        self.whole = len(self.parts) == self.head[1]
        if self.whole and sum(map(len, self.parts.values())) != PAYLOAD_OCTETS.get(speech.kind):
            self.number, self.whole = None, False
            raise DroppedError("speech_malformed")
        return b"".join(self.parts[i] for i in range(self.head[1])) if self.whole else None
