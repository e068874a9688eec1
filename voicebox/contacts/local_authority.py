"""The authority by which programs of this machine know contacts' services over TLS, and the certificates that the box shows them in a service's place.

It is this box's alone: another one than the identity of identity.py, because browsers know no Ed25519 certificates and no authority of a contact's may vouch for more
than one label; and another one than that for phones, so that who installs the one does not trust the other. It may vouch for names below the suffixes of contacts and
nothing else, by critical name constraints, and for servers alone. Its certificates name exactly what was asked, are good for days, and their keys are in memory alone.
NOT here: disks (local_authority_file.py), whether the service is the contact's (streams/tls_checks.py). Pure: times are handed in. Spec: RFC 5280 §4.2.1.10, RFC 9525 §6.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass, field

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from voicebox.contacts.identity import RENEWAL_DAYS
from voicebox.contacts.phone_authority import SERVERS, p256_certificate, pem_of_certificate, pem_of_key, server_certificate
from voicebox.errors import HandshakeError

AUTHORITY_DAYS = 10 * 365
SERVER_DAYS = 7
SERVER_AGAIN = dt.timedelta(days=1)
"""A certificate that is good for less is made anew."""
MAX_KEPT = 64
SUFFIXES = ("privacy", "privacy.alt")
"""For which it is good in any case, so that who adds the second one gives browsers nothing new."""
NO_ADDRESS = [x509.IPAddress(ipaddress.ip_network(everything)) for everything in ("0.0.0.0/0", "::/0")]


def new_local_authority(suffixes: tuple[str, ...], now: dt.datetime) -> bytes:
    """Make an authority for names below these suffixes and SUFFIXES; return its key and certificate, PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "voicebox for contacts' services, on this box alone")])
    certificate = (
        p256_certificate(name, name, key.public_key(), now, AUTHORITY_DAYS, is_authority=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.NameConstraints([x509.DNSName(suffix) for suffix in sorted({*suffixes, *SUFFIXES})], NO_ADDRESS), critical=True)
        .add_extension(SERVERS, critical=False)
        .sign(key, hashes.SHA256())
    )
    return pem_of_key(key) + pem_of_certificate(certificate)


@dataclass(eq=False, slots=True)
class LocalAuthority:
    """An authority in use. Contract: of one box."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)
    certificate: x509.Certificate = field(repr=False)
    suffixes: frozenset[str]
    _kept: dict[tuple[str, ...], tuple[bytes, dt.datetime]] = field(default_factory=dict, repr=False)

    @property
    def to_install(self) -> bytes:
        """Return what browsers are given: the authority's certificate, PEM."""
        return pem_of_certificate(self.certificate)

    def is_for(self, suffixes: tuple[str, ...], now: dt.datetime) -> bool:
        """Return whether it is good for what new_local_authority() would be with these suffixes, and for a month at least."""
        soon = now + dt.timedelta(days=RENEWAL_DAYS)
        return self.suffixes == {*suffixes, *SUFFIXES} and self.certificate.not_valid_before_utc <= now <= soon <= self.certificate.not_valid_after_utc

    def server(self, names: tuple[str, ...], now: dt.datetime) -> bytes:
        """Return a key and certificate for a server of exactly these names, PEM: the same as before while that is good."""
        pem, until = self._kept.pop(names, (b"", now))
        if not until - dt.timedelta(days=SERVER_DAYS) <= now < until - SERVER_AGAIN:  # another date may have been set, too
            dns: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
            pem, until = server_certificate(self.key, self.certificate, dns, now, SERVER_DAYS), now + dt.timedelta(days=SERVER_DAYS)
        self._kept[names] = pem, until
        while len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]
        return pem


def parse_local_authority(pem: bytes) -> LocalAuthority:
    """Read what new_local_authority() made. Raises HandshakeError for anything else."""
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, None)
        constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
        _ = certificate.subject, certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except Exception:  # noqa: BLE001 - the library raises a dozen types on malformed input, and all of them mean the same here
        raise HandshakeError("the authority for programs of this machine cannot be used") from None
    permitted = constraints.value.permitted_subtrees or []
    suffixes = frozenset(name.value for name in permitted if isinstance(name, x509.DNSName))
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key() or not suffixes or not constraints.critical:
        raise HandshakeError("the authority for programs of this machine cannot be used")
    return LocalAuthority(key, certificate, suffixes)
