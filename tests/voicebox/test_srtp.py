"""The engine's SRTP against libsrtp, in both directions and over sockets. Spec: RFC 3711, RFC 7714."""

from __future__ import annotations

import random
import socket

import pytest
from pylibsrtp import Error, Policy, Session

from tests.support.engine import wait_for
from voicebox._relay import Srtp
from voicebox.dataplane import LiveDataPlane
from voicebox.errors import LocalError
from voicebox.media_ports import EngineMediaPort, EngineMediaPorts
from voicebox.sensitive import Secret
from voicebox.sip.sdes import Protection, Suite

LOCAL = "127.0.0.1"
PROFILES = {
    Suite.AES_CM_128_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    Suite.AES_CM_128_32: Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
    Suite.AEAD_AES_128: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    Suite.AEAD_AES_256: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}
SSRC = 0x5501A0B2
STEP = 997
"""From one packet to the next where numbers are to wrap soon: less than half of all numbers."""


def rtp(number: int, payload: bytes = bytes(range(160)), payload_type: int = 8) -> bytes:
    """Return an RTP packet; number: the sequence number, modulo 2^16."""
    head = bytes([0x80, payload_type]) + (number & 0xFFFF).to_bytes(2, "big") + (160 * number & 0xFFFFFFFF).to_bytes(4, "big")
    return head + SSRC.to_bytes(4, "big") + payload


def report() -> bytes:
    """Return an RTCP sender report without blocks. Spec: RFC 3550 §6.4.1."""
    return bytes([0x80, 200, 0, 6]) + SSRC.to_bytes(4, "big") + bytes(range(20))


def keys(suite: Suite) -> tuple[bytes, bytes]:
    """Return what the box sends under, and the phone."""
    return bytes(range(1, 1 + suite.key_octets)), bytes(range(101, 101 + suite.key_octets))


def libsrtp(suite: Suite, key: bytes, direction: int) -> Session:
    return Session(Policy(key=key, ssrc_type=direction, srtp_profile=PROFILES[suite]))


@pytest.fixture(params=list(Suite))
def suite(request: pytest.FixtureRequest) -> Suite:
    assert isinstance(request.param, Suite)
    return request.param


def test_libsrtp_understands_what_is_sent_while_numbers_wrap(suite: Suite) -> None:
    ours, theirs = keys(suite)
    box, phone = Srtp(suite.value, ours, theirs), libsrtp(suite, ours, Policy.SSRC_ANY_INBOUND)
    for turn in range(300):
        packet = rtp(20_000 + STEP * turn)
        sealed = box.protect(packet)
        assert sealed is not None
        assert packet[12:] not in sealed
        assert phone.unprotect(sealed) == packet
        if turn % 50 == 0:
            sealed = box.protect(report())
            assert sealed is not None
            assert phone.unprotect_rtcp(sealed) == report()
    assert 20_000 + STEP * 300 > 4 << 16


def test_what_libsrtp_sends_is_understood_while_numbers_wrap_and_packets_are_lost_repeated_and_late(suite: Suite) -> None:
    ours, theirs = keys(suite)
    box, phone = Srtp(suite.value, ours, theirs), libsrtp(suite, theirs, Policy.SSRC_ANY_OUTBOUND)
    rng, late = random.Random(1), []
    for number in [20_000 + STEP * turn for turn in range(45)] + list(range(65_400, 65_700)):
        packet = rtp(number)
        sealed = phone.protect(packet)
        fate = rng.random()
        if fate < 0.2:
            continue
        if fate < 0.4:
            late.append((sealed, packet))
            continue
        assert box.unprotect(sealed) == packet
        assert box.unprotect(sealed) is None, "twice"
        if number >= 65_400 and late and rng.random() < 0.5:
            held, held_packet = late.pop()
            assert box.unprotect(held) in {held_packet, None}, "late by more than the window, or taken"
    for _ in range(3):
        sealed = phone.protect_rtcp(report())
        assert box.unprotect(sealed) == report()
        assert box.unprotect(sealed) is None


def test_headers_with_extension_and_sources_stay_in_the_clear(suite: Suite) -> None:
    ours, theirs = keys(suite)
    box = Srtp(suite.value, ours, theirs)
    head = bytes([0x92, 8, 0, 1]) + bytes(4) + SSRC.to_bytes(4, "big") + b"two sour" + b"\xbe\xde\x00\x01exts"
    sealed = box.protect(head + b"sound")
    assert sealed is not None
    assert sealed.startswith(head)
    assert libsrtp(suite, ours, Policy.SSRC_ANY_INBOUND).unprotect(sealed) == head + b"sound"
    assert box.unprotect(libsrtp(suite, theirs, Policy.SSRC_ANY_OUTBOUND).protect(head + b"sound")) == head + b"sound"


