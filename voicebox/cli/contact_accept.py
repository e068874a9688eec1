"""`voicebox contact accept`: say which of two cards of a contact holds. Until then there are no calls with it. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact accept`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact of whom another card came")
    parser.add_argument("--former", action="store_true", help="stay with the card that you had, and forget the new one")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Take one of the two cards."""
    petname = checked_petname(args.petname)
    change_contact(home_of(args), Change(What.KEEP if args.former else What.ACCEPT, petname))
    if args.former:
        print(f"{petname} is whom you knew; the other card is forgotten.")
    else:
        print(f"{petname} has the new card, and is not verified: compare a code in your next call, `voicebox verify {petname}`.")
    return 0
