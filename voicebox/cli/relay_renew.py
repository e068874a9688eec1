"""`voicebox relay renew`: sign the relay's descriptor anew. [io]"""

from __future__ import annotations

import argparse
import datetime as dt

from voicebox.circuits.relay_state import DESCRIPTOR_FILE, renew_descriptor
from voicebox.cli.home import add_home, home_of
from voicebox.cli.relay_init import relay_addresses
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay renew`."""
    add_home(parser, "the relay's directory")
    parser.add_argument("--address", action="append", metavar="ADDRESS:PORT", help="what others reach it at now (default: as before); may be repeated")
    parser.add_argument("--bandwidth", type=int, metavar="MBIT", help="Mbit/s that it gives now, each way (default: as before); needs new vouchers")


def run(args: argparse.Namespace) -> int:
    """Renew it: valid for another year, with a higher sequence number, so that nobody goes back to the former one."""
    home = home_of(args)
    store = StateDirectory(home)
    verified = renew_descriptor(store, relay_addresses(args.address or []), args.bandwidth, dt.datetime.now(dt.UTC))
    vouchers = f"with its {len(verified.vouchers)} vouchers" if verified.vouchers else "without vouchers"
    print(f"{home / DESCRIPTOR_FILE} is new, {vouchers}. The relay tells the others when it is started again, and has vouchers enough.")
    return 0
