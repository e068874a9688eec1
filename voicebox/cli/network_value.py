"""`voicebox network value`: sign the shared random values of coming periods, which decide who is a junction when. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.network_state import load_network
from voicebox.circuits.value import AHEAD, PERIOD_EPOCHS, public_part, sign_value
from voicebox.circuits.values_coming import COMING_FILE, parse_coming, serialise_coming
from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import read_value_key_file
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.errors import UsageError

DEFAULT_PERIODS, MAX_PERIODS = 100, 400


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network value`."""
    parser.add_argument("key", type=Path, metavar="KEY", help="your value key (FILE.value of `voicebox network create`, or `voicebox network key --value`)")
    parser.add_argument(
        "--periods",
        type=int,
        default=DEFAULT_PERIODS,
        metavar="N",
        help=f"for how many periods of {PERIOD_EPOCHS} epochs, 1 to {MAX_PERIODS} (default: {DEFAULT_PERIODS})",
    )
    add_home(parser, "a relay of yours: it keeps the signatures to itself, and tells each a period before it counts")


def run(args: argparse.Namespace) -> int:
    """Sign them, and let the relay tell them when they are due."""
    home, now = home_of(args), dt.datetime.now(dt.UTC)
    store = StateDirectory(home)
    if not store.exists("identity/relay.key"):
        raise UsageError(f"{home} is no relay's directory. A relay of yours tells the others the values when their time comes.")
    network, key = load_network(store), read_value_key_file(args.key.absolute())
    if public_part(key).key_id not in {known.key_id for known in network.terms.values}:
        raise UsageError("This is none of the network's value keys.")
    if not 1 <= args.periods <= MAX_PERIODS:
        raise UsageError(f"Values are signed for 1 to {MAX_PERIODS} periods at a time.")
    period = network.period_of(now)
    had = parse_coming(store.read_text(COMING_FILE), str(store.path(COMING_FILE))) if store.exists(COMING_FILE) else []
    first = period + AHEAD
    made = [sign_value(key, network.network_id, each) for each in range(first, first + args.periods)]
    store.write(COMING_FILE, serialise_coming([*had, *made], period).encode())
    reload_if_running(home)
    days = args.periods * PERIOD_EPOCHS * network.terms.epoch_s / 86_400
    print(f"Signed for {args.periods} periods, {days:.0f} days from the next one on. All {len(network.terms.values)} value keys have to, each in time.")
    return 0
