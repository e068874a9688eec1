"""`voicebox relay init`: make a relay. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress

from voicebox.circuits.descriptor import DEFAULT_MBIT_S, RelayAddress, Role, check_claims
from voicebox.circuits.relay_state import DESCRIPTOR_FILE, create_relay
from voicebox.cli.home import add_home, home_of
from voicebox.config.model import RELAY_OPTIONS, check_given, example_file, parse_endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay init`."""
    add_home(parser, "the relay's directory")
    parser.add_argument("--listen", required=True, metavar="ADDRESS:PORT", help="UDP address that others reach the relay at")
    parser.add_argument("--role", required=True, choices=[role.value for role in Role], help="guard: boxes connect here; junction: circuits meet here")
    parser.add_argument("--operator", required=True, metavar="NAME", help="who runs it; nobody uses two relays of one operator on a path")
    parser.add_argument(
        "--bandwidth",
        type=int,
        default=DEFAULT_MBIT_S,
        metavar="MBIT",
        help=f"Mbit/s that it gives, each way: relays with more are drawn more often (default: {DEFAULT_MBIT_S})",
    )
    parser.add_argument("--address", action="append", metavar="ADDRESS:PORT", help="what others reach it at, where that is not --listen; may be repeated")


def run(args: argparse.Namespace) -> int:
    """Make the directory, keys, descriptor and settings. Nothing is left behind where an argument is wrong."""
    given = {"listen": [args.listen], "role": [args.role], "operator": [args.operator]}
    check_given(RELAY_OPTIONS, given)
    text = example_file(RELAY_OPTIONS, given, "The settings of this relay; `voicebox relay run` reads them at its start.")
    addresses = relay_addresses(args.address or [args.listen])
    check_claims(args.operator, args.bandwidth, addresses)
    home = home_of(args)
    store = StateDirectory(home)
    store.create()
    create_relay(store, Role(args.role), args.operator, args.bandwidth, addresses, dt.datetime.now(dt.UTC))
    store.write("relay.yaml", text.encode())
    print(
        f"The relay is in {home}. Give {home / DESCRIPTOR_FILE} to those who vouch for the network's relays; then voicebox network join LINE FILE --home {home}"
    )
    return 0


def relay_addresses(texts: list[str]) -> tuple[RelayAddress, ...]:
    """Read what others reach a relay at. Raises UsageError."""
    endpoints = [parse_endpoint(text) for text in texts]
    if any(ipaddress.ip_address(endpoint.address).is_unspecified for endpoint in endpoints):
        raise UsageError("Give the address under which others reach the relay, with --address where it is not that of --listen; it stands in its descriptor.")
    return tuple(RelayAddress(endpoint.address, endpoint.port) for endpoint in endpoints)
