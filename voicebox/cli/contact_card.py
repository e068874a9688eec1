"""`voicebox contact card`: print the card to give to others. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import sys

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.card import serialise_card
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox contact card`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print the card."""
    sys.stdout.write(serialise_card(StateDirectory(home_of(args)).load_identity(dt.datetime.now(dt.UTC))))
    return 0
