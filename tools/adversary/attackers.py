"""Attackers that learn: logistic regression and boosted stumps, and the features of a stretch of datagrams that they look at.

Both train on one run and are tested on another, never on folds of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from tools.adversary.statistics import Control, Score, Values, auc, correlation

Features = Sequence[float]
Units = tuple[Sequence[Features], Sequence[int]]
"""Features of each, and whether it is what is looked for."""
Array = npt.NDArray[np.float64]

BINS = 10
HISTOGRAM_US = 25
STRETCH_SLOTS = 20
FLOORS = (0.0, 0.04, 0.1, 0.2)
"""Lateness has a floor and a long tail: what comes first says where the floor is; the busier the machine, the fewer are near it."""
TIMING_FEATURES = 27


def quantiles(ordered: Values, at: Sequence[float]) -> list[float]:
    """Return these quantiles (0..1) of values in their order, 0 where there are none."""
    last = len(ordered) - 1
    return [float(ordered[min(int(q * len(ordered)), last)]) if last >= 0 else 0.0 for q in at]


def entropy(values: Values, width: float) -> float:
    """Return the entropy in bits of a histogram with bins of this width."""
    _, counts = np.unique(np.floor(np.asarray(values, dtype=float) / width), return_counts=True)
    shares = counts / max(1, counts.sum())
    return -float((shares * np.log2(shares)).sum())


def _middle(values: Array) -> float:
    """Return the mean of the middle half: of many late ones a few are very late."""
    ordered = np.sort(values)
    return float(ordered[len(ordered) // 4 : max(len(ordered) * 3 // 4, len(ordered) // 4 + 1)].mean())


def _parity(slots: Array, offsets: Array) -> list[float]:
    """Return how far the floors of odd and even ticks are apart: in the whole, and in the middle of short stretches, in which the clock cannot run away."""
    odd = slots % 2 == 1
    floors = [np.sort(offsets[odd]), np.sort(offsets[~odd])]
    apart = [abs(one - other) for one, other in zip(*(quantiles(floor, FLOORS) for floor in floors), strict=True)]
    steps: list[tuple[float, float]] = []
    for begin in range(0, int(slots[-1]) + 1, STRETCH_SLOTS):
        here = (slots >= begin) & (slots < begin + STRETCH_SLOTS)
        one, other = (quantiles(np.sort(offsets[here & parity]), (FLOORS[0], FLOORS[-1])) for parity in (odd, ~odd))
        if here.sum() > STRETCH_SLOTS // 2:
            steps.append((one[0] - other[0], one[1] - other[1]))
    return [*apart, *(abs(float(np.median(each))) for each in zip(*steps, strict=True))] if steps else [*apart, 0.0, 0.0]


def timing_features(times_us: Values, period_us: float = 20_000) -> list[float]:
    """Return what the literature looks at in one direction: count, gaps, their spread, entropy, lags, odd against even ticks, distance to the grid."""
    times = np.asarray(times_us, dtype=float)
    gaps = np.diff(times)
    if len(gaps) < 8:
        return [float(len(times)), *([0.0] * (TIMING_FEATURES - 1))]
    odd, even = gaps[::2], gaps[1::2]
    slots = np.round((times - times[0]) / period_us)
    offsets = times - times[0] - period_us * slots
    distances = np.abs(gaps - period_us)
    return [
        float(len(times)),
        float(gaps.mean()),
        float(gaps.std()),
        *quantiles(np.sort(gaps), (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)),
        float(gaps.max()),
        entropy(gaps, HISTOGRAM_US),
        correlation(gaps[:-1], gaps[1:]),
        correlation(gaps[:-2], gaps[2:]),
        abs(float(odd.mean() - even.mean())),
        abs(float(np.median(odd) - np.median(even))),
        abs(_middle(odd) - _middle(even)),
        abs(float(offsets[::2].mean() - offsets[1::2].mean())),
        float(offsets.std()),
        float(distances.mean()),
        float((distances > period_us / 4).sum()),
        *_parity(slots, offsets),
    ]


def logistic(rows: Sequence[Features], labels: Sequence[int], steps: int = 200, decay: float = 0.01) -> Score:
    """Learn a logistic regression by gradient descent on standardised features."""
    values, wanted = np.asarray(rows, dtype=float), np.asarray(labels, dtype=float)
    mean, spread = values.mean(axis=0), values.std(axis=0)
    spread[spread == 0] = 1.0

    def standard(these: Array) -> Array:
        clipped: Array = np.clip((these - mean) / spread, -8.0, 8.0)
        return clipped

    inputs, rate = standard(values), 0.5
    weights, bias = np.zeros(values.shape[1]), 0.0
    for _ in range(steps):
        errors = (1 / (1 + np.exp(-np.clip(inputs @ weights + bias, -30, 30))) - wanted) / len(inputs)
        weights -= rate * (inputs.T @ errors + decay * weights)
        bias -= rate * float(errors.sum())
    return lambda row: bias + float(standard(np.asarray(row, dtype=float)) @ weights)


def _cuts(ordered: Array) -> list[float]:
    """Return thresholds in a feature: what is above none of its values in learning may be above some later."""
    tenths = np.unique(quantiles(ordered, [i / BINS for i in range(1, BINS)]))
    following = np.searchsorted(ordered, tenths, "right")
    return [(float(tenth) + float(ordered[after])) / 2 for tenth, after in zip(tenths, following, strict=True) if after < len(ordered)]


def boosted_stumps(rows: Sequence[Features], labels: Sequence[int], rounds: int = 40) -> Score:
    """Learn a sum of decision stumps (AdaBoost, thresholds behind tenths of each feature, halfway to the next value)."""
    values, signs = np.asarray(rows, dtype=float), np.where(np.asarray(labels) > 0, 1.0, -1.0)
    cuts = [(column, cut) for column in range(values.shape[1]) for cut in _cuts(np.sort(values[:, column]))]
    if not cuts:
        return lambda _row: 0.0
    # A row for each stump: on which side of it each unit is.
    sides = np.asarray([np.where(values[:, column] > cut, 1.0, -1.0) for column, cut in cuts])
    weights = np.full(len(signs), 1 / len(signs))
    stumps: list[tuple[int, float, float]] = []
    for _ in range(rounds):
        edges = sides @ (weights * signs)
        best = int(np.argmax(np.abs(edges)))
        error = max((1 - abs(float(edges[best]))) / 2, 1e-6)
        if error >= 0.5 - 1e-9:
            break
        alpha = math.copysign(0.5 * math.log((1 - error) / error), float(edges[best]))
        stumps.append((*cuts[best], alpha))
        weights *= np.exp(-alpha * signs * sides[best])
        weights /= weights.sum()
    return lambda row: sum(alpha if row[feature] > cut else -alpha for feature, cut, alpha in stumps)


Learner = Callable[[Sequence[Features], Sequence[int]], Score]

PORTFOLIO: dict[str, Learner] = {"boosted stumps": boosted_stumps, "logistic regression": logistic}
"""Attackers that know nothing of this system but the names of the features."""


def scores(train: Units, examined: Units, learner: str, columns: Sequence[int] | None = None) -> tuple[list[float], list[float]]:
    """Learn on some units, score others: what is looked for, and the rest. columns: what of the features is looked at."""

    def pick(rows: Sequence[Features]) -> list[list[float]]:
        return [[row[column] for column in columns] if columns else list(row) for row in rows]

    score = PORTFOLIO[learner](pick(train[0]), train[1])
    rated = [score(row) for row in pick(examined[0])]
    positive, negative = ([value for value, each in zip(rated, examined[1], strict=True) if each == label] for label in (1, 0))
    return positive, negative


def controls(what: str, train: Units, examined: Units, at_least: float) -> list[Control]:
    """Return what each attacker of the portfolio finds of a leak made on purpose."""
    return [Control(what + who, auc(*scores(train, examined, name)), at_least) for name, who in zip(PORTFOLIO, ("", ", second attacker"), strict=True)]
