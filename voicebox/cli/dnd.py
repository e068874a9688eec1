"""`voicebox dnd`: do not disturb, for the house or for one phone. [io]"""

from __future__ import annotations

import argparse
from dataclasses import replace

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_phone
from voicebox.contacts.store import StateDirectory
from voicebox.control import reload_if_running
from voicebox.dialplan.dnd import DND_FILE, serialise_dnd
from voicebox.dialplan.load import load_dnd


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox dnd`."""
    parser.add_argument("switch", choices=("on", "off", "show"), help="on: callers get no answer, and nothing rings; show: print what is on")
    parser.add_argument("phone", nargs="?", metavar="PHONE", help="this phone alone, which does not ring for the house either (default: the whole house)")
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Change it, and tell the box if it runs."""
    home = home_of(args)
    dnd = load_dnd(home)
    if args.switch != "show":
        on = args.switch == "on"
        if args.phone is None:
            dnd = replace(dnd, everybody=on)
        else:
            if on:
                load_phone(home, args.phone)  # there must be one
            dnd = replace(dnd, phones=dnd.phones | {args.phone} if on else dnd.phones - {args.phone})
        StateDirectory(home).write(DND_FILE, serialise_dnd(dnd).encode())
        reload_if_running(home)
    print(f"Do not disturb is {'on' if dnd.everybody else 'off'}." + (f" Phones that do not ring: {', '.join(sorted(dnd.phones))}." if dnd.phones else ""))
    return 0
