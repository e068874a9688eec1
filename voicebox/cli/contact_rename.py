"""`voicebox contact rename`: another petname; all else stays as it was, a call too. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact rename`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact")
    parser.add_argument("new", metavar="NEW", help="what you call them from now on")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Rename the contact."""
    petname, new = checked_petname(args.petname), checked_petname(args.new)
    change_contact(home_of(args), Change(What.RENAME, petname, new))
    print(f"{petname} is {new} now. Where the dial plan names {petname}, change that too.")
    return 0
