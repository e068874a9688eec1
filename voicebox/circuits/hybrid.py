"""The hybrid KEM MLKEM768-X25519 and what is sealed to it with HPKE: secret as long as either of the two holds.

NOT here: what is sealed (pair.py). Pure but for the operating system's randomness inside `cryptography`.
Spec: RFC 9180 (base mode, HKDF-SHA256, ChaCha20-Poly1305), FIPS 203, RFC 7748.
"""

from __future__ import annotations

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite

from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

MLKEM_SEED_OCTETS = 64
PRIVATE_OCTETS = MLKEM_SEED_OCTETS + 32
"""ML-KEM seed 64 | X25519 private 32."""
MLKEM_PUBLIC_OCTETS = 1184
PUBLIC_OCTETS = MLKEM_PUBLIC_OCTETS + 32
"""ML-KEM public 1184 | X25519 public 32."""
MLKEM_CIPHERTEXT_OCTETS = 1088
ENCAPSULATED_OCTETS = MLKEM_CIPHERTEXT_OCTETS + 32
OVERHEAD_OCTETS = ENCAPSULATED_OCTETS + 16
"""What sealing adds: the encapsulated key and the tag."""

_SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


def new_hybrid_private() -> Secret:
    """Draw a private key: 96 octets."""
    return Secret(secrets.token_bytes(PRIVATE_OCTETS))


def _private(key: Secret) -> MLKEM768X25519PrivateKey:
    octets = key.reveal()
    if len(octets) != PRIVATE_OCTETS:
        raise ValueError(f"a hybrid private key has {PRIVATE_OCTETS} octets")
    return MLKEM768X25519PrivateKey(
        MLKEM768PrivateKey.from_seed_bytes(octets[:MLKEM_SEED_OCTETS]), X25519PrivateKey.from_private_bytes(octets[MLKEM_SEED_OCTETS:])
    )


def hybrid_public(key: Secret) -> bytes:
    """Return the public key of a private one: 1216 octets."""
    octets = key.reveal()
    mlkem = MLKEM768PrivateKey.from_seed_bytes(octets[:MLKEM_SEED_OCTETS]).public_key().public_bytes_raw()
    return mlkem + X25519PrivateKey.from_private_bytes(octets[MLKEM_SEED_OCTETS:]).public_key().public_bytes_raw()


def seal_to(public_octets: bytes, info: bytes, plaintext: bytes) -> bytes:
    """Seal plaintext to a hybrid public key; the result is OVERHEAD_OCTETS longer.

    Raises HandshakeError where the key is not one. Spec: RFC 9180 §6.1.
    """
    if len(public_octets) != PUBLIC_OCTETS:
        raise HandshakeError("a hybrid public key has the wrong length")
    try:
        key = MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public_octets[:MLKEM_PUBLIC_OCTETS]), X25519PublicKey.from_public_bytes(public_octets[MLKEM_PUBLIC_OCTETS:])
        )
        return _SUITE.encrypt(plaintext, key, info)
    except ValueError:
        raise HandshakeError("a hybrid public key is not usable") from None


def open_sealed(key: Secret, info: bytes, sealed: bytes) -> bytes:
    """Open what was sealed to our key.

    Raises HandshakeError where a single bit of it, of info or of the key is another. Spec: RFC 9180 §6.1.
    """
    try:
        return _SUITE.decrypt(sealed, _private(key), info)
    except (InvalidTag, ValueError):
        raise HandshakeError("what was sealed to our key does not open") from None
