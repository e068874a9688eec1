"""`voicebox phone add`: make an account for a softphone, and print it as text and as a QR code. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import io
import json
import secrets
import string
import sys

import segno

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_phones
from voicebox.config.model import Endpoint
from voicebox.contacts.store import StateDirectory
from voicebox.errors import UsageError
from voicebox.sensitive import Secret
from voicebox.softphone.account import AUTHORITY_FILE, PhoneAccount, account_path, serialise_account

PASSWORD_LENGTH = 20
LETTERS = "".join(letter for letter in string.ascii_letters + string.digits if letter not in "0O1lI")
"""Without those that look alike: a desk phone's password is typed by hand. 20 of 57 are 116 bits."""
MAX_PHONES = 64


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
    parser.add_argument("--json", action="store_true", help="print one JSON object instead")


def run(args: argparse.Namespace) -> int:
    """Make the account."""
    home = home_of(args)
    config = load_box(home)
    path = account_path(home, args.name)
    phones = load_phones(home)
    if path.exists() or any(phone.user == args.name for phone in phones):
        raise UsageError("There is a phone of that name. Delete its file in phones/ first if you want a new password.")
    if len(phones) >= MAX_PHONES:
        raise UsageError(f"A box has at most {MAX_PHONES} phones.")
    password = "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH))
    listen = config.tls_listen if args.transport == "tls" else config.sip_listen
    if not listen:
        raise UsageError("TLS needs an address in sip.listen of box.yaml, not only a wildcard. Or give the phone --transport udp.")
    server: Endpoint = listen[0]
    account = PhoneAccount(server.address, server.port, args.name, Secret(password.encode()), args.transport)
    store = StateDirectory(home)
    if args.transport == "tls":
        store.write(f"phones/{AUTHORITY_FILE}", store.renew_phone_tls(config.tls_addresses, dt.datetime.now(dt.UTC)).to_install)
    store.write(f"phones/{args.name}.yaml", serialise_account(account).encode())
    if args.json:
        print(json.dumps({"server": str(server), "user": args.name, "password": password, "transport": args.transport}))
    else:
        _print_account(account, str(server))
    if (home / "control.sock").exists():
        print("The box runs: start it again so that it takes the new phone.", file=sys.stderr)
    return 0


def _print_account(account: PhoneAccount, server: str) -> None:
    password = account.password.reveal().decode()
    print(f"server    {server}\nuser      {account.user}\npassword  {password}\ntransport {account.transport}\n")
    if account.transport == "tls":
        print("The phone needs the box's certificate (`voicebox phone ca FILE`), and SRTP as its media encryption.\n")
    drawn = io.StringIO()
    # A plain SIP URI with its password: what is scanned never leaves the phone, and no web server is needed.
    segno.make(f"sip:{account.user}:{password}@{server};transport={account.transport}", error="m").terminal(drawn, compact=True)
    print(drawn.getvalue())
