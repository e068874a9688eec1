"""`voicebox phone revoke`: serve a phone no longer, at once. [io]"""

from __future__ import annotations

import argparse
import sys

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box, load_users
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.dialplan.load import load_plan
from voicebox.errors import LocalError
from voicebox.provisioning.accounts import remove_phone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone revoke`."""
    parser.add_argument("name", metavar="NAME", help="the phone")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Delete the account, whatever else is wrong in the directory; a box that runs ends its calls, and takes nothing more of the phone."""
    home = home_of(args)
    store = StateDirectory(home)
    with store.locked_if_free() as is_free:
        remove_phone(store, args.name)
        if not is_free:
            ask(home, "revoke", user=args.name)
    print(f"{args.name} is no phone of this box any more: its password opens nothing.")
    try:
        config = load_box(home)
        load_plan(home / config.dialplan, load_users(home), config.suffixes)
    except LocalError as problem:
        print(f"The box does not start again as it is. {problem}", file=sys.stderr)
    return 0
