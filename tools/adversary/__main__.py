"""`make lab`: the traffic-analysis lab; verdicts in build/lab.json, plots in build/lab.html. [io]

    python -m tools.adversary [--quick] [--seed N] [--test NAME...] [--again] [--out DIR]

Each test runs by itself and is kept when it is done; what is kept is not run again unless asked for by --test or --again. Tests in virtual time run side by side, one
on each core; then, alone, those on the real network. Exit code 3 where one says anything but PASS, 1 where one could not be run.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.adversary import access, busy, callee, clocks, guard, junction, links, marks, matching, off, probes, world
from tools.adversary.page import page
from tools.adversary.result import Result, load, replace, store
from voicebox.awake import kept_awake
from voicebox.demo.namespace import enter_private_network

ROOT = Path(__file__).resolve().parents[2]
SEED = 7_000
NOT_PASSED = 3


@dataclass(frozen=True)
class Test:
    """What runs by itself. run(seed, strict): its results; seconds: what it takes on one core, quick as it was measured, strict in proportion; alone: it wants the machine."""

    run: Callable[[int, bool], Sequence[Result]]
    seconds: tuple[int, int]
    alone: bool = False


TESTS: Mapping[str, Test] = {
    "c": Test(lambda seed, strict: [marks.test(seed, strict=strict)], (70, 430)),
    "d": Test(lambda seed, strict: [guard.test(seed, strict=strict), guard.test_metered(seed, strict=strict)], (62, 250)),
    "d_junction": Test(lambda seed, strict: [junction.test(seed, strict=strict)], (60, 170)),
    "d_probe": Test(lambda seed, strict: [probes.test_junction(seed, strict=strict)], (60, 170)),
    "d_probe_guard": Test(lambda seed, strict: [probes.test_guard(seed, strict=strict)], (60, 200)),
    "g": Test(lambda seed, strict: clocks.tests(seed, strict=strict), (40, 200)),
    "b": Test(lambda seed, strict: [matching.test(seed, strict=strict)], (24, 90)),
    "links": Test(lambda seed, strict: [links.test(seed, strict=strict)], (31, 95)),
    "e": Test(lambda seed, strict: [callee.test(seed, strict=strict)], (28, 250)),
    "d_busy": Test(lambda seed, strict: [busy.test(seed, strict=strict)], (6, 22)),
    "d_off": Test(lambda seed, strict: [off.test(seed, strict=strict)], (10, 50)),
    "a": Test(lambda seed, strict: access.tests(seed, strict=strict), (290, 1_320), alone=True),
    "a_probe": Test(lambda seed, strict: access.probe_tests(seed, strict=strict), (270, 1_300), alone=True),
}
"""The longest first. (f) comes with (a), because it looks at the same network."""
WITH = {"f": "a", "f_crash": "a", "g_steps": "g", "d_metered": "d"}


Ran = tuple[Sequence[Result], float, float]
"""Results, seconds, and seconds of a core."""


def _run(name: str, seed: int, strict: bool) -> Ran:  # noqa: FBT001  # crosses a process by its place
    began, used = time.monotonic(), _used_s()
    return TESTS[name].run(seed, strict), time.monotonic() - began, _used_s() - used


def _used_s() -> float:
    used = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def done(names: Sequence[str], seed: int, *, strict: bool) -> Iterator[tuple[str, Future[Ran]]]:
    """Run tests and yield each when it is over: those in virtual time side by side, then the others one by one, each in a process of its own."""
    alone = [[name] for name in names if TESTS[name].alone]
    for batch in ([name for name in names if not TESTS[name].alone], *alone):
        # A fork keeps the network namespace; nobody has a thread yet.
        with ProcessPoolExecutor(min(os.cpu_count() or 1, max(1, len(batch))), multiprocessing.get_context("fork")) as pool:
            waiting = {pool.submit(_run, name, seed, strict): name for name in batch}
            for future in as_completed(waiting):
                yield waiting[future], future


def expected_s(names: Sequence[str], *, strict: bool) -> float:
    """Return about how long tests take on this machine."""
    side_by_side, alone = ([TESTS[name].seconds[strict] for name in names if TESTS[name].alone is wanted] for wanted in (False, True))
    return max(sum(side_by_side) / (os.cpu_count() or 1), max(side_by_side, default=0)) + sum(alone)


def summary(kept: Mapping[str, Mapping[str, Any]], *, strict: bool) -> dict[str, Any]:
    """Return the object of build/lab.json."""
    return {"mode": "strict" if strict else "quick", "cores": os.cpu_count(), "tests": {name: each["entry"] for name, each in kept.items()}}


def main() -> int:
    """Run the lab."""
    parser = argparse.ArgumentParser(prog="make lab", description="Traffic-analysis lab")
    parser.add_argument("--quick", action="store_true", help="the sizes of make test")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--test", nargs="*", default=[], metavar="NAME", help=f"{', '.join((*TESTS, *WITH))}; all where none is named")
    parser.add_argument("--again", action="store_true", help="run what is kept again")
    parser.add_argument("--out", type=Path, default=ROOT / "build")
    arguments = parser.parse_args()
    strict, folder = not arguments.quick, arguments.out / ("lab-quick" if arguments.quick else "lab")
    wanted = [name for name in TESTS if name in {WITH.get(each, each) for each in arguments.test or TESTS}]
    if unknown := [name for name in arguments.test if WITH.get(name, name) not in TESTS]:
        parser.error(f"there is no test {', '.join(unknown)}")
    kept_before = [name for name in wanted if load(folder, name) and not arguments.again and not arguments.test]
    wanted = [name for name in wanted if name not in kept_before]
    for name in kept_before:
        print(f"lab: ({name}) is kept", flush=True)
    enter_private_network()
    world.program()
    print(f"lab: {', '.join(wanted)}: about {expected_s(wanted, strict=strict) / 60:.0f} minutes", flush=True)
    broken, began = False, time.monotonic()
    for name, future in done(wanted, arguments.seed, strict=strict):
        try:
            results, took_s, core_s = future.result()
        except Exception:  # noqa: BLE001  # the others go on
            broken = True
            print(f"lab: ({name}) could not be run", traceback.format_exc(), file=sys.stderr, sep="\n", flush=True)
            continue
        for result in results:
            store(folder, result)
            print(
                f"lab: ({result.name}) {result.title}: {result.verdict} ({took_s:.0f} s, {core_s:.0f} of a core; {(time.monotonic() - began) / 60:.1f} minutes so far)",
                flush=True,
            )
    kept = {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(folder.glob("*.json"))}
    replace(arguments.out / "lab.json", json.dumps(summary(kept, strict=strict), indent=1) + "\n")
    replace(arguments.out / "lab.html", page(kept))
    if broken:
        return 1
    return NOT_PASSED if any(each["entry"]["verdict"] != "PASS" for each in kept.values()) else 0


if __name__ == "__main__":
    with kept_awake():
        sys.exit(main())
