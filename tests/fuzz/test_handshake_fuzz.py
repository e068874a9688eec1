"""Mutated handshakes, knocks and call records: opened only as they were made, refused otherwise."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from tests.support.mutation import fuzz
from voicebox.circuits import pair
from voicebox.circuits.call_record import parse_event, parse_offer_record, serialise_event
from voicebox.circuits.handshake import HopBinding, PendingHop, answer_hop, finish_hop
from voicebox.contacts.identity import Identity, verify_authority
from voicebox.errors import HandshakeError, RemoteError
from voicebox.sensitive import Secret

pytestmark = pytest.mark.fuzz

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "vectors" / "handshake.json").read_text("utf-8"))
HOP, CALL = VECTORS["hop"], VECTORS["call"]
NOW = dt.datetime.fromisoformat(VECTORS["now"])
IDENTITY_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(HOP["identity_private"]))
BINDING = HopBinding(bytes.fromhex(HOP["network_id"]), IDENTITY_KEY.public_key().public_bytes_raw(), HOP["circuit"], HOP["epoch"])


def octets(name: str) -> bytes:
    return bytes.fromhex(CALL[name])


def identity(who: str) -> Identity:
    raw = {name: bytes.fromhex(value) for name, value in VECTORS[who].items()}
    return Identity(
        Ed25519PrivateKey.from_private_bytes(raw["authority_key"]),
        raw["authority_certificate"],
        Ed25519PrivateKey.from_private_bytes(raw["box_key"]),
        raw["box_certificate"],
        X25519PrivateKey.from_private_bytes(raw["static_key"]),
    )


def pending() -> PendingHop:
    key, kem = (
        X25519PrivateKey.from_private_bytes(bytes.fromhex(HOP["owner_private"])),
        MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(HOP["owner_mlkem_seed"])),
    )
    return PendingHop(BINDING, bytes.fromhex(HOP["handshake"]), key, kem)


def test_create(fuzz_inputs: int) -> None:
    """A create proves nothing, so a relay answers a changed one too; but nobody who made it takes that answer."""
    made = pending()

    def take(changed: bytes) -> None:
        _, created = answer_hop(BINDING, IDENTITY_KEY, changed)
        if changed != made.handshake:
            with pytest.raises(HandshakeError):
                finish_hop(made, created)

    counts = fuzz("create", fuzz_inputs // 2, [made.handshake], take, HandshakeError)
    assert counts["taken"] > 0
    assert counts["refused"] > 0


def test_created(fuzz_inputs: int) -> None:
    right, made = bytes.fromhex(HOP["created"]), pending()

    def take(changed: bytes) -> None:
        finish_hop(made, changed)
        assert changed == right

    fuzz("created", fuzz_inputs // 2, [right], take, HandshakeError)


def test_knock(fuzz_inputs: int) -> None:
    right, callee_id = octets("knock") + bytes(8), bytes.fromhex(VECTORS["callee"]["contact_id"])
    secret = Secret(octets("secret"))

    def take(changed: bytes) -> None:
        pair.open_knock(pair.parse_knock(changed), secret, octets("junction_id"), callee_id)
        assert changed[16:-8] == right[16:-8]

    fuzz("knock", fuzz_inputs, [right], take, HandshakeError)


def test_full_handshake(fuzz_inputs: int) -> None:
    caller, callee = identity("caller"), identity("callee")
    secret = Secret(octets("secret"))
    sent = pair.SentKnock(pair.parse_knock(octets("knock") + bytes(8)), secret, X25519PrivateKey.from_private_bytes(octets("caller_private")))
    binding = pair.FullBinding(pair.finish_knock(sent, octets("answer")), octets("network_id"), caller.contact_id, callee.contact_id)
    first = pair.FirstSent(octets("first"), Secret(octets("first_private")))
    theirs, ours = verify_authority(caller.authority_certificate, NOW), verify_authority(callee.authority_certificate, NOW)

    def take_first(changed: bytes) -> None:
        pair.answer_first(binding, callee, theirs, changed, secret, NOW)
        assert changed == octets("first")

    def take_second(changed: bytes) -> None:
        pair.finish_second(binding, first, ours, changed, secret, NOW)
        assert changed == octets("second")

    fuzz("first", fuzz_inputs // 10, [octets("first"), octets("second")], take_first, HandshakeError)
    fuzz("second", fuzz_inputs // 10, [octets("second"), octets("first")], take_second, HandshakeError)


def test_call_records(fuzz_inputs: int) -> None:
    seeds = [bytes.fromhex(text) for text in ("10020102", "11", "1203", "1301", "1402", "15", "170b00a0", "18", "10020102" + "00" * 118)]

    def take(changed: bytes) -> None:
        assert serialise_event(parse_event(changed)) == changed

    counts = fuzz("call records", fuzz_inputs, seeds, take, RemoteError)
    assert counts["taken"] > 100
    fuzz("offers", fuzz_inputs // 4, seeds, parse_offer_record, RemoteError)
