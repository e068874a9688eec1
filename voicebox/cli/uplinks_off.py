"""`voicebox uplinks off`: let links leave as the system sends. [io]"""

from __future__ import annotations

import argparse

from voicebox.circuits.uplinks import UPLINKS_FILE, serialise_uplinks
from voicebox.cli.home import add_home, home_of
from voicebox.config.load import load_box
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask_if_running


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox uplinks off`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Choose none, whatever box.yaml says, and tell the box if it runs."""
    home = home_of(args)
    load_box(home)  # there must be a box
    StateDirectory(home).write(UPLINKS_FILE, serialise_uplinks(()).encode())
    ask_if_running(home, "uplinks_changed")
    print("No uplink is chosen: links leave as the system sends.")
    return 0
