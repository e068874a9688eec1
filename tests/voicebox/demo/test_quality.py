"""How a call sounds, as a number: the order of the conditions, and that the same sound has the same score."""

from __future__ import annotations

from array import array
from importlib import util

import pytest

from voicebox.demo.codec import RATES_HZ, decode_frames, resample
from voicebox.demo.quality import Plcmos, available, drop_frames, measure_quality, pieces_of, rms
from voicebox.demo.speech import speech_directory, speech_samples
from voicebox.errors import HostError, UsageError


def a_law(sample: int) -> int:
    """Return the A-law octet of a 16-bit sample. Spec: ITU-T G.711 table 1a; even bits inverted."""
    sign, level = (0x80, sample) if sample >= 0 else (0, -sample - 1)
    level >>= 3
    level = min(level, 4095)
    segment = max(0, level.bit_length() - 5)
    return (sign | segment << 4 | (level >> max(1, segment)) & 0x0F) ^ 0x55


def speech_frames(seconds: float, speaker: int = 0) -> list[bytes]:
    octets = bytes(a_law(sample) for sample in speech_samples(speaker, seconds))
    return [octets[i : i + 160] for i in range(0, len(octets) - 159, 160)]


def has_speech() -> bool:
    try:
        speech_directory()
    except HostError:
        return False
    return True


needs_speech = pytest.mark.skipif(not has_speech(), reason="asterisk-core-sounds-en-wav is not installed")
needs_quality = pytest.mark.skipif(not available(), reason="the extra `quality` is not installed")


def test_g711_is_decoded_by_its_tables() -> None:
    """ITU-T G.711 tables 1a and 2a: the ends and the middle of both laws."""
    assert list(decode_frames([bytes([0xD5, 0x55, 0xAA, 0x2A]) * 40], "pcma")[:4]) == [8, -8, 32256, -32256]
    assert list(decode_frames([bytes([0xFF, 0x7F, 0x80, 0x00]) * 40], "pcmu")[:4]) == [0, 0, 32124, -32124]


@needs_speech
def test_a_law_and_back_is_within_a_step() -> None:
    samples = speech_samples(0, 1)
    decoded = decode_frames(speech_frames(1), "pcma")
    assert all(abs(mine - theirs) <= max(16, abs(mine) // 16) for mine, theirs in zip(samples, decoded, strict=True))


def test_what_is_missing_fades_away() -> None:
    loud = bytes([0xAA]) * 160
    out = decode_frames([loud, None, None, None, None, None, None, loud], "pcma")
    assert [out[i * 160] for i in range(8)] == [32256, 16128, 8064, 4032, 2016, 1008, 0, 32256]


def test_a_frame_that_cannot_be_decoded_is_missing() -> None:
    assert list(decode_frames([b"short", b""], "pcma")) == [0] * 320
    assert len(decode_frames([b"\xff\xff\xff\xff" * 8, None], "opus")) == 2 * 960
    with pytest.raises(UsageError):
        decode_frames([], "speex")


def test_frames_are_dropped_by_share_and_seed() -> None:
    frames: list[bytes | None] = [b"%d" % i for i in range(200)]
    frames[7] = None
    once, again, other = drop_frames(frames, 0.05, 1), drop_frames(frames, 0.05, 1), drop_frames(frames, 0.05, 2)
    assert once == again != other
    assert once.count(None) == 1 + 10
    assert drop_frames([], 0.05, 1) == []


@pytest.mark.parametrize(("from_hz", "to_hz"), [(8000, 16000), (48000, 16000), (8000, 48000), (8000, 8000)])
def test_resampling_keeps_length_and_level(from_hz: int, to_hz: int) -> None:
    tone = array("h", ((i % (from_hz // 400) - from_hz // 800) * 200 for i in range(from_hz * 3)))
    out = resample(tone, from_hz, to_hz)
    assert abs(len(out) - to_hz * 3) <= to_hz // 200
    assert rms(out) == pytest.approx(rms(tone), rel=0.05)


def test_pieces() -> None:
    assert [len(piece) for piece in pieces_of(array("h", bytes(2 * 8000 * 9)), 8000)] == [32000, 32000]
    assert [len(piece) for piece in pieces_of(array("h", bytes(200)), 8000)] == [100]
    assert rms([]) == 0


@needs_speech
@needs_quality
def test_loss_is_heard_and_no_loss_is_not() -> None:
    sent = speech_frames(9)
    played: list[bytes | None] = list(sent)
    quality = measure_quality([(played, sent)], "pcma")
    assert quality.call == quality.direct
    assert quality.pieces == 2
    assert quality.call - quality.call_with_5pct_loss > 0.3
    lossy = measure_quality([(drop_frames(played, 0.10, 3), sent)], "pcma")
    assert lossy.direct == quality.direct
    assert lossy.call < quality.call_with_5pct_loss


@needs_speech
@needs_quality
def test_the_same_sound_has_the_same_score() -> None:
    samples = decode_frames(speech_frames(4), "pcma")
    assert Plcmos().score(samples, RATES_HZ["pcma"]) == Plcmos().score(samples, RATES_HZ["pcma"])


@needs_quality
def test_silence_has_no_quality() -> None:
    with pytest.raises(HostError, match="no speech"):
        measure_quality([([b"\xd5" * 160] * 400, [b"\xd5" * 160] * 400)], "pcma")


def test_a_call_without_sound_has_no_quality() -> None:
    with pytest.raises(HostError, match="nothing that one phone sent"):
        measure_quality([([], []), ([], [])], "pcma")


@needs_speech
@needs_quality
def test_pesq_stands_beside_it_where_the_user_has_installed_it() -> None:
    sent = speech_frames(5)
    scores = measure_quality([(list(sent), sent)], "pcma").pesq
    if util.find_spec("pesq") is None:
        assert scores is None
    else:
        assert scores is not None
        assert scores["call"] - scores["call_with_5pct_loss"] > 0.5
