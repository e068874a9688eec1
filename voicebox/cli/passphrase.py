"""The argument --passphrase-file. [io]"""

from __future__ import annotations

import argparse
from pathlib import Path

from voicebox.contacts.passphrase import passphrase_in, typed_passphrase
from voicebox.sensitive import Secret


def add_passphrase(parser: argparse.ArgumentParser) -> None:
    """Add --passphrase-file."""
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="read the passphrase from the first line of this file instead of asking for it")


def passphrase_of(args: argparse.Namespace, *, new: bool) -> Secret:
    """Return the passphrase. new: it is asked for twice. Raises UsageError, FileProblem."""
    given: Path | None = args.passphrase_file
    return typed_passphrase("Passphrase: ", twice=new) if given is None else passphrase_in(given)
