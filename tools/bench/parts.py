"""The parts of `make bench`: what each takes, and how it is run. [io]

    machine      what this machine takes by itself
    guard        `voicebox relay run` as users run it: CPU, memory, lateness
    engine       the same engine over eight links
    added        what a relay adds to a cell's way
    calls        how long until it rings
    path         calls over an emulated internet
    lengths      one to six relays, in virtual time
    octets       what a frame is on each link
    paths        what knowing and choosing relays takes, and how likely bad ones are on a path
    box          CPU of a box, idle and in a call
    flood        a relay that carries calls and is flooded
    probe        CPU of a probe, how soon it begins, how long scoring takes
    page         how soon a page of the box is there, its memory, what the phone in a browser adds
    house        calls and registrations a second at a box, calls at once, a message, its start
    relay_calls  a relay with 1 to 1 000 calls, with a whole core and with a fifth of one
    capacity     how many circuits one relay carries
    kills        a relay killed in a call
    records      how long questions about records take, and how many are lost with half of the relays, in virtual time
    names        questions a second that the name server answers
    fast         MB/s and CPU of fast streams, and of Tor beside them where it is installed
    speech       how a hundred calls sound, with G.711 and with Opus
    unseen       octets of a stream, a request, and how a call sounds beside eight streams

Those from probe on take longer, or are looked at seldom, and are run when they are asked for. A part that wants a network namespace runs as a process of its own: one may only enter it
before there are threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench import baseline, engine, guard

ROOT = Path(__file__).resolve().parents[2]
CIRCUITS = (1, 100, 1_000)
MANY = CIRCUITS[1:]
SECONDS, CALLS = 20.0, 50
KILLS = 20
HEARD = 3
MAX_RINGS = 20
"""Of each case of the path: enough for a 95th percentile, and some minutes less than what the calls of their own part take."""
PART_TIMEOUT_S = 3_600.0


@dataclass(frozen=True, slots=True)
class Given:
    """What the command line asks for: seconds of each run under load, and calls that ring."""

    seconds: float
    calls: int


@dataclass(frozen=True, slots=True)
class Part:
    """One part. minutes: about, with what is usual. loads: it needs the load generator. usual: it runs without being asked for."""

    name: str
    minutes: float
    run: Callable[[Given], dict[str, Any]]
    loads: bool = False
    usual: bool = True


def _machine(given: Given) -> dict[str, Any]:
    return {"wake_cpu_us": baseline.wake_cpu_us(), "forwarder": baseline.forwarder(100, min(given.seconds, 10.0))}


def _guard(given: Given) -> dict[str, Any]:
    aligned = {str(circuits): guard.measure(circuits, given.seconds, spread=False) for circuits in CIRCUITS}
    return {"aligned": aligned, "spread": {str(circuits): guard.measure(circuits, given.seconds, spread=True) for circuits in MANY}}


def _engine(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = {
        phases: {str(circuits): engine.measure(circuits, given.seconds, spread=phases == "spread") for circuits in MANY} for phases in ("aligned", "spread")
    }
    return {**found, "busy": engine.measure(100, given.seconds, spread=True, busy=True) if len(os.sched_getaffinity(0)) > 1 else None}


def _apart(module: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", f"tools.bench.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PART_TIMEOUT_S, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{module} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        raise RuntimeError(found["missing"])
    return found


def _of(module: str, **options: Callable[[Given], float]) -> Callable[[Given], dict[str, Any]]:
    """Return a part with options of its module, each from what is given."""

    def run(given: Given) -> dict[str, Any]:
        return _apart(module, *(word for name, value in options.items() for word in (f"--{name}", f"{value(given):g}")))

    return run


PARTS = (
    Part("machine", 0.3, _machine, loads=True),
    Part("guard", 3, _guard, loads=True),
    Part("engine", 3, _engine, loads=True),
    Part("added", 0.7, _of("added", seconds=lambda given: given.seconds), loads=True),
    Part("calls", 5, _of("calls", calls=lambda given: given.calls)),
    Part("path", 10, _of("path", seconds=lambda given: given.seconds, rings=lambda given: min(given.calls, MAX_RINGS))),
    Part("lengths", 0.5, _of("lengths")),
    Part("octets", 2, _of("octets")),
    Part("paths", 0.8, _of("paths")),
    Part("box", 1.7, _of("box", seconds=lambda given: 1.5 * given.seconds)),
    Part("flood", 3, _of("flood", seconds=lambda given: 3 * given.seconds), loads=True),
    Part("probe", 1.5, _of("probe", seconds=lambda given: given.seconds), usual=False),
    Part("page", 1, _of("page"), usual=False),
    Part("house", 4, _of("house", seconds=lambda given: 3 * given.seconds), usual=False),
    Part("relay_calls", 8, _of("relay_calls", seconds=lambda given: given.seconds / 2), loads=True, usual=False),
    Part("capacity", 5, _of("capacity", seconds=lambda given: given.seconds / 2.5, hold=lambda given: 3 * given.seconds), loads=True, usual=False),
    Part("kills", 10, _of("kills", kills=lambda given: max(1, round(given.calls * KILLS / CALLS))), usual=False),
    Part("records", 3, _of("records", questions=lambda given: 2 * given.calls), usual=False),
    Part("names", 0.3, _of("names", seconds=lambda given: given.seconds / 4), usual=False),
    Part("fast", 2, _of("fast"), usual=False),
    Part("speech", 22, _of("speech", calls=lambda given: 2 * given.calls), usual=False),
    Part("unseen", 6, _of("unseen", seconds=lambda given: given.seconds, calls=lambda given: max(1, round(given.calls * HEARD / CALLS))), usual=False),
)
"""Every size is in proportion to what is given: with SECONDS and CALLS it is that of the goals."""
