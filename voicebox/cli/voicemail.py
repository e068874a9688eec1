"""`voicebox voicemail`: which messages contacts left, where the dial plan says that they are taken. A phone plays them. [io]"""

from __future__ import annotations

import argparse
import json
import sys

from voicebox.cli.home import add_home, home_of
from voicebox.control import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox voicemail`."""
    add_home(parser)
    parser.add_argument("--clear", action="store_true", help="delete them, once they are printed")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the day, the petname and the length of each, the oldest first; the box must run."""
    answer = ask(home_of(args), "voicemail", clear=args.clear)
    if args.json:
        print(json.dumps(answer["messages"]))
    else:
        lines = [f"{each['day']}  {each['petname']}  {each['seconds']} s{'' if each['heard'] else '  new'}\n" for each in answer["messages"]]
        print("".join(lines) or "none\n", end="")
    if not answer["kept"]:
        print("No messages are taken: `voicemail: true` under `settings` of the dial plan lets a machine answer contacts whom nobody answers.", file=sys.stderr)
    return 0
