"""`voicebox dialplan test`: run the tests that stand in a dial plan, and print each. [io]"""

from __future__ import annotations

import argparse

from voicebox.cli.dialplan_file import add_file, load_file
from voicebox.dialplan.model import Callers, PlanTest
from voicebox.dialplan.read_tests import described


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox dialplan test`."""
    add_file(parser)


def run(args: argparse.Namespace) -> int:
    """Print the tests; a plan with one that fails is refused with its line."""
    plan, _ = load_file(args)
    for test in plan.tests:
        print(f"line {test.line}: {_asked(test)}: {'refuse' if test.expect is None else described(test.expect)}")
    print(f"{len(plan.tests)} passed")
    return 0


def _asked(test: PlanTest) -> str:
    if test.dialled is not None:
        return f"dial {test.dialled}"
    caller = test.caller.value if isinstance(test.caller, Callers) else test.caller
    return f"from {caller}, {test.at:%a %H:%M}".lower() + (", do not disturb" if test.dnd else "")
