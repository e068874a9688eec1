"""Speech in the frames of a probe: sent as a phone would, collected where it is heard, in order and with holes where nothing came. Pure.

NOT here: where frames of speech come from, and how they are scored (demo/speech_frames.py, demo/score.py: codecs and models, in processes of their own).
Spec: RFC 3550 §5.1; PROTOCOL.md §9.9.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence

from voicebox.errors import UsageError
from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.rtpstats import TIMESTAMP_MODULUS, parse_rtp

SPEECH_S = 8
"""Scored; two pieces of the four seconds that the measure likes."""
SPEECH_FRAMES = SPEECH_S * 1000 // FRAME_MS
AFTER_US = 1_000_000
"""So much later than its turn a frame may come."""


class HeardSpeech:
    """The frames of one stream, from the first that came on; what is later than SPEECH_FRAMES is passed over."""

    def __init__(self, codec: ProbeCodec) -> None:
        self._codec = codec
        self._first: tuple[int, int, int] | None = None
        self._frames: dict[int, bytes] = {}

    def receive(self, datagram: bytes, now_us: int) -> None:
        """Take RTP of the box; what is none, or of another stream, is passed over."""
        packet = parse_rtp(datagram)
        if packet is None or packet.payload_type != self._codec.payload_type or not packet.payload:
            return
        if self._first is None:
            self._first = (packet.rtp_timestamp, packet.ssrc, now_us)
        first, ssrc, _ = self._first
        place = (packet.rtp_timestamp - first) % TIMESTAMP_MODULUS // self._codec.frame_ticks
        if packet.ssrc == ssrc and place < SPEECH_FRAMES:
            self._frames.setdefault(place, packet.payload)

    def whole(self, now_us: int) -> bool:
        """Return whether nothing more can come in time."""
        return self._first is not None and now_us - self._first[2] >= SPEECH_FRAMES * FRAME_MS * 1000 + AFTER_US

    def frames(self) -> list[bytes | None]:
        """Return the frames in order, None where one did not come."""
        return [self._frames.get(place) for place in range(SPEECH_FRAMES)]


def pack_frames(frames: Sequence[bytes | None]) -> bytes:
    """Return frames as they are handed to a scoring process: length u16 and octets of each, length 0 for one that is missing."""
    return b"".join(len(frame or b"").to_bytes(2, "big") + (frame or b"") for frame in frames)


def unpack_frames(octets: bytes) -> list[bytes | None]:
    """Read what pack_frames() wrote. Raises ValueError for anything else."""
    frames: list[bytes | None] = []
    place = 0
    while place < len(octets):
        length = int.from_bytes(octets[place : place + 2], "big")
        frame = octets[place + 2 : place + 2 + length]
        if place + 2 > len(octets) or len(frame) != length:
            raise ValueError("these are no frames")
        frames.append(frame or None)
        place += 2 + length
    return frames


def unpacked_speech(packed: object) -> list[bytes]:
    """Return the frames that came as base64 of packed ones; none where nothing came. Raises UsageError."""
    if packed is None:
        return []
    try:
        frames = unpack_frames(base64.b64decode(str(packed), validate=True))
    except ValueError:
        frames = [None]
    whole = [frame for frame in frames if frame is not None]
    if len(whole) != len(frames):
        raise UsageError("The speech is not in frames.")
    return whole
