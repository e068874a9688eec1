"""`voicebox service add`: offer a program of this machine or home network to contacts. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.fast import add_fast, kind_chosen
from voicebox.cli.home import add_home, home_of
from voicebox.cli.offering import change_offered
from voicebox.config.model import parse_endpoint, parse_port
from voicebox.streams.offered import NOBODY


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox service add`."""
    parser.add_argument("name", metavar="NAME", help="your name for it")
    parser.add_argument("--to", required=True, metavar="ADDRESS:PORT", help="where it is: 127.0.0.1:8080, or another machine of the home network")
    parser.add_argument("--port", metavar="PORT", help="under which contacts reach it; without: that of --to")
    parser.add_argument(
        "--allow", action="append", default=[], metavar="PETNAME", help="a contact who may reach it; several times for several; without: nobody"
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--udp", action="store_true", help="over UDP")
    kind.add_argument(
        "--tls",
        action="store_true",
        help="it speaks TLS 1.3 with a certificate of `voicebox cert issue NAME`, which contacts' boxes check and present to their programs",
    )
    add_fast(parser)
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Add the service."""
    to = parse_endpoint(args.to)
    port = parse_port(args.port) if args.port is not None else to.port
    home = home_of(args)
    kind = kind_chosen(args, home)
    change_offered(home, "add", f"service {args.name} {to} {port} {','.join(args.allow) or NOBODY}{kind}")
    who = " and ".join(args.allow) if args.allow else "Nobody, for no --allow was given,"
    print(f"{who} may reach {args.name}: port {port} of the name that they have for you.")
    if args.tls:
        print(
            f"It must show the key and certificate that `voicebox cert issue {args.name.lower()}` makes, or for a host HOST under your name those of `cert issue HOST`."
        )
    return 0
