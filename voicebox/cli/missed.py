"""`voicebox missed`: who called and was not answered, where the dial plan says that this is kept. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from pathlib import Path
from typing import Any

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_users
from voicebox.contacts.missed import MISSED_FILE
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.dialplan.load import load_plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox missed`."""
    add_home(parser)
    parser.add_argument("--clear", action="store_true", help="forget them, once they are printed")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the day and the petname of each, the newest first."""
    home = home_of(args)
    answer = _answer(home, clear=args.clear)
    if args.json:
        print(json.dumps(answer["missed"]))
    else:
        print("".join(f"{call['day']}  {call['petname']}\n" for call in answer["missed"]) or "none\n", end="")
    if not answer["kept"]:
        print(
            "Missed calls are not kept: `call_log: missed` under `settings` of the dial plan lets the box keep petname and day for seven days.", file=sys.stderr
        )
    return 0


def _answer(home: Path, *, clear: bool) -> dict[str, Any]:
    store = StateDirectory(home)
    with store.locked_if_free() as is_free:
        if not is_free:
            return ask(home, "missed", clear=clear)
        config = load_box(home)
        plan = load_plan(home / config.dialplan, load_users(home), config.suffixes)
        calls = store.load_missed()
        entries = calls.entries(dt.datetime.now(plan.zone).date())
        if clear:
            store.remove(MISSED_FILE)
    return {"kept": plan.keeps_missed, "missed": [{"day": day.isoformat(), "petname": petname} for day, petname in entries]}
