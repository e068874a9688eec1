"""`voicebox uplinks use`: choose over which interface links leave; a second one only after it was told what that shows. [io]"""

from __future__ import annotations

import argparse

from voicebox.addresses import has_interface
from voicebox.circuits.uplinks import MAX_UPLINKS, SHOWN, UPLINKS_FILE, serialise_uplinks
from voicebox.cli import terminal
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box
from voicebox.config.model import RelaySwitch, parse_uplink
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask_if_running
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox uplinks use`."""
    parser.add_argument("names", nargs="+", metavar="NAME", help="an interface of this machine, of those that `voicebox uplinks list` prints; one, or two")
    parser.add_argument("--yes", action="store_true", help="what a second one shows was read, and is wanted")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Keep the choice, and tell the box if it runs; nothing has changed where the answer is no."""
    home, names = home_of(args), tuple(args.names)
    if len(names) > MAX_UPLINKS or len(set(names)) != len(names):
        raise UsageError("Name one interface, or two that differ.")
    for name in names:
        parse_uplink(name)
        if name == "any" or not has_interface(name):
            raise UsageError("This machine has no interface of that name; `voicebox uplinks list` prints those that lead to relays.")
    config = load_box(home)  # there must be a box
    if config.relay is RelaySwitch.ON:
        raise UsageError("A box that relays for others has one uplink, that of its system. `relay: off` in box.yaml ends that.")
    if len(names) == MAX_UPLINKS:
        print(SHOWN)
        if not args.yes and not terminal.can_ask():
            raise UsageError("A second uplink is used only where somebody says that it is wanted: at a terminal, or with --yes. Nothing has changed.")
        if not args.yes and not terminal.is_yes("Use both?"):
            print("Nothing has changed.")
            return 1
    store = StateDirectory(home)
    store.write(UPLINKS_FILE, serialise_uplinks(names).encode())
    ask_if_running(home, "uplinks_changed")
    what = f"{names[0]}, one guard's; those of the other over {names[1]}" if len(names) == MAX_UPLINKS else names[0]
    print(f"Links leave over {what}. Nothing leaves over any other. `voicebox uplinks off` ends it.")
    return 0
