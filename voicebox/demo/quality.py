"""How a call sounds, as a number. Needs the extra `quality` (numpy, onnxruntime, speechmos).

What is measured: the codec frames that came to a phone's socket, in the order and at the time in which a phone with a 60 ms buffer plays
them, decoded, with what is missing concealed plainly (codec.py); beside them the frames that the other phone sent, decoded the same way
(`direct`: the same codec and speech without the network), and the call's frames of which a seeded choice of 5 % was dropped. All three are the
same stretch of sound, cut into the same pieces of 4 s; each figure is the median over the pieces of both directions, at most four of each.
NOT in it: the jitter buffer of the phone at hand and its recording, which is scored by itself (`heard`).

Measure: PLCMOS v2 (Diener et al., Interspeech 2023), 1 to 5, made for lost packets; 15 raters drawn from a fixed seed, so that the same sound
has the same score. PESQ (ITU-T P.862) beside it where the user has installed `pesq`, whose licence keeps it from being part of this; its
reference is the decoded `direct` sound, so it says what the network did, not what the codec did.
"""

from __future__ import annotations

import contextlib
import random
import statistics
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import util
from pathlib import Path
from typing import TYPE_CHECKING

from voicebox.demo.codec import RATES_HZ, decode_frames, resample
from voicebox.demo.datagrams import Datagram
from voicebox.demo.measure import align, frames_received, frames_sent, play_out
from voicebox.demo.sipview import CLOCK_RATES_HZ, CallView
from voicebox.demo.speech import read_mono
from voicebox.errors import HostError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MEASURE = "PLCMOS v2"
PLCMOS_RATE_HZ = 16000
RATERS = 15
SEED = 20
LOSS_SHARE = 0.05
LOSS_SEEDS = 2
"""Which frames are gone matters more than how many: the forced loss is tried so often."""
PIECE_FRAMES = 200
"""4 s: long enough for the measure, short enough for a median of a short call."""
MAX_PIECES = 4
"""Of each direction, the loudest ones: scoring takes as long as a tenth of the sound, five times."""
LOUD_ENOUGH = 300
"""Root mean square of 16-bit samples (-41 dBFS): a piece below it is a pause and has no quality."""
PESQ_MODES = {8000: "nb", 16000: "wb"}


@dataclass(frozen=True, slots=True)
class Quality:
    """Median scores; pieces: how many. pesq: name of the condition -> score, where installed. heard: the phones' own recordings, where given."""

    measure: str
    call: float
    direct: float
    call_with_5pct_loss: float
    pieces: int
    heard: float | None = None
    pesq: dict[str, float] | None = None


def available() -> bool:
    """Return whether the extra is installed."""
    return all(util.find_spec(name) is not None for name in ("numpy", "onnxruntime", "speechmos"))


def pesq_installed() -> bool:
    """Return whether the user has installed PESQ."""
    return util.find_spec("pesq") is not None


class Plcmos:
    """The model, loaded once. Raises HostError where the extra `quality` is missing."""

    def __init__(self) -> None:
        if not available():
            raise HostError("no quality is measured: install it with `pip install voicebox[quality]`")
        import numpy as np  # noqa: PLC0415 - an extra
        from speechmos import plcmos  # noqa: PLC0415 - an extra

        self._model = plcmos.PLCMOS()
        raters = np.random.default_rng(SEED).standard_normal((RATERS, 1, 64))
        self._raters = raters.astype(np.float32)

    def score(self, samples: array[int], rate_hz: int) -> float:
        """Return the score of some seconds of sound, 1 to 5. samples: int16[n], mono."""
        import numpy as np  # noqa: PLC0415 - an extra

        at_16k = np.asarray(resample(samples, rate_hz, PLCMOS_RATE_HZ), dtype=np.float64) / 32768
        features: NDArray[np.float32] = np.asarray(self._model.stft_transform(at_16k), dtype=np.float32)[np.newaxis, np.newaxis]
        scores = [self._model.session.run(None, {"degraded_audio": features, "rater_embed": rater})[0] for rater in self._raters]
        return float(np.mean(scores))


def drop_frames(frames: Sequence[bytes | None], share: float, seed: int) -> list[bytes | None]:
    """Return the frames without a share of those that are there, chosen by a seed."""
    there = [place for place, frame in enumerate(frames) if frame is not None]
    gone = set(random.Random(seed).sample(there, round(len(there) * share)))
    return [None if place in gone else frame for place, frame in enumerate(frames)]


def rms(samples: Sequence[int]) -> float:
    """Return the root mean square of samples; 0 of none."""
    return (sum(sample * sample for sample in samples) / len(samples)) ** 0.5 if samples else 0.0


