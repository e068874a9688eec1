"""Services of contacts over TLS: which name a program asked for, and whether what the service showed is the contact's certificate for it. Pure: times are handed in.

    https://HOST.PETNAME.privacy/    the certificate names HOST
    https://PETNAME.privacy/         it names the service, as the contact's box lists it

The petname is this box's own and is told to nobody: the service is asked for that one label. Every cause has the alert (RFC 8446 §6.2) by which the program is refused. NOT here: TLS
(tls_flow.py), sockets (tls_ends.py). Spec: PROTOCOL.md §8.1, §8.9, §11.5.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from enum import Enum, unique
from ssl import AlertDescription

from cryptography import x509

from voicebox.contacts.contact import Contact
from voicebox.contacts.device_cert import VerifiedDevice, verify_device_der
from voicebox.contacts.identity import VerifiedAuthority
from voicebox.errors import HandshakeError, PolicyError

LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\Z")


@unique
class Cause(Enum):
    """Why a program's handshake is refused; the value is how status counts it."""

    NAME = "name"
    """It asked for a name that is not the contact's, or another one than it connected to."""
    CONTACT = "contact"
    """There are no calls with the contact any more."""
    FOREIGN = "foreign"
    """The certificate is none of the contact's authority, or for another purpose."""
    EXPIRED = "expired"
    """It was one, or will be."""
    REVOKED = "revoked"
    OTHER_NAME = "other_name"
    """It is the contact's, for another name."""
    OWN = "own"
    """This box has no certificate to show: its file is damaged, or its disk full."""


ALERTS = {
    Cause.NAME: AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME,
    Cause.CONTACT: AlertDescription.ALERT_DESCRIPTION_ACCESS_DENIED,
    Cause.FOREIGN: AlertDescription.ALERT_DESCRIPTION_UNKNOWN_CA,
    Cause.EXPIRED: AlertDescription.ALERT_DESCRIPTION_CERTIFICATE_EXPIRED,
    Cause.REVOKED: AlertDescription.ALERT_DESCRIPTION_CERTIFICATE_REVOKED,
    Cause.OTHER_NAME: AlertDescription.ALERT_DESCRIPTION_BAD_CERTIFICATE,
    Cause.OWN: AlertDescription.ALERT_DESCRIPTION_INTERNAL_ERROR,
}


class ServiceRefused(PolicyError):
    """A program is not led to a service over TLS."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(f"A service is not as it should be ({cause.value}).")
        self.cause = cause


@dataclass(frozen=True, slots=True)
class TlsService:
    """A contact's service that speaks TLS, as it was asked for. host: below the petname, "" for none, None where the way there (a forward) does not say."""

    petname: str = field(repr=False)
    service: str = field(repr=False)
    host: str | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class AskedName:
    """names: for which a certificate of this box is shown to the program; label: for which the service must show one."""

    names: tuple[str, ...] = field(repr=False)
    label: str = field(repr=False)


def asked_name(to: TlsService, told: str | None, suffixes: tuple[str, ...]) -> AskedName:
    """Return for which name a program is served. told: the name in its ClientHello (SNI), None where it has none. Raises ServiceRefused."""
    if told is None:
        stem = f"{to.host}.{to.petname}" if to.host else to.petname
        return AskedName(tuple(f"{stem}.{suffix}" for suffix in suffixes), to.host or to.service.lower())
    name = told.lower().removesuffix(".")
    for suffix in suffixes:
        host, dot, petname = name.removesuffix(f".{suffix}").rpartition(".")
        if name.endswith(f".{suffix}") and petname == to.petname and to.host in {None, host} and (not dot or LABEL.match(host)):
            return AskedName((name,), host or to.service.lower())
    raise ServiceRefused(Cause.NAME)


def check_service(der: bytes, label: str, contact: Contact | None, now: dt.datetime) -> VerifiedDevice:
    """Check the certificate that a contact's service showed (DER). contact: None where there are no calls with them. Raises ServiceRefused."""
    if contact is None:
        raise ServiceRefused(Cause.CONTACT)
    authority = contact.card.authority
    try:
        device = verify_device_der(der, authority, now)
    except HandshakeError:
        raise ServiceRefused(Cause.EXPIRED if _good_in_its_time(der, authority) else Cause.FOREIGN) from None
    if contact.revoked is not None and device.serial in contact.revoked.serials:
        raise ServiceRefused(Cause.REVOKED)
    if device.name != label:
        raise ServiceRefused(Cause.OTHER_NAME)
    return device


def _good_in_its_time(der: bytes, authority: VerifiedAuthority) -> bool:
    try:
        verify_device_der(der, authority, x509.load_der_x509_certificate(der).not_valid_after_utc)
    except Exception:  # noqa: BLE001 - the library raises a dozen types on malformed input, and all of them mean the same here
        return False
    return True
