"""`voicebox run`: run the box. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.running import run_daemon
from voicebox.daemon import BoxDaemon


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox run`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    return run_daemon(home_of(args), BoxDaemon, "The box is ready: its circuits stand.")
