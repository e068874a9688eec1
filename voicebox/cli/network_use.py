"""`voicebox network use`: set the network that a box or relay belongs to. [io]"""

from __future__ import annotations

import argparse
from pathlib import Path

from voicebox.circuits.network_state import use_network
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_text
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network use`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the signed network file")
    add_home(parser, "the directory of the box or relay")


def run(args: argparse.Namespace) -> int:
    """Check the file and keep it; the first one pins the network."""
    home = home_of(args)
    if not (home / "box.yaml").exists() and not (home / "relay.yaml").exists():
        raise UsageError(f"{home} is neither a box's nor a relay's directory. `voicebox init` or `voicebox relay init` makes one.")
    network = use_network(StateDirectory(home), load_text(args.file, "Give the signed network file."), str(args.file))
    operators = "" if network.terms.distinct_operators else " One operator may run two relays of a path here: less private."
    print(f"The network has {len(network.relays)} relays and epochs of {network.terms.epoch_s} s.{operators}")
    return 0
