"""The lab's statistics against distributions whose answers are known."""

from __future__ import annotations

import math
import random
from statistics import NormalDist, fmean, stdev

import pytest

from tools.adversary.attackers import PORTFOLIO, timing_features
from tools.adversary.statistics import (
    Control,
    auc,
    bootstrap,
    compare,
    correlation,
    correlation_interval,
    curve,
    limit,
    null_error,
    permutation_p,
    rate_at,
    standard_error,
    verdict,
)  # fmt: skip

SEED = 20_261
PARITY = 6
"""Features that compare odd ticks with even ones by their floors; the last ones."""


def normals(mean: float, n: int, chance: random.Random) -> list[float]:
    return [chance.gauss(mean, 1) for _ in range(n)]


def test_auc_by_hand() -> None:
    assert auc([3, 4], [1, 2]) == 1.0
    assert auc([1, 2], [3, 4]) == 0.0
    assert auc([1, 3], [2]) == 0.5
    assert auc([5, 5, 5], [5, 5]) == 0.5, "ties count half"
    assert auc([2, 2], [1, 2]) == 0.75
    with pytest.raises(ValueError, match="both classes"):
        auc([1.0], [])


def test_auc_of_shifted_normals_is_the_known_one() -> None:
    """AUC = Phi(d' / sqrt 2)."""
    chance = random.Random(SEED)
    for shift in (0.0, 0.5, 1.5):
        expected = NormalDist().cdf(shift / math.sqrt(2))
        measured = auc(normals(shift, 4_000, chance), normals(0, 4_000, chance))
        assert abs(measured - expected) < 4 * standard_error(expected, 4_000, 4_000)


def test_errors_are_those_of_many_runs() -> None:
    chance = random.Random(SEED)
    for shift, n1, n2 in ((0.0, 50, 50), (0.0, 20, 200), (1.0, 60, 60)):
        areas = [auc(normals(shift, n1, chance), normals(0, n2, chance)) for _ in range(600)]
        said = null_error(n1, n2) if shift == 0 else standard_error(fmean(areas), n1, n2)
        assert 0.88 < stdev(areas) / said < 1.12
    assert abs(null_error(460, 460) - 0.408 / math.sqrt(460)) < 1e-4


def test_limit_is_missed_once_in_a_thousand_runs_without_a_leak() -> None:
    """The arithmetic of the module's docstring; at a rate that 20 000 runs can show, the same formula is checked by simulation."""
    assert round(limit(460, 460), 3) == 0.594
    assert round(limit(900, 900), 3) == 0.567
    assert limit(460, 460, 10) > limit(460, 460)
    chance, runs, n = random.Random(SEED), 20_000, 40
    # One ordering of 2n ranks is one run: the AUC without a leak has no other source.
    ranks = list(range(2 * n))
    failures = 0
    for _ in range(runs):
        chance.shuffle(ranks)
        area = (sum(ranks[:n]) - n * (n - 1) / 2) / n**2
        failures += max(area, 1 - area) + 1.6448536 * null_error(n, n) >= limit(n, n)
    assert failures <= 38, "20 expected, more than 38 once in 10 000 times"
    assert failures >= 5, "a limit that is never missed hides leaks"


def test_rate_and_curve() -> None:
    assert rate_at([1, 2, 3, 4], list(range(100)), 0.01) == 0.0
    assert rate_at([98.5, 99, 100, 200], list(range(100)), 0.01) == 1.0
    points = curve([2, 3], [0, 1])
    assert points[0] == (0.0, 0.0)
    assert points[-1] == (1.0, 1.0)
    assert (0.0, 1.0) in points


def test_bootstrap_covers_the_truth_and_keeps_groups_together() -> None:
    chance = random.Random(SEED)
    covered = 0
    for _ in range(60):
        groups = [(normals(0.5, 4, chance), normals(0, 4, chance)) for _ in range(25)]
        low, high = bootstrap(groups, 150, chance)
        covered += low <= NormalDist().cdf(0.5 / math.sqrt(2)) <= high
    assert covered >= 48
    # Ten copies of one value are one observation: the interval is as wide as that of the groups.
    alike = [([float(i % 2)] * 10, [0.5] * 10) for i in range(10)]
    low, high = bootstrap(alike, 300, chance)
    assert high - low > 0.3


