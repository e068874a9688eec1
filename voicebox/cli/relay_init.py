"""`voicebox relay init`: make a relay. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import ipaddress

from voicebox.circuits.descriptor import OPERATOR, Role
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


def run(args: argparse.Namespace) -> int:
    """Make the directory, keys, descriptor and settings. Nothing is left behind where an argument is wrong."""
    given = {"listen": [args.listen], "role": [args.role], "operator": [args.operator]}
    check_given(RELAY_OPTIONS, given)
    text = example_file(RELAY_OPTIONS, given, "The settings of this relay; `voicebox relay run` reads them at its start.")
    listen = parse_endpoint(args.listen)
    if ipaddress.ip_address(listen.address).is_unspecified:
        raise UsageError("Give the address under which others reach the relay; it stands in its descriptor.")
    if not OPERATOR.match(args.operator):
        raise UsageError("An operator's name has up to 48 letters, digits, spaces, dots and hyphens.")
    home = home_of(args)
    store = StateDirectory(home)
    store.create()
    create_relay(store, Role(args.role), args.operator, listen.address, listen.port, dt.datetime.now(dt.UTC))
    store.write("relay.yaml", text.encode())
    print(f"The relay is in {home}. Give {home / DESCRIPTOR_FILE} to whoever signs the network; then voicebox network use FILE --home {home}")
    return 0
