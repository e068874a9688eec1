"""The lab's page: verdicts, figures and plots as inline SVG, without scripts."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT, MARGIN = 420, 240, 40
COLOURS = ("#1b6ca8", "#c0392b", "#27824a", "#8e5bb5", "#b7791f")
STYLE = (
    "body{font:15px sans-serif;max-width:70em;margin:2em auto;color:#222}table{border-collapse:collapse}td,th{padding:.2em .7em;text-align:left;"
    "border-bottom:1px solid #ddd}.PASS{color:#27824a}.FAIL{color:#c0392b}.NO{color:#b7791f}svg{margin:.5em}"
)


def _frame(title: str, body: str, across: str, along: str) -> str:
    right, bottom = WIDTH - 10, HEIGHT - MARGIN
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img"><title>{html.escape(title)}</title><text x="{MARGIN}" y="14" font-size="12">{html.escape(title)}</text>'
        f'<path d="M{MARGIN} 22V{bottom}H{right}" fill="none" stroke="#666"/>{body}'
        f'<text x="{right}" y="{HEIGHT - 8}" font-size="11" text-anchor="end">{html.escape(across)}</text>'
        f'<text x="12" y="{bottom}" font-size="11" transform="rotate(-90 12 {bottom})">{html.escape(along)}</text></svg>'
    )


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    """Draw points whose coordinates are between 0 and 1."""
    right, bottom = WIDTH - 10 - MARGIN, HEIGHT - MARGIN - 22
    place = " ".join(f"{MARGIN + x * right:.1f},{22 + (1 - y) * bottom:.1f}" for x, y in points)
    return f'<polyline points="{place}" fill="none" stroke="{colour}" stroke-width="1.6"/>'


def _legend(names: Sequence[str]) -> str:
    return "".join(
        f'<text x="{WIDTH - 14}" y="{HEIGHT - MARGIN - 8 - 14 * index}" font-size="11" text-anchor="end" fill="{COLOURS[index % len(COLOURS)]}">{html.escape(name)}</text>'
        for index, name in enumerate(names)
    )


def roc(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw ROC curves."""
    shown = dict(list(curves.items())[: len(COLOURS)])
    lines = _line([(0, 0), (1, 1)], "#bbb") + "".join(_line(points, COLOURS[index]) for index, points in enumerate(shown.values()))
    return _frame(title, lines + _legend(list(shown)), "false positives", "true positives")


def histogram(title: str, values: Mapping[str, Sequence[float]], bins: int = 60) -> str:
    """Draw distributions over their common middle 99 %, each scaled to its peak."""
    every = sorted(value for each in values.values() for value in each)
    if not every:
        return ""
    low, high = every[len(every) // 200], every[-1 - len(every) // 200]
    width = max((high - low) / bins, 1e-9)
    lines = ""
    for index, each in enumerate(values.values()):
        counts = Counter(min(max(int((value - low) / width), 0), bins - 1) for value in each)
        peak = max(counts.values(), default=1)
        lines += _line([((place + 0.5) / bins, counts[place] / peak) for place in range(bins)], COLOURS[index % len(COLOURS)])
    return _frame(f"{title}: {low:.0f} to {high:.0f} us", lines + _legend(list(values)), "us", "share of the peak")


def rates(title: str, values: Mapping[str, Sequence[float]]) -> str:
    """Draw cells a second over a round."""
    peak = max((value for each in values.values() for value in each), default=1) or 1
    lines = "".join(
        _line([(place / max(len(each) - 1, 1), value / (peak * 1.1)) for place, value in enumerate(each)], COLOURS[index % len(COLOURS)])
        for index, each in enumerate(values.values())
    )
    return _frame(f"{title}: 0 to {peak:.0f} cells a second", lines + _legend(list(values)), "seconds", "cells a second")


def _figures(entry: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{each['auc']:.3f}</td><td>{each['interval'][0]:.3f} to {each['interval'][1]:.3f}</td><td>{each['upper']:.3f}</td>"
        f"<td>{each['n'][0]} / {each['n'][1]}</td></tr>"
        for name, each in entry["comparisons"].items()
    )
    head = "<tr><th>attacker</th><th>AUC</th><th>95 %</th><th>upper bound</th><th>n</th></tr>"
    controls = "".join(
        f"<tr><td>control: {html.escape(name)}</td><td>{each['auc']:.3f}</td><td colspan=3>{'fired' if each['fired'] else 'did not fire'} (at least {each['at_least']})</td></tr>"
        for name, each in entry["controls"].items()
    )
    also = "".join(f"<tr><td>{html.escape(name)}</td><td colspan=4>{'yes' if holds else 'no'}</td></tr>" for name, holds in entry["also"].items())
    return f"<table>{head if rows else ''}{rows}{controls}{also}</table>"


def page(tests: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page of these tests, as they were kept."""
    parts = []
    for name, kept in tests.items():
        entry, plots = kept["entry"], kept["plots"]
        drawn = roc("ROC", kept["rocs"]) if kept["rocs"] else ""
        drawn += histogram("gaps between datagrams", plots["gaps"]) if "gaps" in plots else ""
        drawn += rates("a call on an access link", plots["rates"]) if "rates" in plots else ""
        mark = entry["verdict"].split()[0]
        parts.append(
            f'<h2>({html.escape(name)}) {html.escape(entry["title"])}: <span class="{mark}">{entry["verdict"]}</span></h2>'
            f"<p>limit {entry['limit']}, seed {entry['seed']}</p>{_figures(entry)}{drawn}"
        )
    return f'<!doctype html><meta charset="utf-8"><title>Traffic-analysis lab</title><style>{STYLE}</style><h1>Traffic-analysis lab</h1>{"".join(parts)}\n'
