"""`voicebox doctor`: look at this machine, and at a box's or relay's directory, for what stands in the way of calls. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
from pathlib import Path

from voicebox.cli.home import add_home
from voicebox.doctor.files import is_relay, look_at_files
from voicebox.doctor.findings import Finding, Grade, findings_of
from voicebox.doctor.machine import look_at_machine

EXIT_PROBLEM = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox doctor`."""
    add_home(parser, "also look at this directory of a box or relay")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit code 1 where something is in the way."""
    named = args.home or os.environ.get("VOICEBOX_HOME")
    home = Path(named).absolute() if named else None
    found = findings_of(look_at_machine(), relay=home is not None and is_relay(home))
    if home is not None:
        found += look_at_files(home, dt.datetime.now(dt.UTC))
    if args.json:
        print(json.dumps({"findings": [{"what": each.what, "grade": each.grade.value, "said": each.said, "advice": each.advice} for each in found]}))
    else:
        print("\n".join(line for finding in found for line in _lines(finding)))
    return EXIT_PROBLEM if any(finding.grade is Grade.PROBLEM for finding in found) else 0


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.grade.value:8} {finding.what:11} {finding.said}"]
    return [*lines, f"{'':20} {finding.advice}"] if finding.advice else lines
