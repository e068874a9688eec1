"""Certificates of devices and services: what a contact's box takes, every way in which it refuses, and the register."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from collections.abc import Sequence
from pathlib import Path
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from voicebox.contacts.device_cert import (
    HEADER,
    MAX_DAYS,
    MAX_ISSUED,
    PURPOSES,
    Issued,
    checked_label,
    issue,
    latest,
    parse_register,
    revocation_list,
    revoke,
    revoked_in,
    serialise_register,
    verify_device,
)
from voicebox.contacts.device_certs import file_of, issue_to, load_register, renew_due, revoke_all_of
from voicebox.contacts.identity import Identity, VerifiedAuthority, box_certificate, end_certificate, new_identity, verify_authority, verify_box
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HandshakeError, UsageError

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
ANN, BOB = new_identity("Ann", NOW), new_identity("Ann", NOW)
"""Two who call themselves the same, so that nothing is told by that name."""


def authority(identity: Identity) -> VerifiedAuthority:
    return verify_authority(identity.authority_certificate, NOW)


def test_a_contact_sees_whose_it_is_and_until_when() -> None:
    pem, entry = issue(ANN, "printer", NOW, 100)
    device = verify_device(pem, authority(ANN), NOW)
    assert (device.name, device.serial, device.until) == ("printer", entry.serial, NOW + 100 * DAY)
    with pytest.raises(HandshakeError, match="signature"):
        verify_device(pem, authority(BOB), NOW)
    with pytest.raises(HandshakeError, match="expired"):
        verify_device(pem, authority(ANN), NOW + 101 * DAY)
    with pytest.raises(HandshakeError, match="not valid yet"):
        verify_device(pem, authority(ANN), NOW - DAY)


def test_a_tls_library_takes_key_and_chain(tmp_path: Path) -> None:
    """OpenSSL, as Python has it: a server of the house and a client that trusts the owner's authority, in memory."""
    pem, _ = issue(ANN, "printer", dt.datetime.now(dt.UTC))
    (tmp_path / "printer.pem").write_bytes(pem)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(tmp_path / "printer.pem")
    client.load_verify_locations(cadata=new_authority_pem(ANN))
    shake(client, server, "printer")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(client, server, "scanner")


def shake(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> None:
    """Carry a handshake of TLS through, in memory."""
    here, there = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [client.wrap_bio(here, there, server_hostname=name), server.wrap_bio(there, here, server_side=True)]
    for _ in range(10):
        for side in tuple(sides):
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
                sides.remove(side)
    assert sides == []


def new_authority_pem(identity: Identity) -> str:
    return x509.load_der_x509_certificate(identity.authority_certificate).public_bytes(Encoding.PEM).decode()


def made(names: Sequence[x509.GeneralName] | None, purposes: list[x509.ObjectIdentifier] | None) -> bytes:
    builder = end_certificate(ANN.authority_certificate, Ed25519PrivateKey.generate().public_key(), "printer", NOW, 10)
    if names is not None:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purposes is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
    return builder.sign(ANN.authority_key, None).public_bytes(Encoding.PEM)


def test_an_authority_speaks_for_one_label_and_no_name_of_others() -> None:
    assert verify_device(made([x509.DNSName("printer")], PURPOSES), authority(ANN), NOW).name == "printer"
    wrong: list[list[x509.GeneralName] | None] = [
        None,
        [x509.DNSName("bank.example")],
        [x509.DNSName("bob.privacy")],
        [x509.DNSName("*")],
        [x509.DNSName("printer"), x509.DNSName("scanner")],
        [x509.RFC822Name("me@bank.example")],
    ]
    for names in wrong:
        with pytest.raises(HandshakeError, match="other names"):
            verify_device(made(names, PURPOSES), authority(ANN), NOW)
    for purposes in ([ExtendedKeyUsageOID.SERVER_AUTH], [*PURPOSES, ExtendedKeyUsageOID.CODE_SIGNING]):
        with pytest.raises(HandshakeError, match="another purpose"):
            verify_device(made([x509.DNSName("printer")], purposes), authority(ANN), NOW)
    with pytest.raises(HandshakeError, match="lacks"):
        verify_device(made([x509.DNSName("printer")], None), authority(ANN), NOW)


def test_a_device_is_no_box_and_a_box_no_device() -> None:
    pem, _ = issue(ANN, "printer", NOW)
    with pytest.raises(HandshakeError, match="another purpose"):
        verify_box(x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER), authority(ANN), NOW)
    box = box_certificate(ANN.authority_key, ANN.authority_certificate, ANN.box_key, NOW)
    with pytest.raises(HandshakeError, match="another purpose"):
        verify_device(x509.load_der_x509_certificate(box).public_bytes(Encoding.PEM), authority(ANN), NOW)
    with pytest.raises(HandshakeError, match="no certificate"):
        verify_device(b"nothing", authority(ANN), NOW)


def test_a_flip_anywhere_in_a_certificate_is_refused() -> None:
    der = x509.load_pem_x509_certificate(issue(ANN, "printer", NOW)[0]).public_bytes(Encoding.DER)
    for place in range(len(der)):
        flipped = bytearray(der)
        flipped[place] ^= 1 << place % 8
        pem = ssl.DER_cert_to_PEM_cert(bytes(flipped)).encode()
        with pytest.raises(HandshakeError):
            verify_device(pem, authority(ANN), NOW)


