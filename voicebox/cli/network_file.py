"""Files that those who run a network keep: the network file, descriptors, voucher keys. [io]"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import VerifiedDescriptor, parse_descriptor
from voicebox.circuits.lines import LineReader
from voicebox.circuits.merge import Changes, merged
from voicebox.circuits.network import MAX_NETWORK_CHARACTERS, VerifiedNetwork, parse_network
from voicebox.circuits.value import ValueKey, make_value_key, public_part, read_value_key
from voicebox.config.load import load_text
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HandshakeError, UsageError


def read_network(path: Path) -> VerifiedNetwork:
    """Read a network file. Raises FileProblem."""
    return parse_network(load_network_text(path), str(path))


def load_network_text(path: Path) -> str:
    """Read the text of a network file. Raises FileProblem."""
    return load_text(path, "Give the network file.", MAX_NETWORK_CHARACTERS)


def read_descriptor_file(path: Path, now: dt.datetime) -> VerifiedDescriptor:
    """Read a relay's descriptor. Raises FileProblem, UsageError where it has expired."""
    verified = parse_descriptor(load_text(path, "Give the relay's file `descriptor`."), str(path))
    if verified.descriptor.valid_until < now:
        raise UsageError(f"{path} has expired. `voicebox relay renew` on the relay makes a new one.")
    return verified


def write_public(path: Path, text: str) -> None:
    """Write a file that is given to everybody. Raises HostError."""
    StateDirectory(path.parent).write(path.name, text.encode())
    path.chmod(0o644)


def add_relays(path: Path, network: VerifiedNetwork, found: Iterable[VerifiedDescriptor], now: dt.datetime) -> tuple[VerifiedNetwork, Changes]:
    """Put relays into a network file. Raises UsageError where one is not admitted, or cannot take the place of what is there."""
    try:
        grown, changes = merged(network, found, now)
    except HandshakeError as problem:
        raise UsageError(f"A relay is not admitted to this network: {problem}. `voicebox relay vouch` vouches for it.") from None
    if changes.older:
        raise UsageError("The network file has a newer descriptor of this relay; nothing was changed. Give the newest.")
    if changes.contradicting:
        raise UsageError("The network file has another descriptor of this relay with the same sequence number; nothing was changed. Renew it on the relay.")
    write_public(path, grown.text)
    return grown, changes


def voucher_key(path: Path) -> Ed25519PrivateKey:
    """Read a voucher key. Raises FileProblem."""
    hint = "Restore it from a backup; `voicebox network key FILE` makes a new one."
    return StateDirectory(path.parent).ed25519(path.name, hint, hint)


def new_voucher_key(path: Path) -> Ed25519PrivateKey:
    """Make a voucher key that is to be kept in a file. Raises UsageError where that is there already."""
    if path.exists():
        raise UsageError(f"{path} is there already; a voucher key is never overwritten.")
    return Ed25519PrivateKey.generate()


def keep_key(path: Path, key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    """Write a voucher key or a value key, for its owner alone. Raises HostError."""
    StateDirectory(path.parent).write(path.name, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))


def new_value_key(path: Path) -> rsa.RSAPrivateKey:
    """Make a value key that is to be kept in a file. Raises UsageError where that is there already."""
    if path.exists():
        raise UsageError(f"{path} is there already; a value key is never overwritten.")
    return make_value_key()


def keep_value_key(path: Path, key: rsa.RSAPrivateKey) -> None:
    """Write a value key, for its owner alone, and its public part beside it as FILE.pub. Raises HostError."""
    keep_key(path, key)
    write_public(path.with_name(path.name + ".pub"), public_part(key).text)


def read_value_key_file(path: Path) -> rsa.RSAPrivateKey:
    """Read a private value key. Raises FileProblem."""
    try:
        key = serialization.load_pem_private_key(StateDirectory(path.parent).read(path.name), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        raise FileProblem(str(path), 0, "this is no value key", "Restore it from a backup.")
    return key


def read_public_value_key(path: Path) -> ValueKey:
    """Read the public part of a value key. Raises FileProblem, also where it is of another kind."""
    reader = LineReader(
        load_text(path, "Give the file FILE.pub that `voicebox network key --value` made."), str(path), "Ask its owner for it again.", max_characters=8_192
    )
    key = read_value_key(reader)
    if not reader.at_end():
        raise reader.problem("something follows the key")
    return key


def own_key_of(path: Path) -> Path:
    """Return where the voucher key of a network file lies, unless another is given."""
    return path.with_name(path.name + ".key")
