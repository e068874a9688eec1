"""What an RTP stream tells its receiver: RFC 3550 §5.1, A.1, A.3, A.8."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.probe.rtpstats import InterarrivalJitter, RtpPacket, SequenceSource, parse_rtp

PLAIN = bytes.fromhex("8088000100000002000000033132")


def test_a_plain_packet() -> None:
    assert parse_rtp(PLAIN) == RtpPacket(8, marker=True, sequence_number=1, rtp_timestamp=2, ssrc=3, payload=b"12")


def test_sources_extension_and_padding_are_no_payload() -> None:
    header = struct.pack(">BBHII", 0x80 | 0x20 | 0x10 | 2, 0, 7, 8, 9)
    packet = parse_rtp(header + bytes(8) + bytes.fromhex("bede0001") + bytes(4) + b"sound" + b"\0\0\3")
    assert packet is not None
    assert packet.payload == b"sound"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        PLAIN[:11],
        b"\x00" + PLAIN[1:],  # STUN: version 0
        PLAIN[:1] + b"\xc8" + PLAIN[2:],  # RTCP sender report, RFC 5761 §4
        b"\x8f" + PLAIN[1:],  # fifteen sources, none there
        b"\x90" + PLAIN[1:],  # an extension that is cut off
        b"\xa0" + PLAIN[1:-1] + b"\x00",  # padding of no octets
        b"\xa0" + PLAIN[1:-1] + b"\x04",  # padding longer than the payload
    ],
)
def test_what_is_no_rtp_is_none(octets: bytes) -> None:
    assert parse_rtp(octets) is None


@given(st.binary(max_size=64))
def test_any_octets_are_a_packet_or_none(octets: bytes) -> None:
    packet = parse_rtp(octets)
    assert packet is None or packet.payload in octets


def feed(numbers: list[int]) -> SequenceSource:
    source = SequenceSource()
    for number in numbers:
        source.receive(number)
    return source


def test_loss_is_counted_over_the_wrap() -> None:
    numbers = [(65500 + i) % 65536 for i in range(100) if i not in {3, 40, 41}]
    source = feed([65499, *numbers])
    assert (source.expected, source.lost) == (100, 3)


def test_disorder_is_no_loss_and_a_copy_is_counted_twice() -> None:
    assert feed([1, 2, 4, 3, 5, 6]).lost == 0
    assert feed([1, 2, 3, 3, 4]).lost == -1


def test_one_packet_is_no_source() -> None:
    assert feed([1]).expected == 0
    assert feed([1, 500]).expected == 0


def test_a_single_far_packet_is_no_restart_but_two_are() -> None:
    source = feed([1, 2, 3, 40000, 4])
    assert (source.expected, source.lost) == (3, 0)
    source = feed([1, 2, 3, 40000, 40001, 40002])
    assert (source.expected, source.received) == (2, 2)


def test_fraction_lost_is_of_the_last_interval() -> None:
    source = feed([0, 1, 2, 4])
    assert source.fraction_lost() == pytest.approx(1 / 4)
    for number in (5, 6, 7, 8):
        source.receive(number)
    assert source.fraction_lost() == 0
    assert source.fraction_lost() == 0


def test_jitter_of_even_packets_is_nothing_over_the_wrap_of_the_clock() -> None:
    jitter = InterarrivalJitter(8000)
    for i in range(500):
        jitter.receive(1_700_000_000 + i * 0.02, (2**32 - 1600 + i * 160) % 2**32)
    assert jitter.jitter_ms == pytest.approx(0, abs=1e-3)


def test_jitter_by_hand() -> None:
    """Transit differs by 16 units each time: J_n = J_{n-1} + (16 - J_{n-1}) / 16."""
    jitter = InterarrivalJitter(8000)
    estimate = 0.0
    for i in range(40):
        got = jitter.receive(i * 0.02 + (0.002 if i % 2 else 0), i * 160)
        if i:
            estimate += (16 - estimate) / 16
        assert got == pytest.approx(estimate / 8, abs=1e-6)
