"""A process that scores speech: frames in on standard input, a score out. [io] `python -m voicebox.demo.score CODEC`, codec as PyAV's decoder here has it.

Lost frames of Opus are concealed as a phone does it (opus.py), those of the other codecs plainly (codec.py).

It is a process of its own so that a box loads neither codecs nor models, and so that it can be the last to get the processor. Nothing is written anywhere.
Exit code 0 with one line, the score in hundredths; 1 where there is none: the extra `quality` is missing, it is no speech, or the frames are none.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence

from voicebox.demo import opus
from voicebox.demo.codec import RATES_HZ, decode_frames
from voicebox.demo.quality import LOUD_ENOUGH, MEASURE, Plcmos, pieces_of, rms
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
    frames = unpack_frames(octets)
    sound = opus.decode_concealing(frames) if codec == "opus" and opus.available() else decode_frames(frames, codec)
    pieces = [piece for piece in pieces_of(sound, rate_hz) if rms(piece) >= LOUD_ENOUGH]
    if not pieces:
        return None
    model = Plcmos()
    return round(100 * statistics.median(model.score(piece, rate_hz) for piece in pieces))


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
        found = score(sys.stdin.buffer.read(MAX_OCTETS), sys.argv[1])
    except (VoiceboxError, ValueError, KeyError, IndexError):
        return 1
    if found is None:
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
