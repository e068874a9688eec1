"""The file that every command about dial plans takes, and the box beside it. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.config.load import load_box, load_users
from voicebox.contacts.store import StateDirectory
from voicebox.dialplan.load import load_dnd, load_plan
from voicebox.dialplan.model import DialPlan, House, house_of


def add_file(parser: argparse.ArgumentParser) -> None:
    """Add FILE and --home."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a dial plan")
    parser.add_argument("--home", type=Path, metavar="DIR", help="look at it with the phones, contacts and suffixes of this box (default: take any)")


def load_file(args: argparse.Namespace) -> tuple[DialPlan, House]:
    """Read the plan, and what it is asked about. Raises FileProblem, ProblemsFound."""
    if args.home is None:
        return load_plan(args.file), House()
    phones = load_users(args.home)
    contacts = StateDirectory(args.home).load_contacts(dt.datetime.now(dt.UTC))
    house = house_of(phones, contacts, load_dnd(args.home))
    return load_plan(args.file, phones, load_box(args.home).suffixes), house
