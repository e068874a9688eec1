"""`make bench`: speed and memory, as a table and in build/bench.json. [io]

    python -m tools.bench [--seconds S] [--calls N] [--only PART...] [--out FILE]

Parts: machine (what it takes by itself), guard (`voicebox relay run`, as users run it), engine (the same engine over eight links), added (delay), calls,
path (calls over the emulated internet of tools/lab). A quick look: --seconds 5 --calls 5. Each part runs as a process of its own. A figure that could not
be had is null, and the table says why; the goals are those of a machine that has nothing else to do, so a load average well above the number of cores
explains a miss.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.bench import baseline, engine, guard
from tools.bench.table import assemble, lines
from tools.cargo import build

ROOT = Path(__file__).resolve().parents[2]
CIRCUITS = (1, 100, 1_000)
MANY = CIRCUITS[1:]
SECONDS, CALLS = 20.0, 50
PARTS = ("machine", "guard", "engine", "added", "calls", "path")
UNDER_LOAD = frozenset(("machine", "guard", "engine", "added"))
"""Parts that need the load generator."""
MAX_RINGS = 20
"""Of each case of the path: enough for a 95th percentile, and some minutes less than what the calls of their own part take."""
OPEN_FILES = 8_192
PART_TIMEOUT_S = 900.0


def _machine(seconds: float) -> dict[str, Any]:
    return {"wake_cpu_us": baseline.wake_cpu_us(), "forwarder": baseline.forwarder(100, seconds)}


def _guard(seconds: float) -> dict[str, Any]:
    aligned = {str(circuits): guard.measure(circuits, seconds, spread=False) for circuits in CIRCUITS}
    return {"aligned": aligned, "spread": {str(circuits): guard.measure(circuits, seconds, spread=True) for circuits in MANY}}


def _engine(seconds: float) -> dict[str, Any]:
    found: dict[str, Any] = {
        phases: {str(circuits): engine.measure(circuits, seconds, spread=phases == "spread") for circuits in MANY} for phases in ("aligned", "spread")
    }
    return {**found, "busy": engine.measure(100, seconds, spread=True, busy=True) if len(os.sched_getaffinity(0)) > 1 else None}


def _apart(module: str, *arguments: str) -> dict[str, Any]:
    """Run a part that wants a network namespace: a process may only enter one before it has threads."""
    command = [sys.executable, "-m", f"tools.bench.{module}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PART_TIMEOUT_S, check=False, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{module} ended with {done.returncode}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if "missing" in found:
        raise RuntimeError(found["missing"])
    return found


def _run(part: str, given: argparse.Namespace) -> dict[str, Any]:
    match part:
        case "machine":
            return _machine(min(given.seconds, 10.0))
        case "guard":
            return _guard(given.seconds)
        case "engine":
            return _engine(given.seconds)
        case "added":
            return _apart("added", "--seconds", str(given.seconds))
        case "path":
            return _apart("path", "--seconds", str(given.seconds), "--rings", str(min(given.calls, MAX_RINGS)))
        case _:
            return _apart("calls", "--calls", str(given.calls))


def _run_all(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for part in given.only or PARTS:
        began = time.monotonic()
        print(f"bench: {part} ...", file=sys.stderr, flush=True)
        try:
            found[part] = _run(part, given)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError) as error:
            # One part that fails must not take the figures of the others with it; the exit code tells of it.
            found[part] = {"error": str(error)}
        print(f"bench: {part} {found[part].get('error', 'done')} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
    return found


def _host(before: tuple[float, float, float]) -> Mapping[str, Any]:
    return {"cores": os.cpu_count(), "kernel": os.uname().release, "load_before": before[0], "load_after": os.getloadavg()[0]}


def main() -> int:
    """Run the benchmarks; return 0 where every part gave its figures, whether they reach the goals or not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run under load")
    parser.add_argument("--calls", type=int, default=int(os.environ.get("VOICEBOX_BENCH_CALLS", str(CALLS))), help="of either kind")
    parser.add_argument("--only", nargs="+", choices=PARTS)
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    given = parser.parse_args()
    # A thousand boxes have a thousand sockets.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard), hard))
    began, load = time.monotonic(), os.getloadavg()
    if UNDER_LOAD & set(given.only or PARTS):
        build("-p", "voicebox-node", "--example", "relay_load")
    found = _run_all(given)
    report = assemble(found, {**_host(load), "took_s": round(time.monotonic() - began)})
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(lines(report)))
    return 1 if any("error" in part for part in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
