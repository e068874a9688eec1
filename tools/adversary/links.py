"""Whether the two access links of one box can be found to be one box's: by the phase of the tick, its rate, at the beginning or later, the steps between its corrections,
or how it strays from its rate.

Boxes of two circuits over two guards drawn at random; crystals up to 50 ppm off. Positives are the pairs of links of one box, negatives pairs of links of two boxes,
over different guards and to different junctions as well (a box has one circuit to each, and the phase of its tick tells to which: PROTOCOL.md §5.4). Controls: ticks that follow no guard, and ticks that are the crystal's between corrections in steps.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

from tools.adversary.clocks import SLOT_US, piece_of, rate_of, steps_of
from tools.adversary.result import Result
from tools.adversary.statistics import Control, auc, compare, correlation, limit
from tools.adversary.world import ACCESS, GUARDS, JUNCTIONS, RELAY, SECOND_US, Plan, run

NAME, TITLE = "links", "two links of one box"
BOXES = 16
BEGIN_US = 30 * SECOND_US
WATCHED_US = 120 * SECOND_US
BEFORE_US = 60 * SECOND_US
FIRST_TICKS = 100
STRAY_TICKS = 64


@dataclass(frozen=True)
class Link:
    """One access link, seen from its box's side."""

    box: int
    guard: int
    junction: int
    phase_us: float
    rate_ppm: float
    step_us: float
    piece_ppm: float
    first_ppm: float
    stray_us: tuple[float, ...]


def watch(seed: int, switches: Sequence[str] = ()) -> list[Link]:
    """Watch all access links of one run."""
    chance, plan = random.Random(seed), Plan(seed)
    plan.wires(ACCESS, RELAY)
    for _ in range(GUARDS + JUNCTIONS):
        plan.relay(chance.randint(-500, 500))
    for _ in range(BOXES):
        plan.box(chance.randint(-50_000, 50_000))
    for box in range(GUARDS + JUNCTIONS, GUARDS + JUNCTIONS + BOXES):
        for junction, guard in enumerate(chance.sample(range(GUARDS), 2)):
            plan.circuit(box, guard, GUARDS + junction)
            plan.watch(box, guard)
    for switch in switches:
        plan.at(0, "switch", switch, "on")
    plan.record(-BEFORE_US, 0)
    plan.record(BEGIN_US, BEGIN_US + WATCHED_US)
    recorded = run(plan)
    links = []
    for circuit, (box, guard, junction) in enumerate(plan.paths):
        times = [cell[0] for cell in recorded.access(circuit, up=True)]
        first, ticks = times[:FIRST_TICKS], [time for time in times if time >= BEGIN_US]
        phase_us = fmean(tick % SLOT_US for tick in ticks[:50])
        links.append(Link(box, guard, junction, phase_us, rate_of(ticks), fmean(steps_of(ticks)), piece_of(ticks), rate_of(first), _stray(ticks)))
    return links


def _stray(ticks_us: Sequence[int]) -> tuple[float, ...]:
    """Return the mean distance from the line through all ticks, of each 64 of them."""
    slope, start = linear_regression(range(len(ticks_us)), ticks_us)
    apart = [tick - start - slope * index for index, tick in enumerate(ticks_us)]
    return tuple(fmean(apart[at : at + STRAY_TICKS]) for at in range(0, len(apart) - STRAY_TICKS + 1, STRAY_TICKS))


def _alike(one: Sequence[float], other: Sequence[float]) -> float:
    length = min(len(one), len(other))
    return correlation(one[:length], other[:length])


def _phase(one: Link, other: Link) -> float:
    apart = abs(one.phase_us - other.phase_us)
    return -min(apart, SLOT_US - apart)


ATTACKERS: dict[str, Callable[[Link, Link], float]] = {
    "phase of the tick": _phase,
    "rate of the tick": lambda one, other: -abs(one.rate_ppm - other.rate_ppm),
    "rate of the tick in its first two seconds": lambda one, other: -abs(one.first_ppm - other.first_ppm),
    "steps between corrections": lambda one, other: -abs(one.step_us - other.step_us),
    "rate in a third of a second": lambda one, other: -abs(one.piece_ppm - other.piece_ppm),
    "how the tick strays from its rate": lambda one, other: _alike(one.stray_us, other.stray_us),
}


def scores(runs: Sequence[Sequence[Link]], attacker: Callable[[Link, Link], float]) -> tuple[list[float], list[float]]:
    """Score pairs of links over different guards to different junctions: of one box, and of two."""
    positive: list[float] = []
    negative: list[float] = []
    for links in runs:
        for one, other in itertools.combinations(links, 2):
            if one.guard != other.guard and one.junction != other.junction:
                (positive if one.box == other.box else negative).append(attacker(one, other))
    return positive, negative


def test(seed: int, *, strict: bool) -> Result:
    """Run the test."""
    runs = [watch(seed + number) for number in range(24 if strict else 8)]
    comparisons = [compare(name, *scores(runs, attacker)) for name, attacker in ATTACKERS.items()]
    free, stepped = [watch(seed + 100, ["free_tick"])], [watch(seed + 101, ["stepped_tick"])]
    controls = [
        Control("ticks that follow no guard", auc(*scores(free, ATTACKERS["rate of the tick"])), 0.99),
        Control("ticks that follow no guard, second attacker", auc(*scores(free, ATTACKERS["steps between corrections"])), 0.99),
        Control("ticks corrected in steps", auc(*scores(stepped, ATTACKERS["steps between corrections"])), 0.95),
        Control("ticks corrected in steps, second attacker", auc(*scores(stepped, ATTACKERS["rate in a third of a second"])), 0.95),
    ]
    return Result(NAME, TITLE, seed, limit(*comparisons[0].n, len(comparisons)), comparisons, controls)
