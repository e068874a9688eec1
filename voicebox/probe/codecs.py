"""The codecs that a probe can speak, and what the E-model knows of them. Pure.

G.711 has ITU-T's values (G.113 Appendix I, with concealment), G.722 that without loss (G.113 Appendix IV). What loss costs G.722 is taken to be what it costs
G.711 without concealment, as the worst case, because no value of it was at hand. For Opus the ITU has none: its values are a published fit to measurements by
instruments (M. Alahmadi, OpusEModel.js, MIT licence; constant bit rate, superwideband), of the nearest rate that was fitted. Whatever is printed says so.
Spec: ITU-T G.113 Appendices I and IV; G.711 Appendix I; PROTOCOL.md §9.3.
"""

from __future__ import annotations

from enum import Enum, unique

from voicebox.b2bua.events import Codec
from voicebox.probe.emodel import Rating, Scale, rate

FRAME_MS = 20
OPUS_LOOK_AHEAD_MS = 6.5
"""RFC 6716 §2.1.1: what an encoder looks ahead at 48 kHz, as libopus has it."""
_OPUS_FIT = "a published fit, not ITU's"
_PAYLOAD_TYPES = {Codec.OPUS: 96, Codec.PCMA: 8, Codec.G722: 9}
_OPUS_FIRST_OCTET = 0xF8
"""RFC 6716 §3.1: CELT, fullband, 20 ms, mono, one frame in the packet."""


@unique
class ProbeCodec(Enum):
    """By the name on the command line. frame_octets: of 20 ms; source: where the values come from, in words for whoever reads a figure."""

    OPUS24 = ("opus24", Codec.OPUS, 60, Scale.FULLBAND, 22.6, 10.6, f"Opus at 25 kbit/s: {_OPUS_FIT}")
    OPUS32 = ("opus32", Codec.OPUS, 80, Scale.FULLBAND, 21.7, 11.5, f"Opus at 31 kbit/s: {_OPUS_FIT}")
    PCMA = ("pcma", Codec.PCMA, 160, Scale.NARROWBAND, 0.0, 25.1, "ITU-T G.113")
    G722 = ("g722", Codec.G722, 160, Scale.WIDEBAND, 13.0, 4.3, "ITU-T G.113, of loss those of G.711 without concealment, not ITU's")

    def __init__(self, word: str, codec: Codec, frame_octets: int, scale: Scale, ie: float, bpl: float, source: str) -> None:
        self.word, self.codec, self.frame_octets, self.scale, self.ie, self.bpl, self.source = word, codec, frame_octets, scale, ie, bpl, source

    @property
    def look_ahead_ms(self) -> float:
        """How long an encoder waits for what comes after a frame."""
        return OPUS_LOOK_AHEAD_MS if self.codec is Codec.OPUS else 0.0

    def mouth_to_ear_ms(self, one_way_ms: float, buffer_ms: float) -> float:
        """Return the delay that people notice, without sound devices: of the way, a phone's buffer and the codec."""
        return one_way_ms + buffer_ms + FRAME_MS + self.look_ahead_ms

    @property
    def clock_rate_hz(self) -> int:
        """The clock of RTP timestamps."""
        return 48_000 if self.codec is Codec.OPUS else 8_000

    @property
    def frame_ticks(self) -> int:
        """How far the RTP timestamp goes in a frame."""
        return self.clock_rate_hz * FRAME_MS // 1000

    @property
    def payload_type(self) -> int:
        """Of RTP between the box and its own end of a probe."""
        return _PAYLOAD_TYPES[self.codec]

    @property
    def first_octet(self) -> bytes:
        """What a frame has to begin with, so that it could be one."""
        return bytes([_OPUS_FIRST_OCTET]) if self.codec is Codec.OPUS else b""

    def rate(self, loss_pct: float, delay_ms: float, burst_ratio: float = 1.0) -> Rating:
        """Return the rating on the codec's own scale; loss_pct: with what comes too late; delay_ms: mouth to ear."""
        return rate(self.scale, self.ie, self.bpl, loss_pct, delay_ms, burst_ratio)


def codec_of(word: str) -> ProbeCodec:
    """Return the codec of a name. Raises ValueError for any other."""
    for codec in ProbeCodec:
        if codec.word == word:
            return codec
    raise ValueError("a probe does not speak this codec")


def as_g711(loss_pct: float, delay_ms: float, burst_ratio: float = 1.0) -> Rating:
    """Return how the same network would carry G.711 with concealment: the classical narrowband figure."""
    return ProbeCodec.PCMA.rate(loss_pct, delay_ms, burst_ratio)
