"""Speech in a probe: what the other end hears of it, in order and with its holes, and the score that comes back."""

from __future__ import annotations

import random

import pytest

from tests.support.probes import Path, ProbePair
from voicebox.b2bua.events import NO_SCORE, Codec, Offer, Score
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import Outcome, Stage
from voicebox.probe.rtpstats import RtpPacket, serialise_rtp
from voicebox.probe.speech import SPEECH_FRAMES, HeardSpeech, pack_frames, unpack_frames

SPEECH = [random.Random(place).randbytes(60) for place in range(500)]


def speaking(loss: float = 0.0) -> ProbePair:
    pair = ProbePair(ProbeCodec.OPUS24, 8, Path(loss=loss), Path(), speech=SPEECH)
    pair.answer(Offer((Codec.OPUS,), probe=True, speech=True))
    return pair


@pytest.mark.parametrize("loss", [0.0, 0.05])
def test_speech_is_heard_as_it_was_sent_with_holes_where_it_was_lost(loss: float) -> None:
    pair = speaking(loss)
    pair.run(20, lambda: bool(pair.heard))
    (heard,) = pair.heard
    assert len(heard) == SPEECH_FRAMES
    begin = SPEECH.index(heard[0] or b"")
    assert all(frame in (None, SPEECH[(begin + place) % len(SPEECH)]) for place, frame in enumerate(heard))
    assert heard.count(None) == pytest.approx(loss * SPEECH_FRAMES, abs=12 if loss else 0)


@pytest.mark.parametrize("score", [Score(431), Score(431, 420, 97), Score(NO_SCORE)], ids=["4.31", "compared too", "none"])
def test_score_comes_back_once_and_the_call_goes_on_for_its_tail(score: Score) -> None:
    pair = speaking()
    pair.run(20, lambda: bool(pair.heard))
    assert pair.answering is not None
    pair.answering.scored(score)
    pair.run(1)
    assert (pair.callers.score, pair.callers.outcome, pair.callers.stage) == (score, Outcome.MEASURED, Stage.TAIL)
    pair.run(10)
    assert pair.callers.over
    assert pair.answering.over
    assert len(pair.heard) == 1


def test_score_that_never_comes_is_not_waited_for_without_end() -> None:
    pair = speaking()
    pair.run(120)
    assert pair.callers.over
    assert pair.callers.score is None


def test_score_that_nobody_asked_for_ends_it() -> None:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    pair.answer(Offer((Codec.OPUS,), probe=True))
    pair.run(3)
    pair.callers.handle_event(Score(500), pair.now_us)
    assert pair.callers.over
    assert pair.callers.score is None


def test_scores_have_bounds() -> None:
    for wrong in (1, 99, 501, -1):
        with pytest.raises(ValueError, match="no score"):
            Score(wrong)
    for wrong in (1, 99, 501, -1):
        with pytest.raises(ValueError, match="no score"):
            Score(431, wrong)
    for wrong in (-1, 101):
        with pytest.raises(ValueError, match="no score"):
            Score(431, 0, wrong)


def test_frames_are_packed_and_nothing_else_unpacks() -> None:
    frames: list[bytes | None] = [b"abc", None, b"x" * 160]
    assert unpack_frames(pack_frames(frames)) == frames
    assert unpack_frames(b"") == []
    for wrong in (b"\0", b"\0\3ab", b"\xff\xff"):
        with pytest.raises(ValueError, match="no frames"):
            unpack_frames(wrong)


def test_other_streams_and_garbage_are_passed_over() -> None:
    heard = HeardSpeech(ProbeCodec.OPUS24)
    packet = RtpPacket(96, True, 1, 960, 7, b"one")
    heard.receive(b"x", 0)
    heard.receive(serialise_rtp(packet), 0)
    for other in (
        RtpPacket(8, False, 2, 1920, 7, b"codec"),
        RtpPacket(96, False, 2, 1920, 8, b"source"),
        RtpPacket(96, False, 2, 0, 7, b"before"),
        RtpPacket(96, False, 2, 960 * 100_000, 7, b"after"),
        RtpPacket(96, False, 2, 1920, 7, b""),
    ):
        heard.receive(serialise_rtp(other), 1)
    assert [frame for frame in heard.frames() if frame is not None] == [b"one"]
    assert not heard.whole(1)
