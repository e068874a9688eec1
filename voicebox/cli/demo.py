"""`voicebox demo`: a real call over an embedded network, and how it went. [io]"""

from __future__ import annotations

import argparse
from pathlib import Path

MIN_SECONDS, MAX_SECONDS = 3, 600


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--seconds", type=int, default=20, help=f"how long the phones talk, {MIN_SECONDS} to {MAX_SECONDS} (default 20)")
    parser.add_argument(
        "--codec", choices=("pcma", "opus"), default="opus", help="opus: two baresips, and a page meanwhile; pcma: the built-in softphone (default opus)"
    )
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave recordings, capture and logs in this directory")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of the report")


def run(args: argparse.Namespace) -> int:
    """Run the demo; 0 after a real call that was heard on both sides."""
    from voicebox.demo.run import DemoOptions, run_demo  # noqa: PLC0415 - numpy and av are imported only where a demo runs

    if not MIN_SECONDS <= args.seconds <= MAX_SECONDS:
        from voicebox.errors import UsageError  # noqa: PLC0415 - only where it is needed

        raise UsageError(f"--seconds takes {MIN_SECONDS} to {MAX_SECONDS}.")
    return run_demo(DemoOptions(seconds=args.seconds, codec=args.codec, keep=args.keep, as_json=args.json))
