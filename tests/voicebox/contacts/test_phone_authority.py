"""The authority that phones are told, and what it vouches for."""

from __future__ import annotations

import datetime as dt
import ipaddress
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from voicebox.contacts.phone_authority import AUTHORITY_DAYS, SERVER_DAYS, PhoneTls, kept_phone_tls, new_phone_tls
from voicebox.contacts.store import PHONE_AUTHORITY, PHONE_SERVER, StateDirectory
from voicebox.errors import FileProblem, HandshakeError

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
HOME = ("192.168.1.10", "fd00::10")


def names(certificate: x509.Certificate) -> tuple[set[object], set[object]]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(found.get_values_for_type(x509.IPAddress)), set(found.get_values_for_type(x509.DNSName))


def test_the_certificate_names_each_address_in_both_ways() -> None:
    """linphone's mbedTLS compares an address with DNS names only."""
    made = new_phone_tls(HOME, NOW)
    server, authority = x509.load_pem_x509_certificate(made.server), x509.load_pem_x509_certificate(made.to_install)
    assert names(server) == ({ipaddress.ip_address(address) for address in HOME}, set(HOME))
    server.verify_directly_issued_by(authority)
    assert isinstance(server.public_key(), ec.EllipticCurvePublicKey)
    assert not server.extensions.get_extension_for_class(x509.BasicConstraints).value.ca


def test_what_is_installed_holds_no_key_and_vouches_for_no_other_name() -> None:
    made = new_phone_tls(HOME, NOW)
    assert made.to_install.count(b"-----BEGIN") == 1
    authority = x509.load_pem_x509_certificate(made.to_install)
    constraints = authority.extensions.get_extension_for_class(x509.NameConstraints)
    assert not constraints.critical, "mbedTLS refuses critical extensions that it does not know"
    assert constraints.value.permitted_subtrees == [x509.DNSName(address) for address in HOME], "OpenSSL 1.0.2 refuses constraints of addresses"


def test_nothing_in_it_is_of_the_owners_identity() -> None:
    text = x509.load_pem_x509_certificate(new_phone_tls(HOME, NOW).to_install)
    assert text.subject == text.issuer == x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "voicebox for phones")])


def test_it_is_kept_and_the_servers_part_renewed_in_time() -> None:
    made = new_phone_tls(HOME, NOW)
    assert kept_phone_tls(made, HOME, NOW + dt.timedelta(days=SERVER_DAYS - 31)) == made
    later = NOW + dt.timedelta(days=SERVER_DAYS - 29)
    renewed = kept_phone_tls(made, HOME, later)
    assert renewed is not None
    assert renewed.authority == made.authority
    assert x509.load_pem_x509_certificate(renewed.server).not_valid_after_utc > later + dt.timedelta(days=300)
    assert kept_phone_tls(PhoneTls(made.authority, b"damaged"), HOME, NOW) is not None
    assert kept_phone_tls(PhoneTls(made.authority, new_phone_tls(HOME, NOW).server), HOME, NOW) != made


def test_other_addresses_and_an_end_that_is_near_want_another_authority() -> None:
    made = new_phone_tls(HOME, NOW)
    assert kept_phone_tls(made, ("192.168.1.11", "fd00::10"), NOW) is None
    assert kept_phone_tls(made, HOME[:1], NOW) is None
    assert kept_phone_tls(made, HOME, NOW + dt.timedelta(days=AUTHORITY_DAYS - 29)) is None
    assert kept_phone_tls(made, HOME, NOW - dt.timedelta(days=1)) is None


def test_a_damaged_authority_is_told() -> None:
    made, other = new_phone_tls(HOME, NOW), new_phone_tls(HOME, NOW)
    for damaged in (b"", b"x", made.to_install, other.authority[: other.authority.index(b"-----BEGIN CERT")] + made.to_install):
        with pytest.raises(HandshakeError):
            kept_phone_tls(PhoneTls(damaged, made.server), HOME, NOW)


def test_files_are_made_once_and_private(tmp_path: Path) -> None:
    store = StateDirectory(tmp_path)
    made = store.renew_phone_tls(HOME, NOW)
    assert store.renew_phone_tls(HOME, NOW) == made
    for name in (PHONE_AUTHORITY, PHONE_SERVER):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    store.path(PHONE_SERVER).unlink()
    again = store.renew_phone_tls(HOME, NOW)
    assert (again.authority, again.server != made.server) == (made.authority, True)
    store.path(PHONE_AUTHORITY).write_bytes(b"damaged")
    with pytest.raises(FileProblem, match="tls/authority"):
        store.renew_phone_tls(HOME, NOW)
