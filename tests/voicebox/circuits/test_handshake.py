"""The hop handshake: recorded vectors, and one flipped bit at every place where one must make it fail."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits.handshake import CREATED_OCTETS, HANDSHAKE_OCTETS, HopBinding, PendingHop, answer_hop, begin_hop, finish_hop
from voicebox.errors import HandshakeError

VECTOR: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "handshake.json").read_text("utf-8"))["hop"]
IDENTITY_KEY = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["identity_private"]))
IDENTITY = IDENTITY_KEY.public_key().public_bytes_raw()
OWNER_KEY = X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["owner_private"]))
OWNER_MLKEM_KEY = MLKEM768PrivateKey.from_seed_bytes(bytes.fromhex(VECTOR["owner_mlkem_seed"]))
RELAY_KEY = X25519PrivateKey.from_private_bytes(bytes.fromhex(VECTOR["relay_private"]))


def octets(name: str) -> bytes:
    return bytes.fromhex(VECTOR[name])


def binding() -> HopBinding:
    return HopBinding(octets("network_id"), IDENTITY, VECTOR["circuit"], VECTOR["epoch"])


def recorded() -> PendingHop:
    return PendingHop(binding(), octets("handshake"), OWNER_KEY, OWNER_MLKEM_KEY)


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def test_recorded_handshake_gives_the_recorded_keys() -> None:
    assert begin_hop(binding(), x25519_key=OWNER_KEY, mlkem_key=OWNER_MLKEM_KEY).handshake == octets("handshake")
    keys = finish_hop(recorded(), octets("created"))
    assert (keys.forward.reveal(), keys.backward.reveal()) == (octets("forward"), octets("backward"))
    again, created = answer_hop(binding(), IDENTITY_KEY, octets("handshake"), x25519_key=RELAY_KEY)
    assert created[:32] == octets("created")[:32]
    assert finish_hop(recorded(), created) == again
    assert again != keys, "ML-KEM draws by itself"


def test_key_schedule_is_the_written_one() -> None:
    """The schedule of PROTOCOL.md §7, step by step, with nothing of the project's."""
    answer, signature = octets("created")[:1120], octets("created")[1120:]
    shared = RELAY_KEY.exchange(OWNER_KEY.public_key())
    info = b"voicebox/1 create" + octets("network_id") + hashlib.sha256(IDENTITY).digest()
    info += VECTOR["circuit"].to_bytes(4, "big") + VECTOR["epoch"].to_bytes(4, "big")
    assert info == octets("info")
    create = VECTOR["epoch"].to_bytes(4, "big") + OWNER_KEY.public_key().public_bytes_raw() + OWNER_MLKEM_KEY.public_key().public_bytes_raw()
    assert create == octets("handshake")
    transcript = hashlib.sha256(info + create + answer).digest()
    IDENTITY_KEY.public_key().verify(signature, b"voicebox/1 created" + transcript)
    prk = hmac.digest(b"voicebox/1 layer", OWNER_MLKEM_KEY.decapsulate(answer[32:]) + shared, "sha256")
    assert hmac.digest(prk, b"voicebox/1 layer keys" + transcript + b"\x01", "sha256") == octets("forward") + octets("backward")


@pytest.mark.parametrize("bit", [0, 100, 253, 255, 256, 8 * 600 + 3, 8 * 1120 - 1, 8 * 1120, 8 * 1184 - 9])
def test_flipped_bit_in_created_fails(bit: int) -> None:
    """Of the relay's X25519 key (bit 255 is one that X25519 ignores, RFC 7748 §5), of the ML-KEM ciphertext (which is rejected implicitly), of the signature."""
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), flipped(octets("created"), bit))


@pytest.mark.parametrize("bit", [32, 287, 8 * 36, 8 * 700, 8 * 1220 - 1])
def test_flipped_bit_in_a_create_fails_at_the_owner(bit: int) -> None:
    """A relay cannot know what was meant; the owner sees that the answer is to something else, or the relay that there is no such key."""
    changed = flipped(octets("handshake"), bit)
    with pytest.raises(HandshakeError, match=r"does not verify|not usable"):
        finish_hop(recorded(), answer_hop(binding(), IDENTITY_KEY, changed)[1])
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(replace(recorded(), handshake=changed), octets("created"))


