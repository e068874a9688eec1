"""The hop handshake: how a box and a relay come to share the layer keys of one hop.

One message each way: `create` carries 1200 octets sealed to the relay's onion key, `created` answers with 64.
NOT here: which relay is asked (path.py), when (standing.py), replay and epoch rules of the relay (relay.py). Pure; fresh keys
may be handed in by tests. Spec: PROTOCOL.md §7.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits.hybrid import OVERHEAD_OCTETS, open_sealed, seal_to
from voicebox.circuits.kdf import HASH_OCTETS, X25519_OCTETS, hkdf_expand, hkdf_extract, sha256, x25519
from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

SEED_OCTETS = 32
HANDSHAKE_OCTETS = OVERHEAD_OCTETS + X25519_OCTETS + SEED_OCTETS
CREATED_OCTETS = X25519_OCTETS + HASH_OCTETS
LAYER_KEY_OCTETS = 16


@dataclass(frozen=True, slots=True)
class HopBinding:
    """What a handshake is bound to, so that it opens nowhere else: one relay, one key of it, one circuit of one epoch.

    circuit: the number on the link that arrives at the relay.
    """

    network_id: bytes
    relay_id: bytes
    onion_key: bytes
    circuit: int
    epoch: int

    def info(self) -> bytes:
        """Return the HPKE info."""
        fixed = b"voicebox/1 create" + self.network_id + self.relay_id + sha256(self.onion_key)
        return fixed + self.circuit.to_bytes(4, "big") + (self.epoch & 0xFFFFFFFF).to_bytes(4, "big")


@dataclass(frozen=True, slots=True)
class LayerKeys:
    """The keys of one hop, 16 octets each. forward: away from the owner."""

    forward: Secret
    backward: Secret


@dataclass(frozen=True, slots=True)
class PendingHop:
    """The owner's half-made hop: what it must remember until `created` comes."""

    binding: HopBinding
    handshake: bytes
    private_key: X25519PrivateKey = field(repr=False)
    seed: Secret


def begin_hop(binding: HopBinding, *, private_key: X25519PrivateKey | None = None, seed: bytes | None = None) -> PendingHop:
    """Make the owner's message; the keys are drawn unless a test hands them in."""
    key = private_key or X25519PrivateKey.generate()
    secret_seed = seed if seed is not None else secrets.token_bytes(SEED_OCTETS)
    sealed = seal_to(binding.onion_key, binding.info(), key.public_key().public_bytes_raw() + secret_seed)
    return PendingHop(binding, sealed, key, Secret(secret_seed))


def hop_keys(binding: HopBinding, handshake: bytes, seed: bytes, shared: bytes, relay_public: bytes) -> tuple[LayerKeys, bytes]:
    """Return the layer keys and the MAC of `created`. shared: the X25519 secret of owner and relay."""
    transcript = sha256(binding.info(), handshake, relay_public)
    pseudo_random_key = hkdf_extract(b"voicebox/1 layer", seed + shared)
    keys = hkdf_expand(pseudo_random_key, b"voicebox/1 layer keys" + transcript, 64)
    mac = hmac.digest(keys[32:], b"created" + transcript, "sha256")
    return LayerKeys(Secret(keys[:16]), Secret(keys[16:32])), mac


def answer_hop(binding: HopBinding, onion_private: Secret, handshake: bytes, *, private_key: X25519PrivateKey | None = None) -> tuple[LayerKeys, bytes]:
    """Open a `create` as the relay; return its layer keys and the 64 octets of `created`.

    Raises HandshakeError where the message is not for this relay, key, circuit and epoch, or was changed on its way.
    """
    if len(handshake) != HANDSHAKE_OCTETS:
        raise HandshakeError("a create has the wrong length")
    opened = open_sealed(onion_private, binding.info(), handshake)
    if len(opened) != X25519_OCTETS + SEED_OCTETS:
        raise HandshakeError("a create holds the wrong length")
    key = private_key or X25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    keys, mac = hop_keys(binding, handshake, opened[X25519_OCTETS:], x25519(key, opened[:X25519_OCTETS]), public)
    return keys, public + mac


def finish_hop(pending: PendingHop, created: bytes) -> LayerKeys:
    """Check a relay's `created` as the owner; return the layer keys.

    Raises HandshakeError where the answer is not of the relay that was asked, or to another message than ours.
    """
    if len(created) != CREATED_OCTETS:
        raise HandshakeError("a created has the wrong length")
    public, mac = created[:X25519_OCTETS], created[X25519_OCTETS:]
    keys, expected = hop_keys(pending.binding, pending.handshake, pending.seed.reveal(), x25519(pending.private_key, public), public)
    if not hmac.compare_digest(mac, expected):
        raise HandshakeError("a relay's answer does not verify")
    return keys
