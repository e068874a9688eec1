"""RTP between the browser phone and its box, on this machine: the payload passes as it is, octet for octet. Pure.

Spec: RFC 3550 §5.1; RFC 4733 §2.3 (digits: 160 ms of 20 ms packets, the end three times).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

DIGITS = "0123456789*#ABCD"
EVENT_TICKS, EVENT_FRAMES, EVENT_ENDS, VOLUME = 160, 8, 3, 10


@dataclass(frozen=True, slots=True)
class Packet:
    """sequence 16 bits, timestamp 32 bits."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    source: int
    payload: bytes


def parse_packet(octets: bytes) -> Packet | None:
    """Return a packet; None where it is none."""
    if len(octets) < 12 or octets[0] >> 6 != 2:
        return None
    begin = 12 + 4 * (octets[0] & 15)
    if octets[0] & 0x10:
        if len(octets) < begin + 4:
            return None
        begin += 4 + 4 * int.from_bytes(octets[begin + 2 : begin + 4], "big")
    end = len(octets) - (octets[-1] if octets[0] & 0x20 else 0)
    if begin >= end:
        return None
    sequence, timestamp, source = struct.unpack_from(">HII", octets, 2)
    return Packet(octets[1] & 127, octets[1] > 127, sequence, timestamp, source, octets[begin:end])


def serialise_packet(packet: Packet) -> bytes:
    """Return the octets of a packet."""
    kind = packet.payload_type | (128 if packet.marker else 0)
    return struct.pack(">BBHII", 128, kind, packet.sequence & 0xFFFF, packet.timestamp & 0xFFFFFFFF, packet.source) + packet.payload


def digit_payloads(digit: str) -> list[bytes]:
    """Return the payloads of a digit, one each 20 ms. Raises ValueError where it is none."""
    code = DIGITS.index(digit.upper()) if len(digit) == 1 else -1
    if code < 0:
        raise ValueError("no digit")
    said = [struct.pack(">BBH", code, VOLUME, EVENT_TICKS * (place + 1)) for place in range(EVENT_FRAMES)]
    return said + EVENT_ENDS * [struct.pack(">BBH", code, VOLUME | 128, EVENT_TICKS * EVENT_FRAMES)]