@pytest.mark.parametrize("bit", [0, 31])
def test_create_of_another_epoch_is_refused(bit: int) -> None:
    with pytest.raises(HandshakeError, match="of another epoch"):
        answer_hop(binding(), IDENTITY_KEY, flipped(octets("handshake"), bit))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, network_id=flipped(b.network_id, 0)),
        lambda b: replace(b, identity=Ed25519PrivateKey.from_private_bytes(bytes(32)).public_key().public_bytes_raw()),
        lambda b: replace(b, circuit=b.circuit ^ 1),
        lambda b: replace(b, epoch=b.epoch + 1),
    ],
)
def test_everything_bound_is_bound_at_both_ends(change: Any) -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(replace(recorded(), binding=change(binding())), octets("created"))
    other = begin_hop(change(binding()))
    _, created = answer_hop(replace(binding(), epoch=other.binding.epoch), IDENTITY_KEY, other.handshake)
    if other.binding.epoch == binding().epoch:
        with pytest.raises(HandshakeError, match="does not verify"):
            finish_hop(other, created)
    else:
        with pytest.raises(HandshakeError, match="of another epoch"):
            answer_hop(binding(), IDENTITY_KEY, other.handshake)


def test_relay_with_another_identity_cannot_answer() -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), answer_hop(binding(), Ed25519PrivateKey.generate(), octets("handshake"))[1])


def test_signature_of_a_descriptor_is_none_of_an_answer() -> None:
    with pytest.raises(HandshakeError, match="does not verify"):
        finish_hop(recorded(), octets("created")[:1120] + IDENTITY_KEY.sign(b"voicebox/1 descriptor" + hashlib.sha256(octets("created")[:1120]).digest()))


@pytest.mark.parametrize("length", [0, 1, 1183, 1185, 1219, 1221, 4000])
def test_wrong_lengths_fail(length: int) -> None:
    with pytest.raises(HandshakeError, match="wrong length"):
        answer_hop(binding(), IDENTITY_KEY, octets("handshake").ljust(length, b"\0")[:length])
    with pytest.raises(HandshakeError, match="wrong length"):
        finish_hop(recorded(), octets("created").ljust(length, b"\0")[:length])


def test_low_order_points_fail_at_both_ends() -> None:
    """Their secret is known to everybody (RFC 7748 §6.1)."""
    with pytest.raises(HandshakeError, match="not usable"):
        answer_hop(binding(), IDENTITY_KEY, octets("handshake")[:4] + bytes(32) + octets("handshake")[36:])
    answer = bytes(32) + octets("created")[32:1120]
    signed = IDENTITY_KEY.sign(b"voicebox/1 created" + hashlib.sha256(octets("info") + octets("handshake") + answer).digest())
    with pytest.raises(HandshakeError, match="not usable"):
        finish_hop(recorded(), answer + signed)


def test_encapsulation_key_out_of_range_is_refused() -> None:
    """FIPS 203 §7.2: coefficients are below 3329."""
    with pytest.raises(HandshakeError, match="not usable"):
        answer_hop(binding(), IDENTITY_KEY, octets("handshake")[:36] + b"\xff" * 1184)


def test_fresh_handshakes_agree_and_differ() -> None:
    first, second = begin_hop(binding()), begin_hop(binding())
    assert first.handshake != second.handshake
    assert len(first.handshake) == HANDSHAKE_OCTETS == 1220
    keys, created = answer_hop(binding(), IDENTITY_KEY, first.handshake)
    assert len(created) == CREATED_OCTETS == 1184
    assert finish_hop(first, created) == keys
    with pytest.raises(HandshakeError):
        finish_hop(second, created)


def test_nothing_secret_is_printed() -> None:
    text = repr(begin_hop(binding())) + repr(recorded())
    assert "X25519PrivateKey" not in text
    assert "MLKEM" not in text
