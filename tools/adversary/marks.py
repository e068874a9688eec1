"""Test (c): marks put on the caller's access link (link 1), looked for on the callee's (link 4) and in the log of the callee's guard.

Whoever marks delays, drops, flips or repeats cells by a key; whoever looks knows the key and when it was applied. Attackers: the matched filter of the key with
lateness and holes, at the better of the two places; and the learners of the portfolio, which know no key. Beside them the run of each seed with and without
its marks is compared: when which numbers leave the junction and the callee's guard has to be the same, octets aside.

(c') A flipped bit: at the callee's guard by the octets; at the callee's phone by frames that came changed in a few octets. A cell that was tampered with
may be lost there, or repaired from a coarse copy (another sound altogether), but must not come with the mark in it.
"""

from __future__ import annotations

import random
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from tools.adversary.attackers import PORTFOLIO, scores, timing_features
from tools.adversary.result import Result
from tools.adversary.statistics import Comparison, Control, auc, compare, correlation, limit, rate_at
from tools.adversary.world import NEVER, PHONE, SECOND_US, Cell, Plan, Recorded, network, run

NAME, TITLE = "c", "marks from link 1 to link 4"
SLOT_US = 20_000
FLOW_SLOTS = 1_000
FLOW_US = FLOW_SLOTS * SLOT_US
PAUSE_US = 2 * SECOND_US
BEGIN_US = 4 * SECOND_US
LAGS = range(2, 9)
"""The way of a cell from link 1 to link 4 takes 40 to 160 ms."""
INTERVAL_SLOTS = 25
PAIRS = 10
FEW_OCTETS = 4
PART = 1_000
"""Between the seeds of the runs that are looked at together."""

Key = list[int]
"""What happens in each slot of a flow: 1 where the mark is applied."""


