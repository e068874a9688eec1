"""`voicebox contact remove`: forget somebody; from then on they are a stranger, for whom nothing rings. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.contact import checked_petname
from voicebox.contacts.store import StateDirectory
from voicebox.control import SOCKET_NAME, ask
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact remove`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact to forget, with the secret shared")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Delete the contact, and tell the box if it runs."""
    home = home_of(args)
    petname = checked_petname(args.petname)
    if not StateDirectory(home).remove_contact(petname):
        raise UsageError("There is no contact of that petname; `voicebox contact list` prints all.")
    if (home / SOCKET_NAME).exists():
        ask(home, "reload")
    print(f"{petname} is forgotten. To be contacts again both of you must remove and add each other.")
    return 0
