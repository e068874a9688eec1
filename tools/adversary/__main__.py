"""`make lab`: the traffic-analysis lab; verdicts in build/lab.json, plots in build/lab.html. [io]

    python -m tools.adversary [--quick] [--seed N] [--test NAME...] [--again] [--out DIR]

Each test runs by itself and is kept when it is done; what is kept is not run again unless asked for by --test or --again. Exit code 3 where one says anything but PASS.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tools.adversary import access, callee, clocks, guard, links, marks, matching
from tools.adversary.page import page
from tools.adversary.result import Result, load, store
from voicebox.demo.namespace import enter_private_network

ROOT = Path(__file__).resolve().parents[2]
SEED = 7_000
NOT_PASSED = 3


def runs(*, strict: bool) -> Mapping[str, Callable[[int], tuple[Result, ...]]]:
    """Return what runs by itself, in order; (f) comes with (a), because it looks at the same network."""
    return {
        "b": lambda seed: (matching.test(seed, strict=strict),),
        "c": lambda seed: (marks.test(seed, strict=strict),),
        "d": lambda seed: (guard.test(seed, strict=strict), guard.test_junction(seed)),
        "e": lambda seed: (callee.test(seed, strict=strict),),
        "g": lambda seed: clocks.tests(seed, strict=strict),
        "links": lambda seed: (links.test(seed, strict=strict),),
        "a": lambda seed: access.tests(seed, strict=strict),
    }


def summary(kept: Mapping[str, Mapping[str, Any]], *, strict: bool) -> dict[str, Any]:
    """Return the object of build/lab.json."""
    return {"mode": "strict" if strict else "quick", "cores": os.cpu_count(), "tests": {name: each["entry"] for name, each in kept.items()}}


def main() -> int:
    """Run the lab."""
    parser = argparse.ArgumentParser(prog="make lab", description="Traffic-analysis lab")
    parser.add_argument("--quick", action="store_true", help="the sizes of make test")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--test", nargs="*", default=[], metavar="NAME", help="a to g, or links; all where none is named")
    parser.add_argument("--again", action="store_true", help="run what is kept again")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    arguments = parser.parse_args()
    strict, folder = not arguments.quick, arguments.out / ("lab-quick" if arguments.quick else "lab")
    available = runs(strict=strict)
    wanted = [{"f": "a"}.get(name, name) for name in arguments.test] or list(available)
    if unknown := [name for name in wanted if name not in available]:
        parser.error(f"there is no test {', '.join(unknown)}")
    enter_private_network()
    for name in wanted:
        if load(folder, name) and not arguments.again and not arguments.test:
            print(f"lab: ({name}) is kept", flush=True)
            continue
        began = time.monotonic()
        for result in available[name](arguments.seed):
            store(folder, result)
            print(f"lab: ({result.name}) {result.title}: {result.verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    kept = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    (arguments.out / "lab.json").write_text(json.dumps(summary(kept, strict=strict), indent=1) + "\n", "utf-8")
    (arguments.out / "lab.html").write_text(page(kept), "utf-8")
    return NOT_PASSED if any(each["entry"]["verdict"] != "PASS" for each in kept.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
