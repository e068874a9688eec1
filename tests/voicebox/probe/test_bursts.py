"""Runs, bursts and gaps of frames that are missing (RFC 3611 §4.7.2)."""

from __future__ import annotations

import random

import pytest

from voicebox.probe.bursts import GMIN, measure_bursts, runs_of


def frames(text: str) -> list[bool]:
    """Read a row of frames: x for one that is missing."""
    return [letter == "x" for letter in text]


def test_runs() -> None:
    assert runs_of(frames("xx..x....xxx")) == [(0, 2), (4, 1), (9, 3)]
    assert runs_of(frames("....")) == []


def test_single_losses_far_apart_are_part_of_gaps() -> None:
    found = measure_bursts(frames("." * 20 + "x" + "." * 20 + "x" + "." * 20))
    assert (found.bursts, found.burst_density, found.burst_mean) == (0, 0.0, 0.0)
    assert found.gap_density == pytest.approx(2 / 62)
    assert found.gap_mean == 62
    assert (found.run_mean, found.run_longest, found.burst_ratio) == (1.0, 1, 1.0)


def test_losses_near_each_other_are_a_burst_from_the_first_to_the_last() -> None:
    found = measure_bursts(frames("." * 30 + "x..xx.x" + "." * 30 + "x" + "." * 9))
    assert (found.bursts, found.burst_mean, found.missing) == (1, 7.0, 5)
    assert found.burst_density == pytest.approx(4 / 7)
    assert found.gap_density == pytest.approx(1 / 70)
    assert found.gap_mean == 35.0
    assert (found.run_mean, found.run_longest) == (1.25, 2)


def test_gmin_frames_between_two_losses_part_them() -> None:
    near, far = (measure_bursts(frames("x" + "." * count + "x")) for count in (GMIN - 1, GMIN))
    assert (near.bursts, far.bursts) == (1, 0)


def test_all_and_nothing() -> None:
    everything, nothing, empty = measure_bursts([True] * 50), measure_bursts([False] * 50), measure_bursts([])
    assert (everything.burst_density, everything.gap_mean, everything.run_longest) == (1.0, 0.0, 50)
    assert (nothing.burst_density, nothing.gap_density, nothing.gap_mean) == (0.0, 0.0, 50.0)
    assert (empty.missing, empty.burst_ratio) == (0, 1.0)


def test_frames_are_in_bursts_or_gaps_and_nowhere_else() -> None:
    chance = random.Random(7)
    for _ in range(200):
        row = [chance.random() < chance.choice((0.01, 0.2)) for _ in range(chance.randrange(1, 300))]
        found = measure_bursts(row)
        gaps = len(row) - found.bursts * found.burst_mean
        assert found.burst_density * found.bursts * found.burst_mean + found.gap_density * gaps == pytest.approx(sum(row))


def test_losses_at_random_have_a_burst_ratio_of_one_and_pairs_of_about_two() -> None:
    chance = random.Random(3)
    at_random = [chance.random() < 0.05 for _ in range(20_000)]
    pairs = [gone for _ in range(10_000) for gone in [chance.random() < 0.05] * 2]
    assert measure_bursts(at_random).burst_ratio == pytest.approx(1.0, abs=0.05)
    assert measure_bursts(pairs).burst_ratio == pytest.approx(2.0, abs=0.15)
