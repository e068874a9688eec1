"""`voicebox contact list`: print the contacts. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.facts import facts_of
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact list`."""
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON list instead")


def run(args: argparse.Namespace) -> int:
    """Print petname, how sure it is who that is, whether a first call was made, and what they call themselves."""
    rows = [facts_of(contact) for contact in StateDirectory(home_of(args)).load_contacts(dt.datetime.now(dt.UTC))]
    if args.json:
        print(json.dumps(rows))
    else:
        for row in rows:
            state = "blocked" if row["blocked"] else row["state"]
            print(f"{row['petname']:<32} {state:<12} {'met' if row['met'] else 'not met yet':<12} {row['claims']}")
    return 0
