"""The engine's DTLS-SRTP against OpenSSL and libsrtp, over sockets. Spec: RFC 5764."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import ssl
from pathlib import Path

import pytest
from pylibsrtp import Policy, Session

from tests.support.engine import wait_for
from tests.support.openssl import LOCAL, PROFILES, fingerprint_of, make_certificate, openssl
from tests.support.phones import free_port_block
from tests.voicebox.test_srtp import rtp
from voicebox.dataplane import LiveDataPlane, parse_event
from voicebox.errors import LocalError
from voicebox.media_ports import EngineMediaPort, EngineMediaPorts
from voicebox.sip.fingerprint import Fingerprint, Handshake

pytestmark = pytest.mark.system


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("phone"))


def media_port(plane: LiveDataPlane, phone_port: int, handshake: Handshake) -> EngineMediaPort:
    port = EngineMediaPorts(plane).open(LOCAL)
    assert len(port.fingerprint()) == 32
    assert port.fingerprint() is port.fingerprint()
    port.agree(handshake)
    port.set_remote(LOCAL, phone_port, 2, 8, 101, phone_port)
    port.set_direction(to_phone=True, from_phone=True)
    return port


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("active", [True, False], ids=["the box says hello", "the phone says hello"])
def test_keys_are_those_of_openssl_and_nothing_passes_without_them(
    plane: LiveDataPlane, certificate: Path, tmp_path: Path, profile: str, *, active: bool
) -> None:
    phone_port = free_port_block(2)
    handshake = Handshake(active, fingerprint_of(certificate, "sha-512" if active else "sha-256"))
    with contextlib.ExitStack() as stack:
        if active:
            phone = stack.enter_context(openssl(tmp_path, certificate, profile, phone_port, None))
            phone.said("(ACCEPT)")
            port = media_port(plane, phone_port, handshake)
        else:
            port = media_port(plane, phone_port, handshake)
            phone = stack.enter_context(openssl(tmp_path, certificate, profile, phone_port, port.rtp_port))
        assert phone.said(r"SRTP Extension negotiated, profile=(\S+)") == profile
        shown = phone.said(r"(?s)(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----)")
        assert hashlib.sha256(ssl.PEM_cert_to_DER_cert(shown)).digest() == port.fingerprint()
        first, second = phone.keys()
        check_sound(plane, port, profile, *((first, second) if active else (second, first)))
    assert plane.counters()["panics"] == 0


def check_sound(plane: LiveDataPlane, port: EngineMediaPort, profile: str, box_key: bytes, phone_key: bytes) -> None:
    """Let a phone that has the keys, on another port of its machine, be heard and hear; and nobody without them."""
    libsrtp, there = PROFILES[profile][2], (LOCAL, port.rtp_port)
    with socket.socket(type=socket.SOCK_DGRAM) as phone:
        phone.bind((LOCAL, 0))
        phone.settimeout(3)
        phone.sendto(rtp(1), there)
        wait_for(plane, "drop_srtp_forged", 1)
        sealed = Session(Policy(key=phone_key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=libsrtp)).protect(rtp(2))
        phone.sendto(sealed, there)
        phone.sendto(sealed, there)
        wait_for(plane, "drop_srtp_replayed", 1)
        port.play_digit(5, 100)
        opened = Session(Policy(key=box_key, ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=libsrtp)).unprotect(phone.recv(2_048))
        assert opened[1] & 0x7F == 101
        assert opened[12] == 5


def test_a_phone_with_another_certificate_is_told_and_nothing_is_sent(plane: LiveDataPlane, certificate: Path, tmp_path: Path) -> None:
    phone_port = free_port_block(2)
    with openssl(tmp_path, certificate, "SRTP_AES128_CM_SHA1_80", phone_port, None) as phone:
        phone.said("(ACCEPT)")
        port = media_port(plane, phone_port, Handshake(active=True, phone=Fingerprint("sha-256", bytes(32))))
        wait_for(plane, "media_handshakes_failed", 1)
        assert ("media_failed", port.reference) in plane.events()
        before = plane.counters()
        port.play_digit(5, 100)
        wait_for(plane, "drop_not_shaken", before["drop_not_shaken"] + 1)


def test_who_uses_a_port_is_told_that_its_handshake_failed(plane: LiveDataPlane) -> None:
    told: list[str] = []
    port, other = (EngineMediaPorts(plane).open(LOCAL) for _ in range(2))
    port.on_failed(lambda: told.append("this one"))
    other.on_failed(lambda: told.append("another"))
    plane._hand_on(parse_event(("media_failed", port.reference)), lambda event: told.append(repr(event)))
    port.close()
    plane._hand_on(parse_event(("media_failed", port.reference)), lambda event: told.append(repr(event)))
    assert told == ["this one"]


def test_before_the_handshake_nothing_leaves_and_nothing_is_heard(plane: LiveDataPlane, certificate: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as phone:
        phone.bind((LOCAL, 0))
        phone.settimeout(0.2)
        port = media_port(plane, phone.getsockname()[1], Handshake(active=False, phone=fingerprint_of(certificate)))
        phone.sendto(rtp(1), (LOCAL, port.rtp_port))
        wait_for(plane, "drop_not_shaken", 1)
        port.play_digit(5, 100)
        wait_for(plane, "drop_not_shaken", 2)
        with pytest.raises(TimeoutError):
            phone.recv(2_048)


def test_wrong_hashes_and_lengths_are_told(plane: LiveDataPlane) -> None:
    port = EngineMediaPorts(plane).open(LOCAL)
    for name, octets in (("sha-1", 20), ("sha-256", 31), ("md5", 16)):
        with pytest.raises(LocalError):
            port.agree(Handshake(active=True, phone=Fingerprint(name, bytes(octets))))
