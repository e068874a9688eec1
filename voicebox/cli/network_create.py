"""`voicebox network create`: make a network. [io]"""

from __future__ import annotations

import argparse
import secrets
import time
from pathlib import Path

from voicebox.circuits.network import new_network
from voicebox.circuits.terms import DEFAULT_EPOCH_S, MAX_EPOCH_S, MIN_EPOCH_S, NetworkTerms, make_terms, network_line
from voicebox.circuits.value import public_part
from voicebox.cli.network_file import (
    keep_key,
    keep_value_key,
    new_value_key,
    new_voucher_key,
    own_key_of,
    read_public_value_key,
    voucher_key,
    write_public,
)
from voicebox.errors import UsageError

OPEN_NETWORK = """This is an open network: no voucher is needed, so anybody can put in as many relays as they like. Whoever runs enough of them is guard and
junction of many calls at once, and learns who calls whom; they can also try relay identities until theirs are the junctions of an hour they want. All relays
are drawn alike here, whatever bandwidth they say they have. Use it among people who would admit anybody anyway, or to try things out."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network create`."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="the network file to make; your own voucher key is put beside it as FILE.key, unless --key is given"
    )
    parser.add_argument("--key", type=Path, metavar="FILE", help="your own voucher key, which is there already (`voicebox network key`)")
    parser.add_argument("--voucher-key", action="append", default=[], metavar="DIGITS", help="the public voucher key of somebody else; may be repeated")
    parser.add_argument(
        "--value-key",
        action="append",
        default=[],
        type=Path,
        metavar="FILE.pub",
        help="a value key of somebody (`voicebox network key --value`); may be repeated. Without any, yours is made as FILE.value",
    )
    parser.add_argument("--threshold", type=int, metavar="K", help="how many of the voucher keys a relay needs (default: more than half); 0: an open network")
    parser.add_argument(
        "--epoch", type=int, default=DEFAULT_EPOCH_S, metavar="SECONDS", help=f"length of an epoch, {MIN_EPOCH_S} to {MAX_EPOCH_S} (default: {DEFAULT_EPOCH_S})"
    )
    parser.add_argument("--any-operator", action="store_true", help="let one operator run two relays of a path: for small networks, at the price of privacy")
    parser.add_argument("--any-prefix", action="store_true", help="let two relays of a path be of one IPv4 /16 or IPv6 /32: likewise")


def run(args: argparse.Namespace) -> int:
    """Make the network file and a voucher key. None of its terms can be changed later."""
    path: Path = args.file.absolute()
    if path.exists():
        raise UsageError(f"{path} is there already; what a network is never changes.")
    others = {_public_key(text) for text in args.voucher_key}
    if args.threshold == 0 and (others or args.key or args.value_key):
        raise UsageError("An open network has no voucher keys and no value keys.")
    values = [read_public_value_key(each.absolute()) for each in args.value_key]
    own = None if args.threshold == 0 else voucher_key(args.key.absolute()) if args.key else new_voucher_key(own_key_of(path))
    keys = others | ({own.public_key().public_bytes_raw()} if own else set())
    threshold = len(keys) // 2 + bool(keys) if args.threshold is None else args.threshold
    value_file = path.with_name(path.name + ".value")
    own_value = new_value_key(value_file) if threshold and not values else None
    values += [public_part(own_value)] if own_value else []
    terms = NetworkTerms(
        int(time.time()) * 1_000_000,
        args.epoch,
        secrets.token_bytes(32),
        not args.any_operator,
        not args.any_prefix,
        threshold,
        tuple(sorted(keys)),
        tuple(sorted(values, key=lambda key: key.der)),
    )
    network = new_network(make_terms(terms))
    if own_value:
        keep_value_key(value_file, own_value)
    if own and not args.key:
        keep_key(own_key_of(path), own)
    write_public(path, network.text)
    if threshold == 0:
        print(OPEN_NETWORK)
    if values:
        print(
            f"Who is a junction when follows from the signatures of {len(values)} value keys, and can be foreseen until all have signed: `voicebox network value`."
        )
    print(
        f"The network is in {path}. A relay needs {threshold} of {len(keys)} vouchers. Its line, to be told to everybody:\n{network_line(network.network_id)}"
    )
    return 0


def _public_key(text: str) -> bytes:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != 32:
        raise UsageError("A public voucher key is 64 hexadecimal digits, as `voicebox network key` prints them.")
    return octets