@dataclass(frozen=True)
class Kind:
    """A kind of mark. share: of slots hit; 0: half of the intervals of half a second. outage_slots: one stretch instead."""

    name: str
    delay_us: int = 0
    drop: bool = False
    flip: bool = False
    replay_us: int = 0
    share: float = 0.0
    outage_slots: int = 0

    def key(self, chance: random.Random) -> Key:
        """Draw a key."""
        if self.outage_slots:
            begin = chance.randrange(FLOW_SLOTS - self.outage_slots)
            return [int(begin <= slot < begin + self.outage_slots) for slot in range(FLOW_SLOTS)]
        if self.share:
            return [int(chance.random() < self.share) for _ in range(FLOW_SLOTS)]
        bits = chance.sample([0, 1] * (FLOW_SLOTS // INTERVAL_SLOTS // 2), FLOW_SLOTS // INTERVAL_SLOTS)
        return [bits[slot // INTERVAL_SLOTS] for slot in range(FLOW_SLOTS)]

    def act(self, bit: int) -> str:
        """Return the words of the plan for a slot."""
        return f"{self.delay_us} {int(self.drop)} {int(self.flip)} {self.replay_us}" if bit else "0 0 0 0"


KINDS = (
    Kind("delay 3 ms", delay_us=3_000), Kind("delay 10 ms", delay_us=10_000), Kind("delay 30 ms", delay_us=30_000), Kind("delay 60 ms", delay_us=60_000),
    Kind("delay 3 ms, single cells", delay_us=3_000, share=0.3),
    Kind("drop 0.5 %", drop=True, share=0.005), Kind("drop 1 %", drop=True, share=0.01), Kind("drop 2 %", drop=True, share=0.02),
    Kind("drop 5 %", drop=True, share=0.05), Kind("outage 300 ms", drop=True, outage_slots=15), Kind("outage 3 s", drop=True, outage_slots=150),
    Kind("flip 2 %", flip=True, share=0.02), Kind("replay 2 %", replay_us=7_000, share=0.02),
)  # fmt: skip
BY_NAME = {kind.name: kind for kind in KINDS}


@dataclass
class Flow:
    """One stretch of a call. tap, log: lateness and holes by slot at the two places; features: what learners look at; octets: of bodies at the callee's guard;
    changed: of each frame at the callee's phone that is not what was said, how many octets."""

    kind: Kind | None
    key: Key
    tap: list[float]
    log: list[float]
    features: list[float]
    octets: bytes
    changed: list[int]


def flows(seed: int, kinds: Sequence[Kind], per_kind: int, unmarked: int, switches: Sequence[str] = ()) -> list[Flow]:
    """Run so many flows, several calls at once, in an order drawn at random."""
    plan, chance = network(seed, 2 * PAIRS)
    drawn: list[Kind | None] = [kind for kind in kinds for _ in range(per_kind)] + [None] * unmarked
    chance.shuffle(drawn)
    keys = [kind.key(chance) if kind else [] for kind in drawn]
    _plan_calls(plan, switches)
    places = [(index % PAIRS, BEGIN_US + index // PAIRS * (FLOW_US + PAUSE_US)) for index in range(len(drawn))]
    for kind, key, (pair, begin_us) in zip(drawn, keys, places, strict=True):
        if kind is not None:
            _mark(plan, 2 * pair, begin_us, kind, key)
    plan.record(BEGIN_US, places[-1][1] + FLOW_US + PAUSE_US)
    recorded = run(plan)
    _check(recorded)
    return [_look(recorded, 2 * pair + 1, begin_us, kind, key) for kind, key, (pair, begin_us) in zip(drawn, keys, places, strict=True)]


def _plan_calls(plan: Plan, switches: Sequence[str]) -> None:
    for switch in switches:
        plan.at(0, "switch", switch, "on")
    for pair in range(PAIRS):
        plan.at(1_000 * pair, "call", 2 * pair, 2 * pair + 1, pair + 1)
        box, guard, junction = plan.paths[2 * pair + 1]
        plan.watch(guard, box)
        plan.watch(junction, guard)
        plan.watch(box, PHONE)


def _check(recorded: Recorded) -> None:
    if recorded.heard() != 2 * PAIRS:
        raise RuntimeError(f"{recorded.heard()} of {2 * PAIRS} ends of calls were heard")


def _mark(plan: Plan, circuit: int, begin_us: int, kind: Kind, key: Key) -> None:
    before = 0
    for slot, bit in enumerate([*key, 0]):
        if bit != before:
            plan.at(begin_us + slot * SLOT_US, "tamper", circuit, kind.act(bit))
        before = bit


def _window(cells: Sequence[Cell], begin_us: int) -> Sequence[Cell]:
    first, last = (bisect_left(cells, edge, key=lambda cell: cell[0]) for edge in (begin_us, begin_us + FLOW_US + PAUSE_US))
    return cells[first:last]


def _look(recorded: Recorded, callee: int, begin_us: int, kind: Kind | None, key: Key) -> Flow:
    tap, behind = _window(recorded.access(callee, up=False), begin_us), _window(recorded.behind(callee, up=False), begin_us)
    times = [cell[0] - begin_us for cell in tap]
    arrivals = [(cell[1] - begin_us, cell[3]) for cell in behind if cell[1] != NEVER]
    features = [*timing_features(times), *timing_features(sorted(time for time, _ in arrivals)), float(len({slot for _, slot in arrivals}))]
    changed = [octets for at, octets in recorded.changed[callee] if begin_us <= at < begin_us + FLOW_US + PAUSE_US]
    return Flow(kind, key, _tap_series(times), _log_series(arrivals), features, b"".join(cell[4] for cell in behind), changed)


def _tap_series(times_us: Sequence[int]) -> list[float]:
    """Return lateness against the grid of the first datagram for each 20 ms, a whole slot where there was none."""
    bins = FLOW_SLOTS + max(LAGS) + 1
    series = [float(SLOT_US)] * bins
    anchor = times_us[0] if times_us else 0
    residuals = [(time - anchor + SLOT_US // 2) % SLOT_US - SLOT_US // 2 for time in times_us]
    middle = median(residuals) if residuals else 0
    for time, residual in zip(times_us, residuals, strict=True):
        place = (time - anchor + SLOT_US // 2) // SLOT_US + anchor // SLOT_US
        if place < bins:
            series[place] = residual - middle
    return series


def _log_series(arrivals: Sequence[tuple[int, int]]) -> list[float]:
    """Return lateness against the slot's number, a whole slot where the number never came."""
    bins = FLOW_SLOTS + max(LAGS) + 1
    series = [float(SLOT_US)] * bins
    if not arrivals:
        return series
    first = min(slot for _, slot in arrivals)
    offsets = [(time - SLOT_US * (slot - first), slot - first) for time, slot in arrivals]
    middle = median(offset for offset, _ in offsets)
    for offset, place in offsets:
        if place < bins:
            series[place] = min(offset - middle, float(SLOT_US))
    return series


def matched(key: Key, flow: Flow) -> float:
    """Return the best agreement of a key with what is seen at either place, at any delay of the way."""
    values, bits = [0.0], np.asarray(key, dtype=float)
    for series in (np.asarray(flow.tap), np.asarray(flow.log)):
        if series.min() != series.max():
            values += [correlation(bits, series[lag : lag + FLOW_SLOTS]) for lag in LAGS]
    return max(values)


def by_kind(of: Sequence[Flow], kinds: Sequence[Kind], chance: random.Random) -> list[tuple[str, list[float], list[float]]]:
    """Score marked flows by their keys, unmarked ones by a key drawn for them."""
    unmarked = [flow for flow in of if flow.kind is None]
    return [
        (kind.name, [matched(flow.key, flow) for flow in of if flow.kind is kind], [matched(kind.key(chance), flow) for flow in unmarked]) for kind in kinds
    ]


def learnt(train: Sequence[Flow], examined: Sequence[Flow], name: str) -> tuple[list[float], list[float]]:
    """Train a learner of the portfolio on one run, score another: marked by anything against unmarked."""
    learn, rate = (([flow.features for flow in of], _marked(of)) for of in (train, examined))
    return scores(learn, rate, name)


def _marked(of: Sequence[Flow]) -> list[int]:
    return [int(flow.kind is not None) for flow in of]


def octet_scores(of: Sequence[Flow], kind: str) -> tuple[list[float], list[float]]:
    """Return chi squared of the octets at the callee's guard, of flows of one kind and of unmarked ones."""

    def chi_squared(octets: bytes) -> float:
        counts = np.bincount(np.frombuffer(octets, np.uint8), minlength=256)
        expected = max(len(octets), 1) / 256
        return float(((counts - expected) ** 2).sum()) / expected

    return [chi_squared(f.octets) for f in of if f.kind and f.kind.name == kind], [chi_squared(f.octets) for f in of if not f.kind]


def marked_frames(flow: Flow) -> float:
    """Return how many frames came to the phone with a change in a few octets: a mark, and neither a loss nor a coarse copy."""
    return float(sum(0 < octets <= FEW_OCTETS for octets in flow.changed))


def phone_scores(of: Sequence[Flow], kind: str) -> tuple[list[float], list[float]]:
    """Return how many marks the callee's phone got, of flows of one kind and of unmarked ones."""
    return [marked_frames(f) for f in of if f.kind and f.kind.name == kind], [marked_frames(f) for f in of if not f.kind]


def schedules(seed: int, *, marked: bool) -> Mapping[tuple[int, int], list[tuple[int, int, int]]]:
    """Return when which circuit and number left the junction and the callees' guards, with marks of all kinds on every call or with none."""
    plan, chance = network(seed, 2 * PAIRS)
    _plan_calls(plan, ())
    for pair in range(PAIRS):
        for turn, kind in enumerate(chance.sample(KINDS, 3)):
            key = kind.key(chance)
            if marked:
                _mark(plan, 2 * pair, BEGIN_US + turn * (FLOW_US + PAUSE_US), kind, key)
    plan.record(BEGIN_US, BEGIN_US + 3 * (FLOW_US + PAUSE_US))
    recorded = run(plan)
    _check(recorded)
    return {way: [(left, circuit, slot) for left, _, circuit, slot, _ in cells] for way, cells in recorded.cells.items()}


def _flip_control(seed: int, per_class: int) -> list[Control]:
    """Return what is found of flipped bits where layers are key streams. The second attacker learns from the number of changed octets in a frame."""
    kinds = [BY_NAME["flip 2 %"]]
    train, examined = (flows(seed + at, kinds, per_class, per_class, ["xor_stream"]) for at in (0, 1))

    def rows(of: Sequence[Flow]) -> list[list[float]]:
        return [[float(len(flow.changed)), float(sum(flow.changed)), float(max(flow.changed, default=0))] for flow in of]

    apart = auc(*scores((rows(train), _marked(train)), (rows(examined), _marked(examined)), "logistic regression"))
    name = "layers of a stream cipher, flip 2 %"
    return [Control(name, auc(*phone_scores(examined, "flip 2 %")), 0.99), Control(f"{name}, second attacker", apart, 0.95)]


def _control(seed: int, kind: str, switch: str, per_class: int, at_least: float) -> tuple[list[Control], list[Flow]]:
    chance, kinds = random.Random(seed), [BY_NAME[kind]]
    train, examined = (flows(seed + at, kinds, per_class, per_class, [switch]) for at in (0, 1))
    _, positive, negative = by_kind(examined, kinds, chance)[0]
    second = max(auc(*learnt(train, examined, name)) for name in PORTFOLIO)
    name = f"{switch.replace('_', ' ')}, {kind}"
    return [Control(name, auc(positive, negative), at_least), Control(f"{name}, second attacker", second, 0.85)], examined


def test(seed: int, *, strict: bool) -> Result:
    """Run test (c)."""
    chance = random.Random(seed)
    per_kind, unmarked, control, parts = (20, 60, 60, 8) if strict else (20, 120, 20, 1)
    # In several runs, so that what is recorded of one fits into memory.
    train, examined = ([flow for part in range(parts) for flow in flows(seed + at + PART * part, KINDS, per_kind, unmarked)] for at in (0, 1))
    scored = by_kind(examined, KINDS, chance)
    comparisons: list[Comparison] = [
        compare(name, positive, negative, rate_at_0_01=round(rate_at(positive, negative, 0.01), 4)) for name, positive, negative in scored
    ]
    comparisons += [compare(f"any mark, {name}", *learnt(train, examined, name)) for name in PORTFOLIO]
    comparisons.append(compare("flip 2 %, chi squared of the octets", *octet_scores(examined, "flip 2 %")))
    comparisons.append(compare("flip 2 %, frames at the phone with the mark in them", *phone_scores(examined, "flip 2 %")))
    passed, with_delay = _control(seed + 10, "delay 3 ms", "pass_through", control, 0.99)
    holes, _ = _control(seed + 20, "drop 2 %", "fill_off", control, 0.99)
    flips = _flip_control(seed + 40, control)
    equal = schedules(seed + 30, marked=True) == schedules(seed + 30, marked=False)
    bound = max(limit(*each.n, len(comparisons)) for each in comparisons)
    also = {"the schedules behind the junction and at the callee's guard are the same with and without the marks": equal}
    return Result(NAME, TITLE, seed, bound, comparisons, [*passed, *holes, *flips], also=also, plots={"gaps": _gaps(examined, with_delay)})


def _gaps(clean: Sequence[Flow], control: Sequence[Flow]) -> dict[str, list[float]]:
    """Return steps of lateness at the tap in a marked flow: as it is and without due times."""

    def steps(of: Sequence[Flow]) -> list[float]:
        flow = next(flow for flow in of if flow.kind and flow.kind.name == "delay 3 ms")
        return [SLOT_US + after - before for before, after in zip(flow.tap, flow.tap[1:], strict=False)]

    return {"as it is": steps(clean), "relays without due times": steps(control)}
