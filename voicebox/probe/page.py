"""A probe's figures as one HTML page: tables and drawings, no script, nothing from elsewhere, at most MAX_OCTETS; also for print. Pure.

Four drawings: delay over time, how delays are spread, where frames are missing, where the points of R went. Nobody is named.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

from voicebox.probe.codecs import FRAME_MS
from voicebox.probe.emodel import Scale
from voicebox.probe.figures import DirectionFigures, percentile
from voicebox.probe.lines import NOT_MEASURED, ROWS, stretches
from voicebox.probe.result import ProbeResult, compared, hints, points_of, verdict

MAX_OCTETS = 200_000
COLUMNS = 300
"""Of a drawing over time: each stands for an equal stretch of frames."""
WIDTH, HEIGHT = 440, 120
LEFT, BOTTOM = 40, 20
LEAST_SCALE_MS = 20.0
CELLS_A_ROW = 100
MAP_ROWS = 30

STYLE = """
:root{--ink:#1c2430;--soft:#5a6675;--line:#d5dbe3;--paper:#fff;--a:#2166ac;--b:#d6604d;--c:#7b5ea7;--d:#c9891a;--ok:#cfe3d4}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf1;--soft:#a5b0bd;--line:#3a4552;--paper:#161b22;--a:#6fb1e8;--b:#f08b78;--c:#b79be0;--d:#e5b454;--ok:#2c4a36}}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--a:#2166ac;--b:#d6604d;--c:#7b5ea7;--d:#c9891a;--ok:#cfe3d4}section{break-inside:avoid}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:70rem;padding:1rem;font:16px/1.45 system-ui,sans-serif;color:var(--ink);background:var(--paper)}
h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.05rem;margin:1.4rem 0 .4rem}
p,li{max-width:65ch}.soft{color:var(--soft);font-size:.9rem}
.verdict{border-left:.4rem solid var(--a);padding:.4rem .8rem;margin:1rem 0}.fair{border-color:var(--d)}.poor{border-color:var(--b)}
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}
th,td{text-align:right;padding:.25rem .5rem;border-bottom:1px solid var(--line)}th:first-child{text-align:left;font-weight:normal}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure{margin:0}figcaption{font-size:.9rem;color:var(--soft)}svg{display:block;width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.axis{stroke:var(--line);fill:none}
.range{fill:var(--a);opacity:.35}.curve{stroke:var(--a);fill:none;stroke-width:1.5}.gone{fill:var(--b)}.late{fill:var(--d)}.there{fill:var(--ok)}
.codec{fill:var(--c)}.lost{fill:var(--b)}.delay{fill:var(--a)}.left{fill:var(--ok)}
"""


def page(result: ProbeResult, time_rounded: str) -> str:
    """Return the page. time_rounded: when the probe was, in words."""
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    head = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1"><title>Call quality</title>'
    )
    return f"{head}<style>{STYLE}</style></head><body><h1>Call quality</h1>{drawn(result, time_rounded)}</body></html>\n"


def drawn(result: ProbeResult, time_rounded: str) -> str:
    """Return what is inside of the page, as HTML; its classes are those of STYLE."""
    both = (("you to them", result.there), ("them to you", result.back))
    parts = [
        f'<p class="soft">{escape(time_rounded)}, {result.seconds:.0f} s each way, {escape(result.codec.word)}, ',
        f"over at least {result.relays_at_least} relays. Values of {escape(result.codec.source)}.</p>",
        f'<div class="verdict {result.grade.name.lower()}"><strong>{escape(verdict(result))}</strong>',
        *(f"<p>{escape(hint)}</p>" for hint in (*hints(result), compared(result)) if hint),
        "</div>",
        _table(result),
        _section("Delay over time", "least to most of each stretch, in ms above the quickest frame", both, _delay_over_time),
        _section("How delays are spread", "share of frames that took at most so long, in ms above the quickest", both, _spread),
        _section("Frames, row by row", _map_caption(result), both, _map),
        _section("Where the points went", "R on the fullband axis, 0 to 148", both, lambda direction: _points(direction, result)),
        f'<p class="soft">{escape(NOT_MEASURED)} MOS of different scales are not comparable.</p>',
    ]
    return "".join(parts)


def _table(result: ProbeResult) -> str:
    rows = "".join(f"<tr><th>{escape(title)}</th><td>{escape(text(result.there))}</td><td>{escape(text(result.back))}</td></tr>" for title, text in ROWS)
    trips = "".join(
        f" {name} {value:.0f} ms" for name, value in (("p50", result.round_trip_ms(0.5)), ("p95", result.round_trip_ms(0.95))) if result.round_trips_ms
    )
    note = f'<p class="soft">Round trip:{trips}; one way is taken to be half of the least.</p>' if trips else ""
    return f'<div class="wide"><table><tr><th></th><td>you to them</td><td>them to you</td></tr>{rows}</table></div>{note}'


def _section(title: str, caption: str, both: Sequence[tuple[str, DirectionFigures]], draw: Callable[[DirectionFigures], str]) -> str:
    figures = "".join(f"<figure>{draw(direction)}<figcaption>{escape(name)}: {escape(caption)}</figcaption></figure>" for name, direction in both)
    return f'<section><h2>{escape(title)}</h2><div class="two">{figures}</div></section>'


def _svg(height: int, body: str, label: str) -> str:
    return f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(label)}">{body}</svg>'


def _box(x: float, y: float, width: float, height: float) -> str:
    """Return a rectangle as a part of a path: a page has thousands."""
    return f"M{x:.1f} {y:.1f}h{width:.1f}v{height:.1f}h{-width:.1f}z"


def _path(kind: str, boxes: Sequence[str]) -> str:
    return f'<path class="{kind}" d="{"".join(boxes)}"/>' if boxes else ""


def _scale_ms(there: Sequence[float]) -> float:
    """Return where a drawing's axis of delays ends."""
    return max(LEAST_SCALE_MS, percentile(there, 0.999)) if there else LEAST_SCALE_MS


def _frame(most_ms: float, across: str) -> str:
    """Return the axes of a drawing: milliseconds up, and what is across."""
    height = HEIGHT - BOTTOM
    return (
        f'<path class="axis" d="M{LEFT} 4V{height}H{WIDTH}"/><text x="{LEFT - 4}" y="14" text-anchor="end">{most_ms:.0f}</text>'
        f'<text x="{LEFT - 4}" y="{height}" text-anchor="end">0</text><text x="{WIDTH}" y="{HEIGHT - 5}" text-anchor="end">{escape(across)}</text>'
    )


def _delay_over_time(direction: DirectionFigures) -> str:
    there = [delay for delay in direction.above_best if delay is not None]
    most = _scale_ms(there)
    height = HEIGHT - BOTTOM
    ranges, gone = [], []
    columns = stretches(direction.above_best, COLUMNS)
    step = (WIDTH - LEFT) / max(1, len(columns))
    for place, stretch in enumerate(columns):
        x = LEFT + place * step
        found = [min(most, delay) for delay in stretch if delay is not None]
        if found:
            low, high = (value / most * (height - 4) for value in (min(found), max(found)))
            ranges.append(_box(x, height - high - 1, step, high - low + 1))
        share = sum(delay is None for delay in stretch) / len(stretch)
        if share:
            gone.append(_box(x, height, max(1.0, step), 8 * share + 1))
    seconds = len(direction.above_best) * FRAME_MS / 1000
    body = _path("range", ranges) + _path("gone", gone) + _frame(most, f"{seconds:.0f} s; below the line: missing")
    return _svg(HEIGHT, body, "delay over time")


def _spread(direction: DirectionFigures) -> str:
    there = sorted(delay for delay in direction.above_best if delay is not None)
    most = _scale_ms(there)
    height = HEIGHT - BOTTOM
    shares = [place / 100 for place in range(1, 101)]
    points = [(LEFT + min(1.0, percentile(there, share) / most) * (WIDTH - LEFT), height - share * (height - 4)) for share in shares] if there else []
    curve = "".join(f"{'L' if place else 'M'}{x:.1f} {y:.1f}" for place, (x, y) in enumerate(points))
    axis = f'<path class="axis" d="M{LEFT} 4V{height}H{WIDTH}"/><text x="{LEFT - 4}" y="14" text-anchor="end">100 %</text>'
    return _svg(HEIGHT, f'<path class="curve" d="{curve}"/>{axis}<text x="{WIDTH}" y="{HEIGHT - 5}" text-anchor="end">{most:.0f} ms</text>', "spread of delays")


def _frames_a_cell(direction: DirectionFigures) -> int:
    return max(1, -(-direction.sent // (CELLS_A_ROW * MAP_ROWS)))


def _map_caption(result: ProbeResult) -> str:
    each = max(_frames_a_cell(direction) for direction in result.directions)
    return f"a cell is {each * FRAME_MS} ms, a row {each * FRAME_MS * CELLS_A_ROW / 1000:.0f} s; red did not come, yellow came too late for the best buffer"


def _map(direction: DirectionFigures) -> str:
    """Return rows of frames."""
    each = _frames_a_cell(direction)
    cells = -(-direction.sent // each)
    rows = max(1, -(-cells // CELLS_A_ROW))
    size, tall = WIDTH / CELLS_A_ROW, 8
    last = cells - (rows - 1) * CELLS_A_ROW
    boxes: dict[str, list[str]] = {"there": [_box(0, 0, WIDTH, (rows - 1) * tall), _box(0, (rows - 1) * tall, last * size, tall)], "gone": [], "late": []}
    missing = direction.best.played.missing
    for cell in range(cells):
        frames = range(cell * each, min(direction.sent, (cell + 1) * each))
        if not any(missing[frame] for frame in frames):
            continue
        kind = "gone" if any(direction.above_best[frame] is None for frame in frames) else "late"
        row, column = divmod(cell, CELLS_A_ROW)
        boxes[kind].append(_box(column * size, row * tall, size, tall))
    return _svg(rows * tall, "".join(_path(kind, found) for kind, found in boxes.items()), "where frames are missing")


def _points(direction: DirectionFigures, result: ProbeResult) -> str:
    points = points_of(direction, result.codec)
    whole = Scale.FULLBAND.greatest_r
    parts = (("left", max(0.0, points.r)), ("codec", points.codec), ("lost", points.lost), ("late", points.late), ("delay", points.delay))
    body, x = [], 0.0
    names = []
    for name, value in parts:
        width = min(value / whole * WIDTH, WIDTH - x)
        if width >= 0.5:
            body.append(f'<rect class="{name}" x="{x:.1f}" y="0" width="{width:.1f}" height="26"/>')
        names.append(f"{'R' if name == 'left' else name} {value:.0f}")
        x += width
    text = "".join(
        f'<rect class="{kind}" x="{place * WIDTH / len(names):.0f}" y="36" width="8" height="8"/>'
        f'<text x="{place * WIDTH / len(names) + 11:.0f}" y="44">{escape(name)}</text>'
        for place, ((kind, _), name) in enumerate(zip(parts, names, strict=True))
    )
    return _svg(50, "".join(body) + text, ", ".join(names))
