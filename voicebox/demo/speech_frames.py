"""Recorded speech as frames of a probe's codec, as a phone would send it. [io: the recordings] On PyAV, whose libopus encodes at constant rate."""

from __future__ import annotations

from array import array

import av
from av.audio.codeccontext import AudioCodecContext

from voicebox.b2bua.events import Codec
from voicebox.demo.codec import AV_NAMES, RATES_HZ, resample
from voicebox.demo.speech import SPEECH_RATE_HZ, speech_samples
from voicebox.errors import HostError
from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.prober import SCORED_AS
from voicebox.probe.speech import SPEECH_S

MARGIN_S = 2
"""More speech than is scored, for what is said before the other end hears."""


def recorded_frames(codec: ProbeCodec) -> list[bytes]:
    """Return frames of recorded speech. Raises HostError where it is not installed."""
    return encode_frames(speech_samples(0, SPEECH_S + MARGIN_S), SPEECH_RATE_HZ, codec)


def encode_frames(samples: array[int], rate_hz: int, codec: ProbeCodec) -> list[bytes]:
    """Return the frames of some sound, each of the codec's length; what is less than a frame at the end is left out. samples: int16[n], mono."""
    name = SCORED_AS[codec.codec]
    at_rate = resample(samples, rate_hz, RATES_HZ[name])
    step = RATES_HZ[name] * FRAME_MS // 1000
    context = AudioCodecContext.create(AV_NAMES[name], "w")
    assert isinstance(context, AudioCodecContext)
    context.sample_rate, context.layout, context.format = RATES_HZ[name], "mono", "s16"
    if codec.codec is Codec.OPUS:
        context.bit_rate = codec.frame_octets * 8 * 1000 // FRAME_MS
        context.options = {"vbr": "off", "application": "voip", "frame_duration": str(FRAME_MS)}
    frames = []
    for start in range(0, len(at_rate) - step + 1, step):
        frame = av.AudioFrame(format="s16", layout="mono", samples=step)
        frame.sample_rate, frame.pts = RATES_HZ[name], start
        frame.planes[0].update(at_rate[start : start + step].tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
        frames += [bytes(packet) for packet in context.encode(frame)]
    if not frames or any(len(frame) != codec.frame_octets for frame in frames):
        raise HostError("the codec library of this machine does not make frames of the length that was asked for")
    return frames
