"""`voicebox dialplan explain`: say which rule decides about a call, and why those before it do not. [io]"""

from __future__ import annotations

import argparse
import datetime as dt

from voicebox.cli.dialplan_file import add_file, load_file
from voicebox.dialplan.explain import explain_incoming, explain_outgoing
from voicebox.dialplan.hours import parse_at
from voicebox.dialplan.model import Callers, DialPlan
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox dialplan explain`."""
    add_file(parser)
    asked = parser.add_mutually_exclusive_group(required=True)
    asked.add_argument("dialled", nargs="?", metavar="NUMBER", help="a number or name that a phone dials")
    asked.add_argument("--from", dest="caller", metavar="PETNAME", help="a contact who calls")
    parser.add_argument("--at", metavar="TIME", help='with --from: a time, or a day and a time, as "sat 23:10" (default: now)')


def run(args: argparse.Namespace) -> int:
    """Print the rules down to the one that decides."""
    plan, house = load_file(args)
    if args.caller is None:
        lines = explain_outgoing(plan, args.dialled, house)
    else:
        caller = next((caller for caller in Callers if caller.value == args.caller), args.caller.lower())
        lines = explain_incoming(plan, caller, house, _at(plan, args.at))
    print("\n".join(lines))
    return 0


def _at(plan: DialPlan, text: str | None) -> dt.datetime:
    if text is None:
        return dt.datetime.now(dt.UTC)
    try:
        return parse_at(text, plan.zone)
    except ValueError as error:
        raise UsageError(f"--at {error}.") from None
