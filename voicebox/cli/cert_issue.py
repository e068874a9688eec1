"""`voicebox cert issue`: a certificate of the owner's authority for a device or service. [io]"""

from __future__ import annotations

import argparse
import datetime as dt

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.device_cert import DAYS, MAX_DAYS
from voicebox.contacts.device_certs import file_of, issue_to
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox cert issue`."""
    parser.add_argument("name", metavar="NAME", help="the device or service, in one word")
    parser.add_argument("--days", type=int, default=DAYS, metavar="DAYS", help=f"how long it is good, 1 to {MAX_DAYS} (default: {DAYS})")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Issue it, anew for the same key where there is one."""
    home, now = home_of(args), dt.datetime.now(dt.UTC)
    store = StateDirectory(home)
    entry = issue_to(store, store.load_identity(now), args.name, now, args.days)
    until = dt.datetime.fromtimestamp(entry.until, dt.UTC)
    print(
        f"{store.path(file_of(entry.name))} holds a private key and its certificate, good until {until:%Y-%m-%d}: copy it to {entry.name}. A box that runs makes a newer one a month before "
        "that, or half-way where that is later, for the same key, and `voicebox doctor` says so."
    )
    return 0
