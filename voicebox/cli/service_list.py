"""`voicebox service list`: what is offered to which contacts, or what a contact offers. [io]"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.streams.offered import load_offered

AGAIN_S = 0.3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox service list`."""
    parser.add_argument(
        "petname", nargs="?", metavar="PETNAME", help="ask this contact's box what it offers to you, over the circuits; without: what you offer"
    )
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print the services."""
    home = home_of(args)
    if args.petname is not None:
        _print_of_contact(home, args.petname)
        return 0
    services = load_offered(StateDirectory(home)).services
    for each in services:
        print(
            f"{each.name}: port {each.port}{_way(udp=each.udp, tls=each.tls, fast=each.fast).removesuffix(',')}, at {each.to}, for {', '.join(each.allow) or 'nobody'}"
        )
    if not services:
        print("Nothing is offered. `voicebox service add` does that.")
    return 0


def _print_of_contact(home: Path, petname: str) -> None:
    """Ask until the contact's box has said, which is a minute at most."""
    while (services := ask(home, "services", petname=petname)["services"]) is None:
        time.sleep(AGAIN_S)
    for each in services:
        print(f"{each['name']}: port {each['port']}{_way(udp=each['udp'], tls=each['tls'], fast=each['fast'])} of {petname}")
    if not services:
        print(f"{petname} offers you nothing.")


def _way(*, udp: bool, tls: bool, fast: bool) -> str:
    return " over UDP" if udp else " over TLS" if tls else ", FAST: seen by relays and lines," if fast else ""
