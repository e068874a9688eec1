"""`voicebox intercept status`: whether anything is intercepted, and for whom. [io]"""

from __future__ import annotations

import argparse
import json

from voicebox.cli.home import add_home, home_of
from voicebox.errors import UsageError
from voicebox.intercept.asking import ask_helper
from voicebox.intercept.helper import SOCKET_NAME, routes_now
from voicebox.intercept.rules import fenced


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox intercept status`."""
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
    return 0 if told["box"] else 1
