"""Which name a program asked for, and every way in which a service's certificate is refused."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.tls_services import ALICE, BOB, NOW, SUFFIXES, contact
from voicebox.contacts.contact import Contact
from voicebox.contacts.device_cert import issue
from voicebox.contacts.identity import Identity
from voicebox.contacts.revoked import Revoked
from voicebox.streams.tls_checks import ALERTS, AskedName, Cause, ServiceRefused, TlsService, asked_name, check_service

DAY = dt.timedelta(days=1)
HOST, BARE, FORWARD = (TlsService("alice", "Web", host) for host in ("nas", "", None))


@pytest.mark.parametrize(
    ("to", "told", "name", "label"),
    [
        (HOST, "nas.alice.privacy", "nas.alice.privacy", "nas"),
        (HOST, "NAS.Alice.privacy.alt.", "nas.alice.privacy.alt", "nas"),
        (BARE, "alice.privacy", "alice.privacy", "web"),
        (FORWARD, "alice.privacy", "alice.privacy", "web"),
        (FORWARD, "tv.alice.privacy", "tv.alice.privacy", "tv"),
    ],
)
def test_a_program_is_served_for_exactly_the_name_that_it_asked_for(to: TlsService, told: str, name: str, label: str) -> None:
    assert asked_name(to, told, SUFFIXES) == AskedName((name,), label)


def test_a_program_that_says_no_name_is_served_for_where_it_connected_to() -> None:
    assert asked_name(HOST, None, SUFFIXES) == AskedName(("nas.alice.privacy", "nas.alice.privacy.alt"), "nas")
    assert asked_name(BARE, None, SUFFIXES) == asked_name(FORWARD, None, SUFFIXES) == AskedName(("alice.privacy", "alice.privacy.alt"), "web")


@pytest.mark.parametrize("to", [HOST, BARE, FORWARD])
@pytest.mark.parametrize(
    "told",
    ["", ".", "privacy", "bob.privacy", "nas.bob.privacy", "a.nas.alice.privacy", "-.alice.privacy", "*.alice.privacy", "alice.privacy.example.org", "alice",
     "alice.privacy..", "127.0.0.1", "example.org", "nas.alice.example.org", "alice-privacy", ".alice.privacy", "näs.alice.privacy", "xalice.privacy"],
)  # fmt: skip
def test_a_name_of_somebody_else_or_of_nobody_is_refused(to: TlsService, told: str) -> None:
    with pytest.raises(ServiceRefused) as refused:
        asked_name(to, told, SUFFIXES)
    assert refused.value.cause is Cause.NAME


@pytest.mark.parametrize(("to", "told"), [(HOST, "alice.privacy"), (HOST, "tv.alice.privacy"), (BARE, "nas.alice.privacy")])
def test_a_name_other_than_where_the_program_connected_to_is_refused(to: TlsService, told: str) -> None:
    with pytest.raises(ServiceRefused):
        asked_name(to, told, SUFFIXES)


def shown(name: str = "nas", identity: Identity = ALICE, made: dt.datetime = NOW, days: int = 30) -> tuple[bytes, int]:
    """Return a certificate as a service shows it, and its serial number."""
    pem, entry = issue(identity, name, made, days)
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER), entry.serial


def cause_of(der: bytes, whose: Contact | None, now: dt.datetime = NOW) -> Cause:
    with pytest.raises(ServiceRefused) as refused:
        check_service(der, "nas", whose, now)
    return refused.value.cause


def test_a_contacts_certificate_for_the_name_is_good() -> None:
    der, serial = shown()
    assert check_service(der, "nas", contact(), NOW).serial == serial
    other = replace(contact(), revoked=Revoked(1, (serial + 1,)))
    assert check_service(der, "nas", other, NOW).name == "nas"


def test_every_way_in_which_a_certificate_is_not_the_services() -> None:
    der, serial = shown()
    assert cause_of(der, None) is Cause.CONTACT
    assert cause_of(shown(identity=BOB)[0], contact()) is Cause.FOREIGN
    assert cause_of(ALICE.box_certificate, contact()) is Cause.FOREIGN
    assert cause_of(ALICE.authority_certificate, contact()) is Cause.FOREIGN
    assert cause_of(der, contact(), NOW + 31 * DAY) is Cause.EXPIRED
    assert cause_of(der, contact(), NOW - DAY) is Cause.EXPIRED
    assert cause_of(shown(identity=BOB)[0], contact(), NOW + 31 * DAY) is Cause.FOREIGN
    assert cause_of(der, replace(contact(), revoked=Revoked(1, (5, serial)))) is Cause.REVOKED
    assert cause_of(shown("tv")[0], contact()) is Cause.OTHER_NAME
    revoked = shown("tv")
    assert cause_of(revoked[0], replace(contact(), revoked=Revoked(1, (revoked[1],)))) is Cause.REVOKED


@pytest.mark.parametrize("der", [b"", b"\x30", bytes(3_000), b"\xff" * 100])
def test_what_is_no_certificate_is_foreign(der: bytes) -> None:
    assert cause_of(der, contact()) is Cause.FOREIGN


def test_a_flip_anywhere_is_refused() -> None:
    der, _ = shown()
    for at in range(len(der)):
        assert cause_of(der[:at] + bytes([der[at] ^ 1]) + der[at + 1 :], contact()) in {Cause.FOREIGN, Cause.EXPIRED}
    assert cause_of(der + b"\0", contact()) is Cause.FOREIGN


def test_every_cause_has_an_alert() -> None:
    assert set(ALERTS) == set(Cause)
    assert len(set(ALERTS.values())) == len(Cause)
