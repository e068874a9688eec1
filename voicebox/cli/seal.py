"""`voicebox seal`: a passphrase over the keys and contacts of a box or relay. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.passphrase import add_passphrase, passphrase_of
from voicebox.contacts.store import StateDirectory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox seal`."""
    add_home(parser, "the directory of the box or relay")
    add_passphrase(parser)


def run(args: argparse.Namespace) -> int:
    """Seal the directory; nothing may run in it."""
    home = home_of(args)
    store = StateDirectory(home)
    with store.locked():
        store.seal(passphrase_of(args, new=True))
    print(
        f"The keys and contacts in {home} are sealed. `voicebox run` asks for the passphrase, or takes it from the file that VOICEBOX_PASSPHRASE_FILE names, or from the "
        "systemd credential voicebox-passphrase. What the disk held before may still be found on it; petnames stay readable, as the names of files."
    )
    return 0
