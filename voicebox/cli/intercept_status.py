"""`voicebox intercept status`: whether anything is intercepted, and for whom. [io]"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box
from voicebox.errors import UsageError
from voicebox.intercept.asking import ask_helper
from voicebox.intercept.helper import SOCKET_NAME, routes_now
from voicebox.intercept.resolvers import escaping, known_resolvers
from voicebox.intercept.rules import fenced


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox intercept status`."""
    parser.add_argument(
        "--programs",
        action="store_true",
        help="also name programs of this machine that ask known resolvers over HTTPS now, past the box, as far as you may see them",
    )
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Print it; 0 where it is on and the box takes what is intercepted, 1 where not."""
    home = home_of(args)
    try:
        told = json.loads(ask_helper(home, "status"))
    except UsageError:
        killed = (home / SOCKET_NAME).is_socket() and fenced(routes_now())  # the socket's file outlives the machine, the fence does not
        print(
            "Interception ended without a word: nothing for virtual addresses leaves, and nobody is reached. `voicebox intercept off`, then `on`."
            if killed
            else "Interception is off."
        )
        return 1
    print(f"Interception is on, for this machine{' and its LAN' if told['lan'] else ' alone'}.")
    print("The box takes what is intercepted." if told["box"] else "No box runs that takes it: whoever tries is refused, and nothing leaves.")
    for what, whom in (("lan_resolved", "devices of the LAN"), ("resolved", "programs of this machine")):
        if told[what] is not None:
            print(f"DNS over HTTPS with known resolvers is refused to {whom}: {told[what]} packets so far.")
    if told["resolved"] is None:
        print("A program of this machine that asks a resolver over HTTPS escapes, and shows it names of contacts; `intercept.doh` in box.yaml.")
    if args.programs:
        _print_programs(home)
    return 0 if told["box"] else 1


def _print_programs(home: Path) -> None:
    names = escaping((*known_resolvers(), *load_box(home).intercept_resolvers))
    print(f"Programs that speak with a known resolver over HTTPS now: {', '.join(names) or 'none that you may see'}.")
