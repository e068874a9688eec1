"""Speech of a probe is encoded, and scored by a process of its own: what was lost is heard in the score. Needs the extra and the recordings."""

from __future__ import annotations

import random
from array import array

import pytest

from voicebox.b2bua.events import NO_SCORE
from voicebox.demo.codec import RATES_HZ, decode_frames
from voicebox.demo.quality import available, drop_frames, pesq_installed, score_pesq
from voicebox.demo.speech_frames import encode_frames, recorded_frames
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.prober import SCORED_AS
from voicebox.probe.prober import score as score_apart
from voicebox.probe.speech import SPEECH_FRAMES, pack_frames

pytestmark = [pytest.mark.system, pytest.mark.skipif(not available(), reason="the extra `quality` is not installed")]
PATIENCE_S = 120.0
"""On a machine with much other work a model is loaded slowly."""


async def score(packed: bytes, codec: str, within_s: float = PATIENCE_S) -> int:
    return (await score_apart(packed, codec, within_s)).hundredths


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


@pytest.mark.parametrize("codec", [ProbeCodec.PCMA, ProbeCodec.OPUS24], ids=lambda codec: str(codec.word))
async def test_speech_that_is_clipped_scores_less_and_of_another_length_scores_too(codec: ProbeCodec) -> None:
    frames = recorded_frames(codec)[:SPEECH_FRAMES]
    name = SCORED_AS[codec.codec]
    loud = array("h", (max(-32768, min(32767, 60 * sample)) for sample in decode_frames(frames, name)))
    clipped = encode_frames(loud, RATES_HZ[name], codec)
    whole, spoilt, short = [await score(pack_frames(each), name, PATIENCE_S) for each in (frames, clipped, frames[100:130])]
    print(f"{codec.word}: {whole}, clipped {spoilt}, 0.6 s {short}")
    assert 100 <= spoilt < whole
    assert short == NO_SCORE or 100 <= short <= 500
    assert await score(b"", name) == NO_SCORE
    long = await score(pack_frames(frames * 3), name, PATIENCE_S)
    assert long == NO_SCORE or abs(long - whole) < 50, "what is longer than a probe's speech is cut, and read as far as it goes"


@pytest.mark.skipif(not pesq_installed(), reason="pesq is not installed: its licence keeps it from being part of this")
def test_pesq_and_the_e_model_agree_up_to_one_percent_and_fall_in_the_same_order() -> None:
    codec, losses = ProbeCodec.PCMA, (0.0, 0.005, 0.01, 0.02, 0.05, 0.10)
    frames: list[bytes | None] = list(recorded_frames(codec)[:SPEECH_FRAMES])
    reference = decode_frames(frames, "pcma")
    found = []
    for loss in losses:
        lossy = [decode_frames(drop_frames(frames, loss, seed), "pcma") for seed in range(4 if loss else 1)]
        scores = score_pesq(reference, lossy, RATES_HZ["pcma"])
        found.append((loss, sum(scores) / len(scores), codec.rate(100 * loss, 0).mos))
    print(found)
    assert all(abs(pesq - mos) <= 0.5 for loss, pesq, mos in found if loss <= 0.01)
    for place in (1, 2):
        assert [each[place] for each in found] == sorted((each[place] for each in found), reverse=True)
