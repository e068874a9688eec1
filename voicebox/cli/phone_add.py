"""`voicebox phone add`: make an account for a softphone, and print it. [io]"""

from __future__ import annotations

import argparse
import json

from voicebox.cli.home import add_home, home_of
from voicebox.config.account import KEYINGS
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.provisioning.accounts import add_phone
from voicebox.provisioning.forms import Login


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone add`."""
    parser.add_argument("name", metavar="NAME", help="what you call the phone; it is its user name too")
    add_home(parser)
    parser.add_argument(
        "--transport",
        choices=("tls", "tcp", "udp"),
        default="tls",
        help="how the phone reaches the box (default: tls, with SRTP for the sound; with udp or tcp it may speak in the clear)",
    )
    parser.add_argument(
        "--keying",
        choices=KEYINGS,
        default="sdes",
        help="how the keys of its sound are agreed on: in SDP (sdes, the default), or by DTLS-SRTP (dtls), which with any transport leaves nobody but phone and box the keys",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def run(args: argparse.Namespace) -> int:
    """Make the account; a box that runs takes it at once."""
    home = home_of(args)
    login = add_phone(StateDirectory(home), load_box(home), args.name, args.transport, args.keying)
    if args.json:
        print(json.dumps({"server": str(login.server), "user": args.name, "password": login.password, "transport": args.transport, "keying": args.keying}))
    else:
        _print_account(login)
    reload_if_running(home)
    return 0


def _print_account(login: Login) -> None:
    name = login.phone.user
    print(f"server    {login.server}\nuser      {name}\npassword  {login.password}\ntransport {login.phone.transport}\n")
    if login.private:
        print(f"The phone needs the box's certificate (`voicebox phone ca FILE`), and {login.encryption} as its media encryption.")
    elif login.phone.dtls:
        print(f"The phone needs {login.encryption} as its media encryption.")
    print(
        f"While the box runs, `voicebox phone qr {name}` lets Linphone fetch this; `voicebox phone show {name}` prints it as other phones read it, and as a card."
    )
