"""Test (g): whether a box's crystal, or its phone's, shows on its access link or at the far phone.

Boxes and phones run 20 to 50 ppm fast or slow, relays within 0.5 ppm. Attackers: the regression of departures over a minute, which finds the rate of the tick;
the steps from tick to tick without those of corrections, and the rate in a third of a second, half of which are faster and half slower; at the far phone the slope of the RTP
timestamps over the times of arrival, how many gaps there are, and how near to each other. Each estimate is correlated with the crystal; without a leak the 95 % interval of r holds 0.
Controls: a tick that follows no guard; one that is the crystal's between corrections in steps; gaps only where a slow phone has no frame.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from tools.adversary.result import Result
from tools.adversary.statistics import Control, auc, correlation, correlation_interval
from tools.adversary.world import ACCESS, GUARDS, JUNCTIONS, RELAY, SECOND_US, Plan, Recorded, run

NAME, TITLE = "g", "crystals of boxes and phones"
BOXES = 12
SLOT_US = 20_000
WINDOW_US = 60 * SECOND_US
BEGIN_US = 30 * SECOND_US
TICK_PPM = 0.1
"""An access tick has to be this close to its guard's clock, in the mean of a run."""
WRONG = 0.001
PIECE_TICKS = 16
STAMPS_A_SLOT = 160
CONTROL_WINDOWS = 30
"""In half an hour a phone that is 20 ppm slow leaves one slot or two without a frame."""


@dataclass
class Watched:
    """One box in one window. Rates are in ppm of true time."""

    crystal: float
    phone: float
    tick: float
    step: float
    piece: float
    slope: float
    gaps: float
    nearest: float


def watch(seed: int, windows: int, switches: Sequence[str] = ()) -> tuple[list[Watched], float]:
    """Let all boxes be in calls for so many windows; return each box in each window, seen from its own access link and from the far phone (how near to each other gaps
    are: in the whole run), and by how many ppm a tick was off its guard's in the worst case, over the whole run."""
    plan, chance, crystals = _network(seed)
    for switch in switches:
        plan.at(0, "switch", switch, "on")
    order = chance.sample(range(BOXES), BOXES)
    peers: dict[int, int] = {}
    for number, (a, b) in enumerate(zip(order[::2], order[1::2], strict=True)):
        plan.at(SECOND_US + 1_000 * number, "call", a, b, number + 1)
        peers |= {a: b, b: a}
    for box, guard, _ in plan.paths:
        plan.watch(box, guard)
        plan.watch(box, 0xFFFF)
        plan.watch(guard, box)
    plan.record(BEGIN_US, BEGIN_US + windows * WINDOW_US)
    recorded = run(plan)
    if recorded.heard() != BOXES:
        raise RuntimeError(f"{recorded.heard()} of {BOXES} ends of calls were heard")
    begins = [BEGIN_US + window * WINDOW_US for window in range(windows)]
    watched = [_watched(recorded, box, peers[box], crystals[box], begin) for box in range(BOXES) for begin in begins]
    residues = [rate_of([c[0] for c in recorded.access(box, up=True)]) - rate_of([c[0] for c in recorded.access(box, up=False)]) for box in range(BOXES)]
    return watched, max(abs(residue) for residue in residues)


def _network(seed: int) -> tuple[Plan, random.Random, list[tuple[int, int]]]:
    """Return the plan and the clocks of boxes and phones in ppb."""
    chance, plan = random.Random(seed), Plan(seed)
    plan.wires(ACCESS, RELAY)
    for _ in range(GUARDS + JUNCTIONS):
        plan.relay(chance.randint(-500, 500))
    crystals = [(_drift(chance), _drift(chance)) for _ in range(BOXES)]
    for node_ppb, phone_ppb in crystals:
        plan.box(node_ppb, phone_ppb)
    for index in range(BOXES):
        plan.circuit(GUARDS + JUNCTIONS + index, chance.randrange(GUARDS), GUARDS)
    return plan, chance, crystals


def _drift(chance: random.Random) -> int:
    return chance.choice((-1, 1)) * chance.randint(20_000, 50_000)


def _watched(recorded: Recorded, box: int, peer: int, crystal: tuple[int, int], begin_us: int) -> Watched:
    def left(*, up: bool) -> list[int]:
        return [cell[0] for cell in recorded.access(box, up=up) if begin_us <= cell[0] < begin_us + WINDOW_US]

    ticks = left(up=True)
    heard = [(at, stamp) for at, stamp, _ in recorded.rtp[peer] if begin_us <= at < begin_us + WINDOW_US]
    stamps = [(stamp - heard[0][1]) % 2**32 / STAMPS_A_SLOT for _, stamp in heard]
    # A tick that follows no guard is late at it after a minute, and then nothing is heard any more.
    slope, gaps = (rate_of([float(at) for at, _ in heard], stamps), stamps[-1] + 1 - len(stamps)) if len(stamps) > 10 else (0.0, 0.0)
    step = -fmean(steps_of(ticks)) / SLOT_US * 1e6
    return Watched(crystal[0] / 1_000, crystal[1] / 1_000, rate_of(ticks), step, piece_of(ticks), slope, gaps, nearest_of(recorded.rtp[peer]))


def nearest_of(heard: Sequence[tuple[int, int, int]]) -> float:
    """Return the shortest time between two gaps in a phone's sound, in seconds; 0 where there are not two."""
    at = [later[0] for sooner, later in pairwise(heard) if (later[1] - sooner[1]) % 2**32 > STAMPS_A_SLOT]
    return min((later - sooner for sooner, later in pairwise(at)), default=0) / SECOND_US