def test_permutation_permutes_whole_slots() -> None:
    chance = random.Random(SEED)
    slots = [(i % 2, [chance.gauss(i % 2, 0.2)] * 5) for i in range(20)]
    assert permutation_p(slots, 300, chance) < 0.01
    noise = [(i % 2, [chance.gauss(0, 1)] * 30) for i in range(20)]
    assert permutation_p(noise, 300, chance) > 0.05, "30 copies of one value are no 30 observations"


def test_correlation_and_its_interval() -> None:
    assert correlation([1, 2, 3], [2, 4, 6]) == pytest.approx(1.0)
    assert correlation([1, 2, 3], [5, 5, 5]) == 0.0
    low, high = correlation_interval(0.0, 120)
    assert high == pytest.approx(-low)
    assert round(high, 2) == 0.18


def test_verdict_needs_a_control_that_fires() -> None:
    chance = random.Random(SEED)
    clean, fired, dumb = compare("x", normals(0, 500, chance), normals(0, 500, chance)), Control("fill off", 1.0, 0.85), Control("fill off", 0.6, 0.85)
    leaks = compare("y", normals(1, 500, chance), normals(0, 500, chance))
    bound = limit(500, 500, 2)
    assert verdict([clean], bound, [fired]) == "PASS"
    assert verdict([clean], bound, [fired, dumb]) == "NO RESULT"
    assert verdict([clean], bound, []) == "NO RESULT"
    assert verdict([clean, leaks], bound, [fired]) == "FAIL"
    assert verdict([clean, leaks], bound, [dumb]) == "FAIL", "what was found was found"
    assert verdict([clean], bound, [fired], also={"one length": False}) == "FAIL"
    inverted = compare("z", normals(-1, 500, chance), normals(0, 500, chance))
    assert verdict([inverted], bound, [fired]) == "FAIL", "below one half is as much of a leak"
    by_chance, found = (compare("y", normals(1, 500, chance), normals(0, 500, chance), p=p) for p in (0.1, 0.01))
    assert verdict([by_chance], bound, [fired]) == "NO RESULT", "other labels of its slots do as well"
    assert verdict([by_chance, found], bound, [fired]) == "FAIL"


@pytest.mark.parametrize("name", sorted(PORTFOLIO))
def test_attackers_learn_what_is_there_and_nothing_else(name: str) -> None:
    chance = random.Random(SEED)

    def run(shift: float) -> tuple[list[list[float]], list[int]]:
        labels = [i % 2 for i in range(400)]
        return [[chance.gauss(0, 1), chance.gauss(shift * label, 1), 7.0] for label in labels], labels

    for shift in (0.0, 1.5):
        learnt = PORTFOLIO[name](*run(shift))
        rows, labels = run(shift)
        found = compare(name, [learnt(r) for r, y in zip(rows, labels, strict=True) if y], [learnt(r) for r, y in zip(rows, labels, strict=True) if not y])
        assert (found.upper < limit(200, 200)) == (shift == 0.0)
        assert abs(found.auc - NormalDist().cdf(shift / math.sqrt(2))) < 0.09


def test_timing_features_see_a_late_second_tick() -> None:
    steady = [20_000.0 * i for i in range(100)]
    late = [time + (50 if i % 2 else 0) for i, time in enumerate(steady)]
    quiet, marked = timing_features(steady), timing_features(late)
    assert len(quiet) == len(marked) == len(timing_features([]))
    assert quiet != marked
    assert quiet[2] == 0.0


def test_timing_features_see_it_under_lateness_that_is_larger() -> None:
    """20 us of work before every second tick, under lateness with a mean of 30 us: what the floors say is nearer to it than the means."""
    chance = random.Random(SEED)
    apart = []
    for work in (0.0, 20.0):
        found = [timing_features([20_000.0 * i + chance.expovariate(1 / 30) + work * (i % 2) for i in range(100)]) for _ in range(200)]
        apart.append(list(zip(*found, strict=True)))
    areas = [auc(late, quiet) for late, quiet in zip(apart[1], apart[0], strict=True)]
    assert max(areas[:-PARITY]) < max(areas[-PARITY:])
    assert max(areas[-PARITY:]) > 0.95
