"""Streams and datagrams between two boxes, as simple as they can be: segments, frames, fragments, and a receiver that keeps octets by their offset. Pure.

The reference for relay/core/src/streams: tests/vectors/streams.json is made from it. NOT here: who says what when, credit. Spec: PROTOCOL.md §11.
"""

import struct
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_OCTETS = 32_768
MAX_RANGES = 8
MAX_DATAGRAM_OCTETS = 8_192
MORE, FRAGMENTS, YOURS, LAST = 0x80, 0x40, 0x80, 1
PAYLOADS = {1: ">H", 2: "", 4: "", 5: ">B", 6: ">L", 7: ">H", 8: ">H"}
"""Of a frame's kinds but 3, data: what follows the stream's number."""
DATA, LAST_WHY = 3, 5


class Segment(NamedTuple):
    """heard u16 | next u32 | count u8 | count times (gap u16 | length u16) | [offset u32 | octets], or fragments; piece: offset and octets."""

    heard: int
    next: int
    ranges: tuple[tuple[int, int], ...] = ()
    more: bool = False
    piece: tuple[int, bytes] | None = None
    fragments: bytes = b""


def serialise_segment(segment: Segment) -> bytes:
    """Write a segment."""
    count = len(segment.ranges) | (MORE if segment.more else 0) | (FRAGMENTS if segment.fragments else 0)
    ranges = b"".join(struct.pack(">HH", *each) for each in segment.ranges)
    piece = b"" if segment.piece is None else struct.pack(">L", segment.piece[0]) + segment.piece[1]
    return struct.pack(">HLB", segment.heard, segment.next, count) + ranges + piece + segment.fragments


def parse_segment(octets: bytes) -> Segment | None:
    """Read a segment; None where it is none."""
    if len(octets) < 7:
        return None
    heard, expected, count = struct.unpack_from(">HLB", octets)
    more, fragmented, count = bool(count & MORE), bool(count & FRAGMENTS), count & ~(MORE | FRAGMENTS)
    end = 7 + 4 * count
    rest = octets[end:]
    if count > MAX_RANGES or (more and not count) or end > len(octets) or (not rest if fragmented else len(rest) in range(1, 5)):
        return None
    ranges = tuple(struct.unpack_from(">HH", octets, 7 + 4 * place) for place in range(count))
    if not all(gap and length for gap, length in ranges) or sum(map(sum, ranges)) > WINDOW_OCTETS:
        return None
    if fragmented:
        return Segment(heard, expected, ranges, more, None, rest)
    return Segment(heard, expected, ranges, more, (int.from_bytes(rest[:4]), rest[4:]) if rest else None)


class Frame(NamedTuple):
    """kind u8 | stream u16 | payload: an int, octets of data, or nothing. yours: the stream was opened by whom the frame is for."""

    kind: int
    yours: bool
    stream: int
    payload: int | bytes | None = None


def serialise_frame(frame: Frame) -> bytes:
    """Write a frame."""
    head = struct.pack(">BH", frame.kind | (YOURS if frame.yours else 0), frame.stream)
    if isinstance(frame.payload, bytes):
        return head + bytes([len(frame.payload)]) + frame.payload
    return head + (b"" if frame.payload is None else struct.pack(PAYLOADS[frame.kind], frame.payload))


def parse_frames(row: bytes) -> list[Frame] | None:
    """Read a row of whole frames; None where one is none, or not whole."""
    frames = []
    while row:
        if len(row) < 3:
            return None
        kind, stream = struct.unpack_from(">BH", row)
        yours, kind, row = bool(kind & YOURS), kind & ~YOURS, row[3:]
        if kind == DATA and row:
            octets, payload, row = row[0], row[1 : 1 + row[0]], row[1 + row[0] :]
            if not octets or len(payload) < octets:
                return None
            frames.append(Frame(kind, yours, stream, payload))
            continue
        layout = PAYLOADS.get(kind)
        if layout is None or len(row) < struct.calcsize(layout) or (kind, yours) in {(1, True), (2, False), (7, True), (8, True)}:
            return None
        number = struct.unpack_from(layout, row)[0] if layout else None
        if kind == 5 and number not in range(1, LAST_WHY + 1):
            return None
        frames.append(Frame(kind, yours, stream, number))
        row = row[struct.calcsize(layout) :]
    return frames


class Fragment(NamedTuple):
    """bits u8 | stream u16 | number u16 | place u16 | length u8 | octets; yours: the association was opened by whom the fragment is for."""

    yours: bool
    stream: int
    number: int
    place: int
    last: bool
    octets: bytes


def serialise_fragment(fragment: Fragment) -> bytes:
    """Write a fragment."""
    bits = (YOURS if fragment.yours else 0) | (LAST if fragment.last else 0)
    return struct.pack(">BHHHB", bits, fragment.stream, fragment.number, fragment.place, len(fragment.octets)) + fragment.octets


def parse_fragments(octets: bytes) -> list[Fragment] | None:
    """Read the fragments of a segment; None where one is none."""
    found = []
    while octets:
        if len(octets) < 8 or len(octets) < 8 + octets[7]:
            return None
        bits, stream, number, place, length = struct.unpack_from(">BHHHB", octets)
        if bits & ~(YOURS | LAST) or place + length > MAX_DATAGRAM_OCTETS or not (length or (bits & LAST and not place)):
            return None
        found.append(Fragment(bool(bits & YOURS), stream, number, place, bool(bits & LAST), octets[8 : 8 + length]))
        octets = octets[8 + length :]
    return found


@dataclass
class Row:
    """A receiver: every octet by its offset, and what was heard last."""

    octets: dict[int, int] = field(default_factory=dict)
    heard: int = 0

    def take(self, counter: int, piece: tuple[int, bytes] | None) -> None:
        """Take a piece of a cell with this counter."""
        self.heard = max(self.heard, counter)
        if piece is not None:
            self.octets |= {piece[0] + place: octet for place, octet in enumerate(piece[1])}

    @property
    def next(self) -> int:
        """Return the first offset that did not come."""
        return next(place for place in range(len(self.octets) + 1) if place not in self.octets)

    @property
    def whole(self) -> bytes:
        """Return what is in order."""
        return bytes(self.octets[place] for place in range(self.next))

    def acknowledgement(self) -> bytes:
        """Return what the next segment says of all this."""
        expected = self.next
        ranges: list[list[int]] = []
        for place in sorted(place for place in self.octets if place > expected):
            if not ranges or place > ranges[-1][1]:
                ranges.append([place, place])
            ranges[-1][1] = place + 1
        ends = [expected, *(end for _, end in ranges)]
        told = tuple((begin - before, end - begin) for before, (begin, end) in zip(ends, ranges, strict=False))
        return serialise_segment(Segment(self.heard & 0xFFFF, expected, told[:MAX_RANGES], len(told) > MAX_RANGES))
