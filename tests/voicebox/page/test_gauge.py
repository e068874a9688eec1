"""How calls sound, second by second, from totals."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest

from voicebox.page.gauge import SECONDS, Gauge, Second, drawing
from voicebox.probe.emodel import delay_impairment


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


def r_of(second: Second) -> float:
    assert second.r is not None
    return second.r


def test_r_falls_with_what_is_late_alone() -> None:
    clean, repaired, late = (r_of(taken((0, 0), totals).seconds[0]) for totals in ((0, 0), (25, 0), (0, 5)))
    assert clean == repaired == pytest.approx(148 - 22.6)
    assert late < clean - 30


def test_without_a_call_there_is_no_r() -> None:
    second = taken((0, 0), (0, 0), calls=0).seconds[0]
    assert second.r is second.one_way_ms is second.mouth_to_ear_ms is None


def test_delay_is_half_of_the_longest_round_trip_and_costs_r() -> None:
    gauge = Gauge()
    for second, trips in enumerate(((), (), (200.0, 90.0), (600.0,))):
        gauge.take(1, {}, [], float(second), trips)
    unknown, near, far = gauge.seconds
    assert (unknown.one_way_ms, near.one_way_ms, far.one_way_ms) == (None, 100.0, 300.0)
    assert far.mouth_to_ear_ms == pytest.approx(300 + 20 + 6.5 + 50)
    assert r_of(far) == pytest.approx(148 - 22.6 - 1.48 * delay_impairment(376.5))
    assert r_of(unknown) > r_of(near) > r_of(far)


def test_a_box_that_begins_anew_counts_anew() -> None:
    assert len(taken((500, 50), (0, 0), (5, 0)).seconds) == 1


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    gauge = taken((0, 0))
    gauge.take(1, {}, [], 0.0)
    assert not gauge.seconds


def test_what_is_long_ago_is_forgotten() -> None:
    assert len(taken(*((0, 0) for _ in range(3 * SECONDS))).seconds) == SECONDS


@pytest.mark.parametrize("values", [[], [0.0], [1.0, 50.0, 3.0], [2.5] * SECONDS, [None, 1.0, 2.0, None, 3.0, None]])
def test_a_drawing_is_svg_without_a_style_of_its_own(values: list[float | None]) -> None:
    text = drawing(values, 2.0, "%", "Late")
    svg = ET.fromstring(text)
    assert svg.get("aria-label", "").startswith("Late")
    assert "style" not in text
    points = svg.findall("path")[1].get("d", "")
    assert points.count("M") + points.count("L") == len([value for value in values if value is not None])


def test_a_gap_is_not_drawn_over() -> None:
    points = ET.fromstring(drawing([1.0, 2.0, None, 3.0], 2.0, "ms", "Delay")).findall("path")[1].get("d", "")
    assert re.findall("[ML]", points) == ["M", "L", "M"]
