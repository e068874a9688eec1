"""What a profile costs: the promise, and what the counters of the last minute show."""

from __future__ import annotations

import pytest

from voicebox.circuits.cost import SAMPLE_S, WINDOW_SAMPLES, CostMeter, promised
from voicebox.config.model import Profile


def test_the_promise_is_that_of_the_readme() -> None:
    home, dsl, lan, metered = (promised(profile.circuits, metered=profile.is_metered) for profile in (Profile.HOME, Profile.DSL, Profile.LAN, Profile.METERED))
    assert (round(home.out_kbit_s), round(home.in_kbit_s), round(home.month_gb)) == (245, 245, 159)
    assert (round(dsl.out_kbit_s), round(dsl.month_gb)) == (122, 79)
    assert (round(metered.out_kbit_s), round(metered.month_gb)) == (61, 40)
    assert (round(lan.out_kbit_s), round(lan.month_gb)) == (979, 635)


def test_the_meter_shows_the_last_minute_only() -> None:
    meter = CostMeter()
    assert meter.measured() is None
    meter.sample(0, 0, 0)
    assert meter.measured() is None
    for number in range(1, WINDOW_SAMPLES):
        meter.sample(number * SAMPLE_S * 1_000_000, number * SAMPLE_S * 500, number * SAMPLE_S * 100)
    for number in range(WINDOW_SAMPLES):
        meter.sample((WINDOW_SAMPLES + number) * SAMPLE_S * 1_000_000, 30_000 + number * SAMPLE_S * 100, 6_000 + number * SAMPLE_S * 50)
    found = meter.measured()
    assert found is not None
    assert found.out_kbit_s == pytest.approx(promised(2).out_kbit_s)
    assert found.in_kbit_s == pytest.approx(promised(1).in_kbit_s)


def test_a_clock_that_stands_still_gives_no_figure() -> None:
    meter = CostMeter()
    meter.sample(5, 0, 0)
    meter.sample(5, 10, 10)
    assert meter.measured() is None
