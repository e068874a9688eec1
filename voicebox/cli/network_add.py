"""`voicebox network add`: put relays into a network file. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.network_file import add_relays, read_descriptor_file, read_network


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network add`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="the network file")
    parser.add_argument("descriptors", nargs="+", type=Path, metavar="RELAY_DESCRIPTOR", help="the file `descriptor` of each relay, with its vouchers")


def run(args: argparse.Namespace) -> int:
    """Put them in; all or none."""
    path, now = args.file.absolute(), dt.datetime.now(dt.UTC)
    network, changes = add_relays(path, read_network(path), [read_descriptor_file(each, now) for each in args.descriptors], now)
    print(f"{path} holds {len(network.valid(now))} relays ({changes}).")
    return 0