def rate_of(times_us: Sequence[float], numbers: Sequence[float] | None = None) -> float:
    """Return how fast ticks come, in ppm of one in 20 ms, by least squares. numbers: of the ticks, where some may be missing."""
    numbers = numbers or [float(index) for index in range(len(times_us))]
    mean_time, mean_number = fmean(times_us), fmean(numbers)
    spread = sum((number - mean_number) ** 2 for number in numbers)
    period = sum((time - mean_time) * (number - mean_number) for time, number in zip(times_us, numbers, strict=True)) / spread
    return (SLOT_US / period - 1) * 1e6


def steps_of(ticks_us: Sequence[int]) -> list[int]:
    """Return by how much each gap differs from 20 ms, without the corrections."""
    return [step for step in (after - before - SLOT_US for before, after in pairwise(ticks_us)) if abs(step) <= 10]


def piece_of(ticks_us: Sequence[int]) -> float:
    """Return the rate in ppm of the piece of 16 ticks that is in the middle of all, by rate: a correction here and there does not count."""
    return median(rate_of(ticks_us[start : start + PIECE_TICKS]) for start in range(0, len(ticks_us) - PIECE_TICKS + 1, PIECE_TICKS))


def by_box(of: Sequence[Watched], value: str) -> list[float]:
    """Return the mean of a value for each box."""
    windows = len(of) // BOXES
    return [fmean(getattr(one, value) for one in of[box * windows : (box + 1) * windows]) for box in range(BOXES)]


RATES = {
    "rate of the tick, and the box's crystal": ("tick", "crystal"),
    "slope of the RTP timestamps at the far phone, and the box's crystal": ("slope", "crystal"),
    "slope of the RTP timestamps at the far phone, and the phone's crystal": ("slope", "phone"),
}
STEPS = {
    "steps between corrections, and the box's crystal": ("step", "crystal"),
    "rate in a third of a second, and the box's crystal": ("piece", "crystal"),
}
GAPS = {
    "gaps at the far phone, and the phone's crystal": ("gaps", "phone"),
    "shortest time between two gaps at the far phone, and the phone's crystal": ("nearest", "phone"),
}


def tests(seed: int, *, strict: bool) -> tuple[Result, Result, Result]:
    """Run test (g): rates over minutes; what is seen between two corrections; slots without a frame.

    The boxes of several runs are pooled; a correlation counts where its interval, at a confidence that fails once in 1 000 runs, leaves 0 out.
    """
    runs, windows = (12, 20) if strict else (4, 12)
    watched, off_ppm = zip(*(watch(seed + number, windows) for number in range(runs)), strict=True)
    free, _ = watch(seed + 100, 1, ["free_tick"])
    stepped, _ = watch(seed + 101, 1, ["stepped_tick"])
    own_clock, _ = watch(seed + 102, CONTROL_WINDOWS, ["phone_clock"])

    def found(of: Sequence[Watched], value: str, clock: str = "crystal") -> float:
        return abs(correlation(by_box(of, value), by_box(of, clock)))

    near = {f"every tick within {TICK_PPM} ppm of its guard's clock": max(off_ppm) <= TICK_PPM}
    rates, rate_figures = _correlations(watched, RATES)
    steps, step_figures = _correlations(watched, STEPS)
    gaps, gap_figures = _correlations(watched, GAPS)
    no_guard = [
        Control("tick that follows no guard (r)", found(free, "tick"), 0.99),
        Control("tick that follows no guard (r), second attacker", found(free, "step"), 0.99),
    ]
    in_steps = [
        Control("tick corrected in steps (r)", found(stepped, "step"), 0.99),
        Control("tick corrected in steps (r), second attacker", found(stepped, "piece"), 0.99),
    ]
    by_phone = list(zip(by_box(own_clock, "phone"), by_box(own_clock, "gaps"), strict=True))
    slow, fast = [gaps for ppm, gaps in by_phone if ppm < 0], [gaps for ppm, gaps in by_phone if ppm > 0]
    where_none_is = [
        Control("gaps only where a phone has no frame (AUC of slow and fast ones)", auc(slow, fast), 0.9),
        Control("gaps only where a phone has no frame (r), second attacker", found(own_clock, "gaps", "phone"), 0.6),
    ]
    return (
        Result(NAME, TITLE, seed, TICK_PPM, controls=no_guard, also=near | rates, more={"worst_tick_ppm": round(max(off_ppm), 4)} | rate_figures),
        Result(f"{NAME}_steps", f"{TITLE}, between corrections", seed, TICK_PPM, controls=in_steps, also=steps, more=step_figures),
        Result(f"{NAME}_holes", f"{TITLE}, gaps in the sound", seed, TICK_PPM, controls=where_none_is, also=gaps, more=gap_figures),
    )


def _correlations(runs: Sequence[Sequence[Watched]], estimates: dict[str, tuple[str, str]]) -> tuple[dict[str, bool], dict[str, dict[str, object]]]:
    """Return for each estimate whether nothing was found, and the figures."""
    holds, figures = {}, {}
    for name, (estimate, clock) in estimates.items():
        values, clocks = ([value for run in runs for value in by_box(run, which)] for which in (estimate, clock))
        r = correlation(values, clocks)
        low, high = correlation_interval(r, len(clocks), 1 - WRONG / len(estimates))
        holds[f"no correlation of {name}"] = low <= 0 <= high
        figures[name] = {"r": round(r, 4), "interval_95": [round(edge, 4) for edge in correlation_interval(r, len(clocks))], "n": len(clocks)}
    return holds, figures
