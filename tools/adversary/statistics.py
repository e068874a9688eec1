"""The statistics of the traffic-analysis lab: AUC, intervals, permutation, the limit of an equivalence test, and the verdict.

A PASS is a claim of equivalence: the upper 95 % bound of max(AUC, 1 - AUC) is below the limit, and every control fired in the same run.

The arithmetic of the limit. Without a leak the AUC of n1 against n2 scores is nearly normal about 1/2 with

    SE = sqrt((n1 + n2 + 1) / (12 n1 n2))                    (Mann, Whitney 1947; 0.408 / sqrt(n) where n1 = n2 = n)

The upper bound of max(AUC, 1 - AUC) is 1/2 + |AUC - 1/2| + 1.645 SE (one-sided 95 %). It reaches a limit L without a leak with probability
2 (1 - Phi((L - 1/2) / SE - 1.645)). With k comparisons in a test (attackers, kinds of marks, views) the whole test fails wrongly at most k times as often
(Bonferroni). One such failure in 1 000 runs therefore needs

    L = 1/2 + SE (1.645 + Phi^-1(1 - 0.001 / (2 k)))

which is 0.594 for n = 460 and k = 1, and 0.567 for n = 900. A test may set a stricter limit and more windows, never a looser one than its own arithmetic says.

Windows add up (d' = sqrt(2) Phi^-1(AUC), over k windows d' sqrt(k)): 0.55 in 2 s is 0.75 in a minute.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Values = Sequence[float] | npt.NDArray[np.float64]

MOST_BY_CHANCE = 0.05
"""A p of permuted slots from which on a bound that was passed shows nothing."""
ONE_SIDED_95 = NormalDist().inv_cdf(0.95)
TWO_SIDED_95 = NormalDist().inv_cdf(0.975)
WRONG_FAILURES = 0.001
"""How often a test without a leak may fail."""


def auc(positive: Values, negative: Values) -> float:
    """Return the probability that a positive score is above a negative one, ties counted half. Raises ValueError where a class is empty."""
    if not len(positive) or not len(negative):
        raise ValueError("an AUC needs scores of both classes")
    above, below = np.asarray(positive, dtype=float), np.sort(np.asarray(negative, dtype=float))
    halves = np.searchsorted(below, above, "left").sum() + np.searchsorted(below, above, "right").sum()
    return float(halves) / (2 * len(above) * len(below))


def null_error(positives: int, negatives: int) -> float:
    """Return the standard error of an AUC where nothing leaks."""
    return math.sqrt((positives + negatives + 1) / (12 * positives * negatives))


def standard_error(area: float, positives: int, negatives: int) -> float:
    """Return the standard error of a measured AUC. Spec: Hanley, McNeil 1982, equation 1."""
    area = max(area, 1 - area)
    both_positive, both_negative = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (both_positive - area**2) + (negatives - 1) * (both_negative - area**2)
    return math.sqrt(max(variance, 0.0) / (positives * negatives))


def limit(positives: int, negatives: int, comparisons: int = 1) -> float:
    """Return the limit at which a test of so many comparisons fails once in 1 000 runs without a leak; the arithmetic is above."""
    quantile = NormalDist().inv_cdf(1 - WRONG_FAILURES / (2 * comparisons))
    return 0.5 + null_error(positives, negatives) * (ONE_SIDED_95 + quantile)


def rate_at(positive: Sequence[float], negative: Sequence[float], false_rate: float) -> float:
    """Return the share of positives above the threshold that this share of negatives passes."""
    allowed = math.floor(false_rate * len(negative))
    threshold = sorted(negative, reverse=True)[min(allowed, len(negative) - 1)]
    return sum(score > threshold for score in positive) / len(positive)


def curve(positive: Sequence[float], negative: Sequence[float], points: int = 60) -> list[tuple[float, float]]:
    """Return points (false positive rate, true positive rate) of the ROC curve, from (0, 0) to (1, 1)."""
    thresholds = sorted({*positive, *negative}, reverse=True)
    step = max(1, len(thresholds) // points)
    picked = [*thresholds[::step], thresholds[-1]]
    rates = [(sum(s >= t for s in negative) / len(negative), sum(s >= t for s in positive) / len(positive)) for t in picked]
    return [(0.0, 0.0), *rates]


Groups = Sequence[tuple[Sequence[float], Sequence[float]]]
"""Scores of positives and negatives of each slot (round, box, run): what belongs together is drawn and permuted together."""


def bootstrap(groups: Groups, rounds: int, chance: random.Random) -> tuple[float, float]:
    """Return the 95 % interval of the AUC, whole groups drawn with replacement."""
    areas = []
    for _ in range(rounds):
        drawn = chance.choices(groups, k=len(groups))
        positive, negative = [s for group in drawn for s in group[0]], [s for group in drawn for s in group[1]]
        if positive and negative:
            areas.append(auc(positive, negative))
    areas.sort()
    return areas[int(0.025 * len(areas))], areas[min(int(0.975 * len(areas)), len(areas) - 1)]


def permutation_p(slots: Sequence[tuple[int, Sequence[float]]], rounds: int, chance: random.Random) -> float:
    """Return the two-sided p of the AUC, labels of whole slots permuted. slots: label (1 or 0) and the scores of each slot."""

    def distance(labels: Sequence[int]) -> float:
        positive = [s for label, (_, scores) in zip(labels, slots, strict=True) if label for s in scores]
        negative = [s for label, (_, scores) in zip(labels, slots, strict=True) if not label for s in scores]
        return abs(auc(positive, negative) - 0.5)

    labels = [label for label, _ in slots]
    measured = distance(labels)
    beyond = sum(distance(chance.sample(labels, len(labels))) >= measured - 1e-12 for _ in range(rounds))
    return (1 + beyond) / (1 + rounds)


def pairing_p(groups: Groups, rounds: int, chance: random.Random) -> float:
    """Return the one-sided p of the AUC, the positives of each group drawn anew from all of its scores."""
    measured = auc([s for group in groups for s in group[0]], [s for group in groups for s in group[1]])
    beyond = 0
    for _ in range(rounds):
        positive: list[float] = []
        negative: list[float] = []
        for group in groups:
            mixed = chance.sample([*group[0], *group[1]], len(group[0]) + len(group[1]))
            positive += mixed[: len(group[0])]
            negative += mixed[len(group[0]) :]
        beyond += auc(positive, negative) >= measured - 1e-12
    return (1 + beyond) / (1 + rounds)


def correlation(xs: Values, ys: Values) -> float:
    """Return Pearson's r, 0 where one side does not vary. Raises ValueError where they are not of one length."""
    across, along = np.asarray(xs, dtype=float), np.asarray(ys, dtype=float)
    across, along = across - across.mean(), along - along.mean()
    spread = math.sqrt(float(across @ across) * float(along @ along))
    return float(across @ along) / spread if spread else 0.0


