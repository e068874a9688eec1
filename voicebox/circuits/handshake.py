"""The hop handshake: how a box and a relay come to share the layer keys of one hop.

One message each way: `create` carries an X25519 and an ML-KEM key, `created` an X25519 key, what is encapsulated to the other, and the relay's signature
over all of it. Both sides draw their keys for this one circuit and forget them with the handshake: no key that anybody keeps opens it again.
NOT here: which relay is asked (path.py), when (standing.py), replay and epoch rules of the relay (relay.py). Pure; fresh keys
may be handed in by tests. Spec: PROTOCOL.md §7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits.hybrid import MLKEM_CIPHERTEXT_OCTETS, MLKEM_PUBLIC_OCTETS
from voicebox.circuits.kdf import X25519_OCTETS, hkdf_expand, hkdf_extract, sha256, x25519
from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

EPOCH_OCTETS = 4
SIGNATURE_OCTETS = 64
HANDSHAKE_OCTETS = EPOCH_OCTETS + X25519_OCTETS + MLKEM_PUBLIC_OCTETS
CREATED_OCTETS = X25519_OCTETS + MLKEM_CIPHERTEXT_OCTETS + SIGNATURE_OCTETS
LAYER_KEY_OCTETS = 16


@dataclass(frozen=True, slots=True)
class HopBinding:
    """What a handshake is bound to, so that it is good nowhere else: one relay, one circuit of one epoch.

    identity: the relay's Ed25519 public key. circuit: the number on the link that arrives at the relay.
    """

    network_id: bytes
    identity: bytes
    circuit: int
    epoch: int

    def info(self) -> bytes:
        """Return what the transcript begins with."""
        return b"voicebox/1 create" + self.network_id + sha256(self.identity) + self.circuit.to_bytes(4, "big") + epoch_octets(self.epoch)


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
    x25519_key: X25519PrivateKey = field(repr=False)
    mlkem_key: MLKEM768PrivateKey = field(repr=False)


def epoch_octets(epoch: int) -> bytes:
    """Return an epoch as handshakes carry it: the low 32 bits."""
    return (epoch & 0xFFFFFFFF).to_bytes(EPOCH_OCTETS, "big")


def begin_hop(binding: HopBinding, *, x25519_key: X25519PrivateKey | None = None, mlkem_key: MLKEM768PrivateKey | None = None) -> PendingHop:
    """Make the owner's message: epoch u32 | X25519 public 32 | ML-KEM-768 encapsulation key 1184. The keys are drawn unless a test hands them in."""
    own, kem = x25519_key or X25519PrivateKey.generate(), mlkem_key or MLKEM768PrivateKey.generate()
    handshake = epoch_octets(binding.epoch) + own.public_key().public_bytes_raw() + kem.public_key().public_bytes_raw()
    return PendingHop(binding, handshake, own, kem)


def transcript_of(binding: HopBinding, handshake: bytes, answer: bytes) -> bytes:
    """Return the hash of both messages and of what they are bound to. answer: relay's X25519 public 32 | ML-KEM ciphertext 1088."""
    return sha256(binding.info(), handshake, answer)


def layer_keys(transcript: bytes, encapsulated: bytes, shared: bytes) -> LayerKeys:
    """Return the layer keys. encapsulated: the secret of ML-KEM; shared: that of X25519."""
    keys = hkdf_expand(hkdf_extract(b"voicebox/1 layer", encapsulated + shared), b"voicebox/1 layer keys" + transcript, 2 * LAYER_KEY_OCTETS)
    return LayerKeys(Secret(keys[:LAYER_KEY_OCTETS]), Secret(keys[LAYER_KEY_OCTETS:]))


def answer_hop(
    binding: HopBinding, identity_key: Ed25519PrivateKey, handshake: bytes, *, x25519_key: X25519PrivateKey | None = None
) -> tuple[LayerKeys, bytes]:
    """Answer a `create` as the relay; return its layer keys and the 1184 octets of `created`: X25519 public 32 | ML-KEM ciphertext 1088 | signature 64.

    Raises HandshakeError where the message is of another epoch, of another length, or holds keys that are none.
    """
    if len(handshake) != HANDSHAKE_OCTETS or not handshake.startswith(epoch_octets(binding.epoch)):
        raise HandshakeError("a create has the wrong length, or is of another epoch")
    theirs, kem = handshake[EPOCH_OCTETS : EPOCH_OCTETS + X25519_OCTETS], handshake[EPOCH_OCTETS + X25519_OCTETS :]
    key = x25519_key or X25519PrivateKey.generate()
    shared = x25519(key, theirs)
    try:
        encapsulated, ciphertext = MLKEM768PublicKey.from_public_bytes(kem).encapsulate()
    except ValueError:
        raise HandshakeError("an ML-KEM public key is not usable") from None
    answer = key.public_key().public_bytes_raw() + ciphertext
    transcript = transcript_of(binding, handshake, answer)
    return layer_keys(transcript, encapsulated, shared), answer + identity_key.sign(_signed(transcript))


def finish_hop(pending: PendingHop, created: bytes) -> LayerKeys:
    """Check a relay's `created` as the owner; return the layer keys.

    Raises HandshakeError where the answer is not of the relay that was asked, or to another message than ours.
    """
    if len(created) != CREATED_OCTETS:
        raise HandshakeError("a created has the wrong length")
    answer, signature = created[:-SIGNATURE_OCTETS], created[-SIGNATURE_OCTETS:]
    transcript = transcript_of(pending.binding, pending.handshake, answer)
    try:
        Ed25519PublicKey.from_public_bytes(pending.binding.identity).verify(signature, _signed(transcript))
        encapsulated = pending.mlkem_key.decapsulate(answer[X25519_OCTETS:])
    except (InvalidSignature, ValueError):
        raise HandshakeError("a relay's answer does not verify") from None
    return layer_keys(transcript, encapsulated, x25519(pending.x25519_key, answer[:X25519_OCTETS]))


def _signed(transcript: bytes) -> bytes:
    return b"voicebox/1 created" + transcript
