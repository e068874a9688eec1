"""`voicebox forward remove`: a port that leads to a contact's service no longer. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.offering import change_offered
from voicebox.config.model import parse_endpoint


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox forward remove`."""
    parser.add_argument("listen", metavar="ADDRESS:PORT", help="where it listens")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Remove the forward; streams that are open go on."""
    listen = parse_endpoint(args.listen)
    change_offered(home_of(args), "remove", f"forward {listen}")
    print(f"Nothing listens at {listen} any more. Who is connected goes on until they close.")
    return 0
