"""A person's own certificate authority, the box's certificate under it, and the check of such a chain.

An authority is a self-signed Ed25519 certificate that may sign nothing but end certificates; a box's certificate is Ed25519
too, for one year, and for one private purpose, so that no other certificate of the same authority passes for a box.
NOT here: where keys are kept (store.py), cards (card.py), the handshake that shows the certificates (circuits/pair.py). Pure: times are
handed in. Spec: RFC 5280 §4, §6.1; PROTOCOL.md §8.1.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass, field
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.x509.oid import NameOID, ObjectIdentifier

from voicebox.errors import HandshakeError

Extension = TypeVar("Extension", bound=x509.ExtensionType)

BOX_PURPOSE = ObjectIdentifier("2.25.185956596922835216835948663842704203852")
"""Extended key usage of a box, from the arc of UUIDs, which needs no registration (ITU-T X.667 §7)."""
AUTHORITY_DAYS = 20 * 365
BOX_DAYS = 365
RENEWAL_DAYS = 30
BACKDATED = dt.timedelta(hours=1)
"""A contact's clock may be behind ours by that much."""
MAX_CERTIFICATE_OCTETS = 2048
MAX_NAME_LENGTH = 64
_KNOWN_EXTENSIONS = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.SubjectKeyIdentifier, x509.AuthorityKeyIdentifier)


@dataclass(frozen=True, slots=True)
class Identity:
    """All that makes a box somebody: the authority, the box under it, and the static key that cards carry."""

    authority_key: Ed25519PrivateKey = field(repr=False)
    authority_certificate: bytes = field(repr=False)
    box_key: Ed25519PrivateKey = field(repr=False)
    box_certificate: bytes = field(repr=False)
    static_key: X25519PrivateKey = field(repr=False)

    @property
    def contact_id(self) -> bytes:
        """Return the id by which contacts know this person: 32 octets."""
        return contact_id_of(self.authority_key.public_key())


@dataclass(frozen=True, slots=True)
class VerifiedAuthority:
    """An authority whose certificate was checked."""

    certificate: bytes = field(repr=False)
    public_key: Ed25519PublicKey = field(repr=False)
    contact_id: bytes = field(repr=False)
    claimed_name: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class VerifiedBox:
    """A box whose certificate was checked against its person's authority."""

    public_key: Ed25519PublicKey = field(repr=False)
    contact_id: bytes = field(repr=False)


def contact_id_of(public_key: Ed25519PublicKey) -> bytes:
    """Return SHA-256 over the authority's public key."""
    return hashlib.sha256(public_key.public_bytes_raw()).digest()


def new_identity(name: str, now: dt.datetime) -> Identity:
    """Make an authority, a box certificate and a static key. name: what the owner calls themselves, shown to contacts as a claim."""
    authority_key = Ed25519PrivateKey.generate()
    box_key = Ed25519PrivateKey.generate()
    authority = authority_certificate(authority_key, name, now)
    return Identity(authority_key, authority, box_key, box_certificate(authority_key, authority, box_key, now), X25519PrivateKey.generate())


def authority_certificate(key: Ed25519PrivateKey, name: str, now: dt.datetime) -> bytes:
    """Make the self-signed certificate of an authority (DER)."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name or "voicebox")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(key_usage(certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, None).public_bytes(serialization.Encoding.DER)


def box_certificate(
    authority_key: Ed25519PrivateKey,
    authority: bytes,
    box_key: Ed25519PrivateKey,
    now: dt.datetime,
    *,
    days: int = BOX_DAYS,
    purpose: ObjectIdentifier = BOX_PURPOSE,
) -> bytes:
    """Make a box's certificate (DER). It names nobody: the contact knows who it is by the authority."""
    builder = end_certificate(authority, box_key.public_key(), "box", now, days).add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
    return builder.sign(authority_key, None).public_bytes(serialization.Encoding.DER)


def end_certificate(authority: bytes, key: Ed25519PublicKey, name: str, now: dt.datetime, days: int) -> x509.CertificateBuilder:
    """Begin the certificate of a key that signs no others, under an authority (DER)."""
    issuer = x509.load_der_x509_certificate(authority)
    signer = issuer.public_key()
    assert isinstance(signer, Ed25519PublicKey), "an authority is one of ours"
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer.subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(certificates=False), critical=True)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer), critical=False)
    )


def renewed(identity: Identity, now: dt.datetime) -> Identity | None:
    """Return the identity with a fresh box certificate where the present one ends within RENEWAL_DAYS, or is of a future that was a wrong date; else None."""
    present = x509.load_der_x509_certificate(identity.box_certificate)
    if present.not_valid_before_utc <= now <= present.not_valid_after_utc - dt.timedelta(days=RENEWAL_DAYS):
        return None
    certificate = box_certificate(identity.authority_key, identity.authority_certificate, identity.box_key, now)
    return Identity(identity.authority_key, identity.authority_certificate, identity.box_key, certificate, identity.static_key)


