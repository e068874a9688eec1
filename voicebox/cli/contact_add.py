"""`voicebox contact add`: add somebody's card under a petname. Both must add each other. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_text
from voicebox.contacts.card import parse_card
from voicebox.contacts.contact import MAX_CONTACTS, Contact, checked_petname
from voicebox.contacts.store import StateDirectory
from voicebox.control import SOCKET_NAME, ask
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact add`."""
    parser.add_argument("petname", metavar="PETNAME", help="what you call them; you dial PETNAME.privacy")
    parser.add_argument("card", type=Path, metavar="CARD", help="the file with their card")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Check the card, keep it, and tell the box if it runs."""
    home = home_of(args)
    config = load_box(home)
    now = dt.datetime.now(dt.UTC)
    store = StateDirectory(home)
    petname = checked_petname(args.petname)
    text = load_text(args.card, "Give the file that holds the card.")
    card = parse_card(text, now, str(args.card))
    contacts = store.load_contacts(now)
    if card.contact_id == store.load_identity(now).contact_id:
        raise UsageError("This is your own card. Give it to your contact, and add theirs.")
    for contact in contacts:
        if contact.petname == petname:
            raise UsageError("There is a contact of that petname. Take another, or `voicebox contact remove` it first.")
        if contact.contact_id == card.contact_id:
            raise UsageError(f"This person is a contact already, as {contact.petname}.")
    if len(contacts) >= MAX_CONTACTS:
        raise UsageError(f"A box has at most {MAX_CONTACTS} contacts.")
    store.save_contact(Contact(petname, card, text))
    if (home / SOCKET_NAME).exists():
        ask(home, "reload")
    claims = f" They call themselves {card.authority.claimed_name!r}." if card.authority.claimed_name != "voicebox" else ""
    print(f"{petname} is a contact now: dial {petname}.{config.suffixes[0]} once they have added your card too.{claims}")
    return 0
