"""Key derivation of the handshakes: HKDF with SHA-256, its two steps by themselves, and a plain X25519.

NOT here: what is derived from what (handshake.py, pair.py). Pure. Spec: RFC 5869, RFC 7748 §6.1.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from voicebox.errors import HandshakeError

X25519_OCTETS = 32
HASH_OCTETS = 32


def hkdf_extract(salt: bytes, key_material: bytes) -> bytes:
    """Return the pseudo-random key of 32 octets. Spec: RFC 5869 §2.2."""
    return hmac.digest(salt, key_material, "sha256")


def hkdf_expand(pseudo_random_key: bytes, info: bytes, length: int) -> bytes:
    """Return length octets derived for info. Spec: RFC 5869 §2.3."""
    return HKDFExpand(hashes.SHA256(), length, info).derive(pseudo_random_key)


def sha256(*parts: bytes) -> bytes:
    """Return SHA-256 over the parts, one after the other."""
    return hashlib.sha256(b"".join(parts)).digest()


def x25519(private_key: X25519PrivateKey, public_octets: bytes) -> bytes:
    """Return the shared secret of 32 octets.

    Raises HandshakeError for a public key of another length, and for one of low order, whose secret everybody knows (RFC 7748 §6.1).
    """
    try:
        return private_key.exchange(X25519PublicKey.from_public_bytes(public_octets))
    except ValueError:
        raise HandshakeError("an X25519 public key is not usable") from None
