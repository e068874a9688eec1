"""`voicebox service list`: what is offered to which contacts. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.streams.offered import load_offered


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox service list`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print the services."""
    services = load_offered(StateDirectory(home_of(args))).services
    for each in services:
        print(f"{each.name}: port {each.port}{' over UDP' if each.udp else ''}, at {each.to}, for {', '.join(each.allow) or 'nobody'}")
    if not services:
        print("Nothing is offered. `voicebox service add` does that.")
    return 0
