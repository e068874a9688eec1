"""`voicebox intercept on`: programs, or devices of a LAN, reach contacts by virtual addresses, without being configured. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.control import ask
from voicebox.intercept.asking import start_helper
from voicebox.intercept.rules import plan_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox intercept on`."""
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--host", action="store_true", help="for programs of this machine (the default)")
    whom.add_argument("--gateway", metavar="INTERFACE", help="for the devices of the LAN at this interface too, whose router this machine is")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Start the helper for a running box."""
    home = home_of(args)
    told = ask(home, "interception")
    start_helper(home, plan_of({**told, "lan": args.gateway}))
    whom = f"programs of this machine and devices at {args.gateway}" if args.gateway else "programs of this machine"
    print(f"Interception is on: {whom} reach contacts by their names. Nothing for them leaves in the clear. `voicebox intercept off` ends it.")
    return 0
