"""`voicebox cert revoke`: take back the certificates of a device or service. [io]"""

from __future__ import annotations

import argparse
import datetime as dt

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.device_certs import revoke_all_of
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox cert revoke`."""
    parser.add_argument("name", metavar="NAME", help="the device or service")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Revoke all of them, and forget the key."""
    revoke_all_of(StateDirectory(home_of(args)), args.name, dt.datetime.now(dt.UTC))
    print(
        "Its certificates are revoked. The box of each contact hears it in the next call with them. For others `voicebox cert list --crl FILE` writes a list, and "
        "`voicebox cert check --crl FILE` reads it."
    )
    return 0
