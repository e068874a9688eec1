"""Attackers that learn: logistic regression and boosted stumps, and the features of a stretch of datagrams that they look at.

Plain Python: a few thousand units with a few dozen features are learnt in seconds. Both train on one run and are tested on another, never on folds of one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import fmean, median, pstdev

from tools.adversary.statistics import Score, correlation

Features = Sequence[float]

BINS = 10
HISTOGRAM_US = 25


def quantiles(values: Sequence[float], at: Sequence[float]) -> list[float]:
    """Return these quantiles (0..1) of values, 0 where there are none."""
    ordered = sorted(values)
    return [ordered[min(int(q * len(ordered)), len(ordered) - 1)] if ordered else 0.0 for q in at]


def entropy(values: Sequence[float], width: float) -> float:
    """Return the entropy in bits of a histogram with bins of this width."""
    counts = Counter(int(value // width) for value in values)
    total = len(values)
    return -sum(n / total * math.log2(n / total) for n in counts.values()) if total else 0.0


def _middle(values: Sequence[float]) -> float:
    """Return the mean of the middle half: of many late ones a few are very late."""
    ordered = sorted(values)
    return fmean(ordered[len(ordered) // 4 : max(len(ordered) * 3 // 4, len(ordered) // 4 + 1)])


def timing_features(times_us: Sequence[float], period_us: float = 20_000) -> list[float]:
    """Return what the literature looks at in one direction: count, gaps, their spread, entropy, lags, odd against even ticks, distance to the grid."""
    gaps = [after - before for before, after in pairwise(times_us)]
    if len(gaps) < 8:
        return [float(len(times_us)), *([0.0] * 20)]
    mean = fmean(gaps)
    odd, even = fmean(gaps[::2]), fmean(gaps[1::2])
    offsets = [(time - times_us[0]) - period_us * round((time - times_us[0]) / period_us) for time in times_us]
    distances = [abs(gap - period_us) for gap in gaps]
    return [
        float(len(times_us)),
        mean,
        pstdev(gaps),
        *quantiles(gaps, (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)),
        max(gaps),
        entropy(gaps, HISTOGRAM_US),
        correlation(gaps[:-1], gaps[1:]),
        correlation(gaps[:-2], gaps[2:]),
        abs(odd - even),
        abs(median(gaps[::2]) - median(gaps[1::2])),
        abs(_middle(gaps[::2]) - _middle(gaps[1::2])),
        abs(fmean(offsets[::2]) - fmean(offsets[1::2])),
        pstdev(offsets),
        fmean(distances),
        float(sum(distance > period_us / 4 for distance in distances)),
    ]


def _scale(rows: Sequence[Features]) -> list[tuple[float, float]]:
    return [(fmean(column), pstdev(column) or 1.0) for column in zip(*rows, strict=True)]


def logistic(rows: Sequence[Features], labels: Sequence[int], steps: int = 200, decay: float = 0.01) -> Score:
    """Learn a logistic regression by gradient descent on standardised features."""
    scale = _scale(rows)

    def standard(row: Features) -> list[float]:
        return [max(-8.0, min(8.0, (value - mean) / spread)) for value, (mean, spread) in zip(row, scale, strict=True)]

    inputs = [standard(row) for row in rows]
    weights, bias, rate = [0.0] * len(scale), 0.0, 0.5
    for _ in range(steps):
        slopes, slope = [decay * weight for weight in weights], 0.0
        for row, label in zip(inputs, labels, strict=True):
            total = bias + sum(w * x for w, x in zip(weights, row, strict=True))
            error = (1 / (1 + math.exp(-max(-30.0, min(30.0, total)))) - label) / len(inputs)
            slope += error
            slopes = [s + error * x for s, x in zip(slopes, row, strict=True)]
        weights = [w - rate * s for w, s in zip(weights, slopes, strict=True)]
        bias -= rate * slope
    return lambda row: bias + sum(w * x for w, x in zip(weights, standard(row), strict=True))


def boosted_stumps(rows: Sequence[Features], labels: Sequence[int], rounds: int = 40) -> Score:
    """Learn a sum of decision stumps (AdaBoost, thresholds at tenths of each feature)."""
    signs = [1 if label else -1 for label in labels]
    cuts = [sorted({*quantiles(column, [i / BINS for i in range(1, BINS)])}) for column in zip(*rows, strict=True)]
    bins = [[sum(value > cut for cut in column_cuts) for value in column] for column, column_cuts in zip(zip(*rows, strict=True), cuts, strict=True)]
    weights = [1 / len(rows)] * len(rows)
    stumps: list[tuple[int, float, float]] = []
    for _ in range(rounds):
        feature, cut, sign, error = _best_stump(bins, cuts, signs, weights)
        error = max(error, 1e-6)
        if error >= 0.5 - 1e-9:
            break
        alpha = 0.5 * math.log((1 - error) / error) * sign
        stumps.append((feature, cuts[feature][cut], alpha))
        weights = [weight * math.exp(-alpha * label * (1 if column > cut else -1)) for weight, label, column in zip(weights, signs, bins[feature], strict=True)]
        total = sum(weights)
        weights = [weight / total for weight in weights]
    return lambda row: sum(alpha if row[feature] > cut else -alpha for feature, cut, alpha in stumps)


def _best_stump(bins: list[list[int]], cuts: list[list[float]], signs: list[int], weights: list[float]) -> tuple[int, int, int, float]:
    """Return feature, index of its cut, direction and weighted error of the best stump."""
    signed = [weight * label for weight, label in zip(weights, signs, strict=True)]
    balance = sum(signed)
    best = (0, 0, 1, 0.5)
    for feature, column in enumerate(bins):
        sums = [0.0] * (len(cuts[feature]) + 1)
        for place, value in zip(column, signed, strict=True):
            sums[place] += value
        below = 0.0
        for cut in range(len(cuts[feature])):
            below += sums[cut]
            edge = balance - 2 * below  # sum of label * (above ? 1 : -1) * weight
            error = (1 - abs(edge)) / 2
            if error < best[3] - 1e-12:
                best = (feature, cut, 1 if edge > 0 else -1, error)
    return best


Learner = Callable[[Sequence[Features], Sequence[int]], Score]

PORTFOLIO: dict[str, Learner] = {"boosted stumps": boosted_stumps, "logistic regression": logistic}
"""Attackers that know nothing of this system but the names of the features."""
