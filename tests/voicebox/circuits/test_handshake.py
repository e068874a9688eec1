"""The hop handshake: recorded vectors, and one flipped bit at every place where one must make it fail."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits.handshake import HANDSHAKE_OCTETS, HopBinding, PendingHop, answer_hop, begin_hop, finish_hop
from voicebox.circuits.hybrid import hybrid_public, new_hybrid_private
from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "handshake.json").read_text("utf-8"))["hop"]
ONION = Secret(bytes.fromhex(VECTOR["onion_private"]))
RELAY_KEY = X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["relay_private"]))


def octets(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def binding() -> HopBinding:
    return HopBinding(octets("network_id"), octets("relay_id"), hybrid_public(ONION), VECTOR["circuit"], VECTOR["epoch"])


def recorded() -> PendingHop:
    return PendingHop(binding(), octets("handshake"), X25519PrivateKey.from_private_bytes(octets("owner_private")), Secret(octets("seed")))


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_recorded_handshake_gives_the_recorded_keys() -> None:
    keys, created = answer_hop(binding(), ONION, octets("handshake"), private_key=RELAY_KEY)
    assert created == octets("created")
    assert finish_hop(recorded(), created) == keys
    assert (keys.forward.reveal(), keys.backward.reveal()) == (octets("forward"), octets("backward"))


def test_stolen_onion_key_and_all_that_was_recorded_do_not_give_the_layer_keys_again() -> None:
    """The relay draws an X25519 key for each create and keeps it nowhere: the same create, answered again with the same onion key, has other keys."""
    answers = [answer_hop(binding(), ONION, octets("handshake")) for _ in range(2)]
    keys = {keys.forward.reveal() for keys, _ in answers} | {keys.backward.reveal() for keys, _ in answers} | {octets("forward"), octets("backward")}
    assert len(keys) == 6
    for again, created in answers:
        assert finish_hop(recorded(), created) == again, "each is a whole handshake"


def test_key_schedule_is_the_written_one() -> None:
    """The schedule of PROTOCOL.md §7, step by step, with nothing of the project's but the sealing."""
    shared = RELAY_KEY.exchange(X25519PrivateKey.from_private_bytes(octets("owner_private")).public_key())
    public = RELAY_KEY.public_key().public_bytes_raw()
    info = b"voicebox/1 create" + octets("network_id") + octets("relay_id") + hashlib.sha256(hybrid_public(ONION)).digest()
    info += VECTOR["circuit"].to_bytes(4, "big") + VECTOR["epoch"].to_bytes(4, "big")
    assert info == octets("info")
    transcript = hashlib.sha256(info + octets("handshake") + public).digest()
    prk = hmac.digest(b"voicebox/1 layer", octets("seed") + shared, "sha256")
    block_1 = hmac.digest(prk, b"voicebox/1 layer keys" + transcript + b"\x01", "sha256")
    block_2 = hmac.digest(prk, block_1 + b"voicebox/1 layer keys" + transcript + b"\x02", "sha256")
    assert block_1 == octets("forward") + octets("backward")
    assert octets("created") == public + hmac.digest(block_2, b"created" + transcript, "sha256")


@pytest.mark.parametrize("bit", [0, 8 * 500 + 3, 8 * 1088 - 1])
def test_flipped_bit_in_the_kem_ciphertext_fails(bit: int) -> None:
    """ML-KEM rejects implicitly: another secret comes out, and the seal does not open."""
    with pytest.raises(HandshakeError, match="does not open"):
        answer_hop(binding(), ONION, flipped(octets("handshake"), bit))


@pytest.mark.parametrize("bit", [8 * 1088, 8 * 1104, 8 * 1120 - 2])
def test_flipped_bit_in_the_encapsulated_x25519_key_fails(bit: int) -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        answer_hop(binding(), ONION, flipped(octets("handshake"), bit))


@pytest.mark.parametrize("bit", [8 * 1120, 8 * 1199 + 7])
def test_flipped_bit_in_the_sealed_part_fails(bit: int) -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        answer_hop(binding(), ONION, flipped(octets("handshake"), bit))


@pytest.mark.parametrize("bit", [0, 100, 253])
def test_flipped_bit_in_the_relays_x25519_key_fails(bit: int) -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), flipped(octets("created"), bit))


def test_unused_top_bit_of_an_x25519_key_is_in_the_transcript() -> None:
    """X25519 ignores bit 255 (RFC 7748 §5), so only the transcript can see it."""
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), flipped(octets("created"), 255))


@pytest.mark.parametrize("bit", [256, 511])
def test_flipped_bit_in_the_mac_fails(bit: int) -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), flipped(octets("created"), bit))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, network_id=flipped(b.network_id, 0)),
        lambda b: replace(b, relay_id=flipped(b.relay_id, 77)),
        lambda b: replace(b, onion_key=flipped(b.onion_key, 9000)),
        lambda b: replace(b, circuit=b.circuit ^ 1),
        lambda b: replace(b, epoch=b.epoch + 1),
    ],
)
def test_everything_bound_is_bound_at_both_ends(change: Any) -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        answer_hop(change(binding()), ONION, octets("handshake"))
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(replace(recorded(), binding=change(binding())), octets("created"))


def test_flipped_bit_in_the_owners_record_of_the_transcript_fails() -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(replace(recorded(), handshake=flipped(octets("handshake"), 4000)), octets("created"))


def test_relay_with_another_onion_key_cannot_answer() -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        answer_hop(binding(), new_hybrid_private(), octets("handshake"))


@pytest.mark.parametrize("length", [0, 1, 1119, 1199, 1201, 4000])
def test_wrong_lengths_fail(length: int) -> None:
    with pytest.raises(HandshakeError):
        answer_hop(binding(), ONION, bytes(length))
    with pytest.raises(HandshakeError):
        finish_hop(recorded(), bytes(length))


def test_low_order_point_of_a_relay_fails() -> None:
    with pytest.raises(HandshakeError, match="not usable"):
        finish_hop(recorded(), bytes(64))


def test_fresh_handshakes_agree_and_differ() -> None:
    first, second = begin_hop(binding()), begin_hop(binding())
    assert first.handshake != second.handshake
    assert len(first.handshake) == HANDSHAKE_OCTETS == 1200
    keys, created = answer_hop(binding(), ONION, first.handshake)
    assert finish_hop(first, created) == keys
    with pytest.raises(HandshakeError):
        finish_hop(second, created)


def test_nothing_secret_is_printed() -> None:
    text = repr(begin_hop(binding())) + repr(recorded())
    assert VECTOR["seed"] not in text
    assert repr(octets("seed"))[2:20] not in text
