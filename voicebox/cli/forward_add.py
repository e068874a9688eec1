"""`voicebox forward add`: a port of this machine that leads to a contact's service. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.fast import add_fast, kind_chosen
from voicebox.cli.home import add_home, home_of
from voicebox.cli.offering import change_offered
from voicebox.config.load import load_box
from voicebox.config.model import parse_endpoint, parse_port
from voicebox.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox forward add`."""
    parser.add_argument("listen", metavar="ADDRESS:PORT", help="where programs connect: 127.0.0.1:8022 for those of this machine")
    parser.add_argument("to", metavar="NAME:PORT", help="the contact's service: bob.privacy:22")
    parser.add_argument("--udp", action="store_true", help="over UDP")
    add_fast(parser)
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Add the forward."""
    listen, (name, _, port_text) = parse_endpoint(args.listen), args.to.rpartition(":")
    home, port = home_of(args), parse_port(port_text)
    config = load_box(home)
    petname = next((name.removesuffix(f".{suffix}") for suffix in config.suffixes if name.endswith(f".{suffix}")), name)
    if not petname or " " in petname:
        raise UsageError("A contact's service is NAME:PORT, for example bob.privacy:22.")
    change_offered(home, "add", f"forward {listen} {petname} {port}{kind_chosen(args, home)}")
    print(f"{listen} leads to port {port} of {petname}, while the box runs, for whoever can connect to that address.")
    return 0
