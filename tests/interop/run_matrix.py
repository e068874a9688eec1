"""Run the matrix of phones, every pair over every way, and print what came of it (`make matrix`). [io]

    python -m tests.interop.run_matrix [--jobs N] [--only WORDS]

In several processes at once, each with boxes, relays and a network of its own; what failed runs once more, alone, since phones live in real time. What came of each pair is in
build/matrix.json. Exit code 1 where one failed twice or none was run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from tests.interop.matrix import PHONES, ROOT, every_pair, run_name, table
from voicebox.awake import kept_awake

JOBS = 3
TEST = "tests/interop/test_matrix.py"
SHOWN = 160
"""Characters of why a run failed."""


def run(which: Sequence[str], jobs: int) -> dict[str, str]:
    """Run pairs; return why each failed, by its name, "" where it did not. which: arguments of pytest that choose them."""
    with tempfile.TemporaryDirectory() as folder:
        figures = Path(folder) / "matrix.xml"
        command = [sys.executable, "-m", "pytest", *which, f"--junitxml={figures}", "-q", "-p", "no:randomly"]
        command += ["-n", str(jobs), "--dist", "load", "--timeout-method", "signal"] if jobs > 1 else []
        subprocess.run(command, cwd=ROOT, env={**os.environ, "VOICEBOX_LONG": "1"}, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        return {case.get("name", "").partition("[")[2].rstrip("]"): _why(case) for case in _cases(figures)}


def _cases(figures: Path) -> list[ET.Element]:
    if not figures.exists():
        return []
    return [case for case in ET.parse(figures).getroot().iter("testcase") if case.find("skipped") is None]  # our own pytest wrote it


def _why(case: ET.Element) -> str:
    failed = case.find("failure") if case.find("failure") is not None else case.find("error")
    return "" if failed is None else (failed.get("message") or "failed").splitlines()[0][:SHOWN]


def printed(came: dict[str, str]) -> list[str]:
    """Return the table of who calls whom, with how many of the ways they did, and why each that failed did."""
    ran, went = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for caller, callee in every_pair():
        why = came.get(run_name((caller, callee)))
        ran[caller.phone, callee.phone] += why is not None
        went[caller.phone, callee.phone] += why == ""

    def cell(caller: str, callee: str) -> str:
        return f"{went[caller, callee]} of {ran[caller, callee]}" if ran[caller, callee] else "-"

    rows = [[f"{caller.name} calls", *(cell(caller.name, callee.name) for callee in PHONES)] for caller in PHONES]
    return [*table(["", *(callee.name for callee in PHONES)], rows), *(f"{name}: {why}" for name, why in sorted(came.items()) if why)]


def main(arguments: Sequence[str]) -> int:
    """Run, run again what failed, print."""
    parser = argparse.ArgumentParser(prog="make matrix")
    parser.add_argument("--jobs", type=int, default=JOBS, help=f"how many runs at once; {JOBS} unless said")
    parser.add_argument("--only", default="_to_", help="words of pytest's -k: the runs whose names hold them, for example `linphonec-tls-ipv6_to`")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "matrix.json")
    asked = parser.parse_args(arguments)
    began = time.monotonic()
    with kept_awake():
        came = run([TEST, "-k", f"test_a_run and ({asked.only})"], asked.jobs)
        again = [name for name, why in came.items() if why]
        if again:
            came |= run([f"{TEST}::test_a_run[{name}]" for name in again], 1)
    asked.out.parent.mkdir(exist_ok=True)
    asked.out.write_text(json.dumps(came, indent=1) + "\n")
    print("\n".join(printed(came)))
    failed = sum(why != "" for why in came.values())
    print(f"matrix: {len(came) - failed} of {len(came)} runs passed, {len(again)} of them were run twice; {time.monotonic() - began:.0f} s")
    return int(bool(failed) or not came)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
