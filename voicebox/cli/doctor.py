"""`voicebox doctor`: look at this machine, at a box's or relay's directory, and at what runs there, for what stands in the way of calls. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import os
import platform
from importlib import metadata
from pathlib import Path

from voicebox.cli.home import add_home
from voicebox.control import SOCKET_NAME, ask
from voicebox.doctor.files import UNIT_FOLDERS, is_relay, look_at_files, look_at_units, names_of
from voicebox.doctor.findings import Finding, Grade, findings_of
from voicebox.doctor.machine import look_at_machine
from voicebox.doctor.redact import redact
from voicebox.doctor.running import findings_of_status
from voicebox.errors import VoiceboxError

EXIT_PROBLEM = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox doctor`."""
    add_home(parser, "also look at this directory of a box or relay")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print one JSON object")
    shown.add_argument("--report", action="store_true", help="print what can be shown to others: no address, path, name or key is in it")


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit code 1 where something is in the way."""
    named = args.home or os.environ.get("VOICEBOX_HOME")
    home = Path(named).absolute() if named else None
    found = findings_of(look_at_machine(), relay=home is not None and is_relay(home))
    if home is not None:
        found += look_at_files(home, dt.datetime.now(dt.UTC))
        found += _look_at_running(home)
        found += [] if is_relay(home) else [look_at_units(UNIT_FOLDERS)]
    if args.report:
        print("\n".join(_report(found, home)))
    elif args.json:
        print(json.dumps({"findings": [{"what": each.what, "grade": each.grade.value, "said": each.said, "advice": each.advice} for each in found]}))
    else:
        print("\n".join(line for finding in found for line in _lines(finding)))
    return EXIT_PROBLEM if any(finding.grade is Grade.PROBLEM for finding in found) else 0


def _lines(finding: Finding) -> list[str]:
    lines = [f"{finding.grade.value:8} {finding.what:11} {finding.said}"]
    return [*lines, f"{'':20} {finding.advice}"] if finding.advice else lines


def _look_at_running(home: Path) -> list[Finding]:
    if not (home / SOCKET_NAME).exists():
        return [Finding("running", Grade.NOTE, "nothing runs in this directory")]
    try:
        return findings_of_status(ask(home, "status")["status"])
    except VoiceboxError as problem:
        return [Finding("running", Grade.PROBLEM, str(problem))]


def _report(found: list[Finding], home: Path | None) -> list[str]:
    """Return the findings for strangers, with what they need to know of this machine."""
    names = names_of(home) if home is not None else ()
    folders: tuple[str, ...] = (str(home), str(home.resolve())) if home is not None else ()
    head = f"voicebox {metadata.version('voicebox')}, Python {platform.python_version()}, {platform.system()} {platform.release()}, {platform.machine()}"
    return [head, *(redact(line, names, folders) for finding in found for line in _lines(finding))]
