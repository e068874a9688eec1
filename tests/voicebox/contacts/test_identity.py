"""The authority, the box under it, and every way in which a certificate is refused."""

from __future__ import annotations

import datetime as dt

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from voicebox.contacts.identity import BOX_PURPOSE, RENEWAL_DAYS, Identity, new_identity, renewed, verify_authority, verify_box
from voicebox.errors import HandshakeError

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@pytest.fixture(scope="module")
def ann() -> Identity:
    return new_identity("Ann", NOW)


def builder(key: Ed25519PrivateKey, issuer: x509.Name) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(NOW - dt.timedelta(days=1))
        .not_valid_after(NOW + dt.timedelta(days=1))
    )


def refuse_box(der: bytes, ann: Identity, match: str) -> None:
    with pytest.raises(HandshakeError, match=match):
        verify_box(der, verify_authority(ann.authority_certificate, NOW), NOW)


def test_fresh_identity_verifies(ann: Identity) -> None:
    authority = verify_authority(ann.authority_certificate, NOW)
    assert authority.contact_id == ann.contact_id
    assert authority.claimed_name == "Ann"
    assert verify_box(ann.box_certificate, authority, NOW).contact_id == ann.contact_id


def test_a_box_certificate_of_a_wrong_date_is_made_anew(ann: Identity) -> None:
    """It was renewed while the machine's date was years ahead; nobody takes it before that day."""
    ahead = renewed(ann, NOW + dt.timedelta(days=4_000))
    assert ahead is not None
    fresh = renewed(ahead, NOW)
    assert fresh is not None
    assert verify_box(fresh.box_certificate, verify_authority(ann.authority_certificate, NOW), NOW) is not None


def test_box_certificate_is_renewed_in_its_last_days_only(ann: Identity) -> None:
    assert renewed(ann, NOW + dt.timedelta(days=365 - RENEWAL_DAYS)) is None
    later = NOW + dt.timedelta(days=365 - RENEWAL_DAYS, seconds=1)
    fresh = renewed(ann, later)
    assert fresh is not None
    assert fresh.contact_id == ann.contact_id
    verify_box(fresh.box_certificate, verify_authority(fresh.authority_certificate, later), later + dt.timedelta(days=364))


def test_authority_that_signs_nothing_is_refused(ann: Identity) -> None:
    for der, match in [(ann.box_certificate, "issued by another"), (b"", "cannot be read"), (bytes(5000), "too long")]:
        with pytest.raises(HandshakeError, match=match):
            verify_authority(der, NOW)


def test_authority_without_its_rights_is_refused() -> None:
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "box")])
    plain = builder(key, name)
    for made, match in [
        (plain, "lacks"),
        (plain.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True), "may not sign"),
        (plain.add_extension(x509.BasicConstraints(ca=True, path_length=3), critical=True), "may not sign"),
    ]:
        with pytest.raises(HandshakeError, match=match):
            verify_authority(made.sign(key, None).public_bytes(Encoding.DER), NOW)


def test_box_with_an_unknown_critical_extension_is_refused(ann: Identity) -> None:
    issuer = x509.load_der_x509_certificate(ann.authority_certificate).subject
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("2.25.1"), b"\x05\x00")
    made = builder(ann.box_key, issuer).add_extension(unknown, critical=True).sign(ann.authority_key, None)
    refuse_box(made.public_bytes(Encoding.DER), ann, "unknown extension")


def test_box_without_purpose_is_refused(ann: Identity) -> None:
    issuer = x509.load_der_x509_certificate(ann.authority_certificate).subject
    made = builder(ann.box_key, issuer).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    refuse_box(made.sign(ann.authority_key, None).public_bytes(Encoding.DER), ann, "lacks")
    two = x509.load_der_x509_certificate(ann.box_certificate)
    usage = two.extensions.get_extension_for_class(x509.KeyUsage).value
    made = made.add_extension(usage, critical=True).add_extension(x509.ExtendedKeyUsage([BOX_PURPOSE, x509.oid.ExtendedKeyUsageOID.CLIENT_AUTH]), critical=True)
    refuse_box(made.sign(ann.authority_key, None).public_bytes(Encoding.DER), ann, "another purpose")


def test_box_of_another_issuer_name_is_refused(ann: Identity) -> None:
    other = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = builder(ann.box_key, other).sign(ann.authority_key, None)
    refuse_box(made.public_bytes(Encoding.DER), ann, "issued by somebody else")


def test_certificate_with_another_kind_of_key_is_refused(ann: Identity) -> None:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
    made = made.not_valid_before(NOW - dt.timedelta(days=1)).not_valid_after(NOW + dt.timedelta(days=1))
    refuse_box(made.sign(key, SHA256()).public_bytes(Encoding.DER), ann, "another kind")


def test_every_flipped_octet_of_a_box_certificate_is_refused(ann: Identity) -> None:
    authority = verify_authority(ann.authority_certificate, NOW)
    for at in range(len(ann.box_certificate)):
        changed = bytearray(ann.box_certificate)
        changed[at] ^= 1 << (at % 8)
        with pytest.raises(HandshakeError):
            verify_box(bytes(changed), authority, NOW)


def test_keys_are_not_printed(ann: Identity) -> None:
    assert "0x" not in repr(ann)
    assert ann.box_certificate[20:30].hex() not in repr(ann)
