"""RTP that no good phone sends, at the engine's media ports: too long, from many sources, in a circle. Over sockets."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from pylibsrtp import Policy, Session

from tests.support.engine import wait_for
from voicebox.dataplane import LiveDataPlane
from voicebox.media_ports import EngineMediaPort, EngineMediaPorts
from voicebox.sensitive import Secret
from voicebox.sip.sdes import Protection, Suite

pytestmark = pytest.mark.system

LOCAL = "127.0.0.1"
PCMA, PAYLOAD_TYPE = 2, 8
SOUND = bytes(range(160))
MAX_SOURCES = 16
"""Of relay/srtp/src/flows.rs."""


def rtp(number: int, ssrc: int = 7, payload: bytes = SOUND) -> bytes:
    return (
        bytes([0x80, PAYLOAD_TYPE]) + (number & 0xFFFF).to_bytes(2, "big") + (160 * number & 0xFFFFFFFF).to_bytes(4, "big") + ssrc.to_bytes(4, "big") + payload
    )


@contextmanager
def two_phones(plane: LiveDataPlane) -> Iterator[tuple[socket.socket, socket.socket, EngineMediaPort, EngineMediaPort]]:
    """Two phones that hear each other, and their ports."""
    ports = EngineMediaPorts(plane)
    here, there = ports.open(LOCAL), ports.open(LOCAL)
    with socket.socket(type=socket.SOCK_DGRAM) as ann, socket.socket(type=socket.SOCK_DGRAM) as ben:
        for phone, port in ((ann, here), (ben, there)):
            phone.bind((LOCAL, 0))
            phone.settimeout(3)
            phone.connect((LOCAL, port.rtp_port))
            port.set_remote(LOCAL, phone.getsockname()[1], PCMA, PAYLOAD_TYPE, None)
            port.set_direction(to_phone=True, from_phone=True)
        here.join(there, PCMA)
        yield ann, ben, here, there
    assert plane.counters()["panics"] == 0


def heard(phone: socket.socket, many: int) -> list[bytes]:
    """Return so many packets that came to a phone."""
    packets: list[bytes] = []
    while len(packets) < many:
        packet = phone.recv(65_536)
        if not 192 <= packet[1] <= 223:
            packets.append(packet)
    return packets


@pytest.mark.parametrize("octets", [0, 1, 481, 1_500, 5_000, 60_000])
def test_packets_of_other_lengths_than_sound_has_are_dropped_and_counted(plane: LiveDataPlane, octets: int) -> None:
    with two_phones(plane) as (ann, ben, _, _):
        ann.send(rtp(1))
        ann.send(rtp(2, payload=b"x" * octets))
        ann.send(rtp(3))
        assert [packet[12:] for packet in heard(ben, 2)] == [SOUND, SOUND]
        wait_for(plane, "rtp_frame_size", 1)
        ben.settimeout(0.1)
        with pytest.raises(TimeoutError):
            heard(ben, 1)


def test_a_source_that_changes_with_each_packet_is_one_source_to_the_other_phone(plane: LiveDataPlane) -> None:
    dice = random.Random(1)
    with two_phones(plane) as (ann, ben, _, _):
        ann.send(rtp(0))
        first = heard(ben, 1)[0]
        for _ in range(500):
            ann.send(rtp(dice.randrange(1 << 16), dice.randrange(1 << 32)))
            packet = heard(ben, 1)[0]
            assert packet[8:12] == first[8:12], "the box's own source"
            assert packet[12:] == SOUND


def test_a_protected_phone_may_have_a_few_sources_and_then_no_more(plane: LiveDataPlane) -> None:
    suite, key = Suite.AES_CM_128_80, bytes(range(30))
    with two_phones(plane) as (ann, ben, here, _):
        here.protect(Protection(suite, Secret(bytes(30)), Secret(key)))
        sealed = Session(Policy(key=key, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=Policy.SRTP_PROFILE_AES128_CM_SHA1_80))
        for ssrc in range(1, MAX_SOURCES + 1):
            ann.send(sealed.protect(rtp(1, ssrc)))
            heard(ben, 1)
        ann.send(sealed.protect(rtp(1, MAX_SOURCES + 1)))
        wait_for(plane, "drop_srtp_exhausted", 1)
        ann.send(sealed.protect(rtp(2, MAX_SOURCES)))
        assert heard(ben, 1)[0][12:] == SOUND


def test_sound_that_is_to_come_back_to_the_box_goes_nowhere(plane: LiveDataPlane) -> None:
    """A phone that names the box's own port would have an echo that feeds itself, as fast as the machine can."""
    with two_phones(plane) as (ann, ben, here, there):
        for port, other in ((here, there), (there, here)):
            port.set_remote(LOCAL, other.rtp_port, PCMA, PAYLOAD_TYPE, None)
        here.join(here, PCMA)
        here.set_remote(LOCAL, here.rtp_port, PCMA, PAYLOAD_TYPE, None)
        before = plane.counters()
        for phone in (ann, ben):
            phone.send(rtp(1))
        wait_for(plane, "drop_media_stranger", before["drop_media_stranger"] + 2)
        time.sleep(0.1)
        after = plane.counters()
        assert after["receives"] - before["receives"] <= 4
        assert after["panics"] == 0


def test_a_phone_on_hold_as_old_ones_say_it_is_sent_nothing(plane: LiveDataPlane) -> None:
    with two_phones(plane) as (ann, ben, _, there):
        ann.send(rtp(1))
        heard(ben, 1)
        there.set_remote("0.0.0.0", ben.getsockname()[1], PCMA, PAYLOAD_TYPE, None)
        before = plane.counters()["drop_port_gone"]
        ann.send(rtp(2))
        wait_for(plane, "drop_port_gone", before + 1)
        ben.settimeout(0.1)
        with pytest.raises(TimeoutError):
            heard(ben, 1)
