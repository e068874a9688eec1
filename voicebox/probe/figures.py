"""From arrivals to figures: what each direction of a probe lost, what was late, how much it jittered, and how that would sound. Pure.

A *trace* is one direction: of each frame, in order of sending, how long it took, above a constant that nobody knows where the clocks of two machines differ.
So delays are told above the quickest; how long the quickest took is taken to be half of the quickest round trip, and the result says so.
NOT here: how a trace comes about (stream.py), words (result.py), tables and files (lines.py, report.py, page.py).
Spec: RFC 3550 §6.4.1, A.8; RFC 3611 §4.7; ITU-T G.107; G.114.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from voicebox.probe.bursts import Bursts, measure_bursts
from voicebox.probe.codecs import FRAME_MS, ProbeCodec, as_g711
from voicebox.probe.emodel import MAX_BURST_RATIO, Rating, Scale
from voicebox.probe.playout import FIXED_MS, Delays, Played, best_fixed, play_adaptive, play_fixed
from voicebox.probe.rtpstats import InterarrivalJitter

SHARES = (0.5, 0.95, 0.99)
MICROSECONDS_HZ = 1_000_000


def percentile(values: Sequence[float], share: float) -> float:
    """Return the nearest-rank percentile; share: above 0, to 1. NaN of nothing."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def mean(values: Sequence[float]) -> float:
    """Return the mean; NaN of nothing."""
    return sum(values) / len(values) if values else math.nan


@dataclass(frozen=True, slots=True)
class Trace:
    """One direction. transits_ms: of each frame in order of sending, every 20 ms one, arrival less sending by two clocks, None where it never came;
    mended: how many of those that came were heard from a coarse copy.
    """

    transits_ms: tuple[float | None, ...]
    mended: int = 0

    def above_best(self) -> Delays:
        """Return the delays above that of the quickest frame."""
        best = min((transit for transit in self.transits_ms if transit is not None), default=0.0)
        return [None if transit is None else transit - best for transit in self.transits_ms]


@dataclass(frozen=True, slots=True)
class Heard:
    """How a direction would sound through one buffer. mouth_to_ear_ms: without sound devices; ratings on the codec's own scale and as G.711; r_fullband: of 148."""

    played: Played
    bursts: Bursts
    mouth_to_ear_ms: float
    rating: Rating
    g711: Rating

    @property
    def r_fullband(self) -> float:
        """R on the fullband axis, on which the codecs can be compared; narrowband and wideband R lie on the same axis (G.107.2 Annex A)."""
        return self.rating.r

    @property
    def mos_fullband(self) -> float:
        """MOS-CQEF of that R."""
        return Scale.FULLBAND.mos(self.rating.r)

    @property
    def missing_pct(self) -> float:
        """Share of frames not played."""
        return self.played.missing_pct


@dataclass(frozen=True, slots=True)
class DirectionFigures:
    """All that is known of one direction. delays_ms: above best, at SHARES and the longest; heard: by buffer, the best fixed one first, then FIXED_MS and adaptive."""

    sent: int
    received: int
    mended: int
    jitter_ms: float
    jitter_max_ms: float
    delays_ms: tuple[float, float, float, float]
    above_best: tuple[float | None, ...]
    heard: tuple[Heard, ...]

    @property
    def lost(self) -> int:
        """Frames that never came."""
        return self.sent - self.received

    @property
    def lost_pct(self) -> float:
        """Share of frames that never came; all where nothing was sent."""
        return 100 * self.lost / self.sent if self.sent else 100.0

    @property
    def best(self) -> Heard:
        """What the best buffer makes of it."""
        return self.heard[0]

    @property
    def late_pct(self) -> float:
        """Share of frames too late for the best buffer."""
        return 100 * self.best.played.late / self.sent if self.sent else 0.0


def jitters_ms(delays: Delays) -> list[float]:
    """Return the running estimate of RFC 3550 after each frame but the first, for frames that are sent every 20 ms, in order of arrival."""
    arrivals = sorted((place * FRAME_MS + delay, place) for place, delay in enumerate(delays) if delay is not None)
    source = InterarrivalJitter(MICROSECONDS_HZ)
    return [source.receive(arrival_ms / 1000, place * FRAME_MS * 1000) for arrival_ms, place in arrivals][1:]


def measure_direction(trace: Trace, codec: ProbeCodec, best_one_way_ms: float) -> DirectionFigures:
    """Return the figures of a direction whose quickest frame took best_one_way_ms, by whatever method that is known."""
    delays = trace.above_best()
    there = [delay for delay in delays if delay is not None]
    jitters = jitters_ms(delays)

    def hear(played: Played) -> Heard:
        bursts = measure_bursts(played.missing)
        missing_pct = played.missing_pct
        mouth_to_ear_ms = codec.mouth_to_ear_ms(best_one_way_ms, played.size_ms)
        ratio = min(MAX_BURST_RATIO, bursts.burst_ratio)
        return Heard(played, bursts, mouth_to_ear_ms, codec.rate(missing_pct, mouth_to_ear_ms, ratio), as_g711(missing_pct, mouth_to_ear_ms, ratio))

    best = best_fixed(delays, lambda played: hear(played).rating.r)
    buffers = (best, *(play_fixed(delays, size_ms) for size_ms in FIXED_MS), play_adaptive(delays))
    return DirectionFigures(
        sent=len(delays),
        received=len(there),
        mended=trace.mended,
        jitter_ms=mean(jitters),
        jitter_max_ms=max(jitters, default=math.nan),
        delays_ms=(percentile(there, SHARES[0]), percentile(there, SHARES[1]), percentile(there, SHARES[2]), max(there, default=math.nan)),
        above_best=tuple(delays),
        heard=tuple(hear(played) for played in buffers),
    )
