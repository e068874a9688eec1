"""`voicebox phone add`: make an account for a softphone, and print it. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import secrets
import string

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import KnownPhone, load_box, load_phones
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.errors import UsageError
from voicebox.provisioning.forms import Login, login_of
from voicebox.sensitive import Secret
from voicebox.softphone.account import AUTHORITY_FILE, KEYINGS, PhoneAccount, account_path, serialise_account

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
    config = load_box(home)
    path = account_path(home, args.name)
    phones = load_phones(home)
    if path.exists() or any(phone.user == args.name for phone in phones):
        raise UsageError(f"There is a phone of that name. `voicebox phone revoke {args.name}` first if you want a new password.")
    if len(phones) >= MAX_PHONES:
        raise UsageError(f"A box has at most {MAX_PHONES} phones.")
    password = "".join(secrets.choice(LETTERS) for _ in range(PASSWORD_LENGTH))
    login = login_of(config, KnownPhone(args.name, Secret(password.encode()), args.transport, args.keying))
    store = StateDirectory(home)
    if login.private:
        store.write(f"phones/{AUTHORITY_FILE}", store.renew_phone_tls(config.tls_addresses, dt.datetime.now(dt.UTC)).to_install)
    account = PhoneAccount(login.server.address, login.server.port, args.name, login.phone.password, args.transport, args.keying)
    store.write(f"phones/{args.name}.yaml", serialise_account(account).encode())
    if args.json:
        print(json.dumps({"server": str(login.server), "user": args.name, "password": password, "transport": args.transport, "keying": args.keying}))
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
