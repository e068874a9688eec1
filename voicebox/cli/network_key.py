"""`voicebox network key`: make a voucher key, or a value key. [io]"""

from __future__ import annotations

import argparse
from pathlib import Path

from voicebox.cli.network_file import keep_key, keep_value_key, new_value_key, new_voucher_key


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network key`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="where to put it; keep it safe, whoever has it can vouch for relays")
    parser.add_argument("--value", action="store_true", help="make a value key instead, whose signatures decide with those of others who is a junction when")


def run(args: argparse.Namespace) -> int:
    """Make the key and print its public part."""
    path: Path = args.file.absolute()
    if args.value:
        keep_value_key(path, new_value_key(path))
        print(f"Give {path}.pub to whoever creates the network; it is not secret.")
        return 0
    key = new_voucher_key(path)
    keep_key(path, key)
    print(f"Give these digits to whoever creates the network; they are not secret:\n{key.public_key().public_bytes_raw().hex()}")
    return 0