def test_revoked_ones_are_in_the_list_of_their_authority_alone() -> None:
    entries = [issue(ANN, name, NOW)[1] for name in ("printer", "printer", "door")]
    entries = revoke(entries, "printer", NOW + DAY)
    told = revocation_list(ANN, entries, NOW + DAY)
    assert [revoked_in(told, authority(ANN), entry.serial) for entry in entries] == [NOW + DAY, NOW + DAY, None]
    with pytest.raises(HandshakeError, match="same authority"):
        revoked_in(told, authority(BOB), entries[0].serial)
    with pytest.raises(HandshakeError, match="no list"):
        revoked_in(told[:200], authority(ANN), entries[0].serial)
    assert list(latest(entries)) == ["door"]
    with pytest.raises(UsageError, match="no certificate of that name"):
        revoke(entries, "printer", NOW)


@pytest.mark.parametrize("name", ["", "a.b", "-a", "a" * 33, "ä", "a b", "../a"])
def test_names_are_one_label(name: str) -> None:
    with pytest.raises(UsageError):
        checked_label(name)


def test_days_have_bounds() -> None:
    for days in (0, -1, MAX_DAYS + 1):
        with pytest.raises(UsageError):
            issue(ANN, "printer", NOW, days)


# ---------------------------------------------------------------------------------------------------------------- disk


@pytest.fixture
def store(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path)


def test_what_is_issued_again_keeps_its_key_and_what_was_revoked_does_not(store: StateDirectory) -> None:
    def key() -> bytes:
        found = load_pem_private_key(store.read(file_of("printer")), None)
        assert isinstance(found, Ed25519PrivateKey)
        return found.private_bytes_raw()

    first = issue_to(store, ANN, "Printer", NOW)
    before = key()
    second = issue_to(store, ANN, "printer", NOW + DAY)
    assert (key(), second.serial != first.serial) == (before, True)
    revoke_all_of(store, "printer", NOW + DAY)
    assert not store.exists(file_of("printer"))
    assert [entry.revoked is not None for entry in load_register(store)] == [True, True]
    issue_to(store, ANN, "printer", NOW + 2 * DAY)
    assert key() != before
    assert store.path(file_of("printer")).stat().st_mode & 0o077 == 0


def test_a_certificate_is_renewed_in_its_last_month_for_as_long_as_before(store: StateDirectory) -> None:
    issue_to(store, ANN, "printer", NOW, 90)
    issue_to(store, ANN, "door", NOW, 365)
    issue_to(store, ANN, "old", NOW, 40)
    revoke_all_of(store, "old", NOW)
    assert renew_due(store, ANN, NOW + 59 * DAY) == []
    (entry,) = renew_due(store, ANN, NOW + 61 * DAY)
    assert (entry.name, round((entry.until - entry.made) / 86_400)) == ("printer", 90)
    assert renew_due(store, ANN, NOW + 62 * DAY) == []
    assert verify_device(store.read(file_of("printer")), authority(ANN), NOW + 140 * DAY).name == "printer"
    store.remove(file_of("printer"))
    assert renew_due(store, ANN, NOW + 140 * DAY) == [], "whose key is gone from the box is not wanted any more"


def test_a_certificate_for_a_short_time_is_not_renewed_each_day(store: StateDirectory) -> None:
    issue_to(store, ANN, "printer", NOW, 20)
    assert renew_due(store, ANN, NOW + 9 * DAY) == []
    (entry,) = renew_due(store, ANN, NOW + 11 * DAY)
    assert round((entry.until - entry.made) / 86_400) == 20
    assert renew_due(store, ANN, NOW + 12 * DAY) == []


def test_the_register_forgets_what_expired_and_has_a_bound(store: StateDirectory) -> None:
    issue_to(store, ANN, "printer", NOW, 10)
    issue_to(store, ANN, "door", NOW + 20 * DAY, 10)
    assert [entry.name for entry in load_register(store)] == ["door"]
    many = [Issued(number, "door", 0, 2**33) for number in range(MAX_ISSUED + 1)]
    with pytest.raises(UsageError, match="as many as are kept"):
        serialise_register(many, NOW)
    assert parse_register(serialise_register(many[1:], NOW), "issued") == many[1:]


def test_any_register_is_read_or_refused(fuzz_inputs: int) -> None:
    good = serialise_register([Issued(0xA1, "door", 1, 2**33, 5), Issued(7, "printer", 2, 2**33)], NOW)
    assert parse_register(good, "issued") == [Issued(0xA1, "door", 1, 2**33, 5), Issued(7, "printer", 2, 2**33)]
    dice, refused = Random(3), 0
    for _ in range(fuzz_inputs):
        text = list(good)
        for _ in range(dice.randrange(1, 4)):
            text[dice.randrange(len(text))] = chr(dice.choice([10, 32, 45, 48, 57, 97, 122, 233]))
        try:
            entries = parse_register("".join(text), "issued")
            assert all(entry.name for entry in entries)
        except FileProblem:
            refused += 1
    assert refused > 0
    with pytest.raises(FileProblem):
        parse_register(HEADER, "issued")
