"""What the receiver of an RTP stream knows about it: validity, loss, jitter.

Implements RFC 3550 A.1 (validity and sequence numbers), A.3 (loss) and A.8 (jitter). NOT here: RTCP, delay, quality.
Pure: octets and arrival times in, figures out. Driven by the demo's measuring and by the probe.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

RTP_VERSION = 2
RTP_HEADER_OCTETS = 12
MAX_DROPOUT = 3000
"""RFC 3550 A.1: a jump forward of fewer numbers is loss, a larger one a restart."""
MAX_MISORDER = 100
MIN_SEQUENTIAL = 2
SEQUENCE_MODULUS = 1 << 16
TIMESTAMP_MODULUS = 1 << 32
MAX_PAYLOAD_TYPE = 127
RTCP_PAYLOAD_TYPES = range(64, 96)
"""RFC 5761 §4: these payload types on a media port are RTCP, or could be taken for it."""
_FIXED_HEADER = struct.Struct(">BBHII")


@dataclass(frozen=True, slots=True)
class RtpPacket:
    """One RTP packet. rtp_timestamp counts in the codec's clock, modulo 2^32; payload is without padding."""

    payload_type: int
    marker: bool
    sequence_number: int
    rtp_timestamp: int
    ssrc: int
    payload: bytes


def parse_rtp(datagram: bytes) -> RtpPacket | None:
    """Return the RTP packet in a datagram, or None where it is none (RTCP, STUN, keep-alive, damaged).

    Spec: RFC 3550 §5.1 and A.1, RFC 5761 §4.
    """
    if len(datagram) < RTP_HEADER_OCTETS:
        return None
    first, second, sequence_number, rtp_timestamp, ssrc = _FIXED_HEADER.unpack_from(datagram)
    payload_type = second & 0x7F
    if first >> 6 != RTP_VERSION or payload_type in RTCP_PAYLOAD_TYPES:
        return None
    start = RTP_HEADER_OCTETS + 4 * (first & 0x0F)
    if first & 0x10:
        if len(datagram) < start + 4:
            return None
        start += 4 + 4 * int.from_bytes(datagram[start + 2 : start + 4], "big")
    end = len(datagram)
    if first & 0x20:
        padding = datagram[-1]
        if padding == 0:
            return None
        end -= padding
    if start > end:
        return None
    return RtpPacket(payload_type, bool(second & 0x80), sequence_number, rtp_timestamp, ssrc, datagram[start:end])


def serialise_rtp(packet: RtpPacket) -> bytes:
    """Return a packet without contributing sources, extension or padding. Spec: RFC 3550 §5.1."""
    second = packet.marker << 7 | packet.payload_type
    return _FIXED_HEADER.pack(RTP_VERSION << 6, second, packet.sequence_number, packet.rtp_timestamp, packet.ssrc) + packet.payload


@dataclass(slots=True)
class SequenceSource:
    """Count what one source sent and what came of it, by sequence numbers.

    Feed every packet of one SSRC in order of arrival. A source counts once MIN_SEQUENTIAL packets came in order.
    Spec: RFC 3550 A.1, A.3.
    """

    _max_sequence: int = 0
    _cycles: int = 0
    _base: int = 0
    _bad: int | None = None
    _probation: int = MIN_SEQUENTIAL
    _started: bool = False
    received: int = 0
    _expected_prior: int = 0
    _received_prior: int = 0

    def receive(self, sequence_number: int) -> bool:
        """Take one packet; return whether it counts (false: on probation, or far out of order)."""
        if not self._started:
            self._started = True
            self._restart(sequence_number)
            self._max_sequence = (sequence_number - 1) % SEQUENCE_MODULUS
        delta = (sequence_number - self._max_sequence) % SEQUENCE_MODULUS
        if self._probation:
            return self._prove(sequence_number, in_order=delta == 1)
        if delta < MAX_DROPOUT:
            if sequence_number < self._max_sequence:
                self._cycles += SEQUENCE_MODULUS
            self._max_sequence = sequence_number
        elif delta <= SEQUENCE_MODULUS - MAX_MISORDER:
            if sequence_number != self._bad:
                self._bad = (sequence_number + 1) % SEQUENCE_MODULUS
                return False
            # Two in a row at the far place: the source was restarted without telling (A.1).
            self._restart(sequence_number)
        self.received += 1
        return True

    def _prove(self, sequence_number: int, *, in_order: bool) -> bool:
        self._probation = self._probation - 1 if in_order else MIN_SEQUENTIAL - 1
        self._max_sequence = sequence_number
        if self._probation:
            return False
        self._restart(sequence_number)
        self.received = 1
        return True

    def _restart(self, sequence_number: int) -> None:
        self._base = self._max_sequence = sequence_number
        self._cycles = self.received = 0
        self._bad = None
        self._expected_prior = self._received_prior = 0

    @property
    def expected(self) -> int:
        """Packets the source has sent, by its numbers (A.3); 0 before it is proven."""
        return 0 if self._probation else self._cycles + self._max_sequence - self._base + 1

    @property
    def lost(self) -> int:
        """Cumulative loss (A.3); negative where packets came twice."""
        return self.expected - self.received

    def fraction_lost(self) -> float:
        """Return the share lost since the last call of this method, 0 to 1; never negative (A.3)."""
        expected, received = self.expected - self._expected_prior, self.received - self._received_prior
        self._expected_prior, self._received_prior = self.expected, self.received
        return max(0.0, (expected - received) / expected) if expected > 0 else 0.0


@dataclass(slots=True)
class InterarrivalJitter:
    """The running estimate of the jitter of one source. Spec: RFC 3550 §6.4.1, A.8 (its floating-point form)."""

    clock_rate_hz: int
    _transit: float | None = None
    _jitter: float = 0.0

    def receive(self, arrival_s: float, rtp_timestamp: int) -> float:
        """Take one packet and return the estimate in milliseconds.

        arrival_s: any clock that does not jump; rtp_timestamp modulo 2^32.
        """
        transit = (arrival_s * self.clock_rate_hz - rtp_timestamp) % TIMESTAMP_MODULUS
        if self._transit is not None:
            difference = abs(transit - self._transit)
            # The clock wraps: the short way round is the difference.
            difference = min(difference, TIMESTAMP_MODULUS - difference)
            self._jitter += (difference - self._jitter) / 16
        self._transit = transit
        return self.jitter_ms

    @property
    def jitter_ms(self) -> float:
        """The estimate now."""
        return self._jitter / self.clock_rate_hz * 1000
