"""`voicebox network sign`: sign a network of relays. [io]"""

from __future__ import annotations

import argparse
import datetime as dt
import secrets
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import parse_descriptor
from voicebox.circuits.network import DEFAULT_EPOCH_S, MAX_EPOCH_S, MIN_EPOCH_S, NetworkTerms, parse_network, sign_network
from voicebox.config.load import load_text
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `voicebox network sign`."""
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help="the network file to write; one that is there is renewed")
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the network's signing key, made where there is none (default: FILE.key beside --out); keep it safe"
    )
    parser.add_argument(
        "--epoch", type=int, metavar="SECONDS", help=f"length of an epoch, {MIN_EPOCH_S} to {MAX_EPOCH_S} (default: {DEFAULT_EPOCH_S}); never changes"
    )
    parser.add_argument("--any-operator", action="store_true", help="let one operator run two relays of a path: for small networks, at the price of privacy")
    parser.add_argument("descriptors", nargs="+", type=Path, metavar="RELAY_DESCRIPTOR", help="the file `descriptor` of each relay")


def run(args: argparse.Namespace) -> int:
    """Sign, with a new key where there is none yet."""
    out: Path = args.out.absolute()
    relays = tuple(parse_descriptor(load_text(path, "Give each relay's file `descriptor`."), str(path)) for path in args.descriptors)
    key_path: Path = (args.key or out.with_name(out.name + ".key")).absolute()
    key = _key(key_path) if key_path.exists() else Ed25519PrivateKey.generate()
    terms = _terms(args, out, key)
    network = sign_network(terms, relays, key)
    if not key_path.exists():
        pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        StateDirectory(key_path.parent).write(key_path.name, pem)
    StateDirectory(out.parent).write(out.name, network.text.encode())
    out.chmod(0o644)  # it is given to everybody
    print(f"{out} holds {len(relays)} relays. Every box and relay takes it with: voicebox network use {out} --home DIR")
    return 0


def _terms(args: argparse.Namespace, out: Path, key: Ed25519PrivateKey) -> NetworkTerms:
    """Return the terms: those of the file that is renewed, where there is one."""
    now = dt.datetime.now(dt.UTC).replace(microsecond=0)
    signer = key.public_key().public_bytes_raw()
    if out.exists():
        former = parse_network(load_text(out, "Give another --out."), str(out)).terms
        if former.signer != signer:
            raise UsageError("The file that is there was signed with another key. Give that key with --key, or another --out for a new network.")
        if args.epoch not in {None, former.epoch_s}:
            raise UsageError(f"The length of an epoch never changes in a network; here it is {former.epoch_s} s.")
        return NetworkTerms(signer, former.born_unix_us, former.epoch_s, former.shared, not args.any_operator, now)
    epoch_s = DEFAULT_EPOCH_S if args.epoch is None else args.epoch
    if not MIN_EPOCH_S <= epoch_s <= MAX_EPOCH_S:
        raise UsageError(f"An epoch lasts {MIN_EPOCH_S} to {MAX_EPOCH_S} seconds.")
    return NetworkTerms(signer, int(now.timestamp()) * 1_000_000, epoch_s, secrets.token_bytes(32), not args.any_operator, now)


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(StateDirectory(path.parent).read(path.name), None)
    except (ValueError, TypeError):
        raise FileProblem(str(path), 0, "this is no private key", "Restore it from a backup, or give another --out for a new network.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise FileProblem(str(path), 0, "this is another kind of key", "Give the network's own key.")
    return key
