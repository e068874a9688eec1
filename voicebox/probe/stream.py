"""The sound of one end of a probe: makes the RTP that a phone would, hears the other end's, and knows when each of its frames came. Pure: takes `now_us`.

 1. next_us says when the next frame is due; send(now_us) returns its RTP.
 2. receive(datagram, now_us) takes what the box hands to its phone.
 3. final(now_us) says how many frames are decided: they came, or will not in time. arrivals() returns what became of them.

A frame without readable numbers was heard from a coarse copy: its place follows from its timestamp and its neighbour's. NOT here: sockets (prober.py),
calls (ends.py). Spec: RFC 3550 §5.1; PROTOCOL.md §9.4, §9.9.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voicebox.b2bua.events import LOST, MAX_ARRIVALS, MENDED, Arrivals
from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.figures import Trace
from voicebox.probe.frames import CLOCK_MODULUS, ProbeFrame, parse_frame, serialise_frame
from voicebox.probe.rtpstats import SEQUENCE_MODULUS, TIMESTAMP_MODULUS, RtpPacket, parse_rtp, serialise_rtp

FRAME_US = FRAME_MS * 1000
MAX_FRAMES = 400 * 1000 // FRAME_MS
"""Of the longest probe, and what is under way when it ends; what comes later is of the tail, and nobody looks at it."""
NEVER_US = 1 << 62
LATE_FRAMES = 50
"""A frame that is so far behind the latest one, or came so much later, is of no use to anybody."""
SILENT_FRAMES = 100
"""So many frames are taken to be under way where nothing comes."""
CATCH_UP_FRAMES = 3
"""What a box lets wait (PROTOCOL.md §9.4); a phone that stood still for longer has lost the sound of that time."""
LATE_SEND_US = 10_000
UNIT_US = 100
BASE_UNITS = 10_000
"""Arrivals are told in tenths of a millisecond above one second less than the first took."""


@dataclass(frozen=True, slots=True)
class _Anchor:
    """The latest frame whose numbers could be read."""

    number: int
    rtp_timestamp: int
    sent_us: int


class ProbeStream:
    """One end. random_number(bits): for the numbers that RTP begins with; follows: whether frames are as long as those of the other end, which knows the rate;
    speech: frames of the codec to send over and over in the place of numbers.
    """

    def __init__(self, codec: ProbeCodec, now_us: int, random_number: Callable[[int], int], *, follows: bool = False, speech: Sequence[bytes] = ()) -> None:
        self._codec, self._follows, self._octets, self._speech = codec, follows, codec.frame_octets, speech
        self._ssrc, self._timestamp, self._sequence = random_number(32), random_number(32), random_number(16)
        # Nobody is told what time this machine has.
        self._shift_us = random_number(32)
        self.sent = self.late_sends = 0
        self.next_us = now_us
        self._latest: tuple[int, int] | None = None
        self._anchor: _Anchor | None = None
        self._first: tuple[int, int, int] | None = None
        self._highest = -1
        self._arrived: dict[int, int] = {}
        self._mended: dict[int, int] = {}
        self.round_trips_ms: list[float] = []

    # ------------------------------------------------------------------------------------------------------------- sending

    def send(self, now_us: int) -> list[bytes]:
        """Return the RTP of the frames that are due."""
        behind = (now_us - self.next_us) // FRAME_US
        if behind >= CATCH_UP_FRAMES:
            self.next_us += (behind - CATCH_UP_FRAMES + 1) * FRAME_US
        if now_us - self.next_us > LATE_SEND_US:
            self.late_sends += 1
        out = []
        while self.next_us <= now_us:
            out.append(self._next_packet(now_us))
            self.next_us += FRAME_US
        return out

    def _next_packet(self, now_us: int) -> bytes:
        echoed, came_us = self._latest or (0, now_us)
        frame = ProbeFrame(self.sent, (now_us + self._shift_us) % CLOCK_MODULUS, echoed, now_us - came_us)
        packet = RtpPacket(
            self._codec.payload_type,
            self.sent == 0,
            (self._sequence + self.sent) % SEQUENCE_MODULUS,
            (self._timestamp + self.sent * self._codec.frame_ticks) % TIMESTAMP_MODULUS,
            self._ssrc,
            self._speech[self.sent % len(self._speech)] if self._speech else serialise_frame(frame, self._codec, self._octets),
        )
        self.sent += 1
        return serialise_rtp(packet)

    # ------------------------------------------------------------------------------------------------------------ receiving

    def receive(self, datagram: bytes, now_us: int) -> None:
        """Take a datagram of the box; what is no RTP of the codec is passed over."""
        packet = parse_rtp(datagram)
        if packet is None or packet.payload_type != self._codec.payload_type:
            return
        frame = parse_frame(packet.payload, self._codec)
        if frame is None:
            self._take_mended(packet.rtp_timestamp, now_us)
        elif frame.number < MAX_FRAMES:
            if self._follows:
                self._octets = len(packet.payload)
            self._take(frame, packet.rtp_timestamp, now_us)

    def _take(self, frame: ProbeFrame, rtp_timestamp: int, now_us: int) -> None:
        if self._first is None:
            self._first = (frame.number, now_us, (now_us - frame.sent_us) % CLOCK_MODULUS)
        self._anchor = _Anchor(frame.number, rtp_timestamp, frame.sent_us)
        self._highest = max(self._highest, frame.number)
        self._arrived.setdefault(frame.number, (now_us - frame.sent_us) % CLOCK_MODULUS)
        if self._latest is None or (frame.sent_us - self._latest[0]) % CLOCK_MODULUS < CLOCK_MODULUS // 2:
            self._latest = (frame.sent_us, now_us)
        trip_us = (now_us + self._shift_us - frame.echoed_us) % CLOCK_MODULUS - frame.held_us
        if frame.echoed_us and trip_us >= 0 and len(self.round_trips_ms) < MAX_FRAMES:
            self.round_trips_ms.append(trip_us / 1000)

    def _take_mended(self, rtp_timestamp: int, now_us: int) -> None:
        """Take a frame whose own octets were lost. How many frames were left out between its neighbour and itself is not known, and seldom any was."""
        if self._anchor is None:
            return
        further = (
            (rtp_timestamp - self._anchor.rtp_timestamp + TIMESTAMP_MODULUS // 2) % TIMESTAMP_MODULUS - TIMESTAMP_MODULUS // 2
        ) // self._codec.frame_ticks
        number = self._anchor.number + further
        if 0 <= number < MAX_FRAMES:
            self._mended.setdefault(number, (now_us - self._anchor.sent_us - further * FRAME_US) % CLOCK_MODULUS)
            self._highest = max(self._highest, number)

    def final(self, now_us: int) -> int:
        """Return how many frames are decided, counted from the first that came: by the latest, or by the time where nothing comes."""
        if self._first is None:
            return 0
        number, came_us, _ = self._first
        by_time = number + (now_us - came_us) // FRAME_US - SILENT_FRAMES
        return max(0, min(MAX_FRAMES, max(self._highest - LATE_FRAMES, by_time)) - number)

    def arrivals(self, begin: int, end: int) -> Arrivals:
        """Return what became of the frames between two places, counted from the first that came, as it is told to the other end; at most MAX_ARRIVALS."""
        assert self._first is not None
        first, base = self._first[0], self._first[2]
        return Arrivals(first + begin, tuple(self._units(first + place, base) for place in range(begin, min(end, begin + MAX_ARRIVALS))))

    def _units(self, number: int, base: int) -> int:
        transit = self._arrived.get(number, self._mended.get(number))
        if transit is None:
            return LOST
        above = (transit - base + CLOCK_MODULUS // 2) % CLOCK_MODULUS - CLOCK_MODULUS // 2
        units = above // UNIT_US + BASE_UNITS
        if not 0 <= units < MENDED or above > LATE_FRAMES * FRAME_US:
            return LOST
        return units if number in self._arrived else units + MENDED


class Collected:
    """What is known of one direction, from Arrivals that come in order; `first` and what follows it leave nothing out."""

    def __init__(self) -> None:
        self._first: int | None = None
        self._units: list[int] = []

    def __len__(self) -> int:
        return len(self._units)

    def take(self, arrivals: Arrivals) -> bool:
        """Take what comes next; False where it is not that, or more than there can be."""
        if self._first is None:
            self._first = arrivals.first
        if arrivals.first != self._first + len(self._units) or len(self._units) + len(arrivals.units) > MAX_FRAMES:
            return False
        self._units += arrivals.units
        return True

    def since(self, place: int) -> list[int]:
        """Return the units from a place on, as whoever draws asks for them."""
        return self._units[place:]


def trace_of(units: Sequence[int]) -> Trace:
    """Return the trace that told units stand for."""
    transits = tuple(None if unit == LOST else (unit % MENDED) * UNIT_US / 1000 for unit in units)
    return Trace(transits, sum(unit != LOST and unit >= MENDED for unit in units))
