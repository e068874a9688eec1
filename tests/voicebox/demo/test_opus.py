"""Opus decoded as phones decode it: whole as PyAV has it, and what is missing concealed, better than plainly."""

from __future__ import annotations

import random
from array import array
from math import pi, sin

import pytest

from voicebox.demo import opus
from voicebox.demo.codec import decode_frames
from voicebox.demo.quality import rms
from voicebox.demo.speech_frames import encode_frames
from voicebox.probe.codecs import ProbeCodec

pytestmark = pytest.mark.skipif(not opus.available(), reason="there is no libopus")
SECONDS = 3


def frames_of_a_tone() -> list[bytes]:
    tone = array("h", (int(8_000 * sin(2 * pi * 220 * place / opus.RATE_HZ)) for place in range(SECONDS * opus.RATE_HZ)))
    return encode_frames(tone, opus.RATE_HZ, ProbeCodec.OPUS24)


def apart(one: array[int], other: array[int]) -> float:
    return rms([a - b for a, b in zip(one, other, strict=True)])


def test_frames_that_are_there_sound_as_in_pyav() -> None:
    frames = frames_of_a_tone()
    whole = opus.decode_concealing(frames)
    assert len(whole) == len(frames) * opus.FRAME_SAMPLES
    assert apart(whole, decode_frames(frames, "opus")) < 2, "rounding"


def test_what_is_missing_is_concealed_better_than_plainly() -> None:
    frames = frames_of_a_tone()
    lossy: list[bytes | None] = [None if place % 10 == 5 else frame for place, frame in enumerate(frames)]
    whole = opus.decode_concealing(frames)
    concealed, plain = apart(opus.decode_concealing(lossy), whole), apart(decode_frames(lossy, "opus"), whole)
    assert 0 < concealed < 0.7 * plain


def test_noise_of_any_length_and_nothing_at_all_are_sound_of_the_right_length() -> None:
    chance = random.Random(1)
    noise = [chance.randbytes(chance.randrange(0, 200)) for _ in range(50)]
    assert len(opus.decode_concealing(noise)) == 50 * opus.FRAME_SAMPLES
    assert set(opus.decode_concealing([None] * 5)) == {0}
    assert len(opus.decode_concealing([])) == 0
