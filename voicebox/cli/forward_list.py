"""`voicebox forward list`: the ports of this machine that lead to contacts' services. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.streams.offered import load_offered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox forward list`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print the forwards."""
    forwards = load_offered(StateDirectory(home_of(args))).forwards
    for each in forwards:
        print(f"{each.listen}: port {each.port}{' over UDP' if each.udp else ''} of {each.petname}{', FAST: seen by relays and lines' if each.fast else ''}")
    if not forwards:
        print("There is none. `voicebox forward add` makes one.")
    return 0
