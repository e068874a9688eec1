"""Certificates that a person's authority issues to devices and services of the house, and the check of one at a contact's box.

Each names one label, as `printer`, and nothing else: whoever knows the authority says whose it is, under a petname of their own, so no authority can speak for a name that is not
its owner's. A register knows all that were issued and still run, and which were revoked; the list of revoked ones is an X.509 CRL that contacts are given. NOT here: disks
(device_certs.py). Pure: times are handed in. Spec: RFC 5280 §4, §5; PROTOCOL.md §8.1.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field, replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import ExtendedKeyUsageOID

from voicebox.contacts.contact import PETNAME
from voicebox.contacts.identity import RENEWAL_DAYS, Identity, VerifiedAuthority, end_certificate, verify_end
from voicebox.contacts.revoked import MAX_TOLD, Revoked
from voicebox.errors import FileProblem, HandshakeError, UsageError

DAYS, MAX_DAYS = 365, 825
CRL_DAYS = 90
"""Contacts ask for a newer list after that."""
MAX_ISSUED = 1_000
PURPOSES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
HEADER = "voicebox certificates 1"
HINT = "Restore it from a backup; without it nothing can be revoked any more."
_LINE = re.compile(r"([0-9a-f]{1,40}) (\S{1,32}) (\d{1,12}) (\d{1,12}) (\d{1,12}|-)\Z")


@dataclass(frozen=True, slots=True)
class Issued:
    """One certificate. made, until, revoked: Unix seconds; revoked: None where it is not."""

    serial: int
    name: str = field(repr=False)
    made: int
    until: int
    revoked: int | None = None


@dataclass(frozen=True, slots=True)
class VerifiedDevice:
    """A device or service whose certificate was checked against the authority of its owner."""

    name: str = field(repr=False)
    serial: int
    until: dt.datetime


def checked_label(name: str) -> str:
    """Return the name of a device or service in its one form: one label of a host name. Raises UsageError."""
    if not PETNAME.match(name.lower()):
        raise UsageError("A device or service is named by 1 to 32 letters a-z, digits and hyphens, and begins and ends with a letter or digit.")
    return name.lower()


def issue(identity: Identity, name: str, now: dt.datetime, days: int = DAYS, key: Ed25519PrivateKey | None = None) -> tuple[bytes, Issued]:
    """Return a private key with its certificate (PEM), and what the register keeps of it. key: where it has one. Raises UsageError."""
    if not 1 <= days <= MAX_DAYS:
        raise UsageError(f"A certificate is good for 1 to {MAX_DAYS} days.")
    key = key or Ed25519PrivateKey.generate()
    builder = end_certificate(identity.authority_certificate, key.public_key(), name, now, days)
    builder = builder.add_extension(x509.ExtendedKeyUsage(PURPOSES), critical=False).add_extension(
        x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False
    )
    certificate = builder.sign(identity.authority_key, None)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    until = int(certificate.not_valid_after_utc.timestamp())
    return pem + certificate.public_bytes(serialization.Encoding.PEM), Issued(certificate.serial_number, name, int(now.timestamp()), until)


def ends_soon(entry: Issued, now: dt.datetime) -> bool:
    """Return whether a certificate is in its last days, in which it is renewed: of one that is made for a short time those of its second half."""
    return entry.until - min(RENEWAL_DAYS * 86_400, (entry.until - entry.made) // 2) < now.timestamp()


def latest(entries: list[Issued]) -> dict[str, Issued]:
    """Return the newest certificate of each name that is not revoked."""
    return {entry.name: entry for entry in sorted(entries, key=lambda entry: entry.made) if entry.revoked is None}


def revoke(entries: list[Issued], name: str, now: dt.datetime) -> list[Issued]:
    """Return the register with all certificates of a name revoked, later than any before. Raises UsageError where none is good."""
    if not any(entry.name == name and entry.revoked is None for entry in entries):
        raise UsageError("There is no certificate of that name that is good; `voicebox cert list` prints all.")
    when = max(int(now.timestamp()), *(entry.revoked + 1 for entry in entries if entry.revoked is not None), 0)
    return [replace(entry, revoked=when) if entry.name == name and entry.revoked is None else entry for entry in entries]


def told_revoked(entries: list[Issued], now: dt.datetime) -> Revoked | None:
    """Return what the boxes of contacts are told: the certificates that were revoked and still run, of which there are more than MAX_TOLD the latest; None where there is none."""
    running = sorted((entry for entry in entries if entry.revoked is not None and entry.until >= now.timestamp()), key=lambda entry: -(entry.revoked or 0))
    return Revoked(running[0].revoked or 0, tuple(entry.serial for entry in running[:MAX_TOLD])) if running else None


def revocation_list(identity: Identity, entries: list[Issued], now: dt.datetime) -> bytes:
    """Return the list of revoked certificates (X.509 CRL, PEM), signed by the authority."""
    issuer = x509.load_der_x509_certificate(identity.authority_certificate).subject
    builder = x509.CertificateRevocationListBuilder().issuer_name(issuer).last_update(now).next_update(now + dt.timedelta(days=CRL_DAYS))
    for entry in entries:
        if entry.revoked is not None:
            when = dt.datetime.fromtimestamp(entry.revoked, dt.UTC)
            builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder().serial_number(entry.serial).revocation_date(when).build())
    return builder.sign(identity.authority_key, None).public_bytes(serialization.Encoding.PEM)


def verify_device(pem: bytes, authority: VerifiedAuthority, now: dt.datetime) -> VerifiedDevice:
    """Check the certificate of a device or service (PEM, a key beside it is not looked at). Raises HandshakeError with what is wrong."""
    try:
        der = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    except Exception:  # noqa: BLE001 - the library raises several types on malformed input, and all of them mean the same here
        raise HandshakeError("this is no certificate") from None
    return verify_device_der(der, authority, now)


def verify_device_der(der: bytes, authority: VerifiedAuthority, now: dt.datetime) -> VerifiedDevice:
    """Check the certificate of a device or service (DER), as it was shown. Raises HandshakeError with what is wrong."""
    certificate, _ = verify_end(der, authority, now, PURPOSES)
    try:
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except x509.ExtensionNotFound:
        names = []
    if len(names) != 1 or not isinstance(names[0], x509.DNSName) or not PETNAME.match(names[0].value):
        raise HandshakeError("a certificate is for other names than one of a device or service")
    return VerifiedDevice(names[0].value, certificate.serial_number, certificate.not_valid_after_utc)


def revoked_in(pem: bytes, authority: VerifiedAuthority, serial: int) -> dt.datetime | None:
    """Return when a certificate was revoked by a list (PEM) of its authority; None where the list does not have it. Raises HandshakeError where the list is another's, or none."""
    try:
        revoked = x509.load_pem_x509_crl(pem)
        good = revoked.is_signature_valid(authority.public_key)
        found = revoked.get_revoked_certificate_by_serial_number(serial)
    except (ValueError, TypeError):
        raise HandshakeError("this is no list of revoked certificates") from None
    if not good:
        raise HandshakeError("the list of revoked certificates is not of the same authority")
    return found.revocation_date_utc if found is not None else None


