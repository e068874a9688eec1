"""A relay killed in a call of two boxes of profile `home`, over links of 19 ms: how long nothing is heard, and whether the call goes on. [io]

Real processes in the lab's namespaces, several pairs at once, the network started anew for each round. Of each call one relay of its first path (PROTOCOL.md §9.5)
is killed with SIGKILL: the caller's guard, the junction, or the callee's guard. The gap is the longest time between two codec frames at
a phone's socket around the kill, of the worse direction; without a kill it is 20 ms. The call must go on past the 10 s after which a box gives a silent circuit up.

    python -m tools.bench.kills [--kills N] [--pairs N] [--case NAME]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import itertools
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.pairs import Pair, Pairs, network_of_pairs, remove_captures, running
from tools.bench.path_figures import Wire
from tools.lab.network import Lab
from voicebox.demo.measure import NS_PER_MS, frames_received
from voicebox.demo.sipview import CallView
from voicebox.probe.figures import percentile

CASES = ("continent-clean", "continent")
KILLS, PAIRS = 20, 4
RELAYS = ("caller_guard", "junction", "callee_guard")
BEFORE_S, GONE_S = 1.0, 12.0
SECOND_PATH_S = 10.0
SPEECH_S = 60.0
STAGGER_S = 0.3
NS_PER_S = 1_000_000_000
MIN_HEARD_SHARE = 0.9
"""Of the frames of the last two seconds: what is heard then is what shows that a call goes on."""
MAX_ROUNDS = 3
"""Times as many rounds as there should be: a call without a second path (a dummy has the other circuit), or over the other junction, is left alone."""


@dataclass(frozen=True, slots=True)
class Kill:
    """One call whose relay was killed."""

    pair: Pair
    at_ns: int
    until_ns: int
    lived: bool


def gap_ms(heard_ns: Sequence[int], kill: tuple[int, int]) -> float:
    """Return the longest time between two frames around a kill, ms. kill: when, and until when it is looked at; what is missing at the end is a gap too."""
    at_ns, until_ns = kill
    seen = [each for each in heard_ns if at_ns - BEFORE_S * NS_PER_S <= each < until_ns]
    edges = [at_ns, *seen, until_ns] if not seen else [*seen, until_ns]
    return max(later - sooner for sooner, later in itertools.pairwise(edges)) / NS_PER_MS


def _victims(pairs: Pairs, standing: Sequence[Pair], relay: str) -> dict[str, list[Pair]]:
    """Return which relay to kill for which calls. Of the junctions only one: the two of an epoch carry everything."""
    place = RELAYS.index(relay)
    found: dict[str, list[Pair]] = defaultdict(list)
    for pair in standing:
        path = pairs.first_path(pair, SECOND_PATH_S)
        if path is not None:
            found[path[place]].append(pair)
    if relay == "junction" and found:
        most = max(found, key=lambda name: len(found[name]))
        return {most: found[most]}
    return found


def _kill(pairs: Pairs, relay: str) -> list[Kill]:
    """Kill it; or nothing, where no call has a second path."""
    standing = pairs.talk()
    victims = _victims(pairs, standing, relay)
    time.sleep(BEFORE_S)
    ended = {pair.caller_box: pair.ended() for pair in standing}
    times: list[tuple[Pair, int]] = []
    for victim, its in victims.items():
        times += [(pair, time.time_ns()) for pair in its]
        pairs.lab.nodes.stop_node(pairs.lab.nodes.relays[victim], signal.SIGKILL)
        time.sleep(STAGGER_S)
    time.sleep(GONE_S)
    until_ns = time.time_ns()
    kills = [Kill(pair, at_ns, until_ns, pair.lives(ended[pair.caller_box])) for pair, at_ns in times]
    pairs.hang_up([pair for pair in standing if pair.lives(ended[pair.caller_box])])
    return kills


def _figures(kill: Kill, wire: Wire, calls: Sequence[CallView]) -> dict[str, Any]:
    call = calls[-1]
    gaps, heard_last = {}, True
    for way, media in (("to_caller", call.caller_media), ("to_callee", call.callee_media)):
        if media is None:
            raise ValueError("the capture does not show an answered call")
        heard = [frame.time_ns for frame in frames_received(wire.arrived, media)]
        gaps[way] = gap_ms(heard, (kill.at_ns, kill.until_ns))
        heard_last &= sum(kill.until_ns - 2 * NS_PER_S <= each < kill.until_ns for each in heard) >= MIN_HEARD_SHARE * 100
    return {"gap_ms": max(gaps.values()), "gaps_ms": gaps, "lived": kill.lived and heard_last}


def one_round(lab: Lab, relay: str, name: str) -> tuple[list[dict[str, Any]], int, Mapping[str, int]]:
    """Return the figures of each kill, how many calls there were, and the lateness of the wires."""
    with running(lab, name, SPEECH_S) as pairs:
        kills = _kill(pairs, relay)
    calls = pairs.calls()
    report = pairs.wires.report
    assert report is not None
    remove_captures(lab, name)
    return [_figures(kill, *calls[kill.pair.caller_box]) for kill in kills], len(pairs.pairs), report.late_us


def summary(kills: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of all kills of one relay."""
    gaps = [kill["gap_ms"] for kill in kills]
    return {
        "kills": len(kills),
        "lived": sum(bool(kill["lived"]) for kill in kills),
        "gap_p50_ms": percentile(gaps, 0.5) if gaps else None,
        "gap_max_ms": max(gaps, default=None),
        "gaps_ms": [round(gap) for gap in gaps],
    }


def measure(kills: int, pairs: int, case: str, relays: Sequence[str] = RELAYS) -> dict[str, Any]:
    """Return the figures of at least so many kills of each relay."""
    found: dict[str, Any] = {"case": case, "pairs": pairs, "rounds": 0, "calls_left_alone": 0, "relays": {}}
    late: list[int] = []
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, Lab(network_of_pairs(case, pairs), Path(scratch)) as lab:
        for relay in relays:
            killed: list[dict[str, Any]] = []
            for number in range(MAX_ROUNDS * -(-kills // pairs)):
                if len(killed) >= kills:
                    break
                its, calls, late_us = one_round(lab, relay, f"{relay}-{number}")
                killed += its
                late.append(late_us["p99"])
                found["rounds"] += 1
                found["calls_left_alone"] += calls - len(its)
            found["relays"][relay] = summary(killed)
    return {**found, "wires_late_p99_us": max(late, default=None)}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=KILLS, help="of each of the three relays")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="of homes that call at once")
    parser.add_argument("--case", choices=CASES, default=CASES[0])
    parser.add_argument("--relays", nargs="+", choices=RELAYS, default=RELAYS)
    given = parser.parse_args()
    print_apart(lambda: measure(given.kills, given.pairs, given.case, given.relays))


if __name__ == "__main__":
    main()
