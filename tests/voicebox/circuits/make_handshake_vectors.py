"""Write tests/vectors/handshake.json: recorded handshakes with every value between, from which a change of a key schedule is seen.

Run from the repository's root as `python tests/voicebox/circuits/make_handshake_vectors.py` after a wanted change of PROTOCOL.md §7 or §8 only: HPKE and
ML-KEM draw afresh, so that each run writes another file.
"""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits import handshake, hybrid, pair
from voicebox.contacts import identity
from voicebox.sensitive import Secret

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
TARGET = Path("tests/vectors/handshake.json")


def octets(seed: int, count: int) -> bytes:
    """Return a plain pattern that differs from seed to seed."""
    return bytes((seed * 31 + 7 * i) & 0xFF for i in range(count))


def person(seed: int) -> dict[str, str]:
    """Return the raw keys and the certificates of somebody."""
    authority = Ed25519PrivateKey.from_private_bytes(octets(seed, 32))
    box = Ed25519PrivateKey.from_private_bytes(octets(seed + 1, 32))
    certificate = identity.authority_certificate(authority, "", NOW)
    return {
        "authority_key": authority.private_bytes_raw().hex(),
        "authority_certificate": certificate.hex(),
        "box_key": box.private_bytes_raw().hex(),
        "box_certificate": identity.box_certificate(authority, certificate, box, NOW).hex(),
        "static_key": octets(seed + 2, 32).hex(),
        "contact_id": identity.contact_id_of(authority.public_key()).hex(),
    }


def hop() -> dict[str, object]:
    identity_key = Ed25519PrivateKey.from_private_bytes(octets(1, 32))
    binding = handshake.HopBinding(octets(2, 32), identity_key.public_key().public_bytes_raw(), 0x01020304, 77)
    owner, relay = X25519PrivateKey.from_private_bytes(octets(4, 32)), X25519PrivateKey.from_private_bytes(octets(5, 32))
    pending = handshake.begin_hop(binding, x25519_key=owner, mlkem_key=MLKEM768PrivateKey.from_seed_bytes(octets(6, 64)))
    keys, created = handshake.answer_hop(binding, identity_key, pending.handshake, x25519_key=relay)
    return {
        "identity_private": identity_key.private_bytes_raw().hex(),
        "network_id": binding.network_id.hex(),
        "circuit": binding.circuit,
        "epoch": binding.epoch,
        "owner_private": owner.private_bytes_raw().hex(),
        "relay_private": relay.private_bytes_raw().hex(),
        "owner_mlkem_seed": octets(6, 64).hex(),
        "info": binding.info().hex(),
        "handshake": pending.handshake.hex(),
        "created": created.hex(),
        "forward": keys.forward.reveal().hex(),
        "backward": keys.backward.reveal().hex(),
    }


def call(caller: dict[str, str], callee: dict[str, str]) -> dict[str, object]:
    network_id, junction_id = octets(2, 32), octets(9, 32)
    caller_id, callee_id = bytes.fromhex(caller["contact_id"]), bytes.fromhex(callee["contact_id"])
    static = X25519PrivateKey.from_private_bytes(bytes.fromhex(caller["static_key"]))
    their = X25519PrivateKey.from_private_bytes(bytes.fromhex(callee["static_key"])).public_key().public_bytes_raw()
    secret_0 = pair.static_secret(static, their, network_id, caller_id, callee_id)
    secret = pair.secret_of_epoch(secret_0, 0, 3)
    caller_key, callee_key = X25519PrivateKey.from_private_bytes(octets(10, 32)), X25519PrivateKey.from_private_bytes(octets(11, 32))
    record, made = bytes([16, 2, 1, 2]), 3 * 180_000 + 7
    join_id, nonce = octets(12, 16), octets(13, 12)
    sent = pair.seal_knock(secret, junction_id, callee_id, record, made, full_handshake=True, private_key=caller_key, join_id=join_id, nonce=nonce)
    opened = pair.open_knock(sent.knock, secret, junction_id, callee_id)
    keys, public = pair.answer_knock(sent.knock, opened, secret, private_key=callee_key)
    binding = pair.FullBinding(keys, network_id, caller_id, callee_id)
    first = pair.make_first(binding, as_identity(caller), private_key=Secret(octets(14, hybrid.PRIVATE_OCTETS)))
    authority = identity.verify_authority(bytes.fromhex(caller["authority_certificate"]), NOW)
    second, new = pair.answer_first(binding, as_identity(callee), authority, first.message, secret, NOW, seed=octets(15, 32))
    return {
        "network_id": network_id.hex(),
        "junction_id": junction_id.hex(),
        "secret_epoch_0": secret_0.reveal().hex(),
        "epoch": 3,
        "secret": secret.reveal().hex(),
        "record": record.hex(),
        "made": made,
        "caller_private": octets(10, 32).hex(),
        "callee_private": octets(11, 32).hex(),
        "join_id": octets(12, 16).hex(),
        "nonce": octets(13, 12).hex(),
        "knock": sent.knock.serialise().hex(),
        "answer_key": pair.answer_key(secret, sent.knock).reveal().hex(),
        "answer": public.hex(),
        "to_callee": keys.to_callee.reveal().hex(),
        "to_caller": keys.to_caller.reveal().hex(),
        "first_private": octets(14, hybrid.PRIVATE_OCTETS).hex(),
        "first": first.message.hex(),
        "second_seed": octets(15, 32).hex(),
        "second": second.hex(),
        "third": pair.third_of(binding, new).hex(),
        "new_secret": new.reveal().hex(),
    }


def as_identity(raw: dict[str, str]) -> identity.Identity:
    """Return the identity whose raw keys are in a vector."""
    return identity.Identity(
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw["authority_key"])),
        bytes.fromhex(raw["authority_certificate"]),
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw["box_key"])),
        bytes.fromhex(raw["box_certificate"]),
        X25519PrivateKey.from_private_bytes(bytes.fromhex(raw["static_key"])),
    )


def main() -> None:
    caller, callee = person(40), person(50)
    vectors = {
        "source": "recorded by tests/voicebox/circuits/make_handshake_vectors.py; PROTOCOL.md §7 and §8",
        "now": NOW.isoformat(),
        "hop": hop(),
        "caller": caller,
        "callee": callee,
        "call": call(caller, callee),
    }
    TARGET.write_text(json.dumps(vectors, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
