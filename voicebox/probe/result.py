"""What a probe found out, whole or so far, and what to make of it: grade, main cause, advice. Pure.

The grade is that of G.107's bands for the worse direction, as G.711 would sound over this network, because the bands are of that scale: 80 and more is good
("satisfied"), 70 and more fair ("some dissatisfied"). NOT here: how it is shown (lines.py, report.py, page.py).
Spec: ITU-T G.107 Annex B, G.109.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique

from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.emodel import MAX_BURST_RATIO, Scale
from voicebox.probe.ends import Outcome
from voicebox.probe.figures import DirectionFigures, Heard, measure_direction, percentile
from voicebox.probe.stream import trace_of

GOOD_R, FAIR_R = 80.0, 70.0
NOTICED = 1.0
"""Points of R: what costs less is not worth a word."""
LATE_SENDS_SHARE = 0.02
MATTERS_R = 5.0
"""So many points of R between two probes are no accident of half a minute."""
ACCEPTABLE_MS, HIGH_MS = 150.0, 280.0
"""ITU-T G.114: hardly anybody notices; many do."""


@unique
class Grade(Enum):
    """By exit code."""

    GOOD = 0
    FAIR = 1
    POOR = 2


@dataclass(frozen=True, slots=True)
class Points:
    """Where the points of R went, on the fullband axis: r = 148 - codec - lost - late - delay."""

    r: float
    codec: float
    lost: float
    late: float
    delay: float


@dataclass(frozen=True, slots=True)
class SpeechScore:
    """How recorded speech sounded: 1 to 5. there: at the contact's box, direct: the same frames with nothing between; None where that could not be scored.

    pesq, stoi: at the contact's box, by comparison with what was sent, where it can: 1 to 5, and 0 to 1.
    """

    measure: str
    there: float | None
    direct: float | None
    pesq: float | None = None
    stoi: float | None = None


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """All that is known. there: from this box to the contact's; round_trips_ms: of single frames, in order; late_sends: how often this machine was late.

    own_relays: who runs those of each circuit of this box, the first one's first, where the user asked for it; before: what was found over the circuits of the epoch before.
    """

    codec: ProbeCodec
    outcome: Outcome
    verified: bool
    relays_at_least: int
    asked_s: int
    there: DirectionFigures
    back: DirectionFigures
    round_trips_ms: tuple[float, ...]
    late_sends: int
    speech: SpeechScore | None = None
    own_relays: tuple[tuple[str, ...], ...] = ()
    before: ProbeResult | None = None

    @property
    def directions(self) -> tuple[DirectionFigures, DirectionFigures]:
        """Both, there first."""
        return self.there, self.back

    @property
    def seconds(self) -> float:
        """How much of both directions is known."""
        return min(self.there.sent, self.back.sent) * FRAME_MS / 1000

    @property
    def worse(self) -> DirectionFigures:
        """The direction that would sound worse."""
        return min(self.directions, key=lambda direction: direction.best.g711.r)

    @property
    def grade(self) -> Grade:
        """How good it is."""
        r = self.worse.best.g711.r
        return Grade.GOOD if r >= GOOD_R else Grade.FAIR if r >= FAIR_R else Grade.POOR

    def round_trip_ms(self, share: float) -> float:
        """Return a percentile of the round trip; NaN where there was none."""
        return percentile(self.round_trips_ms, share)


def result_of(
    codec: ProbeCodec,
    outcome: Outcome,
    there: Sequence[int],
    back: Sequence[int],
    round_trips_ms: Sequence[float],
    *,
    verified: bool = False,
    relays_at_least: int = 0,
    asked_s: int = 0,
    late_sends: int = 0,
) -> ProbeResult:
    """Return the result of told units (b2bua/events.py Arrivals) of both directions."""
    one_way_ms = max(0.0, min(round_trips_ms, default=0.0) / 2)
    directions = [measure_direction(trace_of(units), codec, one_way_ms) for units in (there, back)]
    return ProbeResult(codec, outcome, verified, relays_at_least, asked_s, directions[0], directions[1], tuple(round_trips_ms), late_sends)


def points_of(direction: DirectionFigures, codec: ProbeCodec) -> Points:
    """Return where the points of R of a direction went."""
    heard: Heard = direction.best
    ratio = min(MAX_BURST_RATIO, heard.bursts.burst_ratio)
    clean, only_lost = codec.rate(0.0, 0.0).r, codec.rate(direction.lost_pct, 0.0, ratio).r
    all_missing = codec.rate(heard.missing_pct, 0.0, ratio).r
    lost, late = clean - only_lost, max(0.0, only_lost - all_missing)
    return Points(heard.r_fullband, Scale.FULLBAND.greatest_r - clean, lost, late, heard.rating.long_delay)


def causes(result: ProbeResult) -> list[tuple[str, float]]:
    """Return what the network costs the worse direction, in points of R, the most first."""
    points = points_of(result.worse, result.codec)
    found = [("loss", points.lost), ("frames that come too late", points.late), ("delay", points.delay)]
    return sorted(((name, cost) for name, cost in found if cost >= NOTICED), key=lambda each: -each[1])


def verdict(result: ProbeResult) -> str:
    """Return the grade and its main causes in a sentence."""
    found = [f"{name} (-{cost:.0f} R)" for name, cost in causes(result)]
    why = f"Main cost: {', then '.join(found[:2])}." if found else "Nothing in the network costs anything worth a word."
    return f"{result.grade.name}. {why}"


def compared(result: ProbeResult) -> str:
    """Return what the circuits of another epoch say of the path; nothing where there was one probe only."""
    if result.before is None:
        return ""
    before, now = (each.worse.best.g711.r for each in (result.before, result))
    figures = f"R as G.711 {before:.0f} over the circuits before, {now:.0f} over these."
    if now - before >= MATTERS_R:
        return f"{figures} It was the path: other junctions carry it better."
    if before - now >= MATTERS_R:
        return f"{figures} The path matters: these junctions carry it worse, and the next hour has others."
    return f"{figures} It is not the junctions: what both have in common is the guards and the lines at either end."


def hints(result: ProbeResult) -> list[str]:
    """Return what to try, by the causes; what is said holds whoever the contact is."""
    found = []
    names = [name for name, _ in causes(result)]
    worse = result.worse
    if "loss" in names:
        if worse.best.bursts.run_longest >= 10:
            found.append("Losses come in a row: look for a wireless link, or a line that is full, at either end.")
        if result.codec in {ProbeCodec.PCMA, ProbeCodec.G722}:
            found.append("Try a phone with Opus: a single lost frame is then repaired whole.")
        if result.before is None:
            found.append("The paths change with the hour: `--path new` waits for that, probes again, and says whether it is the path or a line.")
    if "frames that come too late" in names:
        found.append(f"Give the phone a jitter buffer of {worse.best.played.size_ms:g} ms or more.")
    if "delay" in names and worse.best.mouth_to_ear_ms > ACCEPTABLE_MS:
        found.append("`middle: no` and relays nearer to both of you (`prefer` in box.yaml) make the way shorter.")
    if result.late_sends > LATE_SENDS_SHARE * max(1, result.there.sent):
        found.append("This machine was busy and sent late: `voicebox doctor` says what stands in its way.")
    return found


def is_known(value: float) -> bool:
    """Return whether there is a figure."""
    return not math.isnan(value)
