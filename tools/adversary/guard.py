"""Test (d) at a guard: circuits with a call against circuits without, by the times and numbers on both of its sides, the octets, and how long a circuit lives.

The junction's part is in junction.py.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from tools.adversary.attackers import PORTFOLIO, Units, controls, scores, timing_features
from tools.adversary.result import Result
from tools.adversary.statistics import compare, correlation, limit
from tools.adversary.world import NEVER, SECOND_US, Cell, Recorded, network, run

NAME, TITLE = "d", "idle against call at a malicious guard"
BOXES = 20
STRETCH_US = 20 * SECOND_US
SLOT_US = 20_000


@dataclass
class Unit:
    """One circuit in one stretch of time, as its guard sees it."""

    in_call: bool
    features: list[float]


def stretches(seed: int, count: int, *, per_call: bool = False, metered: bool = False) -> list[Unit]:
    """Run so many stretches; in each a quarter of the circuits, drawn anew, call another quarter.

    per_call: the control. A circuit that will call is closed and made anew for it (stretches are farther apart then); the others live on.
    metered: half of the boxes are, and it is their circuits that are looked at, whoever they call.
    """
    looked_at, early_us = (BOXES // 2, 16 * SECOND_US) if metered else (BOXES, 10 * SECOND_US)
    plan, chance = network(seed, BOXES, metered=looked_at if metered else 0)
    begin_us, spacing_us = early_us + 2 * SECOND_US, STRETCH_US * (2 if per_call else 1)
    talkers = []
    for number in range(count):
        start_us = begin_us + number * spacing_us
        drawn = chance.sample(range(BOXES), BOXES // 2)
        talkers.append(set(drawn))
        for place, (a, b) in enumerate(zip(drawn[::2], drawn[1::2], strict=True)):
            join = (number * BOXES + place) % 127 + 1
            at_us = start_us + chance.randrange(SECOND_US, 3 * SECOND_US)
            if per_call:
                for circuit in (a, b):
                    plan.at(at_us - early_us - SECOND_US, "close", circuit)
                    plan.at(at_us - early_us, "build", circuit)
            plan.at(at_us, "call", a, b, join)
            plan.at(start_us + chance.randrange(15 * SECOND_US, 19 * SECOND_US), "end", a, b, join)
    plan.record(begin_us - early_us - SECOND_US, begin_us + count * spacing_us)
    recorded = run(plan)
    if recorded.heard() != count * (BOXES // 2):
        raise RuntimeError(f"{recorded.heard()} of {count * (BOXES // 2)} ends of calls were heard")
    return [
        Unit(circuit in calling, _features(recorded, circuit, begin_us + number * spacing_us, 2 if metered else 1, early_us))
        for number, calling in enumerate(talkers)
        for circuit in range(looked_at)
    ]


def _features(recorded: Recorded, circuit: int, begin_us: int, stride: int, early_us: int) -> list[float]:
    """Return what the guard knows: four streams, how they go together, the life of the circuit's number so far.

    stride: slots from one cell to the next; early_us: how long before a stretch the guard looks at numbers.
    """
    ways = [recorded.access(circuit, up=True), recorded.behind(circuit, up=True), recorded.behind(circuit, up=False), recorded.access(circuit, up=False)]
    cut = [_stretch(cells, begin_us) for cells in ways]
    came, gone = [0, 2], [1, 3]
    features: list[float] = []
    for index in (*came, *gone):
        times = sorted(cell[1] if index in came else cell[0] for cell in cut[index] if cell[1] != NEVER or index in gone)
        features += timing_features(times, SLOT_US * stride)
        slots = [cell[3] for cell in cut[index]]
        features += [float(len(set(slots))), float(sum(after - before != stride for before, after in pairwise(slots)))]
    octets = [octet for cell in cut[0] for octet in cell[4]]
    features += [sum(octets) / max(len(octets), 1), float(len(set(octets))), _late_together(cut[0], cut[2])]
    present = {cell[2] for cell in cut[0]}
    features += [float(len(present)), *_life(ways[0], present, begin_us, early_us)]
    return features


def _life(cells: Sequence[Cell], present: set[int], begin_us: int, early_us: int) -> list[float]:
    """Return how long ago the stretch's circuit number was first seen, at most early_us."""
    first = next((cell[0] for cell in cells[bisect_left(cells, begin_us - early_us, key=lambda cell: cell[0]) :] if cell[2] in present - {0}), begin_us)
    return [float(begin_us - first)]


def _stretch(cells: Sequence[Cell], begin_us: int) -> Sequence[Cell]:
    first, last = (bisect_left(cells, edge, key=lambda cell: cell[0]) for edge in (begin_us, begin_us + STRETCH_US))
    return cells[first:last]


def _late_together(up: Sequence[Cell], down: Sequence[Cell]) -> float:
    """Return how the lateness of the two directions goes together."""
    series = [[float(cell[1] - cell[0]) if cell[1] != NEVER else 0.0 for cell in cells] for cells in (up, down)]
    length = min(len(each) for each in series)
    return correlation(series[0][:length], series[1][:length]) if length > 3 else 0.0


def _units(of: Sequence[Unit]) -> Units:
    return [unit.features for unit in of], [int(unit.in_call) for unit in of]


def test(seed: int, *, strict: bool) -> Result:
    """Run the guard's part of test (d)."""
    return _examine(NAME, TITLE, seed, strict=strict, metered=False)


def test_metered(seed: int, *, strict: bool) -> Result:
    """Do the same for metered boxes."""
    return _examine(f"{NAME}_metered", f"{TITLE}, metered boxes", seed, strict=strict, metered=True)


def _examine(test_name: str, title: str, seed: int, *, strict: bool, metered: bool) -> Result:
    # In several runs, so that what is recorded of one fits into memory.
    count, parts = (15, 4) if strict else (16, 1)
    train, examined = (_units([unit for part in range(parts) for unit in stretches(seed + at + 1_000 * part, count, metered=metered)]) for at in (0, 1))
    comparisons = [compare(name, *scores(train, examined, name)) for name in PORTFOLIO]
    made, made_test = (_units(stretches(seed + at, max(4, count * parts // 5), per_call=True, metered=metered)) for at in (2, 3))
    found = controls("circuits made for each call", made, made_test, 0.99)
    return Result(test_name, title, seed, limit(*comparisons[0].n, len(comparisons)), comparisons, found)
