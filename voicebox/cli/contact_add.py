"""`voicebox contact add`: add somebody's card under a petname. Both must add each other. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_text
from voicebox.contacts.card import only_card, parse_card
from voicebox.contacts.changes import Change, What
from voicebox.contacts.contact import checked_petname
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact add`."""
    parser.add_argument("petname", metavar="PETNAME", help="what you call them; you dial PETNAME.privacy")
    parser.add_argument("card", type=Path, metavar="CARD", help="the file with their card")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Check the card and keep it."""
    home = home_of(args)
    config = load_box(home)
    petname = checked_petname(args.petname)
    now = dt.datetime.now(dt.UTC)
    text = load_text(args.card, "Give the file that holds the card.")
    parse_card(text, now, str(args.card))
    change_contact(home, Change(What.ADD, petname, only_card(text)))
    contact = next(contact for contact in StateDirectory(home).load_contacts(now) if contact.petname == petname)
    if contact.changed is not None:
        print(
            f"This is another card than the one you have of {petname}: a new box, or somebody else. There are no calls with {petname} until you decide. "
            f"Ask them in another way, then `voicebox contact accept {petname}`, or `voicebox contact accept {petname} --former` to stay with the old one."
        )
        return 0
    claimed = contact.card.authority.claimed_name
    claims = f" They call themselves {claimed!r}." if claimed != "voicebox" else ""
    print(f"{petname} is a contact now: dial {petname}.{config.suffixes[0]} once they have added your card too.{claims}")
    print(f"In your first call compare a code with them: `voicebox verify {petname}`.")
    return 0
