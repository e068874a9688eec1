"""Networks for tests: relays with real keys, signed descriptors, vouchers, a network file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import Descriptor, RelayAddress, Role, VerifiedDescriptor, sign_descriptor
from voicebox.circuits.network import VerifiedNetwork, new_network
from voicebox.circuits.terms import NetworkTerms
from voicebox.circuits.voucher import vouch

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class RelayKeys:
    """A relay of a test network."""

    identity_key: Ed25519PrivateKey
    verified: VerifiedDescriptor

    @property
    def descriptor(self) -> Descriptor:
        return self.verified.descriptor


@dataclass(frozen=True)
class SmallNetwork:
    """A network with one voucher key, and the keys of all its relays in the order in which they were made."""

    network: VerifiedNetwork
    voucher_key: Ed25519PrivateKey
    relays: list[RelayKeys] = field(default_factory=list)

    def keys_of(self, relay_id: bytes) -> RelayKeys:
        return next(relay for relay in self.relays if relay.descriptor.relay_id == relay_id)


def make_relay(role: Role, operator: str, port: int, *, mbit_s: int = 10, hosts: tuple[str, ...] = ("127.0.0.1",)) -> RelayKeys:
    identity_key = Ed25519PrivateKey.generate()
    descriptor = Descriptor(
        identity_key.public_key().public_bytes_raw(),
        1,
        role,
        operator,
        mbit_s,
        tuple(RelayAddress(host, port) for host in hosts),
        port.to_bytes(32, "big"),
        NOW - dt.timedelta(days=1),
        NOW + dt.timedelta(days=364),
    )
    return RelayKeys(identity_key, sign_descriptor(descriptor, identity_key))


def make_network(guards: int = 4, junctions: int = 2, *, distinct: bool = True, epoch_s: int = 3600, operators: int = 100) -> SmallNetwork:
    relays = [make_relay(Role.GUARD if i < guards else Role.JUNCTION, f"op{i % operators}", 4000 + i) for i in range(guards + junctions)]
    key = Ed25519PrivateKey.generate()
    return SmallNetwork(vouched_network(relays, [key], 1, epoch_s=epoch_s, distinct=distinct), key, relays)


def vouched_network(relays: list[RelayKeys], keys: list[Ed25519PrivateKey], threshold: int, *, epoch_s: int = 3600, distinct: bool = True) -> VerifiedNetwork:
    """Make the network of these relays, each with a voucher of each key."""
    public = tuple(sorted(key.public_key().public_bytes_raw() for key in keys))
    terms = NetworkTerms(int(NOW.timestamp()) * 1_000_000, epoch_s, bytes(range(32)), distinct, distinct, threshold, public)
    vouched = [
        relay.verified.with_vouchers(vouch(terms.network_id, relay.descriptor.vouched, NOW, relay.descriptor.valid_until, key) for key in keys)
        for relay in relays
    ]
    return new_network(terms, vouched)
