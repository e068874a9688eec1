"""The authority for programs of this machine: what it may vouch for, as the TLS library sees it, and that it is made once."""

from __future__ import annotations

import datetime as dt
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from tests.support.tls_services import LOCAL, NOW, End, program_context
from voicebox.contacts.local_authority import AUTHORITY_DAYS, MAX_KEPT, SERVER_DAYS, new_local_authority, parse_local_authority
from voicebox.contacts.local_authority_file import LOCAL_AUTHORITY, local_authority
from voicebox.contacts.phone_authority import new_phone_tls
from voicebox.contacts.seal import LEAST_COST, new_seal
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem, HandshakeError
from voicebox.sensitive import Secret
from voicebox.sip.tls import server_context

DAY = dt.timedelta(days=1)


def handshake(name: str, shown: bytes, *, checks_host: bool = True) -> str | None:
    """Return why a program that trusts the authority does not take a certificate; None where it does."""
    context = program_context()
    context.check_hostname = checks_host
    program, server = End(context, name), End(server_context(shown), server=True)
    for _ in range(3):
        server.feed(program.take())
        program.feed(server.take())
    assert isinstance(program.error, ssl.SSLCertVerificationError | None)
    return program.error.verify_message if program.error is not None else None


def test_programs_take_the_name_that_was_asked_for_and_no_other() -> None:
    shown = LOCAL.server(("nas.alice.privacy",), NOW)
    assert handshake("nas.alice.privacy", shown) is None
    assert "Hostname mismatch" in str(handshake("alice.privacy", shown))
    assert handshake("alice.privacy.alt", LOCAL.server(("alice.privacy", "alice.privacy.alt"), NOW)) is None


@pytest.mark.parametrize("name", ["example.org", "privacy.example.org", "alice.privacy.example.org", "notprivacy", "localhost"])
def test_it_can_vouch_for_no_other_name_even_where_it_is_made_to(name: str) -> None:
    assert handshake(name, LOCAL.server((name,), NOW)) == "permitted subtree violation"


def test_it_is_for_servers_below_suffixes_and_for_no_address() -> None:
    certificate = LOCAL.certificate
    constraints = certificate.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("privacy"), x509.DNSName("privacy.alt")]
    assert [str(each.value) for each in constraints.value.excluded_subtrees or []] == ["0.0.0.0/0", "::/0"]
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (basic.ca, basic.path_length) == (True, 0)
    assert list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert key.curve.name == "secp256r1"
    assert b"PRIVATE" not in LOCAL.to_install


def test_a_servers_certificate_is_kept_for_its_days_and_not_for_ever() -> None:
    authority = parse_local_authority(new_local_authority((), NOW))
    first = authority.server(("a.privacy",), NOW)
    assert authority.server(("a.privacy",), NOW + (SERVER_DAYS - 2) * DAY) == first
    assert authority.server(("b.privacy",), NOW) != first
    second = authority.server(("a.privacy",), NOW + (SERVER_DAYS - 1) * DAY)
    assert second != first
    assert authority.server(("a.privacy",), NOW - DAY) != second, "the date was set back"
    present = authority.server(("a.privacy",), NOW)
    for number in range(MAX_KEPT):
        authority.server((f"a{number}.privacy",), NOW)
    assert authority.server(("a.privacy",), NOW) != present


def test_it_is_made_once_and_kept_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = StateDirectory(tmp_path)
    made = local_authority(store, ("privacy",), NOW)
    file = store.path(LOCAL_AUTHORITY)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert local_authority(store, ("privacy", "privacy.alt"), NOW + DAY).certificate == made.certificate
    assert local_authority(store, ("privacy",), NOW + (AUTHORITY_DAYS - 29) * DAY).certificate != made.certificate
    made = local_authority(store, ("home.arpa",), NOW)
    assert made.suffixes == {"home.arpa", "privacy", "privacy.alt"}
    assert local_authority(store, ("privacy",), NOW).suffixes == {"privacy", "privacy.alt"}, "it may not vouch for more than is answered"
    made = local_authority(store, ("privacy",), NOW)
    monkeypatch.setattr(new_seal, "__kwdefaults__", {"cost": LEAST_COST})
    store.seal(Secret(b"correct horse battery"))
    passphrase = tmp_path.with_name(f"{tmp_path.name}.words")
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("VOICEBOX_PASSPHRASE_FILE", str(passphrase))
    assert b"PRIVATE" not in file.read_bytes()
    assert local_authority(store, ("privacy",), NOW).certificate == made.certificate


@pytest.mark.parametrize("octets", [b"", b"x", LOCAL.to_install, new_phone_tls(("127.0.0.1",), NOW).authority])
def test_what_is_none_is_said_so_and_not_replaced(octets: bytes, tmp_path: Path) -> None:
    with pytest.raises(HandshakeError):
        parse_local_authority(octets)
    store = StateDirectory(tmp_path)
    store.write(LOCAL_AUTHORITY, octets)
    with pytest.raises(FileProblem, match="every browser"):
        local_authority(store, ("privacy",), NOW)
    assert store.path(LOCAL_AUTHORITY).read_bytes() == octets