def correlation_interval(r: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the interval of a correlation of n pairs (Fisher's z)."""
    z, half = math.atanh(max(-0.999999, min(0.999999, r))), NormalDist().inv_cdf(0.5 + confidence / 2) / math.sqrt(n - 3)
    return math.tanh(z - half), math.tanh(z + half)


@dataclass(frozen=True)
class Comparison:
    """One attacker's scores of two classes, and what they say."""

    name: str
    auc: float
    interval: tuple[float, float]
    upper: float
    n: tuple[int, int]
    roc: list[tuple[float, float]] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def compare(name: str, positive: Sequence[float], negative: Sequence[float], **extra: Any) -> Comparison:
    """Score two classes. upper: the one-sided 95 % bound of max(AUC, 1 - AUC), with the wider of the null and the measured error."""
    area, n1, n2 = auc(positive, negative), len(positive), len(negative)
    error = standard_error(area, n1, n2)
    upper = min(1.0, max(area, 1 - area) + ONE_SIDED_95 * max(error, null_error(n1, n2)))
    interval = max(0.0, area - TWO_SIDED_95 * error), min(1.0, area + TWO_SIDED_95 * error)
    return Comparison(name, area, interval, upper, (n1, n2), curve(positive, negative), extra)


@dataclass(frozen=True)
class Control:
    """A leak made on purpose. at_least: the AUC at which the control has fired."""

    name: str
    auc: float
    at_least: float

    @property
    def fired(self) -> bool:
        """Say whether the attacker found it."""
        return self.auc >= self.at_least


def verdict(comparisons: Sequence[Comparison], bound: float, controls: Sequence[Control], *, also: Mapping[str, bool] | None = None) -> str:
    """Return PASS, FAIL or NO RESULT. also: further conditions by name, which are what they are without statistics.

    A leak that was found is a FAIL whatever the controls did; where nothing was found, controls that did not fire (or none at all) make it NO RESULT. So does a bound that is passed where
    labels of whole slots, drawn anew, do as well in one of MOST_BY_CHANCE: what is alike within a slot for another cause, a host that was busy for a minute say, is no leak, and hides one.
    """
    over = [each for each in comparisons if each.upper >= bound]
    if any(each.extra.get("p", 0.0) < MOST_BY_CHANCE for each in over) or not all((also or {}).values()):
        return "FAIL"
    if over or not controls or not all(control.fired for control in controls):
        return "NO RESULT"
    return "PASS"


Score = Callable[[Sequence[float]], float]
"""What an attacker learnt: features of one unit to a score, higher for the positive class."""