def test_a_key_that_is_not_the_phones_opens_nothing(suite: Suite) -> None:
    ours, theirs = keys(suite)
    box = Srtp(suite.value, ours, theirs)
    assert box.unprotect(libsrtp(suite, ours, Policy.SSRC_ANY_OUTBOUND).protect(rtp(1))) is None
    sealed = box.protect(rtp(1))
    assert sealed is not None
    with pytest.raises(Error):
        libsrtp(suite, theirs, Policy.SSRC_ANY_INBOUND).unprotect(sealed)


def test_random_octets_are_dropped(fuzz_inputs: int) -> None:
    box, rng = Srtp(Suite.AES_CM_128_80.value, *keys(Suite.AES_CM_128_80)), random.Random(7)
    for _ in range(min(fuzz_inputs, 200_000)):
        octets = bytes([0x80 | rng.randrange(64), rng.randrange(256)]) + rng.randbytes(rng.randrange(80))
        assert box.unprotect(octets) is None


# ------------------------------------------------------------------------------------------------------- the media port


def protected_port(plane: LiveDataPlane, suite: Suite, phone: socket.socket) -> EngineMediaPort:
    phone.bind((LOCAL, 0))
    phone.settimeout(3)
    port = EngineMediaPorts(plane).open(LOCAL)
    ours, theirs = keys(suite)
    port.protect(Protection(suite, Secret(ours), Secret(theirs)))
    port.set_remote(LOCAL, phone.getsockname()[1], 2, 8, 101, phone.getsockname()[1])
    port.set_direction(to_phone=True, from_phone=True)
    return port


@pytest.mark.system
def test_a_media_port_speaks_srtp_with_a_phone_and_takes_nothing_else(plane: LiveDataPlane, suite: Suite) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as phone:
        port = protected_port(plane, suite, phone)
        ours, theirs = keys(suite)
        there = (LOCAL, port.rtp_port)
        phone.sendto(rtp(1), there)
        wait_for(plane, "drop_srtp_forged", 1)
        sealed = libsrtp(suite, theirs, Policy.SSRC_ANY_OUTBOUND)
        packet = sealed.protect(rtp(2))
        phone.sendto(packet, there)
        phone.sendto(packet, there)
        wait_for(plane, "drop_srtp_replayed", 1)
        before = plane.counters()["rtcp_in"]
        phone.sendto(sealed.protect_rtcp(report()), there)
        wait_for(plane, "rtcp_in", before + 1)
        port.play_digit(5, 100)
        heard: list[bytes] = []
        opener = libsrtp(suite, ours, Policy.SSRC_ANY_INBOUND)
        while not heard or not heard[-1][13] & 0x80:
            octets = phone.recv(2_048)
            assert len(octets) > 12 + 4
            heard.append(opener.unprotect(octets))
        assert {packet[1] & 0x7F for packet in heard} == {101}
        assert {packet[12] for packet in heard} == {5}
        assert int.from_bytes(heard[0][2:4], "big") < 1 << 15, "the first number leaves room before it wraps"
        port.close()
        assert plane.counters()["panics"] == 0


@pytest.mark.system
def test_a_media_ports_reports_are_protected_and_go_where_the_phone_wants_them(plane: LiveDataPlane) -> None:
    """The first comes after 2.5 s."""
    suite = Suite.AES_CM_128_80
    with socket.socket(type=socket.SOCK_DGRAM) as phone:
        protected_port(plane, suite, phone)
        phone.settimeout(5)
        opened = libsrtp(suite, keys(suite)[0], Policy.SSRC_ANY_INBOUND).unprotect_rtcp(phone.recv(2_048))
        assert opened[1] == 201, "an empty receiver report: nothing was sent"


@pytest.mark.system
def test_wrong_suites_and_keys_are_told(plane: LiveDataPlane) -> None:
    reference = EngineMediaPorts(plane).open(LOCAL).reference
    for name, send, receive in (("AES_CM_128_HMAC_SHA1_80", 30, 29), ("AES_CM_128_HMAC_SHA1_80", 44, 30), ("F8_128_HMAC_SHA1_80", 30, 30)):
        with pytest.raises(LocalError):
            plane.media_protect(reference, name, bytes(send), bytes(receive))
        with pytest.raises(LocalError):
            Srtp(name, bytes(send), bytes(receive))
