"""Test (b): who calls whom, by comparing what the access links of all boxes carry.

Boxes are paired anew in each round; a call begins and ends inside it. Positives are the pairs in a call, negatives all other pairs of the same round.
Attackers: boosted stumps over the scores of the literature (lagged correlation of counts, of inter-arrival residuals, late ticks, distances of the largest
rise and fall), learnt on one run and tested on another; and the plain lagged correlation of counts, which knows nothing of this system.
"""

from __future__ import annotations

import itertools
import random
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tools.adversary.attackers import Array, boosted_stumps
from tools.adversary.result import Result
from tools.adversary.statistics import Control, Score, auc, bootstrap, compare, correlation, limit, pairing_p, rate_at
from tools.adversary.world import SECOND_US, Plan, network, run

ROUND_US = 30 * SECOND_US
BIN_US = 100_000
LAGS = 6
SLOT_US = 20_000
NAME, TITLE = "b", "caller and callee matched by the access links"
BOXES = 16
DTX_LEAST = 0.97
"""What pauses of the voice tell at least: 0.99 within an error of some 0.005."""


@dataclass
class Seen:
    """What an observer makes of one direction of one access link in one round."""

    counts: Array
    late: Array
    rise_us: int
    fall_us: int
    change: int


def seen(times_us: Sequence[int]) -> Seen:
    """Digest the departures of one round, counted from its begin."""
    times = np.asarray(times_us, dtype=np.int64)
    counts = np.bincount(times // BIN_US, minlength=ROUND_US // BIN_US).astype(float)
    late = np.zeros(ROUND_US // SLOT_US)
    residuals = (times - (times[0] if len(times) else 0) + SLOT_US // 2) % SLOT_US - SLOT_US // 2
    late[times // SLOT_US] = residuals - (np.median(residuals) if len(times) else 0)
    second = np.convolve(counts, np.ones(10), "valid")[:-1]
    changes = second[10:] - second[:-10]
    rise, fall = int(changes.argmax()), int(changes.argmin())
    return Seen(counts, late, rise * BIN_US, fall * BIN_US, int(changes[rise] - changes[fall]))


@dataclass
class Round:
    """One round: for each box what it sent and what it got, and who was in a call with whom."""

    up: list[Seen]
    down: list[Seen]
    calls: set[tuple[int, int]]


def rounds(seed: int, count: int, switches: Sequence[str] = (), boxes: int = BOXES) -> list[Round]:
    """Run so many rounds; every call has to be heard."""
    plan, chance = network(seed, boxes)
    for switch in switches:
        plan.at(0, "switch", switch, "on")
    for index in range(boxes):
        box, guard, _ = plan.paths[index]
        plan.watch(box, guard)
        plan.watch(guard, box)
    pairings = []
    for number in range(count):
        begin_us = SECOND_US + number * ROUND_US
        order = chance.sample(range(boxes), boxes)
        pairs = set(zip(order[::2], order[1::2], strict=True))
        for place, (a, b) in enumerate(sorted(pairs)):
            join = (number * len(pairs) + place) % 127 + 1
            from_us, until_us = begin_us + chance.randrange(SECOND_US, 8 * SECOND_US), begin_us + chance.randrange(18 * SECOND_US, 27 * SECOND_US)
            plan.at(from_us, "call", a, b, join)
            plan.at(until_us, "end", a, b, join)
            if "dtx" in switches:
                _take_turns(plan, chance, (a, b), from_us, until_us)
        pairings.append({(min(pair), max(pair)) for pair in pairs})
    plan.record(SECOND_US, SECOND_US + count * ROUND_US)
    recorded = run(plan)
    if recorded.heard() != count * boxes:
        raise RuntimeError(f"{recorded.heard()} of {count * boxes} ends of calls were heard")

    def cut(box: int, number: int, *, up: bool) -> Seen:
        begin_us = SECOND_US + number * ROUND_US
        cells = recorded.access(box, up=up)
        first, last = (bisect_left(cells, edge, key=lambda cell: cell[0]) for edge in (begin_us, begin_us + ROUND_US))
        return seen([cell[0] - begin_us for cell in cells[first:last]])

    return [Round([cut(box, n, up=True) for box in range(boxes)], [cut(box, n, up=False) for box in range(boxes)], calls) for n, calls in enumerate(pairings)]


def _take_turns(plan: Plan, chance: random.Random, pair: tuple[int, int], from_us: int, until_us: int) -> None:
    """Let one speak while the other is silent, in turns of about a second and a half."""
    at_us, speaks = from_us, 0
    while at_us < until_us:
        plan.at(at_us, "frames", pair[speaks], "on")
        plan.at(at_us, "frames", pair[1 - speaks], "off")
        at_us, speaks = at_us + int(chance.uniform(0.5, 2.5) * SECOND_US), 1 - speaks


def lagged(first: Array, second: Array, lags: int = LAGS) -> float:
    """Return the largest correlation of two series, the second up to so many bins later."""
    if first.min() == first.max() or second.min() == second.max():
        return 0.0
    return max(correlation(first[: len(first) - lag], second[lag:]) for lag in range(lags))


def pair_features(a: int, b: int, of: Round) -> list[float]:
    """Compare two boxes: what one sends with what the other gets, both ways."""
    ways = ((of.up[a], of.down[b]), (of.up[b], of.down[a]))
    late = [(set(_late(x)), set(_late(y))) for x, y in ways]
    return [
        max(lagged(x.counts, y.counts) for x, y in ways),
        max(lagged(x.late, y.late, 3) for x, y in ways),
        max((len(x & y) / len(x | y)) if x | y else 0.0 for x, y in late),
        min(abs(x.rise_us - y.rise_us) / SECOND_US for x, y in ways),
        min(abs(x.fall_us - y.fall_us) / SECOND_US for x, y in ways),
        min(max(abs(x.rise_us - y.rise_us), abs(x.fall_us - y.fall_us)) / SECOND_US for x, y in ways),
        float(min(min(x.change, y.change) for x, y in ways)),
        abs(float(of.up[a].counts.sum() - of.up[b].counts.sum())),
    ]


def _late(of: Seen) -> list[int]:
    return [int(index) // 5 for index in np.flatnonzero(np.abs(of.late) > 150)]


Scored = list[tuple[list[float], list[float]]]


def _features(of: Sequence[Round]) -> list[list[tuple[tuple[int, int], list[float]]]]:
    return [[((a, b), pair_features(a, b, one)) for a, b in itertools.combinations(range(len(one.up)), 2)] for one in of]


def _scores(of: Sequence[Round], features: list[list[tuple[tuple[int, int], list[float]]]], score: Score) -> Scored:
    grouped = []
    for one, pairs in zip(of, features, strict=True):
        rated = [(score(row), pair in one.calls) for pair, row in pairs]
        grouped.append(([s for s, called in rated if called], [s for s, called in rated if not called]))
    return grouped


def _learn(of: Sequence[Round], features: list[list[tuple[tuple[int, int], list[float]]]], chance: random.Random) -> Score:
    """Learn from all pairs in a call and as many others of each round."""
    rows, labels = [], []
    for one, pairs in zip(of, features, strict=True):
        called = [row for pair, row in pairs if pair in one.calls]
        others = [row for pair, row in pairs if pair not in one.calls]
        rows += called + chance.sample(others, min(len(called) * 2, len(others)))
        labels += [1] * len(called) + [0] * min(len(called) * 2, len(others))
    return boosted_stumps(rows, labels)


def rank_one(of: Sequence[Round], features: list[list[tuple[tuple[int, int], list[float]]]], score: Score, chance: random.Random) -> float:
    """Return the share of callers whose peer has the highest score of all boxes, ties drawn."""
    hits, total = 0, 0
    for one, pairs in zip(of, features, strict=True):
        rated = {pair: (score(row), chance.random()) for pair, row in pairs}
        for a, b in one.calls:
            best = max((pair for pair in rated if a in pair), key=rated.__getitem__)
            hits, total = hits + (best == (a, b)), total + 1
    return hits / total


def _flat(groups: Scored) -> tuple[list[float], list[float]]:
    return [s for group in groups for s in group[0]], [s for group in groups for s in group[1]]


def plain(row: Sequence[float]) -> float:
    """Return the plain lagged correlation of counts."""
    return row[0]


def test(seed: int, *, strict: bool) -> Result:
    """Run test (b)."""
    chance, (count, parts) = random.Random(seed), (15, 4) if strict else (16, 1)
    # In several runs, so that what is recorded of one fits into memory.
    train, examined = ([one for part in range(parts) for one in rounds(seed + at + 1_000 * part, count)] for at in (0, 1))
    train_features, features = _features(train), _features(examined)
    learnt = _learn(train, train_features, chance)
    comparisons = []
    for name, score in (("boosted stumps", learnt), ("lagged correlation of counts", plain)):
        groups = _scores(examined, features, score)
        positive, negative = _flat(groups)
        extra = {
            "p": round(pairing_p(groups, 200, chance), 4),
            "bootstrap": [round(edge, 4) for edge in bootstrap(groups, 200, chance)],
            "rate_at_0.001": rate_at(positive, negative, 0.001),
            "rank_one": round(rank_one(examined, features, score, chance), 4),
        }
        comparisons.append(compare(name, positive, negative, **extra))
    off, off_rank, off_test = _control("chaff off", (seed + 2, seed + 3), 10 if strict else 8, ["chaff_off", "fill_off"], chance, 0.99)
    paused, _, _ = _control("DTX on", (seed + 4, seed + 5), 10 if strict else 8, ["dtx", "fill_off"], chance, DTX_LEAST)
    n = comparisons[0].n
    more = {"rank_one_by_chance": round(1 / (BOXES - 1), 4), "rank_one_chaff_off": off_rank}
    plots = {"rates": _rates(examined[0], off_test[0])}
    controls = [*off, *paused]
    return Result(NAME, TITLE, seed, limit(*n, len(comparisons)), comparisons, controls, more=more, plots=plots)


def _control(
    name: str, seeds: tuple[int, int], count: int, switches: Sequence[str], chance: random.Random, least: float
) -> tuple[list[Control], float, list[Round]]:
    """Return what both attackers make of a leak, of which the first is to make at least `least`, how often the first ranks the peer highest, and the rounds."""
    train, examined = (rounds(seed, count, switches) for seed in seeds)
    features = _features(examined)
    learnt = _learn(train, _features(train), chance)
    controls = [
        Control(f"{name}{who}", auc(*_flat(_scores(examined, features, score))), least)
        for who, score, least in (("", learnt, least), (", second attacker", plain, 0.95))
    ]
    return controls, rank_one(examined, features, learnt, chance), examined


def _rates(clean: Round, control: Round) -> dict[str, list[float]]:
    """Return cells a second over a round with a call, of one caller: as it is and with the chaff off."""
    return {
        name: [sum(one.up[min(min(pair) for pair in one.calls)].counts[i : i + 10]) for i in range(0, 300, 10)]
        for name, one in (("as it is", clean), ("chaff off", control))
    }
