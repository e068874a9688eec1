"""`voicebox reload`: let a running box take its dial plan and contacts anew. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.control import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox reload`."""
    add_home(parser, "the directory of the box or relay")


def run(args: argparse.Namespace) -> int:
    """Ask for it; where something is wrong nothing has changed, and it is said what."""
    ask(home_of(args), "reload")
    print("Taken. Calls that there are go on.")
    return 0
