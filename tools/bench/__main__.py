"""`make bench`: speed and memory, as a table and in build/bench.json. [io]

    python -m tools.bench [--seconds S] [--calls N] [--part PART...] [--keep] [--out FILE]

The parts are those of parts.py, with what each takes; without --part those of a usual run. A quick look: --seconds 5 --calls 5. A figure that could not
be had is null, and the table says why; the goals are those of a machine that has nothing else to do, so a load average well above the number of cores
explains a miss. --keep: the other parts' figures of the last run stay; `runs` has when each was measured, and beside what load.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tools.bench.parts import CALLS, PARTS, SECONDS, Given, Part
from tools.bench.table import assemble, lines
from tools.cargo import build
from voicebox.awake import kept_awake
from voicebox.errors import VoiceboxError

ROOT = Path(__file__).resolve().parents[2]
OPEN_FILES = 16_384
ALL = "all"


def _run_all(parts: Sequence[Part], given: Given) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return what each part found, and how it was run."""
    found: dict[str, dict[str, Any]] = {}
    runs: dict[str, dict[str, Any]] = {}
    for part in parts:
        began, load = time.monotonic(), os.getloadavg()[0]
        print(f"bench: {part.name} (about {part.minutes:g} min) ...", file=sys.stderr, flush=True)
        try:
            found[part.name] = part.run(given)
        except (RuntimeError, ValueError, OSError, subprocess.SubprocessError, VoiceboxError) as error:
            # One part that fails must not take the figures of the others with it; the exit code tells of it.
            found[part.name] = {"error": str(error)}
        took_s = round(time.monotonic() - began)
        date = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M")
        runs[part.name] = {"date": date, "took_s": took_s, "load_before": load, "load_after": os.getloadavg()[0]}
        print(f"bench: {part.name} {found[part.name].get('error', 'done')} ({took_s} s)", file=sys.stderr, flush=True)
    return found, runs


def _kept(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the parts of the last run, and how each was run; nothing, where there was none."""
    try:
        last = json.loads(path.read_text())
        return dict(last["parts"]), dict(last["runs"])
    except (OSError, ValueError, KeyError):
        return {}, {}


def _host(before: tuple[float, float, float]) -> Mapping[str, Any]:
    return {"cores": os.cpu_count(), "kernel": os.uname().release, "load_before": before[0], "load_after": os.getloadavg()[0]}


def main() -> int:
    """Run the benchmarks; return 0 where every part gave its figures, whether they reach the goals or not."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each run under load; floods take three times as long")
    parser.add_argument(
        "--calls",
        type=int,
        default=int(os.environ.get("VOICEBOX_BENCH_CALLS", str(CALLS))),
        help="of either kind that ring; twice as many are listened to with either codec, and two fifths are kills",
    )
    parser.add_argument("--part", "--only", dest="parts", nargs="+", choices=(*(part.name for part in PARTS), ALL))
    parser.add_argument("--keep", action="store_true", help="keep the other parts' figures of the last run")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "bench.json")
    given = parser.parse_args()
    # A thousand boxes have a thousand sockets.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard), hard))
    began, load = time.monotonic(), os.getloadavg()
    names = given.parts or [part.name for part in PARTS if part.usual]
    parts = [part for part in PARTS if part.name in names or ALL in names]
    print(f"bench: about {sum(part.minutes for part in parts):.0f} minutes", file=sys.stderr, flush=True)
    if any(part.loads for part in parts):
        build("-p", "voicebox-node", "--example", "relay_load")
    with kept_awake() as awake:
        found, runs = _run_all(parts, Given(given.seconds, given.calls))
    if given.keep:
        kept = _kept(given.out)
        found, runs = {**kept[0], **found}, {**kept[1], **runs}
    report = {**assemble(found, {**_host(load), "kept_awake": awake, "took_s": round(time.monotonic() - began)}), "runs": runs}
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    print("\n".join(lines(report)))
    return 1 if any("error" in part for part in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
