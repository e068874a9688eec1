"""The argument --home DIR, which every command of a box or relay has. [io]"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from voicebox.errors import UsageError


def add_home(parser: argparse.ArgumentParser, what: str = "the box's directory") -> None:
    """Add --home."""
    parser.add_argument("--home", type=Path, metavar="DIR", help=f"{what} (default: $VOICEBOX_HOME)")


def is_node(home: Path) -> bool:
    """Return whether a directory is a box's or a relay's."""
    return (home / "box.yaml").is_file() or (home / "relay.yaml").is_file()


def home_of(args: argparse.Namespace) -> Path:
    """Return the directory. Raises UsageError where none was given."""
    given: Path | None = args.home
    if given is None:
        named = os.environ.get("VOICEBOX_HOME")
        if not named:
            raise UsageError("Say which directory with --home DIR, or set VOICEBOX_HOME.")
        given = Path(named)
    return given.absolute()
