"""`voicebox network update`: take newer relays of the network that a box or relay belongs to. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.network_state import update_network
from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import load_network_text
from voicebox.cli.network_join import told
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network update`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a newer network file, from anywhere")
    add_home(parser, "the directory of the box or relay")


def run(args: argparse.Namespace) -> int:
    """Merge the file into what is known, and tell the box or relay if it runs; a box goes by it from the next epoch on."""
    home, now = home_of(args), dt.datetime.now(dt.UTC)
    network, changes = update_network(StateDirectory(home), load_network_text(args.file), str(args.file), now)
    reload_if_running(home)
    print("\n".join([f"Relays: {changes}.", *told(network, now)]))
    return 0
