"""Networks for tests: relays with real keys, signed descriptors, a signed network file."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import Descriptor, Role, VerifiedDescriptor, sign_descriptor
from voicebox.circuits.hybrid import hybrid_public, new_hybrid_private
from voicebox.circuits.network import NetworkTerms, VerifiedNetwork, sign_network
from voicebox.sensitive import Secret

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class RelayKeys:
    """A relay of a test network."""

    identity_key: Ed25519PrivateKey
    onion_private: Secret
    verified: VerifiedDescriptor

    @property
    def descriptor(self) -> Descriptor:
        return self.verified.descriptor


@dataclass(frozen=True)
class SmallNetwork:
    """A signed network and the keys of all its relays."""

    network: VerifiedNetwork
    signer: Ed25519PrivateKey
    relays: list[RelayKeys] = field(default_factory=list)

    def keys_of(self, relay_id: bytes) -> RelayKeys:
        return next(relay for relay in self.relays if relay.descriptor.relay_id == relay_id)


def make_relay(role: Role, operator: str, port: int) -> RelayKeys:
    identity_key, onion = Ed25519PrivateKey.generate(), new_hybrid_private()
    descriptor = Descriptor(
        identity_key.public_key().public_bytes_raw(),
        role,
        operator,
        "127.0.0.1",
        port,
        hybrid_public(onion),
        port.to_bytes(32, "big"),
        NOW - dt.timedelta(days=1),
        NOW + dt.timedelta(days=364),
    )
    return RelayKeys(identity_key, onion, sign_descriptor(descriptor, identity_key))


def make_network(guards: int = 4, junctions: int = 2, *, distinct: bool = True, epoch_s: int = 3600, operators: int = 100) -> SmallNetwork:
    relays = [make_relay(Role.GUARD if i < guards else Role.JUNCTION, f"op{i % operators}", 4000 + i) for i in range(guards + junctions)]
    signer = Ed25519PrivateKey.generate()
    terms = NetworkTerms(signer.public_key().public_bytes_raw(), int(NOW.timestamp()) * 1_000_000, epoch_s, bytes(range(32)), distinct, NOW)
    return SmallNetwork(sign_network(terms, tuple(relay.verified for relay in relays), signer), signer, relays)
