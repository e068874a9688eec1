"""Codec frames to sound, with a plain concealment of what is missing, and resampling. Pure; on PyAV.

Concealment is the same for every codec, and plain on purpose: the last frame once more at half the level, each time again,
then silence. Neither side of a comparison gets a better one. Opus is decoded by FFmpeg's libopus wrapper, which conceals nothing itself.
"""

from __future__ import annotations

import contextlib
from array import array
from collections.abc import Callable, Iterable
from fractions import Fraction

import av
import av.error
from av.audio.codeccontext import AudioCodecContext
from av.audio.resampler import AudioResampler

from voicebox.errors import UsageError

FRAME_MS = 20
RATES_HZ = {"pcma": 8000, "pcmu": 8000, "g722": 16000, "opus": 48000}
AV_NAMES = {"pcma": "pcm_alaw", "pcmu": "pcm_mulaw", "g722": "g722", "opus": "libopus"}
G711 = frozenset({"pcma", "pcmu"})
MAX_CONCEALED_FRAMES = 5
"""100 ms: what is repeated for longer is a hum, no speech."""


def decode_frames(frames: Iterable[bytes | None], codec: str) -> array[int]:
    """Return the sound of 20 ms frames in order, None where one is missing. samples: int16[n], mono, at RATES_HZ[codec].

    A frame that cannot be decoded counts as missing.
    """
    if codec not in RATES_HZ:
        raise UsageError(f"no decoder for {codec!r}")
    decode = _g711_decoder(codec) if codec in G711 else _running_decoder(codec)
    samples_per_frame = RATES_HZ[codec] * FRAME_MS // 1000
    silence = array("h", bytes(2 * samples_per_frame))
    last, missing = silence, MAX_CONCEALED_FRAMES
    out = array("h")
    for frame in frames:
        sound = decode(frame) if frame is not None else None
        if sound is not None and len(sound) == samples_per_frame:
            last, missing = sound, 0
        else:
            missing += 1
            last = array("h", (sample // 2 for sample in last)) if missing <= MAX_CONCEALED_FRAMES else silence
        out.extend(last)
    return out


def _g711_decoder(codec: str) -> Callable[[bytes], array[int] | None]:
    # One octet is one sample: the table of all 256 is the whole decoder.
    context = AudioCodecContext.create(AV_NAMES[codec], "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = RATES_HZ[codec], "mono"
    table = array("h", b"".join(bytes(frame.planes[0])[: 2 * frame.samples] for frame in context.decode(av.Packet(bytes(range(256))))))
    return lambda octets: array("h", (table[octet] for octet in octets))


def _running_decoder(codec: str) -> Callable[[bytes], array[int] | None]:
    """Return a decoder that goes on from frame to frame."""
    context = AudioCodecContext.create(AV_NAMES[codec], "r")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout = RATES_HZ[codec], "mono"
    mono = AudioResampler(format="s16", layout="mono", rate=RATES_HZ[codec])

    def decode(octets: bytes) -> array[int] | None:
        out = array("h")
        with contextlib.suppress(av.error.FFmpegError):
            for decoded in context.decode(av.Packet(octets)):
                decoded.pts = None
                for frame in mono.resample(decoded):
                    out.frombytes(bytes(frame.planes[0])[: 2 * frame.samples])
        return out or None

    return decode


def resample(samples: array[int], from_hz: int, to_hz: int) -> array[int]:
    """Return the same sound at another rate. samples: int16[n], mono."""
    if from_hz == to_hz:
        return samples
    resampler = AudioResampler(format="s16", layout="mono", rate=to_hz)
    out = array("h")
    step = from_hz  # a second at a time
    for start in range(0, len(samples), step):
        piece = samples[start : start + step]
        frame = av.AudioFrame(format="s16", layout="mono", samples=len(piece))
        frame.sample_rate, frame.time_base, frame.pts = from_hz, Fraction(1, from_hz), start
        frame.planes[0].update(piece.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
        for done in resampler.resample(frame):
            out.frombytes(bytes(done.planes[0])[: 2 * done.samples])
    for done in resampler.resample(None):
        out.frombytes(bytes(done.planes[0])[: 2 * done.samples])
    return out
