"""A process that scores speech: frames in on standard input, scores out. [io] `python -m voicebox.demo.score CODEC`, codec as PyAV's decoder here has it.

Lost frames of Opus are concealed as a phone does it (opus.py), those of the other codecs plainly (codec.py).
PESQ and STOI are had where the user has installed them and the frames are of the recordings that are here: by comparison with these, coded and decoded alike, so
that no codec's delay is between the two.

It is a process of its own so that a box loads neither codecs nor models, and so that it can be the last to get the processor. Nothing is written anywhere.
Exit code 0 with one line, the score, PESQ and STOI in hundredths, 0 where there is no such one; 1 where there is no score: the extra `quality` is missing, it is no
speech, or the frames are none.
"""

from __future__ import annotations

import os
import statistics
import sys
from array import array
from collections import Counter
from collections.abc import Sequence

from voicebox.b2bua.events import NO_SCORE
from voicebox.demo import opus
from voicebox.demo.codec import RATES_HZ, decode_frames
from voicebox.demo.quality import LOUD_ENOUGH, MEASURE, Plcmos, pesq_installed, pieces_of, rms, score_pesq, score_stoi, stoi_installed
from voicebox.demo.speech_frames import recorded_frames
from voicebox.errors import HostError, VoiceboxError
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.prober import SCORED_AS
from voicebox.probe.speech import SPEECH_FRAMES, pack_frames, unpack_frames

__all__ = ["MEASURE", "score", "score_here"]

NICE = 19
MAX_OCTETS = SPEECH_FRAMES * (2 + 160)


def score(octets: bytes, codec: str) -> int | None:
    """Return the median score of the pieces of some packed frames, in hundredths, or None where there was no speech. Raises HostError, ValueError."""
    rate_hz = RATES_HZ[codec]
    pieces = [piece for piece in pieces_of(decoded(unpack_frames(octets), codec), rate_hz) if rms(piece) >= LOUD_ENOUGH]
    if not pieces:
        return None
    model = Plcmos()
    return round(100 * statistics.median(model.score(piece, rate_hz) for piece in pieces))


def decoded(frames: Sequence[bytes | None], codec: str) -> array[int]:
    """Return the sound of frames, what is missing concealed. samples: int16[n], mono, at RATES_HZ[codec]."""
    return opus.decode_concealing(frames) if codec == "opus" and opus.available() else decode_frames(frames, codec)


def sent_frames(heard: Sequence[bytes | None], codec: str) -> list[bytes] | None:
    """Return the frames of our own recordings that were sent where these were heard; None where most of these are of something else, or the recordings are not here."""
    there = [(place, frame) for place, frame in enumerate(heard) if frame is not None]
    kind = next((each for each in ProbeCodec if there and SCORED_AS[each.codec] == codec and each.frame_octets == len(there[0][1])), None)
    if kind is None:
        return None
    try:
        recorded = recorded_frames(kind)
    except HostError:
        return None
    place_of = {frame: place for place, frame in enumerate(recorded)}
    begins = Counter((place_of[frame] - place) % len(recorded) for place, frame in there if frame in place_of)
    begin, count = begins.most_common(1)[0] if begins else (0, 0)
    if 2 * count < len(there):
        return None
    return [recorded[(begin + place) % len(recorded)] for place in range(len(heard))]


def compared(octets: bytes, codec: str) -> tuple[int, int]:
    """Return PESQ and STOI of some packed frames, in hundredths; NO_SCORE for what is not installed, or where there is nothing to compare with."""
    heard = unpack_frames(octets)
    if not (pesq_installed() or stoi_installed()) or (sent := sent_frames(heard, codec)) is None:
        return NO_SCORE, NO_SCORE
    rate_hz = RATES_HZ[codec]
    pieces = list(zip(*(pieces_of(decoded(frames, codec), rate_hz) for frames in (sent, heard)), strict=True))
    loud = [(reference, piece) for reference, piece in pieces if rms(reference) >= LOUD_ENOUGH]
    pesq = [each for reference, piece in loud for each in score_pesq(reference, [piece], rate_hz)] if pesq_installed() else []
    stoi = [score_stoi(reference, piece, rate_hz) for reference, piece in loud] if stoi_installed() else []
    return (round(100 * statistics.fmean(pesq)) if pesq else NO_SCORE), (round(100 * statistics.fmean(stoi)) if stoi else NO_SCORE)


def score_here(frames: Sequence[bytes], codec: ProbeCodec) -> float | None:
    """Return the score of frames of which none is missing, 1 to 5; None where the extra is missing or it is no speech."""
    try:
        found = score(pack_frames(frames), SCORED_AS[codec.codec])
    except HostError:
        return None
    return found / 100 if found is not None else None


def main() -> int:
    """Score standard input."""
    os.nice(NICE)
    try:
        octets, codec = sys.stdin.buffer.read(MAX_OCTETS), sys.argv[1]
        found = score(octets, codec)
        if found is None:
            return 1
        print(found, *compared(octets, codec))
    except (VoiceboxError, ValueError, KeyError, IndexError):
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
