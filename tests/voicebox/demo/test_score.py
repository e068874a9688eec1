"""Speech of a probe is encoded, and scored by a process of its own: what was lost is heard in the score. Needs the extra and the recordings."""

from __future__ import annotations

import random

import pytest

from voicebox.b2bua.events import NO_SCORE
from voicebox.demo.quality import available, drop_frames
from voicebox.demo.speech_frames import recorded_frames
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.prober import SCORED_AS, score
from voicebox.probe.speech import SPEECH_FRAMES, pack_frames

pytestmark = [pytest.mark.system, pytest.mark.skipif(not available(), reason="the extra `quality` is not installed")]
PATIENCE_S = 120.0
"""On a machine with much other work a model is loaded slowly."""


@pytest.mark.parametrize("codec", [ProbeCodec.PCMA, ProbeCodec.OPUS24], ids=lambda codec: str(codec.word))
async def test_scores_fall_as_more_is_lost(codec: ProbeCodec) -> None:
    frames = recorded_frames(codec)[:SPEECH_FRAMES]
    assert {len(frame) for frame in frames} == {codec.frame_octets}
    scores = [await score(pack_frames(drop_frames(frames, share, seed=1)), SCORED_AS[codec.codec], PATIENCE_S) for share in (0.0, 0.02, 0.10)]
    print(f"{codec.word}: {scores}")
    assert scores[0] > scores[1] > scores[2] > 100


async def test_silence_noise_of_no_codec_and_what_is_no_frames_have_no_score() -> None:
    silence = [b"\xd5" * 160] * SPEECH_FRAMES
    assert await score(pack_frames(silence), "pcma") == NO_SCORE
    noise = [random.Random(place).randbytes(60) for place in range(SPEECH_FRAMES)]
    assert 0 <= await score(pack_frames(noise), "opus") <= 500
    assert await score(b"\xff\xff", "pcma") == NO_SCORE
    assert await score(pack_frames(silence), "another") == NO_SCORE
