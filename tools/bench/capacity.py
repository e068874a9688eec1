"""How many circuits one relay process carries: 4 000 of them are 2 000 calls over a junction, or those of 2 000 boxes. [io]

The engine over eight links (engine.py), in the phases that users' circuits have. Circuits are added step by step; at each step it is looked at how late the ticks leave. A step counts where 99 % of the ticks are at most 2 ms
late and at most 0.1 % of the cells are lost, but for those under way. Where the last step is reached it is held for a minute; else the last that counted is. Beside it what the
load generator takes: where that has no core left, it is the machine that is full, not the relay.

    python -m tools.bench.capacity [--circuits N] [--step N] [--seconds S] [--hold S]     prints one line of JSON
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from typing import Any

from tools.bench.engine import EngineUnderLoad, engine_under_load
from tools.bench.process import cpu_s

CIRCUITS, STEP, SECONDS, HOLD_S = 4_000, 500, 8.0, 60.0
MAX_LATE_US = 2_000
MAX_LOSS = 0.001
UNDER_WAY = 2
"""A quarter of the circuits' cells leave at one moment, and both ways as many: that many may be under way at the end of a while, and are not lost."""
SETTLE_S = 2.0


def look(engine: EngineUnderLoad, circuits: int, seconds: float) -> dict[str, Any]:
    """Return the figures of a while with the circuits that stand."""
    time.sleep(SETTLE_S)
    used, began = cpu_s(engine.load.pid), time.monotonic()
    interval, gained, late = engine.run(seconds)
    load_share = (cpu_s(engine.load.pid) - used) / (time.monotonic() - began)
    figures = interval.figures()
    return {
        "circuits": circuits,
        **figures,
        "tick_late_p50_us": late["tick_late_p50_us"],
        "tick_late_p99_us": late["tick_late_p99_us"],
        "load_cpu_share": load_share,
        "filled": gained["filled"],
        "counts": late["tick_late_p99_us"] <= MAX_LATE_US and interval.sent - interval.relayed <= MAX_LOSS * interval.sent + circuits // UNDER_WAY,
    }


def measure(circuits: int, step: int, seconds: float, hold_s: float) -> dict[str, Any]:
    """Return each step, and how it went for a minute with the most circuits that counted."""
    steps: list[dict[str, Any]] = []
    with engine_under_load(circuits, spread=False) as engine:
        for end in range(step, circuits + 1, step):
            engine.build(end - step, step)
            steps.append(look(engine, end, seconds))
            if not steps[-1]["counts"]:
                break
        realtime = engine.realtime
    counted = max((each["circuits"] for each in steps if each["counts"]), default=0)
    held = None
    if counted:
        with engine_under_load(counted, spread=False) as engine:
            for begin in range(0, counted, step):
                engine.build(begin, min(step, counted - begin))
            held = look(engine, counted, hold_s)
    return {
        "wanted_circuits": circuits,
        "most_circuits": counted,
        "most_calls": counted // 2,
        "first_too_many": next((each["circuits"] for each in steps if not each["counts"]), None),
        "held": held,
        "held_s": hold_s,
        "steps": steps,
        "realtime": realtime,
        "rtpengine": "not measured: installed, but nothing here drives it" if shutil.which("rtpengine") else "not installed",
    }


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--circuits", type=int, default=CIRCUITS)
    parser.add_argument("--step", type=int, default=STEP)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each step")
    parser.add_argument("--hold", type=float, default=HOLD_S, help="seconds of the last one")
    given = parser.parse_args()
    print(json.dumps(measure(given.circuits, given.step, given.seconds, given.hold)))


if __name__ == "__main__":
    main()
