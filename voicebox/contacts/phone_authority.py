"""The authority that vouches for a box towards its user's phones, and the certificate that the box shows them over TLS.

It is another one than the identity of identity.py, although the same person owns both: TLS libraries of phones do not know Ed25519, and what a
box shows on the home network says nothing of who its owner is to contacts. It may vouch for no name but the addresses at which the box listens, so
that a phone that trusts it does not believe it about any server on the Internet that has a name. A box that listens elsewhere gets another
authority, which its phones have to be told anew, as the address has to be. Pure: times are handed in.
Spec: RFC 5280 §4; RFC 5922 §7. Departures: name constraints are not critical (RFC 5280 §4.2.1.10 wants that), because mbedTLS, linphone's
library, refuses every critical extension that it does not know, and constrain DNS names only, because OpenSSL 1.0.2 (pjsua2) refuses those of
addresses; each address is a DNS name too, because mbedTLS compares no others.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voicebox.contacts.identity import BACKDATED, RENEWAL_DAYS, key_usage
from voicebox.errors import HandshakeError

AUTHORITY_DAYS = 10 * 365
SERVER_DAYS = 397
"""The longest that the systems of some phones take."""
SERVERS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])


@dataclass(frozen=True, slots=True)
class PhoneTls:
    """What a box needs to speak TLS with phones. Each is PEM: a private key, then its certificate."""

    authority: bytes = field(repr=False)
    server: bytes = field(repr=False)

    @property
    def to_install(self) -> bytes:
        """Return what phones are given: the authority's certificate, PEM."""
        return pem_of_certificate(x509.load_pem_x509_certificate(self.authority))


def new_phone_tls(addresses: tuple[str, ...], now: dt.datetime) -> PhoneTls:
    """Make an authority, and a certificate for the literal addresses at which a box listens."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voicebox for phones")])
    permitted = [x509.DNSName(address) for address in addresses]
    certificate = (
        p256_certificate(name, name, key.public_key(), now, AUTHORITY_DAYS, is_authority=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.NameConstraints(permitted, None), critical=False)
        .sign(key, hashes.SHA256())
    )
    return PhoneTls(pem_of_key(key) + pem_of_certificate(certificate), _server(key, certificate, addresses, now))


def kept_phone_tls(kept: PhoneTls, addresses: tuple[str, ...], now: dt.datetime) -> PhoneTls | None:
    """Return what is kept, with a fresh server certificate where the present one is damaged or ends soon; None where the authority is of other
    addresses or ends soon itself. Raises HandshakeError where the authority is damaged.
    """
    key, authority, permitted = _authority(kept.authority)
    soon = now + dt.timedelta(days=RENEWAL_DAYS)
    if permitted != set(addresses) or not authority.not_valid_before_utc <= now <= soon <= authority.not_valid_after_utc:
        return None
    if _is_good(kept.server, authority, now, soon):
        return kept
    return PhoneTls(kept.authority, _server(key, authority, addresses, now))


def _authority(pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate, set[str]]:
    """Return an authority's key and certificate, and the addresses that it may vouch for. Raises HandshakeError."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, None)
        permitted = certificate.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except Exception:  # noqa: BLE001 - the library raises a dozen types on malformed input, and all of them mean the same here
        raise HandshakeError("the authority for phones cannot be used") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        raise HandshakeError("the authority for phones cannot be used")
    return key, certificate, {name.value for name in permitted if isinstance(name, x509.DNSName)}


def _is_good(server: bytes, authority: x509.Certificate, now: dt.datetime, soon: dt.datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(server)
        certificate.verify_directly_issued_by(authority)
        same = serialization.load_pem_private_key(server, None).public_key() == certificate.public_key()
    except Exception:  # noqa: BLE001 - as above; a fresh one is made
        return False
    return same and certificate.not_valid_before_utc <= now and soon <= certificate.not_valid_after_utc


def _server(key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, addresses: tuple[str, ...], now: dt.datetime) -> bytes:
    names: list[x509.GeneralName] = [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    names += [x509.DNSName(address) for address in addresses]
    return server_certificate(key, authority, names, now, SERVER_DAYS)


def server_certificate(key: ec.EllipticCurvePrivateKey, authority: x509.Certificate, names: list[x509.GeneralName], now: dt.datetime, days: int) -> bytes:
    """Make a key and certificate for a server of these names, PEM; key: the authority's."""
    server_key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voicebox")])
    certificate = (
        p256_certificate(subject, authority.subject, server_key.public_key(), now, days, is_authority=False)
        .add_extension(SERVERS, critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return pem_of_key(server_key) + pem_of_certificate(certificate)


def p256_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: dt.datetime, days: int, *, is_authority: bool
) -> x509.CertificateBuilder:
    """Begin a certificate for programs that know no Ed25519."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=0 if is_authority else None), critical=True)
        .add_extension(key_usage(certificates=is_authority), critical=True)
    )


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a private key, PEM."""
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def pem_of_certificate(certificate: x509.Certificate) -> bytes:
    """Return a certificate, PEM."""
    return certificate.public_bytes(serialization.Encoding.PEM)
