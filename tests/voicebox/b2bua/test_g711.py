"""One law of G.711 as the other, against the tables of a codec that others wrote."""

from __future__ import annotations

import av
import pytest
from av.audio.codeccontext import AudioCodecContext

from voicebox.b2bua.events import Codec
from voicebox.b2bua.g711 import SILENCE, a_law_of, mu_law_of

ALL = bytes(range(256))


def linear(octets: bytes, name: str) -> list[int]:
    """Return the samples of octets."""
    decoder = AudioCodecContext.create(name, "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.sample_rate, decoder.layout = 8_000, "mono"
    frames = decoder.decode(av.Packet(octets))
    return [int(sample) for frame in frames for sample in frame.to_ndarray().ravel()]


@pytest.mark.parametrize(("of", "source", "target"), [(mu_law_of, "pcm_alaw", "pcm_mulaw"), (a_law_of, "pcm_mulaw", "pcm_alaw")])
def test_each_octet_becomes_the_one_whose_sample_is_nearest(of: object, source: str, target: str) -> None:
    assert callable(of)
    before, after, there_are = linear(ALL, source), linear(of(ALL), target), linear(ALL, target)
    assert len(set(before)) > 200
    for sample, became in zip(before, after, strict=True):
        assert abs(became - sample) == min(abs(each - sample) for each in there_are)


def test_silence_is_silence() -> None:
    assert max(map(abs, linear(SILENCE[Codec.PCMA], "pcm_alaw"))) <= 8
    assert max(map(abs, linear(SILENCE[Codec.PCMU], "pcm_mulaw"))) == 0
    assert mu_law_of(SILENCE[Codec.PCMA])[:1] in {b"\xff", b"\xfe", b"\x7f", b"\x7e"}
