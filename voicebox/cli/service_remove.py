"""`voicebox service remove`: offer something no longer. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.offering import change_offered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox service remove`."""
    parser.add_argument("name", metavar="NAME", help="its name")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Remove the service; streams that are open go on."""
    change_offered(home_of(args), "remove", f"service {args.name}")
    print(f"{args.name} is offered to nobody any more. Who uses it now goes on until they close.")
    return 0
