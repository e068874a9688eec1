"""Speech compared with what was sent: where it begins is found again, and PESQ and STOI, where the user has installed them, fall with loss."""

from __future__ import annotations

import random

import pytest

from voicebox.b2bua.events import NO_SCORE
from voicebox.demo.quality import drop_frames, pesq_installed, stoi_installed
from voicebox.demo.score import compared, sent_frames
from voicebox.demo.speech_frames import recorded_frames
from voicebox.errors import HostError
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.prober import SCORED_AS
from voicebox.probe.speech import SPEECH_FRAMES, pack_frames


def heard_from(codec: ProbeCodec, begin: int, share: float = 0.0) -> list[bytes | None]:
    frames = recorded_frames(codec)
    cycle: list[bytes | None] = [frames[(begin + place) % len(frames)] for place in range(SPEECH_FRAMES)]
    return drop_frames(cycle, share, seed=1)


@pytest.mark.parametrize("codec", ProbeCodec, ids=lambda codec: str(codec.word))
def test_what_was_sent_is_found_again_whatever_was_lost(codec: ProbeCodec) -> None:
    name = SCORED_AS[codec.codec]
    for begin, share in ((0, 0.0), (137, 0.3), (480, 0.1)):
        assert sent_frames(heard_from(codec, begin, share), name) == heard_from(codec, begin)


def test_other_sound_is_compared_with_nothing() -> None:
    chance = random.Random(2)
    noise: list[bytes | None] = [chance.randbytes(160) for _ in range(SPEECH_FRAMES)]
    half: list[bytes | None] = [frame if place % 3 else chance.randbytes(160) for place, frame in enumerate(noise)]
    for heard in (noise, half, [None] * SPEECH_FRAMES, [], [b"x"] * 5):
        assert sent_frames(heard, "pcma") is None
        assert compared(pack_frames(heard), "pcma") == (NO_SCORE, NO_SCORE)


def test_where_the_recordings_are_not_installed_there_is_nothing_to_compare_with(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = heard_from(ProbeCodec.PCMA, 0)

    def missing(_codec: ProbeCodec) -> list[bytes]:
        raise HostError("recorded speech is not installed")

    monkeypatch.setattr("voicebox.demo.score.recorded_frames", missing)
    monkeypatch.setattr("voicebox.demo.score.pesq_installed", lambda: True)
    assert compared(pack_frames(heard), "pcma") == (NO_SCORE, NO_SCORE), "the score of the sound by itself is told all the same"


@pytest.mark.skipif(not (pesq_installed() or stoi_installed()), reason="neither pesq nor pystoi is installed: the user may install them")
@pytest.mark.parametrize("codec", [ProbeCodec.PCMA, ProbeCodec.OPUS24], ids=lambda codec: str(codec.word))
def test_scores_by_comparison_fall_with_loss(codec: ProbeCodec) -> None:
    found = [compared(pack_frames(heard_from(codec, 137, share)), SCORED_AS[codec.codec]) for share in (0.0, 0.02, 0.10)]
    print(found)
    for place, installed in enumerate((pesq_installed(), stoi_installed())):
        scores = [each[place] for each in found]
        assert scores == sorted(scores, reverse=True)
        assert (scores[0] > scores[-1] > 0) if installed else scores == [NO_SCORE] * 3
