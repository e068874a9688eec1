"""How the sound of calls is, second by second, from the totals that the box's engine counts; and a drawing of it. Pure.

Of all calls together, for the box tells of none apart; no relay and nobody is named. What is lost on the way and repaired from the next cell is not heard; what
comes after its turn is. Delay one way cannot be measured without a clock that both boxes share; half of a round trip stands for it, that of the first words which the two
boxes said to each other in the call, with the wait for slots. A probe measures more (probe/).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.playout import FIXED_MS

SECONDS = 120
FRAMES_PER_S = 50
WIDTH, HEIGHT, LEFT, BOTTOM = 400, 110, 68, 22
LEAST_PCT, LEAST_MS, LEAST_DELAY_MS = 2.0, 10.0, 100.0
"""Of the axes: less than that is drawn small."""
CODEC = ProbeCodec.OPUS24
TOP_R = CODEC.scale.greatest_r
BUFFER_MS = FIXED_MS[0]
"""What a phone's own buffer is taken to wait, as probes show it, too."""


@dataclass(frozen=True, slots=True)
class Second:
    """repaired_pct, late_pct: of the frames that calls have in the time; jitter_ms: the de-jitter time that covers 99.9 % of cells, of the worst link.

    in_call: whether there was any; one_way_ms: half of the longest round trip of those of which it is known.
    """

    repaired_pct: float
    late_pct: float
    jitter_ms: float
    in_call: bool = True
    one_way_ms: float | None = None

    @property
    def mouth_to_ear_ms(self) -> float | None:
        """Return the delay that people notice, with the codec and a phone's buffer; None where none is known."""
        return None if self.one_way_ms is None else CODEC.mouth_to_ear_ms(self.one_way_ms, BUFFER_MS)

    @property
    def r(self) -> float | None:
        """Return R on the fullband axis, to 148, as Opus at 24 kbit/s, with what delay takes where that is known; None without a call."""
        return CODEC.rate(self.late_pct, self.mouth_to_ear_ms or 0.0).r if self.in_call else None


class Gauge:
    """The last SECONDS samples. Contract: take() about once a second."""

    def __init__(self) -> None:
        self.seconds: deque[Second] = deque(maxlen=SECONDS)
        self._before: tuple[float, int, int] | None = None

    def take(self, calls: int, engine: Mapping[str, int], steps_us: Sequence[int], now_s: float, round_trips_ms: Sequence[float] = ()) -> None:
        """Take the totals of now. engine: counters since the start; a box that began anew counts from zero again. round_trips_ms: of the calls of now, where it is known."""
        repaired, late = engine.get("sound_repaired", 0), engine.get("sound_late", 0)
        before, self._before = self._before, (now_s, repaired, late)
        if before is None or now_s <= before[0] or repaired < before[1] or late < before[2]:
            return
        frames = max(1.0, (now_s - before[0]) * FRAMES_PER_S * max(1, calls))
        repaired_pct, late_pct = (min(100.0, 100 * (now - then) / frames) for now, then in ((repaired, before[1]), (late, before[2])))
        one_way_ms = max(round_trips_ms) / 2 if round_trips_ms else None
        self.seconds.append(Second(repaired_pct, late_pct, max(steps_us, default=0) / 1000, calls > 0, one_way_ms))


def drawing(values: Sequence[float | None], least_top: float, unit: str, label: str) -> str:
    """Return a curve over the last SECONDS seconds as SVG; its looks are the style sheet's. values: None for a gap; label: what it shows, for who cannot see it."""
    top, foot = max([least_top, *(value for value in values if value is not None)]), HEIGHT - BOTTOM
    step = (WIDTH - LEFT) / (SECONDS - 1)
    begin = SECONDS - len(values)
    points = "".join(
        f"{'L' if place and values[place - 1] is not None else 'M'}{LEFT + (begin + place) * step:.1f} {foot - max(0.0, value) / top * (foot - 6):.1f}"
        for place, value in enumerate(values)
        if value is not None
    )
    now = "" if not values or values[-1] is None else f"{values[-1]:.1f} {unit}".rstrip()
    return (
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}: {now}"><path class="axis" d="M{LEFT} 4V{foot}H{WIDTH}"/>'
        f'<path class="curve" d="{points}"/><text x="{LEFT - 6}" y="14" text-anchor="end">{top:.0f} {unit}</text>'
        f'<text x="{LEFT - 6}" y="{foot}" text-anchor="end">0</text><text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">{now}</text></svg>'
    )
