"""`voicebox intercept off`: nothing is intercepted any more, and nothing is left of it. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.home import add_home, home_of
from voicebox.intercept.asking import end_helper


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox intercept off`."""
    add_home(parser)


def run(args: argparse.Namespace) -> int:
    """End the helper, or take down what one left that was killed."""
    end_helper(home_of(args))
    print("Interception is off. Rules, routes and the interface are gone; connections that were open go on no more.")
    return 0
