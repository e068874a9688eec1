"""`voicebox relay offer`: let a box relay for others too. [io]"""

from __future__ import annotations

import argparse

from voicebox.circuits.own_relay import FOLDER, OwnRelay
from voicebox.circuits.relay_state import DESCRIPTOR_FILE
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_text
from voicebox.config.model import RELAY_OPTIONS, RelaySwitch, check_given, with_option
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask_if_running
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay offer`."""
    add_home(parser)
    parser.add_argument("--no", action="store_true", help="it does not relay, and does not ask any more; takes effect when the box is started again")
    parser.add_argument("--operator", metavar="NAME", help="under which name it is known (default: one that was drawn); as long as it has no descriptor")
    parser.add_argument("--mbit", metavar="MBIT", help="Mbit/s that it may use in each direction (default: as before, 2 at first)")
    parser.add_argument("--gb-month", metavar="GB", help="GB a month, in and out together, or none (default: as before, 500 at first)")


def run(args: argparse.Namespace) -> int:
    """Write it into the settings, and tell the box if it runs."""
    home = home_of(args)
    config, own = load_box(home), OwnRelay(home)
    given = {name: value for name, value in (("operator", args.operator), ("limit.mbit_s", args.mbit), ("limit.gb_month", args.gb_month)) if value}
    check_given(RELAY_OPTIONS, {name: [value] for name, value in given.items()})
    if args.operator and own.store.exists(DESCRIPTOR_FILE):
        raise UsageError(f"It has a descriptor with a name already. Remove the directory {FOLDER} for another relay, which has to be vouched for anew.")
    if not own.exists():
        own.prepare(config.link_address)
    _set(own.store, "relay.yaml", given)
    port = own.config().listen.port
    _set(StateDirectory(home), "box.yaml", {"relay": (RelaySwitch.OFF if args.no else RelaySwitch.ON).value})
    if args.no:
        print("The box does not relay, from its next start on.")
        return 0
    ask_if_running(home, "relay")
    print(
        f"The box relays as soon as others reach it at UDP port {port} (forward it, where a router is in the way), and the network has it. Give "
        f"{own.store.path(DESCRIPTOR_FILE)} to those who vouch for relays, once it is there; `voicebox status` says what is missing."
    )
    return 0


def _set(store: StateDirectory, name: str, values: dict[str, str]) -> None:
    """Set options in a file of settings. Raises FileProblem, UsageError, HostError."""
    text = load_text(store.path(name), "`voicebox init` writes it.")
    for option, value in values.items():
        text = with_option(text, option, value)
    store.write(name, text.encode())
