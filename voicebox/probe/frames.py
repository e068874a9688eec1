"""What stands in the frames of a probe: numbers in the place of sound. Pure.

    first octets of the codec | number u32 | sent u32 | echoed u32 | held u32 | CRC-32 u32 | zero

sent: when the frame left, in microseconds of its sender's clock, modulo 2^32; echoed: `sent` of the latest frame that came from the other end, held: how long ago
that was (both 0 before one came): so each end knows the round trip, as with RTCP. A frame that was heard from a coarse copy (PROTOCOL.md §9.4) is not its octets, which the CRC
tells. To everybody but the two boxes a frame is part of a cell. Spec: RFC 3550 §6.4.1 (LSR, DLSR); PROTOCOL.md §9.9.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from voicebox.probe.codecs import ProbeCodec

CLOCK_MODULUS = 1 << 32
_FIELDS = struct.Struct(">IIII")
_CRC = struct.Struct(">I")


@dataclass(frozen=True, slots=True)
class ProbeFrame:
    """One frame; times in microseconds modulo 2^32, held_us at most 2^32 - 1."""

    number: int
    sent_us: int
    echoed_us: int
    held_us: int


def serialise_frame(frame: ProbeFrame, codec: ProbeCodec, octets: int) -> bytes:
    """Return the payload of RTP. octets: its length."""
    fields = _FIELDS.pack(frame.number, frame.sent_us % CLOCK_MODULUS, frame.echoed_us % CLOCK_MODULUS, min(frame.held_us, CLOCK_MODULUS - 1))
    head = codec.first_octet + fields
    return (head + _CRC.pack(zlib.crc32(head))).ljust(octets, b"\0")


def parse_frame(payload: bytes, codec: ProbeCodec) -> ProbeFrame | None:
    """Read the payload of RTP; None where it is not exactly a frame of the codec, at any of its rates."""
    head, crc = payload[: len(codec.first_octet) + _FIELDS.size], payload[len(codec.first_octet) + _FIELDS.size :][: _CRC.size]
    lengths = {other.frame_octets for other in ProbeCodec if other.codec is codec.codec}
    if len(payload) not in lengths or not payload.startswith(codec.first_octet) or crc != _CRC.pack(zlib.crc32(head)):
        return None
    if any(payload[len(head) + _CRC.size :]):
        return None
    return ProbeFrame(*_FIELDS.unpack(head[len(codec.first_octet) :]))
