"""RTP between the browser phone and its box."""

from __future__ import annotations

import pytest

from voicebox.browser.rtp import Packet, digit_payloads, parse_packet, serialise_packet


def test_packets_are_read_as_they_were_written() -> None:
    packet = Packet(96, True, 65_535, 0xFFFFFFFF, 7, b"\xf8sound")
    assert parse_packet(serialise_packet(packet)) == packet


def test_padding_extension_and_sources_are_no_payload() -> None:
    bare = serialise_packet(Packet(96, False, 1, 2, 3, b"sound"))
    longer = bytes([bare[0] | 0x31, *bare[1:12]]) + b"csrc" + b"\xbe\xde\x00\x01abcd" + b"sound" + b"\0\0\3"
    assert parse_packet(longer) == parse_packet(bare)


@pytest.mark.parametrize("octets", [b"", b"\x80" * 11, b"\x80" * 12, b"\x00" * 20, b"\x90" + b"\x60" * 12, b"\x8f" + b"\0" * 20, b"\xa0" + b"\xff" * 20])
def test_what_is_none_is_none(octets: bytes) -> None:
    assert parse_packet(octets) is None


def test_a_digit_is_said_for_160_ms_and_its_end_three_times() -> None:
    said = digit_payloads("#")
    assert {payload[0] for payload in said} == {11}
    assert [int.from_bytes(payload[2:], "big") for payload in said] == [160, 320, 480, 640, 800, 960, 1120, 1280, 1280, 1280, 1280]
    assert [payload[1] >> 7 for payload in said] == 8 * [0] + 3 * [1]
    for none in ("", "x", "11"):
        with pytest.raises(ValueError, match=r"digit|substring"):
            digit_payloads(none)
