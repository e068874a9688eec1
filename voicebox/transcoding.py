"""Converts the sound of one call from one codec to another and back: a process of its own beside the box. [io]

    engine's port, phone's codec  <-- RTP over loopback -->  this process  <-- RTP over loopback -->  engine's port, call's codec

A packet that comes leaves as one packet with the same number, so that what was lost stays a gap, which the phone conceals. Nothing waits here: what comes faster than
it is worked off is dropped by the system, whose buffers are the only queue. It knows two sockets, which its starter has bound and connected, and neither phone, box nor key.

This file runs by itself, without the package: `python -I transcoding.py CODEC DESCRIPTOR CODEC DESCRIPTOR` (transcoder.py starts it), codecs by their names in SDP, in
small letters; it ends when its standard input does. Spec: RFC 3550 §5.1; RFC 3551 §4.5.2, RFC 7587 §4.1 (clocks). Not here: RTCP, which ends at the engine's ports.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
from dataclasses import dataclass, field
from fractions import Fraction

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.fifo import AudioFifo
from av.audio.resampler import AudioResampler

FRAME_MS = 20
RTP_HEADER_OCTETS = 12
MAX_DATAGRAM_OCTETS = 2_048
BUFFER_OCTETS = 16_384
"""Of each socket: a fraction of a second of sound."""
PAYLOAD_TYPE = 96
HEAD_START_MS = 4
"""Silence ahead of the sound, so that a frame is complete when its packet comes: a resampler is late by less."""


@dataclass(frozen=True)
class Format:
    """A codec. clock_rate_hz: of its RTP timestamps; frame_octets: of 20 ms."""

    encoder: str
    sample_rate_hz: int
    clock_rate_hz: int
    frame_octets: int
    options: dict[str, str] = field(default_factory=dict)


OPUS_BIT_RATE = 24_000
FORMATS = {
    "opus": Format("libopus", 48_000, 48_000, OPUS_BIT_RATE * FRAME_MS // 8_000, {"application": "voip", "vbr": "off", "frame_duration": str(FRAME_MS)}),
    "g722": Format("g722", 16_000, 8_000, 160),
    "pcma": Format("pcm_alaw", 8_000, 8_000, 160),
    "pcmu": Format("pcm_mulaw", 8_000, 8_000, 160),
}


class Conversion:
    """One direction: frames of one codec to frames of another, one for one."""

    def __init__(self, source: str, target: str) -> None:
        have, want = FORMATS[source], FORMATS[target]
        self._decoder = _context(have, "r")
        self._encoder = _context(want, "w")
        self._rate_hz = want.sample_rate_hz
        self._resampler = AudioResampler(format="s16", layout="mono", rate=want.sample_rate_hz)
        self._fifo = AudioFifo()
        self._samples = want.sample_rate_hz * FRAME_MS // 1000
        self._said = 0
        self._fifo.write(_silence(want.sample_rate_hz, HEAD_START_MS))

    def convert(self, frame: bytes) -> bytes | None:
        """Return the frame that a frame completes; None where it cannot be decoded, or the beginning is not long enough."""
        with contextlib.suppress(av.error.FFmpegError):
            for decoded in self._decoder.decode(av.Packet(frame)):
                decoded.pts = None
                for piece in self._resampler.resample(decoded):
                    piece.pts = None
                    self._fifo.write(piece)
        sound = self._fifo.read(self._samples)
        if sound is None:
            return None
        sound.pts, sound.time_base, sound.sample_rate = self._said, Fraction(1, self._rate_hz), self._rate_hz
        self._said += self._samples
        if self._fifo.samples >= self._samples:
            self._fifo.read(self._samples)  # a decoder that gave more than it got: nothing waits here
        return b"".join(bytes(packet) for packet in self._encoder.encode(sound)) or None


def _context(wanted: Format, mode: str) -> AudioCodecContext:
    context = AudioCodecContext.create(wanted.encoder, mode)  # type: ignore[call-overload]  # its types know the two modes apart only
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = wanted.sample_rate_hz, "mono"
    if mode == "w":
        context.format, context.time_base = "s16", Fraction(1, wanted.sample_rate_hz)
        if wanted.options:
            context.options, context.bit_rate = dict(wanted.options), OPUS_BIT_RATE
    return context


def _silence(rate_hz: int, length_ms: int) -> av.AudioFrame:
    frame = av.AudioFrame(format="s16", layout="mono", samples=rate_hz * length_ms // 1000)
    frame.sample_rate = rate_hz
    frame.planes[0].update(bytes(frame.planes[0].buffer_size))
    return frame


class Direction:
    """One direction as RTP."""

    def __init__(self, source: str, target: str) -> None:
        self._conversion = Conversion(source, target)
        self._clocks = FORMATS[source].clock_rate_hz, FORMATS[target].clock_rate_hz

    def packet(self, datagram: bytes) -> bytes | None:
        """Return the RTP packet to send for one that came, with its number; None for anything else."""
        if len(datagram) <= RTP_HEADER_OCTETS or datagram[0] != 0x80 or datagram[1] & 0x7F != PAYLOAD_TYPE:
            return None
        sequence_number, timestamp, ssrc = struct.unpack_from("!HII", datagram, 2)
        frame = self._conversion.convert(datagram[RTP_HEADER_OCTETS:])
        if frame is None:
            return None
        # Its receiver places packets by their numbers; the timestamp goes on at the right rate, though it begins anew where the other one wraps.
        here, there = self._clocks
        return struct.pack("!BBHII", 0x80, datagram[1], sequence_number, timestamp * there // here % 2**32, ssrc) + frame


def pump(codecs: tuple[str, str], sockets: tuple[socket.socket, socket.socket]) -> None:
    """Convert what comes at either socket and send it at the other, until standard input ends."""
    selector = selectors.DefaultSelector()
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    for here, there in ((0, 1), (1, 0)):
        sockets[here].setblocking(False)
        sockets[here].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER_OCTETS)
        selector.register(sockets[here], selectors.EVENT_READ, (Direction(codecs[here], codecs[there]), sockets[here], sockets[there]))
    while True:
        for key, _ in selector.select():
            if key.data is None:
                return
            direction, source, target = key.data
            # An ICMP error of a port that is just closing is told by either call, and is nothing.
            with contextlib.suppress(OSError):
                packet = direction.packet(source.recv(MAX_DATAGRAM_OCTETS))
                if packet is not None:
                    target.send(packet)


if __name__ == "__main__":
    FIRST, FIRST_DESCRIPTOR, SECOND, SECOND_DESCRIPTOR = sys.argv[1:]
    pump((FIRST, SECOND), (socket.socket(fileno=int(FIRST_DESCRIPTOR)), socket.socket(fileno=int(SECOND_DESCRIPTOR))))
