"""`voicebox verify`: the code of the call with a contact, for both to compare; what they say of it is kept. [io]"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from voicebox.cli.changing import change_contact
from voicebox.cli.home import add_home, home_of
from voicebox.cli.terminal import can_ask, is_yes
from voicebox.contacts.changes import Change, What
from voicebox.contacts.code import Code
from voicebox.contacts.contact import checked_petname
from voicebox.control import ask
from voicebox.errors import UsageError

LOOK_EVERY_S = 0.3
WAIT_S = 120
EXIT_DIFFERENT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox verify`."""
    parser.add_argument("petname", metavar="PETNAME", help="the contact with whom you are in a call")
    add_home(parser)
    parser.add_argument("--wait", type=int, default=WAIT_S, metavar="SECONDS", help=f"how long to wait until they ask for the code too (default: {WAIT_S})")
    parser.add_argument("--answer", choices=("yes", "no"), help="whether they see the same, where nobody is to be asked")
    parser.add_argument("--json", action="store_true", help="print the code as one JSON object, and ask nothing")


def run(args: argparse.Namespace) -> int:
    """Show the code; keep whether it is the same at both ends. Exit code 1 where it is not: the contact is blocked then."""
    home, petname = home_of(args), checked_petname(args.petname)
    code, contact_id = _code(home, petname, args.wait, quiet=args.json)
    if args.json:
        print(json.dumps({"digits": code.digits, "words": code.words().split()}))
    else:
        print(
            f"The code of this call:\n\n    {code.grouped()}      {code.words()}\n\nRead it to each other, the digits or the words, each of you a part.",
            flush=True,
        )
    answer = args.answer or ("" if args.json or not can_ask() else _asked())
    if answer == "yes":
        change_contact(home, Change(What.VERIFY, petname, contact_id))
        print(f"{petname} is verified: nobody stands between your boxes.", file=sys.stderr)
    elif answer == "no":
        change_contact(home, Change(What.BLOCK, petname))
        print(
            f"Then somebody stands between you, or one of you misread. {petname} is blocked. Meet, or use another way, and add each other's cards again; "
            f"`voicebox contact unblock {petname}` if it was a mistake.",
            file=sys.stderr,
        )
        return EXIT_DIFFERENT
    return 0


def _code(home: Path, petname: str, wait_s: int, *, quiet: bool) -> tuple[Code, str]:
    """Return the code and the contact's id. Raises UsageError where it does not come in time, or there is no call."""
    end = time.monotonic() + wait_s
    told = quiet
    while not (answer := ask(home, "compare", petname=petname))["digits"]:
        if time.monotonic() > end:
            raise UsageError("They have not asked for the code. In the call, both of you type `voicebox verify` with the other's petname.")
        if not told:
            print(f"Now {petname} types `voicebox verify` with your petname, at their box. Stay in the call.", file=sys.stderr)
            told = True
        time.sleep(LOOK_EVERY_S)
    return Code(answer["digits"]), str(answer["id"])


def _asked() -> str:
    return "yes" if is_yes("Do they see the same?", "`no` blocks the contact.") else "no"
