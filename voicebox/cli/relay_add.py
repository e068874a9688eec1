"""`voicebox relay add`: let a box know a relay by its card. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.network_state import load_network
from voicebox.circuits.own_relay import OwnRelay
from voicebox.circuits.relay_cards import add_card
from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import read_descriptor_file
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay add`."""
    parser.add_argument("card", type=Path, metavar="CARD", help="what `voicebox relay card` printed at the relay, in a file")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Keep the card: the relay is drawn first when the box draws a guard."""
    home, now = home_of(args), dt.datetime.now(dt.UTC)
    store, config = StateDirectory(home), load_box(home)
    card = read_descriptor_file(args.card, now)
    own = OwnRelay(home).described()
    if own is not None and own.descriptor.identity == card.descriptor.identity:
        raise UsageError("This is the relay beside this box. Both have one address, so it would hide nothing.")
    add_card(store, load_network(store), card, now)
    reload_if_running(home)
    operator = card.descriptor.operator
    print(
        f"The relay of {operator} is among those over which this box may go, and drawn first where it draws a guard: at its first start, or when one of its guards"
    )
    print(f"has served its time. `guards: [{operator}, ...]` in box.yaml uses it at once. A relay that few use shows who uses it.")
    if config.guards and operator not in config.guards:
        print(f"It is not used as long as `guards` in box.yaml names others and not {operator}.")
    return 0
