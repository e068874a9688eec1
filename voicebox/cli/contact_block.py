"""`voicebox contact block`: no calls with somebody, either way; they find the box off. All that is shared with them stays. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact block`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Block the contact; calls with it end."""
    petname = checked_petname(args.petname)
    change_contact(home_of(args), Change(What.BLOCK, petname))
    print(f"{petname} is blocked: to them your box is off, and you do not call them. `voicebox contact unblock {petname}` ends that.")
    return 0
