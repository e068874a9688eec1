"""`voicebox dialplan check`: say what is wrong with a dial plan. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.dialplan_file import add_file, load_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox dialplan check`."""
    add_file(parser)


def run(args: argparse.Namespace) -> int:
    """Read the plan, run its tests."""
    plan, _ = load_file(args)
    print(f"{args.file}: good; {len(plan.outgoing)} rules for what is dialled, {len(plan.incoming or ())} for callers, {len(plan.tests)} tests passed")
    return 0
