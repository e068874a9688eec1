"""`voicebox cert list`: the certificates that were issued to devices and services. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.cli.network_file import write_public
from voicebox.contacts.device_cert import revocation_list
from voicebox.contacts.device_certs import load_register
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox cert list`."""
    add_home(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--crl", type=Path, metavar="FILE", help="also write the list of those that were revoked, to be given to contacts")


def run(args: argparse.Namespace) -> int:
    """Print them, the oldest first."""
    now, store = dt.datetime.now(dt.UTC), StateDirectory(home_of(args))
    entries = load_register(store)
    if args.crl is not None:
        write_public(args.crl.absolute(), revocation_list(store.load_identity(now), entries, now).decode())
    told = [{"name": entry.name, "until": _day(entry.until), "revoked": _day(entry.revoked), "serial": f"{entry.serial:x}"} for entry in entries]
    if args.json:
        print(json.dumps({"certificates": told}))
        return 0
    for each in told:
        print(f"{each['name']:32} until {each['until']}  {'revoked on ' + str(each['revoked']) if each['revoked'] else 'good'}")
    if not told:
        print("None was issued: `voicebox cert issue NAME`.")
    return 0


def _day(unix_s: int | None) -> str | None:
    return None if unix_s is None else dt.datetime.fromtimestamp(unix_s, dt.UTC).date().isoformat()
