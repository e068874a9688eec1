"""`voicebox relay card`: print a relay's card. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.own_relay import FOLDER
from voicebox.circuits.relay_state import DESCRIPTOR_FILE, load_relay_keys
from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import read_descriptor_file
from voicebox.config.load import load_box
from voicebox.config.model import RelaySwitch
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask_if_running
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay card`."""
    add_home(parser, "the directory of a relay, or of a box with one")
    parser.add_argument(
        "--vouched", type=Path, metavar="FILE", help="first take the vouchers of this copy of the descriptor, in which others vouched for the relay"
    )


def run(args: argparse.Namespace) -> int:
    """Print the descriptor with its vouchers; who adds it can use the relay, whether the network's list has it or not."""
    home = home_of(args)
    store = StateDirectory(home if (home / "relay.yaml").is_file() else home / FOLDER)
    if not store.exists(DESCRIPTOR_FILE):
        raise UsageError("There is no relay that others reach yet: `voicebox relay offer` and a box that runs, or `voicebox relay init`.")
    own, _ = load_relay_keys(store)
    if args.vouched is not None:
        copy = read_descriptor_file(args.vouched, dt.datetime.now(dt.UTC))
        if (copy.descriptor.identity, copy.descriptor.vouched) != (own.descriptor.identity, own.descriptor.vouched):
            raise UsageError(f"{args.vouched} is the descriptor of another relay, or of this one when it gave something else.")
        own = own.with_vouchers(copy.vouchers)
        store.write(DESCRIPTOR_FILE, own.text.encode())
        if store.home != home and load_box(home).relay is RelaySwitch.ON:
            ask_if_running(home, "relay")
    print(own.text, end="")
    return 0
