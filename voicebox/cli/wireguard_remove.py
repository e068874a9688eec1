"""`voicebox wireguard remove`: a device reaches the box from elsewhere no more. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError
from voicebox.intercept.wireguard import FILE, parse_tunnel


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox wireguard remove`."""
    parser.add_argument("name", metavar="NAME", help="its name")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Forget the device."""
    store = StateDirectory(home_of(args))
    if not store.exists(FILE):
        raise UsageError("There is no device of that name.")
    store.write(FILE, parse_tunnel(store.read_text(FILE), str(store.path(FILE))).without_device(args.name).serialise().encode())
    print(f"{args.name} is forgotten. It is let in until you type `sudo wg-quick down {store.path(FILE)}`, and up again.")
    return 0
