"""`voicebox relay run`: run the relay. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.cli.running import run_daemon
from voicebox.own_process import live_beside
from voicebox.relay_daemon import RelayDaemon


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay run`."""
    add_home(parser, "the relay's directory")
    parser.add_argument("--beside", type=int, metavar="PID", help="give way to the process that started this one, and end with it: so a box runs its relay")


def run(args: argparse.Namespace) -> int:
    """Run until told to stop."""
    if args.beside is not None:
        live_beside(args.beside)
    return run_daemon(home_of(args), RelayDaemon, "The relay listens.")
