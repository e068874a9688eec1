"""Secrets of contacts, knocks and the full handshake: recorded vectors, and every change that must make it fail."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from voicebox.circuits import pair
from voicebox.circuits.hybrid import ENCAPSULATED_OCTETS, PUBLIC_OCTETS
from voicebox.contacts.identity import Identity, VerifiedAuthority, box_certificate, verify_authority
from voicebox.errors import HandshakeError
from voicebox.sensitive import Secret

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[2] / "vectors" / "handshake.json").read_text("utf-8"))
CALL: dict[str, Any] = VECTORS["call"]
NOW = dt.datetime.fromisoformat(VECTORS["now"])
CERTIFICATE_AT = PUBLIC_OCTETS + 2
TICKET = b"a ticket"


def octets(name: str) -> bytes:
    return bytes.fromhex(CALL[name])


def identity(who: str) -> Identity:
    raw = VECTORS[who]
    return Identity(
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw["authority_key"])),
        bytes.fromhex(raw["authority_certificate"]),
        Ed25519PrivateKey.from_private_bytes(bytes.fromhex(raw["box_key"])),
        bytes.fromhex(raw["box_certificate"]),
        X25519PrivateKey.from_private_bytes(bytes.fromhex(raw["static_key"])),
    )


CALLER, CALLEE = identity("caller"), identity("callee")
SECRET = Secret(octets("secret"))


def authority(who: Identity) -> VerifiedAuthority:
    return verify_authority(who.authority_certificate, NOW)


def key(name: str) -> X25519PrivateKey:
    return X25519PrivateKey.from_private_bytes(octets(name))


def sent() -> pair.SentKnock:
    return pair.SentKnock(pair.parse_knock(octets("knock") + TICKET), SECRET, key("caller_private"))


def full_binding() -> pair.FullBinding:
    return pair.FullBinding(pair.finish_knock(sent(), octets("answer")), octets("network_id"), CALLER.contact_id, CALLEE.contact_id)


def first_sent() -> pair.FirstSent:
    return pair.FirstSent(octets("first"), Secret(octets("first_private")))


def flipped(value: bytes, bit: int) -> bytes:
    changed = bytearray(value)
    changed[bit // 8] ^= 1 << (bit % 8)
    return bytes(changed)


def open_recorded(knock: bytes) -> pair.OpenedKnock:
    return pair.open_knock(pair.parse_knock(knock + TICKET), SECRET, octets("junction_id"), CALLEE.contact_id)


# -------------------------------------------------------------------------------------------------------------- vectors


def test_static_secret_is_the_same_at_both_ends_and_as_recorded() -> None:
    ours = pair.static_secret(CALLER.static_key, CALLEE.static_key.public_key().public_bytes_raw(), octets("network_id"), CALLER.contact_id, CALLEE.contact_id)
    theirs = pair.static_secret(
        CALLEE.static_key, CALLER.static_key.public_key().public_bytes_raw(), octets("network_id"), CALLEE.contact_id, CALLER.contact_id
    )
    assert ours == theirs == Secret(octets("secret_epoch_0"))
    assert pair.secret_of_epoch(ours, 0, CALL["epoch"]) == SECRET


def test_recorded_knock_is_made_again() -> None:
    made = pair.seal_knock(
        SECRET,
        octets("junction_id"),
        CALLEE.contact_id,
        octets("record"),
        CALL["made"],
        full_handshake=True,
        private_key=key("caller_private"),
        join_id=octets("join_id"),
        nonce=octets("nonce"),
    )
    assert made.knock.serialise() == octets("knock")
    assert len(made.knock.serialise()) == 216


def test_recorded_knock_opens_and_gives_the_recorded_keys() -> None:
    opened = open_recorded(octets("knock"))
    assert opened.full_handshake_wanted
    assert opened.made == CALL["made"]
    assert opened.record == octets("record").ljust(pair.RECORD_OCTETS, b"\0")
    keys, public = pair.answer_knock(sent().knock, opened, SECRET, private_key=key("callee_private"))
    assert public == octets("answer")
    assert pair.answer_key(SECRET, sent().knock) == Secret(octets("answer_key"))
    assert pair.finish_knock(sent(), public) == keys
    assert (keys.to_callee.reveal(), keys.to_caller.reveal()) == (octets("to_callee"), octets("to_caller"))


def test_recorded_full_handshake_gives_the_recorded_secret_at_both_ends() -> None:
    third, new = pair.finish_second(full_binding(), first_sent(), authority(CALLEE), octets("second"), SECRET, NOW)
    assert new == Secret(octets("new_secret"))
    assert third == octets("third")
    pair.check_third(full_binding(), new, third)
    second, theirs = pair.answer_first(full_binding(), CALLEE, authority(CALLER), octets("first"), SECRET, NOW, seed=octets("second_seed"))
    assert pair.finish_second(full_binding(), first_sent(), authority(CALLEE), second, SECRET, NOW)[1] == theirs


# --------------------------------------------------------------------------------------------------------------- knocks


@pytest.mark.parametrize("bit", [0, 130, 256, 256 + 95, 256 + 96, 8 * 216 - 1])
def test_any_flipped_bit_of_a_knock_makes_it_fail(bit: int) -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        open_recorded(flipped(octets("knock"), bit))


def test_knock_opens_for_no_other_secret_junction_or_callee() -> None:
    knock = pair.parse_knock(octets("knock") + TICKET)
    for secret, junction, callee in [
        (Secret(bytes(32)), octets("junction_id"), CALLEE.contact_id),
        (SECRET, bytes(32), CALLEE.contact_id),
        (SECRET, octets("junction_id"), CALLER.contact_id),
    ]:
        with pytest.raises(HandshakeError):
            pair.open_knock(knock, secret, junction, callee)


def test_answer_key_of_another_box_gives_other_call_keys() -> None:
    assert pair.finish_knock(sent(), flipped(octets("answer"), 3)).to_callee != Secret(octets("to_callee"))


@pytest.mark.parametrize("low_order", [bytes(32), b"\x01" + bytes(31)])
def test_low_order_answers_are_refused(low_order: bytes) -> None:
    with pytest.raises(HandshakeError, match="not usable"):
        pair.finish_knock(sent(), low_order)


def test_tokens_differ_by_secret_junction_and_direction() -> None:
    tokens = {pair.token_of(secret, junction, callee) for secret in (SECRET, Secret(bytes(32))) for junction in (b"a", b"b") for callee in (b"c", b"d")}
    assert len(tokens) == 8
    assert pair.token_of(SECRET, octets("junction_id"), CALLEE.contact_id) == octets("knock")[:16]


def test_secrets_go_forward_only() -> None:
    with pytest.raises(HandshakeError):
        pair.secret_of_epoch(SECRET, 4, 3)
    with pytest.raises(HandshakeError):
        pair.secret_of_epoch(SECRET, 0, pair.MAX_EPOCHS_FORWARD + 1)
    assert pair.secret_of_epoch(pair.secret_of_epoch(SECRET, 0, 2), 2, 5) == pair.secret_of_epoch(SECRET, 0, 5)


def test_ticket_is_shown_by_whoever_joins_and_bound_to_nothing() -> None:
    knock = sent().knock
    assert knock.join() == octets("join_id") + TICKET
    assert (knock.serialise(), knock.digest()) == (octets("knock"), hashlib.sha256(octets("knock")).digest())


def test_what_the_callee_says_in_a_dummy_nobody_can_open() -> None:
    ours, theirs = (pair.dummy_keys(SECRET, sent().knock) for _ in range(2))
    digest = hashlib.sha256(octets("knock")).digest()
    expanded = b""
    for counter in (b"\x01", b"\x02"):
        expanded += hmac.digest(SECRET.reveal(), expanded[-32:] + b"voicebox/1 dummy" + digest + counter, "sha256")
    assert ours.to_callee == theirs.to_callee == Secret(expanded[:16])
    assert ours.pseudo_random_key == theirs.pseudo_random_key == Secret(expanded[16:48])
    assert len({key.reveal() for key in (ours.to_callee, ours.to_caller, theirs.to_caller)}) == 3


@pytest.mark.parametrize("length", [0, 216, 223, 225])
def test_knock_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(HandshakeError):
        pair.parse_knock(bytes(length))


# ------------------------------------------------------------------------------------------------- full handshake: bits


def refuse_first(first: bytes, match: str, *, now: dt.datetime = NOW, binding: pair.FullBinding | None = None) -> None:
    with pytest.raises(HandshakeError, match=match):
        pair.answer_first(binding or full_binding(), CALLEE, authority(CALLER), first, SECRET, now)


def test_flipped_bit_in_the_callers_kem_key_fails() -> None:
    refuse_first(flipped(octets("first"), 8 * 600), "signature does not verify")


def test_flipped_bit_in_the_callers_hybrid_x25519_key_fails() -> None:
    refuse_first(flipped(octets("first"), 8 * 1190), "signature does not verify")


def test_flipped_bit_in_the_callers_signature_fails() -> None:
    refuse_first(flipped(octets("first"), 8 * len(octets("first")) - 400), "signature does not verify")


def test_flipped_bit_in_the_signature_of_the_certificate_fails() -> None:
    """The certificate's own signature is its last 64 octets, before the 64 of the message."""
    refuse_first(flipped(octets("first"), 8 * (len(octets("first")) - 64 - 32)), "certificate's signature does not verify")


