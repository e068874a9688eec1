"""`voicebox contact remove`: forget somebody; from then on they are a stranger, for whom nothing rings. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact remove`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact to forget, with the secret shared")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Delete the contact; calls with it end."""
    petname = checked_petname(args.petname)
    change_contact(home_of(args), Change(What.REMOVE, petname))
    print(f"{petname} is forgotten: to them your box is off from now on. To be contacts again both of you must remove and add each other.")
    return 0