def verify_authority(der: bytes, now: dt.datetime) -> VerifiedAuthority:
    """Check a self-signed authority: form, own signature, validity, that it may sign certificates and nothing below them.

    Raises HandshakeError with what is wrong. Spec: RFC 5280 §4.2.1.3, §4.2.1.9.
    """
    certificate, key = _load(der)
    _check_validity(certificate, now)
    if certificate.issuer != certificate.subject:
        raise HandshakeError("an authority's certificate was issued by another")
    _check_signature(certificate, certificate)
    constraints = _extension(certificate, x509.BasicConstraints)
    if not constraints.ca or constraints.path_length != 0:
        raise HandshakeError("an authority's certificate may not sign certificates")
    if not _extension(certificate, x509.KeyUsage).key_cert_sign:
        raise HandshakeError("an authority's key is for another use")
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    claimed = names[0].value if len(names) == 1 and isinstance(names[0].value, str) else ""
    return VerifiedAuthority(der, key, contact_id_of(key), claimed[:MAX_NAME_LENGTH])


def verify_box(der: bytes, authority: VerifiedAuthority, now: dt.datetime) -> VerifiedBox:
    """Check a box's certificate against its person's authority: issuer, signature, validity, purpose.

    Raises HandshakeError with what is wrong. Spec: RFC 5280 §6.1, with a path of exactly two certificates.
    """
    _, key = verify_end(der, authority, now, [BOX_PURPOSE])
    return VerifiedBox(key, authority.contact_id)


def verify_end(der: bytes, authority: VerifiedAuthority, now: dt.datetime, purposes: list[ObjectIdentifier]) -> tuple[x509.Certificate, Ed25519PublicKey]:
    """Check a certificate that signs no others against an authority, as verify_box() does. purposes: exactly these, in this order. Raises HandshakeError."""
    certificate, key = _load(der)
    issuer = x509.load_der_x509_certificate(authority.certificate)
    _check_validity(issuer, now)
    _check_validity(certificate, now)
    if certificate.issuer != issuer.subject:
        raise HandshakeError("a certificate was issued by somebody else")
    _check_signature(certificate, issuer)
    if _extension(certificate, x509.BasicConstraints).ca:
        raise HandshakeError("a certificate is an authority's")
    if not _extension(certificate, x509.KeyUsage).digital_signature:
        raise HandshakeError("a key is for another use")
    if list(_extension(certificate, x509.ExtendedKeyUsage)) != purposes:
        raise HandshakeError("a certificate is for another purpose")
    if key.public_bytes_raw() == authority.public_key.public_bytes_raw():
        raise HandshakeError("a certificate is of its authority's own key")
    return certificate, key


def _load(der: bytes) -> tuple[x509.Certificate, Ed25519PublicKey]:
    if len(der) > MAX_CERTIFICATE_OCTETS:
        raise HandshakeError("a certificate is too long")
    try:
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        extensions = list(certificate.extensions)
        # Read now what raises late on malformed contents.
        _ = certificate.issuer, certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # noqa: BLE001 - the library raises a dozen types on malformed input, and all of them mean the same here
        raise HandshakeError("a certificate cannot be read") from None
    if certificate.public_bytes(serialization.Encoding.DER) != der:
        raise HandshakeError("a certificate is followed by something else")
    if certificate.version != x509.Version.v3 or not isinstance(key, Ed25519PublicKey):
        raise HandshakeError("a certificate is of another kind")
    if der[-65] != 0:  # unused bits of the BIT STRING with the signature, which the library lets pass where they are zero
        raise HandshakeError("a certificate's signature is not whole octets")
    if any(extension.critical and not isinstance(extension.value, _KNOWN_EXTENSIONS) for extension in extensions):
        raise HandshakeError("a certificate demands an unknown extension")
    return certificate, key


def _check_validity(certificate: x509.Certificate, now: dt.datetime) -> None:
    if now < certificate.not_valid_before_utc:
        raise HandshakeError("a certificate is not valid yet; compare the clocks")
    if now > certificate.not_valid_after_utc:
        raise HandshakeError("a certificate has expired")


def _check_signature(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        raise HandshakeError("a certificate's signature does not verify") from None


def _extension(certificate: x509.Certificate, kind: type[Extension]) -> Extension:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        raise HandshakeError("a certificate lacks what it must say") from None


def key_usage(*, certificates: bool) -> x509.KeyUsage:
    """Return the key usage of an authority, or of an end certificate."""
    return x509.KeyUsage(
        digital_signature=not certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificates,
        crl_sign=certificates,
        encipher_only=False,
        decipher_only=False,
    )
