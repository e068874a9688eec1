"""Test (d) for probes: is a probe told from a call, by a junction and by a guard?

The junction sees towns in virtual time (probing_town.py); of their splices those are compared that last at least as long as a probe, because a shorter one is none,
whoever looks. What it makes of habits is said beside, and is no part of the verdict: how long before and after the same two, or either, were spliced, and how often. The town's people
call again after a call and never probe before or after one, so that tells a probe there; a box can do no more than begin dummies after a probe as after a dummy. The guard sees real cores (tests/support/probed_network.py): in each stretch of time two boxes are in a call with sound, or in a probe; it knows when cells
leave on both of its access links, and how long each link has been there. Controls: probes whose calls end a quarter of their time after all is known, as they once did;
a circuit made for each probe.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left

from tests.support.probed_network import Port, Probed, plane_of
from tools.adversary.attackers import PORTFOLIO, Units, controls, scores, timing_features
from tools.adversary.probing_town import CALL, MEASURED_S, PROBE, ProbingTown
from tools.adversary.result import Result
from tools.adversary.splices import AGAIN, LENGTH, OFTEN, WAITS, features
from tools.adversary.statistics import Comparison, auc, compare, limit
from voicebox.b2bua.events import Answer, Codec, End, Offer
from voicebox.probe.codecs import FRAME_MS, ProbeCodec
from voicebox.probe.ends import ANSWER_US
from voicebox.probe.length import BESIDE_S
from voicebox.probe.rtpstats import RtpPacket, serialise_rtp

JUNCTION, JUNCTION_TITLE = "d_probe", "a probe among calls at the junction"
GUARD, GUARD_TITLE = "d_probe_guard", "a probe among calls at a guard"
UPPER_BOUND = 0.62
HABITS = (*WAITS, *AGAIN, *OFTEN)
SECOND_US = 1_000_000
LEAST_S = ANSWER_US / SECOND_US + MEASURED_S + BESIDE_S
"""No probe of the town is shorter."""
STRETCH_S, EARLY_S, TALK_S = 12, 10, 8


def splices(seed: int, hours: float, switch: str = "", least_s: float = LEAST_S) -> Units:
    """Return the splices of a town's junction that are calls or, looked for, probes, and last at least so long."""
    town = ProbingTown(seed, switch=switch)
    log = town.live(hours)
    kinds = [town.kinds[splice.join_id] for splice in log.splices]
    least = math.log(least_s)
    chosen = [(row, kind) for row, kind in zip(features(log), kinds, strict=True) if kind in {CALL, PROBE} and row[LENGTH[0]] >= least]
    return [row for row, _ in chosen], [int(kind == PROBE) for _, kind in chosen]


def test_junction(seed: int, *, strict: bool) -> Result:
    """Run the junction's part."""
    hours = 100.0 if strict else 40.0
    train, examined = (splices(seed + at, hours) for at in (0, 1))
    old, old_test = (splices(seed + at, hours / 4, "round", MEASURED_S) for at in (2, 3))
    own = [column for column in range(len(examined[0][0])) if column not in HABITS]
    comparisons: list[Comparison] = [compare(f"all but habits, {name}", *scores(train, examined, name, own)) for name in PORTFOLIO]
    comparisons.append(compare("length alone", *scores(train, examined, "boosted stumps", LENGTH)))
    bound = max(UPPER_BOUND, limit(*comparisons[0].n, len(comparisons)))
    found = controls("calls that end when all is known", old, old_test, 0.75)
    with_habits = {name: round(auc(*scores(train, examined, name)), 4) for name in PORTFOLIO}
    return Result(JUNCTION, JUNCTION_TITLE, seed, bound, comparisons, found, more={"hours": hours, "with habits": with_habits})


def stretches(seed: int, count: int, *, per_probe: bool = False) -> Units:
    """Return what the guards of two boxes see in stretches of time, in each of which the two are in a probe, looked for, or in a call. per_probe: circuits are made for each probe, the control."""
    chance = random.Random(seed)
    network = Probed(ProbeCodec.PCMA, TALK_S, jitter_us=2_000, count=1, seed=seed)
    rows: list[list[float]] = []
    labels: list[int] = []
    for is_probe in chance.sample([True, False] * (count // 2), count // 2 * 2):
        if per_probe and is_probe:
            for box in network.boxes:
                box.standing.lost(box.standing.present()[0].link, network.world.now_us)
        network.run(EARLY_S + 6)
        begin_us = network.world.now_us
        network.run(chance.uniform(0, 1))
        if is_probe:
            network.begin()
            network.run(TALK_S + 1)
            network.callers.stop(network.world.now_us)
        else:
            _talk(network, TALK_S)
        network.run((begin_us - network.world.now_us) / SECOND_US + STRETCH_S)
        for box in network.boxes:
            rows.append(_seen(network, plane_of(box).name, begin_us))
            labels.append(int(is_probe))
    return rows, labels


def _talk(network: Probed, seconds: float) -> None:
    """Let the first box call the second, whose phone is picked up as soon as a probe is answered, and both phones send sound."""
    alice, bob = network.boxes
    leg = alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
    rung = len(bob.rung)
    network.run(0.5)
    if len(bob.rung) == rung:
        raise RuntimeError("a call did not ring")
    other = bob.rung[-1][2]
    network.run(ANSWER_US / SECOND_US)
    ports = [Port(network.world, plane_of(box), network.codec) for box in (alice, bob)]
    for port, each in zip(ports, (leg, other), strict=True):
        each.bind(port, Codec.PCMA)
    other.send(Answer(Codec.PCMA))
    end_us = network.world.now_us + int(seconds * SECOND_US)
    for port in ports:
        _speak(network, port, end_us)
    network.run(seconds)
    leg.send(End())


def _speak(network: Probed, port: Port, end_us: int, number: int = 0) -> None:
    """Send a frame, and later ones until a time."""
    port.send(serialise_rtp(RtpPacket(8, number == 0, number, number * 160, 1, network.chance.randbytes(160))))
    if network.world.now_us < end_us:
        network.world.at(FRAME_MS * 1_000, lambda: _speak(network, port, end_us, number + 1))


def _seen(network: Probed, box: str, begin_us: int) -> list[float]:
    """Return what a guard knows of a box's link in a stretch: times of cells both ways, and how many there were in the seconds before."""
    found: list[float] = []
    link = max(link for name, link in network.world.left_us if name == box)
    for name in (box, next(name for name, other in network.world.left_us if other == link and name != box)):
        times = network.world.left_us[name, link]
        first, last, early = (bisect_left(times, begin_us + edge * SECOND_US) for edge in (0, STRETCH_S, -EARLY_S))
        found += [*timing_features([float(time_us) for time_us in times[first:last]]), float(first - early)]
    return found


def test_guard(seed: int, *, strict: bool) -> Result:
    """Run the guard's part."""
    count = 128 if strict else 48
    train, examined = (stretches(seed + at, count) for at in (0, 1))
    made, made_test = (stretches(seed + at, 24, per_probe=True) for at in (2, 3))
    comparisons = [compare(name, *scores(train, examined, name)) for name in PORTFOLIO]
    found = controls("circuits made for each probe", made, made_test, 0.8)
    return Result(GUARD, GUARD_TITLE, seed, limit(*comparisons[0].n, len(comparisons)), comparisons, found)