@pytest.mark.parametrize(
    "change",
    [
        lambda b: replace(b, network_id=flipped(b.network_id, 0)),
        lambda b: replace(b, caller_id=flipped(b.caller_id, 0)),
        lambda b: replace(b, callee_id=flipped(b.callee_id, 0)),
        lambda b: replace(b, keys=replace(b.keys, to_callee=Secret(flipped(b.keys.to_callee.reveal(), 0)))),
        lambda b: replace(b, keys=replace(b.keys, to_caller=Secret(flipped(b.keys.to_caller.reveal(), 127)))),
    ],
)
def test_flipped_bit_in_the_transcript_fails_at_both_ends(change: Any) -> None:
    refuse_first(octets("first"), "signature does not verify", binding=change(full_binding()))
    with pytest.raises(HandshakeError, match="does not open"):
        pair.finish_second(change(full_binding()), first_sent(), authority(CALLEE), octets("second"), SECRET, NOW)


@pytest.mark.parametrize("bit", [3, 8 * 1087, 8 * 1088, 8 * (ENCAPSULATED_OCTETS - 1), 8 * ENCAPSULATED_OCTETS, 8 * 1500])
def test_flipped_bit_in_second_fails(bit: int) -> None:
    """KEM ciphertext, X25519 key of the encapsulation, sealed part."""
    with pytest.raises(HandshakeError, match="does not open"):
        pair.finish_second(full_binding(), first_sent(), authority(CALLEE), flipped(octets("second"), bit), SECRET, NOW)


