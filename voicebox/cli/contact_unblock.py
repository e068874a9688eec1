"""`voicebox contact unblock`: calls with somebody again. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact unblock`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Unblock the contact."""
    petname = checked_petname(args.petname)
    change_contact(home_of(args), Change(What.UNBLOCK, petname))
    print(f"{petname} is not blocked any more.")
    return 0
