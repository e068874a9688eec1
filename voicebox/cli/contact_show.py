"""`voicebox contact show`: print what is known of a contact. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.contact import checked_petname
from voicebox.contacts.facts import all_facts_of
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError

MEANING = {
    "unverified": "as sure as the way on which the card came; compare a code in a call: `voicebox verify`",
    "verified": "you both saw the same code",
    "changed": "another card came; no calls, either way, until `voicebox contact accept`",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact show`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact")
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def run(args: argparse.Namespace) -> int:
    """Print the contact."""
    petname = checked_petname(args.petname)
    contacts = StateDirectory(home_of(args)).load_contacts(dt.datetime.now(dt.UTC))
    contact = next((contact for contact in contacts if contact.petname == petname), None)
    if contact is None:
        raise UsageError("There is no contact of that petname; `voicebox contact list` prints all.")
    facts = all_facts_of(contact)
    if args.json:
        print(json.dumps(facts))
        return 0
    print(f"petname    {petname}")
    print(f"claims     {facts['claims']}")
    print(f"state      {facts['state']}: {MEANING[contact.trust.value]}")
    print(f"calls      {'none, either way: blocked' if contact.blocked else 'yes' if contact.open else 'none, either way'}")
    print(f"first call {'made' if facts['met'] else 'not made yet'}")
    print(f"key        {_grouped(contact.contact_id)}")
    if contact.changed is not None:
        print(f"new key    {_grouped(contact.changed.card.contact_id)}")
    return 0


def _grouped(octets: bytes) -> str:
    digits = octets.hex()
    return " ".join(digits[at : at + 8] for at in range(0, len(digits), 8))