def test_flipped_bit_in_the_record_of_first_fails() -> None:
    with pytest.raises(HandshakeError, match="does not open"):
        pair.finish_second(full_binding(), replace(first_sent(), message=flipped(octets("first"), 9)), authority(CALLEE), octets("second"), SECRET, NOW)


def test_flipped_bit_in_third_fails() -> None:
    with pytest.raises(HandshakeError, match="another secret"):
        pair.check_third(full_binding(), Secret(octets("new_secret")), flipped(octets("third"), 255))


@pytest.mark.parametrize("length", [0, 1, PUBLIC_OCTETS, PUBLIC_OCTETS + 2, 1500, 8192])
def test_other_lengths_of_first_and_second_fail(length: int) -> None:
    refuse_first(bytes(length), "length")
    with pytest.raises(HandshakeError):
        pair.finish_second(full_binding(), first_sent(), authority(CALLEE), bytes(length), SECRET, NOW)


# ----------------------------------------------------------------------------------------- full handshake: certificates


def first_with(certificate: bytes, box_key: Ed25519PrivateKey | None = None) -> bytes:
    signer = replace(CALLER, box_certificate=certificate, box_key=box_key or CALLER.box_key)
    return pair.make_first(full_binding(), signer, private_key=Secret(octets("first_private"))).message


def test_expired_certificate_fails() -> None:
    refuse_first(octets("first"), "expired", now=NOW + dt.timedelta(days=366))


