"""`voicebox relay vouch`: vouch for relays, and admit those that have enough vouchers. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.network import VerifiedNetwork, admit
from voicebox.circuits.voucher import DEFAULT_DAYS, MAX_DAYS, vouch
from voicebox.cli.network_file import add_relays, own_key_of, read_descriptor_file, read_network, voucher_key, write_public
from voicebox.errors import HandshakeError, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox relay vouch`."""
    parser.add_argument("--network", required=True, type=Path, metavar="FILE", help="the network file; relays that have enough vouchers are put into it")
    parser.add_argument("--key", type=Path, metavar="FILE", help="your voucher key (default: FILE.key beside the network file)")
    parser.add_argument(
        "--days", type=int, default=DEFAULT_DAYS, metavar="DAYS", help=f"how long the voucher counts, 1 to {MAX_DAYS} (default: {DEFAULT_DAYS})"
    )
    parser.add_argument("--withdraw", action="store_true", help="vouch for them no more: they leave the network where too few other vouchers are left")
    parser.add_argument(
        "--unlisted", action="store_true", help="put the voucher into the descriptors only, for relays that are used by card and are in no list"
    )
    parser.add_argument(
        "descriptors", nargs="+", type=Path, metavar="RELAY_DESCRIPTOR", help="the file `descriptor` of each relay; your voucher is put into it"
    )


def run(args: argparse.Namespace) -> int:
    """Put a voucher into each descriptor; put those that are admitted by it into the network file."""
    path, now = args.network.absolute(), dt.datetime.now(dt.UTC).replace(microsecond=0)
    network = read_network(path)
    if not network.terms.keys:
        raise UsageError(f"This is an open network: no relay needs vouchers. `voicebox network add {path} DESCRIPTOR...` puts relays into it.")
    if not 1 <= args.days <= MAX_DAYS:
        raise UsageError(f"A voucher counts for 1 to {MAX_DAYS} days.")
    key = voucher_key((args.key or own_key_of(path)).absolute())
    public = key.public_key().public_bytes_raw()
    if public not in network.terms.keys:
        raise UsageError("Your key is none of this network's voucher keys.")
    until = now - dt.timedelta(seconds=1) if args.withdraw else now + dt.timedelta(days=args.days)
    vouched = [
        verified.with_vouchers([vouch(network.network_id, verified.descriptor.vouched, now, until, key, _since(network, verified.descriptor, public, now))])
        for verified in (read_descriptor_file(each, now) for each in args.descriptors)
    ]
    enough = []
    for verified in [] if args.unlisted else vouched:
        try:
            enough.append(admit(network.terms, network.network_id, verified).verified)
        except HandshakeError as problem:
            print(f"{args.descriptors[vouched.index(verified)]}: {problem}.")
    if enough:
        network, changes = add_relays(path, network, enough, now)
        print(f"{path} holds {len(network.valid(now))} relays ({changes}). One relay that takes it with `voicebox network update` tells all others.")
    for each, verified in zip(args.descriptors, vouched, strict=True):
        write_public(each.absolute(), verified.text)
    if args.unlisted:
        print("Your vouchers are in the descriptors: `voicebox relay card --vouched FILE` at each relay takes them.")
    elif len(enough) < len(vouched):
        print("Your vouchers are in the descriptors; give them to the next who vouches.")
    return 0


def _since(network: VerifiedNetwork, relay: Descriptor, key: bytes, now: dt.datetime) -> dt.datetime:
    """Return since when a key vouches for what a relay says of itself, by the network file: a voucher that still counts is gone on from."""
    listed = network.by_id.get(relay.relay_id)
    former = listed.verified.vouchers if listed is not None and listed.descriptor.vouched == relay.vouched else ()
    return next((voucher.since for voucher in former if voucher.key == key and voucher.valid_until >= now), now)
