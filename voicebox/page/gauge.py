"""How the sound of calls is, second by second, from the totals that the box's engine counts; and a drawing of it. Pure.

Of all calls together, for the box tells of none apart; no relay and nobody is named. What is lost on the way and repaired from the next cell is not heard; what
comes after its turn is. Delay cannot be measured in a call without a clock that both boxes share: a probe does it (probe/).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicebox.probe.codecs import ProbeCodec

SECONDS = 120
FRAMES_PER_S = 50
WIDTH, HEIGHT, LEFT, BOTTOM = 400, 96, 44, 18
LEAST_PCT, LEAST_MS = 2.0, 10.0
"""Of the axes: less than that is drawn small."""


@dataclass(frozen=True, slots=True)
class Second:
    """repaired_pct, late_pct: of the frames that calls have in the time; jitter_ms: the de-jitter time that covers 99.9 % of cells, of the worst link; r: 0 to 148."""

    repaired_pct: float
    late_pct: float
    jitter_ms: float

    @property
    def r(self) -> float:
        """Return R of the sound on the fullband axis, as Opus at 24 kbit/s, without what delay takes."""
        return ProbeCodec.OPUS24.rate(self.late_pct, 0.0).r


class Gauge:
    """The last SECONDS samples. Contract: take() about once a second."""

    def __init__(self) -> None:
        self.seconds: deque[Second] = deque(maxlen=SECONDS)
        self._before: tuple[float, int, int] | None = None

    def take(self, calls: int, engine: Mapping[str, int], steps_us: Sequence[int], now_s: float) -> None:
        """Take the totals of now. engine: counters since the start; a box that began anew counts from zero again."""
        repaired, late = engine.get("sound_repaired", 0), engine.get("sound_late", 0)
        before, self._before = self._before, (now_s, repaired, late)
        if before is None or now_s <= before[0] or repaired < before[1] or late < before[2]:
            return
        frames = max(1.0, (now_s - before[0]) * FRAMES_PER_S * max(1, calls))
        repaired_pct, late_pct = (min(100.0, 100 * (now - then) / frames) for now, then in ((repaired, before[1]), (late, before[2])))
        self.seconds.append(Second(repaired_pct, late_pct, max(steps_us, default=0) / 1000))


def drawing(values: Sequence[float], least_top: float, unit: str, label: str) -> str:
    """Return a curve over the last SECONDS seconds as SVG; its looks are the style sheet's. label: what it shows, for who cannot see it."""
    top, foot = max([least_top, *values]), HEIGHT - BOTTOM
    step = (WIDTH - LEFT) / (SECONDS - 1)
    begin = SECONDS - len(values)
    points = "".join(
        f"{'L' if place else 'M'}{LEFT + (begin + place) * step:.1f} {foot - value / top * (foot - 6):.1f}" for place, value in enumerate(values[-SECONDS:])
    )
    now = f"{values[-1]:.1f} {unit}" if values else ""
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}: {now}"><path class="axis" d="M{LEFT} 4V{foot}H{WIDTH}"/>'
        f'<path class="curve" d="{points}"/><text x="{LEFT - 6}" y="14" text-anchor="end">{top:.0f} {unit}</text>'
        f'<text x="{LEFT - 6}" y="{foot}" text-anchor="end">0</text><text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{now}</text></svg>'
    )