def test_certificate_that_is_not_valid_yet_fails() -> None:
    refuse_first(octets("first"), "not valid yet", now=NOW - dt.timedelta(hours=2))


def test_flipped_bit_in_the_validity_fails() -> None:
    certificate = CALLER.box_certificate
    year = certificate.index(b"270601")
    refuse_first(first_with(flipped(certificate, 8 * (year + 1))), "signature does not verify")


def test_flipped_bit_in_the_purpose_fails() -> None:
    certificate = CALLER.box_certificate
    purpose = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value.public_bytes()
    at = certificate.index(purpose) + len(purpose) - 1
    refuse_first(first_with(flipped(certificate, 8 * at)), "signature does not verify")


def test_certificate_for_another_purpose_fails() -> None:
    other = box_certificate(CALLER.authority_key, CALLER.authority_certificate, CALLER.box_key, NOW, purpose=x509.oid.ExtendedKeyUsageOID.SERVER_AUTH)
    refuse_first(first_with(other), "another purpose")


def test_certificate_of_a_foreign_authority_fails() -> None:
    foreign = box_certificate(CALLEE.authority_key, CALLEE.authority_certificate, CALLER.box_key, NOW)
    refuse_first(first_with(foreign), "signature does not verify")


def test_authority_in_the_place_of_a_box_fails() -> None:
    refuse_first(first_with(CALLER.authority_certificate, CALLER.authority_key), "is an authority's")


def test_certificate_of_another_key_than_the_signers_fails() -> None:
    refuse_first(first_with(CALLER.box_certificate, Ed25519PrivateKey.generate()), "handshake's signature does not verify")


def test_garbage_after_a_certificate_fails() -> None:
    refuse_first(first_with(CALLER.box_certificate + b"\0"), "cannot be read|followed by something")


def test_replaced_certificate_of_the_callee_fails() -> None:
    stranger = replace(CALLEE, box_certificate=box_certificate(CALLER.authority_key, CALLER.authority_certificate, CALLEE.box_key, NOW))
    second, _ = pair.answer_first(full_binding(), stranger, authority(CALLER), octets("first"), SECRET, NOW)
    with pytest.raises(HandshakeError, match="signature does not verify"):
        pair.finish_second(full_binding(), first_sent(), authority(CALLEE), second, SECRET, NOW)


def test_certificates_are_der() -> None:
    assert x509.load_der_x509_certificate(CALLER.box_certificate).public_bytes(serialization.Encoding.DER) == CALLER.box_certificate


# --------------------------------------------------------------------------------------------------- the second circuit


def test_keys_of_a_spare_are_the_written_ones_and_no_others() -> None:
    keys = pair.finish_knock(sent(), octets("answer"))
    knock = pair.seal_spare(SECRET, octets("junction_id"), CALLEE.contact_id, sent().knock.digest())
    opened = open_recorded(knock.serialise())
    assert (opened.spare, opened.dummy, opened.full_handshake_wanted) == (True, False, False)
    assert opened.record == sent().knock.digest() + bytes(pair.RECORD_OCTETS - 32)
    to_callee, to_caller = (each.reveal() for each in pair.spare_keys(keys, knock))
    digest = hashlib.sha256(knock.token + knock.join_id + knock.sealed).digest()
    assert to_callee + to_caller == hmac.digest(keys.pseudo_random_key.reveal(), b"voicebox/1 spare" + digest + b"\x01", "sha256")
    other = pair.seal_spare(SECRET, octets("junction_id"), CALLEE.contact_id, sent().knock.digest())
    all_keys = [each.reveal() for each in (*pair.spare_keys(keys, knock), *pair.spare_keys(keys, other), keys.to_callee, keys.to_caller)]
    assert len(set(all_keys)) == 6


@pytest.mark.parametrize("flags", [5, 6, 7, 10, 12, 128])
def test_flags_that_do_not_go_together_are_of_another_version(flags: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pair, "SPARE", flags)
    knock = pair.seal_spare(SECRET, octets("junction_id"), CALLEE.contact_id, bytes(32))
    monkeypatch.undo()
    with pytest.raises(HandshakeError):
        open_recorded(knock.serialise())
