"""`voicebox unseal`: take the passphrase off again. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox unseal`."""
    add_home(parser, "the directory of the box or relay")


def run(args: argparse.Namespace) -> int:
    """Unseal the directory; nothing may run in it."""
    home = home_of(args)
    store = StateDirectory(home)
    with store.locked():
        store.unseal()
    print(f"{home} is not sealed any more: who can read its files has its keys.")
    return 0
