"""`voicebox network join`: let a box or relay belong to a network. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.network_state import join_network
from voicebox.circuits.terms import parse_network_line
from voicebox.cli.home import add_home, home_of, is_node
from voicebox.cli.network_file import load_network_text
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network join`."""
    parser.add_argument("line", metavar="LINE", help="the network line, from somebody you trust: it alone says which network this is")
    parser.add_argument("file", type=Path, metavar="FILE", help="the network file, from anywhere: it is checked against the line")
    add_home(parser, "the directory of the box or relay")


def run(args: argparse.Namespace) -> int:
    """Check the file against the line and keep it."""
    home = home_of(args)
    if not is_node(home):
        raise UsageError(f"{home} is neither a box's nor a relay's directory. `voicebox init` or `voicebox relay init` makes one.")
    network_id, now = parse_network_line(args.line), dt.datetime.now(dt.UTC)
    network = join_network(StateDirectory(home), network_id, load_network_text(args.file), str(args.file), now)
    print("\n".join(told(network, now)))
    return 0


def told(network: VerifiedNetwork, now: dt.datetime) -> list[str]:
    """Return what a user should know of a network."""
    terms = network.terms
    lines = [f"The network has {len(network.valid(now))} relays and epochs of {terms.epoch_s} s. State of the list, to compare with others: {network.digest}"]
    if terms.threshold == 0:
        lines.append("It is an open network: nobody vouches for its relays, so whoever runs enough of them can learn who calls whom.")
    elif not terms.values:
        lines.append(
            "It has no value keys, so anybody can foresee who will be a junction when. Networks made now have some; what a network is cannot be changed."
        )
    if not terms.distinct_operators:
        lines.append("One operator may run two relays of a path here: less private.")
    if not terms.distinct_prefixes:
        lines.append("Two relays of a path may be in one network of addresses here: less private.")
    return lines