def pieces_of(samples: array[int], rate_hz: int) -> list[array[int]]:
    """Cut sound into pieces of equal length, as many as are whole; at least one, however short."""
    length = rate_hz * PIECE_FRAMES // 50
    whole = max(1, len(samples) // length)
    return [samples[i * length : (i + 1) * length] for i in range(whole)] if len(samples) >= length else [samples]


def measure_quality(
    directions: Sequence[tuple[Sequence[bytes | None], Sequence[bytes | None]]], codec: str, heard: Sequence[tuple[int, array[int]]] = ()
) -> Quality:
    """Score a call. directions: for each (frames played, frames sent) of the same stretch, as measure.align() returns them.

    heard: (rate, samples) of what the phones recorded. Raises HostError where the extra is missing or there was no speech.
    """
    if not any(played for played, _ in directions):
        raise HostError("no quality is measured: nothing that one phone sent came to the other")
    model = Plcmos()
    rate_hz = RATES_HZ[codec]
    scores: dict[str, list[float]] = {"call": [], "direct": [], "call_with_5pct_loss": []}
    pesq_scores: dict[str, list[float]] = {"call": [], "call_with_5pct_loss": []}
    with_pesq = pesq_installed()
    for number, (played, sent) in enumerate(directions):
        direct, call = (pieces_of(decode_frames(frames, codec), rate_hz) for frames in (sent, played))
        seeds = range(SEED + number * LOSS_SEEDS, SEED + (number + 1) * LOSS_SEEDS)
        lossy = [pieces_of(decode_frames(drop_frames(played, LOSS_SHARE, seed), codec), rate_hz) for seed in seeds]
        together = sorted(zip(direct, call, *lossy, strict=False), key=lambda pieces: -rms(pieces[0]))[:MAX_PIECES]
        for reference, found, *worse in together:
            if rms(reference) < LOUD_ENOUGH:
                continue
            scores["direct"].append(model.score(reference, rate_hz))
            scores["call"].append(scores["direct"][-1] if found == reference else model.score(found, rate_hz))
            scores["call_with_5pct_loss"].extend(model.score(piece, rate_hz) for piece in worse)
            if with_pesq:
                pesq_scores["call"] += score_pesq(reference, [found], rate_hz)
                pesq_scores["call_with_5pct_loss"] += score_pesq(reference, worse, rate_hz)
    if not all(scores.values()):
        raise HostError("no quality is measured: there was no speech in it")
    loudest = [(rate, piece) for rate, samples in heard for piece in sorted(pieces_of(samples, rate), key=rms)[-MAX_PIECES:] if rms(piece) >= LOUD_ENOUGH]
    recordings = [model.score(piece, rate) for rate, piece in loudest]
    median = {name: statistics.median(found) for name, found in scores.items()}
    return Quality(
        MEASURE,
        median["call"],
        median["direct"],
        median["call_with_5pct_loss"],
        len(scores["direct"]),
        statistics.median(recordings) if recordings else None,
        {name: statistics.median(found) for name, found in pesq_scores.items() if found} if with_pesq else None,
    )


def quality_of_call(datagrams: Sequence[Datagram], call: CallView, recordings: Sequence[Path] = ()) -> Quality:
    """Score a call from its capture. recordings: what the phones recorded. Raises HostError as measure_quality() does, ValueError as measure_call()."""
    if call.caller_media is None or call.callee_media is None:
        raise ValueError("the capture does not show an answered call")
    caller, callee = call.caller_media, call.callee_media
    span = [datagram for datagram in datagrams if datagram.time_ns >= call.invited_ns]
    directions = []
    for sender, receiver in ((caller, callee), (callee, caller)):
        played = play_out(frames_received(span, receiver), CLOCK_RATES_HZ[callee.codec])
        directions.append(align(played, frames_sent(span, sender)))
    return measure_quality(directions, callee.codec, [read_mono(path) for path in recordings])


def stoi_installed() -> bool:
    """Return whether the user has installed STOI (pystoi)."""
    return util.find_spec("pystoi") is not None


def score_stoi(reference: array[int], degraded: array[int], rate_hz: int) -> float:
    """Return how intelligible some sound is beside the one that was sent, 0 to 1; `pystoi` is installed. Source: Taal et al., ICASSP 2010."""
    import numpy as np  # noqa: PLC0415 - an extra
    import pystoi  # noqa: PLC0415 - installed by the user

    return max(0.0, min(1.0, float(pystoi.stoi(np.asarray(reference, dtype=float), np.asarray(degraded, dtype=float), rate_hz))))


def score_pesq(reference: array[int], degraded: Sequence[array[int]], rate_hz: int) -> list[float]:
    """Return the PESQ scores of pieces of sound beside the one that was sent; `pesq` is installed. Pieces without an utterance have none."""
    import numpy as np  # noqa: PLC0415 - an extra
    import pesq  # noqa: PLC0415 - installed by the user

    target_hz = 8000 if rate_hz == 8000 else 16000
    original, *others = (np.asarray(resample(samples, rate_hz, target_hz), dtype=np.int16) for samples in (reference, *degraded))
    scores = []
    for other in others:
        with contextlib.suppress(pesq.PesqError):  # it found no utterance in this piece
            scores.append(float(pesq.pesq(target_hz, original, other, PESQ_MODES[target_hz])))
    return scores
