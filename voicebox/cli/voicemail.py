"""`voicebox voicemail`: which messages contacts left, where the dial plan says that they are taken. A phone plays them. [io]"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any

from voicebox.cli.home import add_home, home_of
from voicebox.control import ask

NONE_TAKEN = (
    "No messages are taken: `voicemail: true` under `settings` of the dial plan, or at an extension, lets a machine answer contacts whom nobody answers."
)
LEFT = "No more messages are taken, and these stay on the disk until `voicebox voicemail --clear`."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox voicemail`."""
    add_home(parser)
    parser.add_argument("--clear", action="store_true", help="delete them, once they are printed")
    parser.add_argument("--json", action="store_true", help="print a JSON list")


def run(args: argparse.Namespace) -> int:
    """Print the day, the petname and the length of each, and whose it is, the oldest first; the box must run."""
    answer = ask(home_of(args), "voicemail", clear=args.clear)
    if args.json:
        print(json.dumps(answer["messages"]))
    else:
        print("".join(_line(each) for each in answer["messages"]) or "none\n", end="")
    if not answer["kept"]:
        print(NONE_TAKEN if not answer["messages"] or args.clear else LEFT, file=sys.stderr)
    return 0


def _line(told: Mapping[str, Any]) -> str:
    whose = f"  for {told['mailbox']}" if told["mailbox"] else ""
    return f"{told['day']}  {told['petname']}  {told['seconds']} s{'' if told['heard'] else '  new'}{whose}\n"
