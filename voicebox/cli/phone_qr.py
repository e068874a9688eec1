"""`voicebox phone qr`: let Linphone fetch its account from a running box, once. [io]"""

from __future__ import annotations

import argparse
import sys
import time

from voicebox.cli.home import add_home, home_of
from voicebox.cli.qr import drawn
from voicebox.control import ask

LOOK_EVERY_S = 0.5
EXIT_NOT_FETCHED = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox phone qr`."""
    parser.add_argument("name", metavar="NAME", help="the phone")
    add_home(parser)
    parser.add_argument("--any-certificate", action="store_true", help="let the phone talk to whoever answers at the box's address: see what is printed")
    parser.add_argument("--no-wait", action="store_true", help="do not wait until the phone has it")


def run(args: argparse.Namespace) -> int:
    """Show the code, and wait until it was used; exit code 1 where it was not."""
    home = home_of(args)
    offer = ask(home, "offer", user=args.name, any_certificate=args.any_certificate)
    print(drawn(offer["url"]))
    print(f"{offer['url']}\n")
    print(
        f"Linphone: scan this as remote configuration, on the same network, within {offer['seconds'] / 60:.0f} minutes. It can be fetched once; it holds the password, and "
        "passes the network in the clear.",
        flush=True,
    )
    if args.any_certificate:
        print("The phone will not look at certificates: who stands between it and the box can be the box for it, and listen.", flush=True)
    else:
        print(
            "The phone looks at the box's certificate, so it must have it (`voicebox phone ca FILE`). Linphone of phones has no place for it: --any-certificate lets it do without.",
            flush=True,
        )
    return 0 if args.no_wait else _wait(args)


def _wait(args: argparse.Namespace) -> int:
    while (state := ask(home_of(args), "offered", user=args.name)["state"]) == "waiting":
        time.sleep(LOOK_EVERY_S)
    if state == "used":
        print(f"It was fetched. If your phone has not got it, somebody else has: `voicebox phone revoke {args.name}`.")
        return 0
    print("Nobody fetched it in time. Ask for another one.", file=sys.stderr)
    return EXIT_NOT_FETCHED
