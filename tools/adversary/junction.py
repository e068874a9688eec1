"""Test (d) at a junction: a call's splice among dummies.

Whole boxes in virtual time (town.py), their calls, circuits and dummies as they are shipped. The junction learns on the log of one town and is tested on that of
another. Beside the learners, which see everything, the length of a splice and the frequency of its pair of guards are looked at alone. Controls: circuits made for
each call; dummies between two circuits of one house (loops), found by the pairs of guards.

The limit is one for the upper bound, and stricter than statistics.limit of so many splices. A run of quick mode has some 850 calls and 720 dummies, so a standard error of
0.0147, and fails where an AUC is above 0.62 - 1.645 * 0.0147 = 0.596. In eight pairs of towns (36 to 100 hours) the better attacker had 0.544 in the mean, with a deviation of 0.017:
3.05 deviations, once in 900 runs. One whose AUC is 0.64 passes about once in 200.
"""

from __future__ import annotations

import math
from statistics import median

from tools.adversary.attackers import PORTFOLIO, Units, controls, scores
from tools.adversary.result import Result
from tools.adversary.splices import AGAIN, LENGTH, PAIR, WAITS, features
from tools.adversary.statistics import Comparison, auc, compare, limit
from tools.adversary.town import Town

NAME, TITLE = "d_junction", "a call's splice among dummies at the junction"
UPPER_BOUND = 0.62
LEFT_OUT = {"waits": WAITS, "waits and length": (*WAITS, *LENGTH), "waits, length and splices of the same two": (*WAITS, *LENGTH, *AGAIN)}
"""Without what the first attacker is tried once more, to see what tells."""


def watch(seed: int, hours: float, switch: str = "") -> Units:
    """Let a town live, and return the splices of one of its junctions; calls are looked for."""
    log = Town(seed, switch=switch).live(hours)
    return features(log), [int(splice.is_call) for splice in log.splices]


def test(seed: int, *, strict: bool) -> Result:
    """Run the junction's part of test (d)."""
    hours = 100.0 if strict else 36.0
    train, examined = (watch(seed + at, hours) for at in (0, 1))
    made, made_test = (watch(seed + at, hours / 6, "per_call") for at in (2, 3))
    loops, loops_test = (watch(seed + at, hours / 6, "loops") for at in (4, 5))
    comparisons: list[Comparison] = [compare(f"everything, {name}", *scores(train, examined, name)) for name in PORTFOLIO]
    comparisons += [
        compare(name, *scores(train, examined, "boosted stumps", columns)) for name, columns in (("length alone", LENGTH), ("pair of guards alone", PAIR))
    ]
    found = [*controls("circuits made for each call", made, made_test, 0.99), *controls("dummies to oneself", loops, loops_test, 0.9)]
    bound = max(UPPER_BOUND, limit(*comparisons[0].n, len(comparisons)))
    rows, labels = examined
    every = range(len(rows[0]))
    rest = {
        f"without {what}": round(auc(*scores(train, examined, "boosted stumps", [column for column in every if column not in columns])), 4)
        for what, columns in LEFT_OUT.items()
    }
    medians = {
        name: round(math.exp(median(row[LENGTH[0]] for row, each in zip(rows, labels, strict=True) if each == label)), 1)
        for name, label in (("calls", 1), ("dummies", 0))
    }
    more = {"hours": hours, "median length in s": medians, "everything": rest}
    return Result(NAME, TITLE, seed, bound, comparisons, found, more=more)
