"""`voicebox relay remove`: forget the cards of an operator's relays. [io]"""

from __future__ import annotations

import argparse

from voicebox.circuits.relay_cards import remove_cards
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay remove`."""
    parser.add_argument("operator", metavar="OPERATOR", help="who runs them")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Forget them. One that is a guard now and is in no list is waited for, and then replaced, as one that left the network."""
    home = home_of(args)
    if not remove_cards(StateDirectory(home), args.operator):
        raise UsageError("There is no card of a relay of that operator.")
    reload_if_running(home)
    print("They are known by card no more.")
    return 0