def serialise_register(entries: list[Issued], now: dt.datetime) -> str:
    """Return the register's text, without what has expired. Raises UsageError for too many."""
    kept = [entry for entry in entries if entry.until >= now.timestamp()]
    if len(kept) > MAX_ISSUED:
        raise UsageError(f"There are {MAX_ISSUED} certificates already, which is as many as are kept.")
    return "".join(f"{line}\n" for line in (HEADER, *(f"{e.serial:x} {e.name} {e.made} {e.until} {'-' if e.revoked is None else e.revoked}" for e in kept)))


def parse_register(text: str, path: str) -> list[Issued]:
    """Read what serialise_register() wrote. Raises FileProblem with the line."""
    lines = text.split("\n")
    if lines[0] != HEADER or lines[-1] != "" or len(lines) > MAX_ISSUED + 2:
        raise FileProblem(path, 1, "this is no register of certificates", HINT)
    entries = []
    for number, line in enumerate(lines[1:-1], 2):
        found = _LINE.match(line)
        if found is None or not PETNAME.match(found[2]):
            raise FileProblem(path, number, "should be a serial number, a name and three times", HINT)
        entries.append(Issued(int(found[1], 16), found[2], int(found[3]), int(found[4]), None if found[5] == "-" else int(found[5])))
    return entries
