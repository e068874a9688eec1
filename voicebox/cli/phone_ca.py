"""`voicebox phone ca`: write the certificate by which phones know their box over TLS. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone ca`."""
    parser.add_argument("file", metavar="FILE", type=Path, help="where to write it, for example box.pem")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Write the certificate; it holds no key."""
    home = home_of(args)
    addresses = load_box(home).tls_addresses
    if not addresses:
        raise UsageError("A certificate names addresses, and sip.listen in box.yaml has only wildcards. Give it the address that phones use.")
    certificate = StateDirectory(home).renew_phone_tls(addresses, dt.datetime.now(dt.UTC)).to_install
    try:
        args.file.write_bytes(certificate)
    except OSError as error:
        raise HostError(f"{args.file} cannot be written ({error.strerror}).") from None
    print(
        f"Install {args.file} in each phone's SIP application as a trusted authority. It is good for this box at {', '.join(addresses)} and for no other name."
    )
    return 0
