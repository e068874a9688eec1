"""How calls sound, second by second, from totals."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from voicebox.page.gauge import SECONDS, Gauge, drawing


def taken(*totals: tuple[int, int], calls: int = 1) -> Gauge:
    """Return a gauge that was told these totals of repaired and late frames, a second apart."""
    gauge = Gauge()
    for second, (repaired, late) in enumerate(totals):
        gauge.take(calls, {"sound_repaired": repaired, "sound_late": late}, [5_000, 12_500], float(second))
    return gauge


def test_shares_are_those_of_the_second() -> None:
    gauge = taken((100, 7), (105, 8), (105, 8))
    assert [(each.repaired_pct, each.late_pct, each.jitter_ms) for each in gauge.seconds] == [(10.0, 2.0, 12.5), (0.0, 0.0, 12.5)]


def test_of_two_calls_each_has_half() -> None:
    assert taken((0, 0), (10, 0), calls=2).seconds[0].repaired_pct == 10.0


def test_r_falls_with_what_is_late_alone() -> None:
    clean, repaired, late = (taken((0, 0), totals).seconds[0].r for totals in ((0, 0), (25, 0), (0, 5)))
    assert clean == repaired == pytest.approx(148 - 22.6)
    assert late < clean - 30


def test_a_box_that_begins_anew_counts_anew() -> None:
    assert len(taken((500, 50), (0, 0), (5, 0)).seconds) == 1


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    gauge = taken((0, 0))
    gauge.take(1, {}, [], 0.0)
    assert not gauge.seconds


def test_what_is_long_ago_is_forgotten() -> None:
    assert len(taken(*((0, 0) for _ in range(3 * SECONDS))).seconds) == SECONDS


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 50.0, 3.0], [2.5] * SECONDS])
def test_a_drawing_is_svg_without_a_style_of_its_own(values: list[float]) -> None:
    text = drawing(values, 2.0, "%", "Late")
    svg = ET.fromstring(text)
    assert svg.get("aria-label", "").startswith("Late")
    assert "style" not in text
    points = svg.findall("path")[1].get("d", "")
    assert points.count("M") + points.count("L") == len(values)
