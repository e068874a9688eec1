"""Captured frames as datagrams, and what is said about a damaged capture."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.demo.datagrams import PROTOCOL_TCP, PROTOCOL_UDP, Endpoint, load_capture, parse_frame, parse_pcap
from voicebox.errors import FileProblem


def udp_frame(source: Endpoint, destination: Endpoint, payload: bytes, trailer: bytes = b"") -> bytes:
    """Return an Ethernet frame with a UDP datagram; trailer: what Ethernet appends to short frames."""
    addresses = ip_address(source.address).packed + ip_address(destination.address).packed
    udp = struct.pack(">HHHH", source.port, destination.port, 8 + len(payload), 0) + payload
    if len(addresses) == 8:
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0x4000, 64, 17, 0) + addresses
        return bytes(12) + b"\x08\x00" + ip + udp + trailer
    return bytes(12) + b"\x86\xdd" + struct.pack(">IHBB", 6 << 28, len(udp), 17, 64) + addresses + udp + trailer


def pcap(frames: list[tuple[int, bytes]], magic: int = 0xA1B23C4D, unit_ns: int = 1, order: str = "<") -> bytes:
    """Return a capture of (time in nanoseconds, frame)."""
    records = (struct.pack(order + "IIII", t // 10**9, t % 10**9 // unit_ns, len(frame), len(frame)) + frame for t, frame in frames)
    return struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, 1) + b"".join(records)


A, B = Endpoint("127.0.0.1", 5060), Endpoint("127.0.0.2", 7000)
A6, B6 = Endpoint("::1", 5060), Endpoint("fd00::2", 7000)


@pytest.mark.parametrize(("source", "destination"), [(A, B), (A6, B6)])
def test_a_datagram_is_found_without_the_padding_of_its_frame(source: Endpoint, destination: Endpoint) -> None:
    found = parse_frame(udp_frame(source, destination, b"hello", trailer=bytes(20)), 7)
    assert found == (7, PROTOCOL_UDP, source, destination, b"hello")


def test_a_tcp_segment_is_found_behind_its_options() -> None:
    tcp = struct.pack(">HHIIBBHHH", 1, 2, 0, 0, 6 << 4, 0x18, 0, 0, 0) + bytes(4) + b"SIP"
    frame = udp_frame(A, B, b"")[:14] + struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0, 64, 6, 0) + ip_address("10.0.0.1").packed * 2 + tcp
    found = parse_frame(frame, 0)
    assert found is not None
    assert (found.protocol, found.source.port, found.payload) == (PROTOCOL_TCP, 1, b"SIP")


def test_fragments_and_other_protocols_are_passed_over() -> None:
    frame = udp_frame(A, B, b"hello")
    assert parse_frame(frame[:20] + b"\x00\x01" + frame[22:], 0) is None
    assert parse_frame(frame[:23] + b"\x01" + frame[24:], 0) is None
    assert parse_frame(frame[:12] + b"\x08\x06" + frame[14:], 0) is None


@pytest.mark.parametrize(("magic", "unit_ns"), [(0xA1B23C4D, 1), (0xA1B2C3D4, 1000)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_kinds_of_pcap_in_both_orders(magic: int, unit_ns: int, order: str) -> None:
    times = [1_700_000_000_000_001_000, 1_700_000_001_999_999_000]
    found = list(parse_pcap(pcap([(time, udp_frame(A, B, b"x")) for time in times], magic, unit_ns, order)))
    assert [datagram.time_ns for datagram in found] == times


def test_a_record_that_was_cut_off_ends_the_capture() -> None:
    octets = pcap([(1, udp_frame(A, B, b"one")), (2, udp_frame(A, B, b"two"))])
    assert [datagram.payload for datagram in parse_pcap(octets[:-1])] == [b"one"]


def test_a_file_that_is_no_capture_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"nothing of the kind, but long enough")
    with pytest.raises(FileProblem, match="not a capture"):
        load_capture(tmp_path / "x")
    with pytest.raises(FileProblem, match="cannot be read"):
        load_capture(tmp_path / "none")
    (tmp_path / "y").write_bytes(pcap([])[:-4] + struct.pack("<I", 113))
    with pytest.raises(FileProblem, match="Ethernet"):
        load_capture(tmp_path / "y")
    (tmp_path / "z").write_bytes(pcap([]) + struct.pack("<IIII", 0, 0, 1 << 30, 1 << 30))
    with pytest.raises(FileProblem, match="longer than any frame"):
        load_capture(tmp_path / "z")


@given(st.binary(max_size=120))
def test_any_frame_is_a_datagram_or_none(octets: bytes) -> None:
    for ethertype in (b"\x08\x00", b"\x86\xdd"):
        parse_frame(bytes(12) + ethertype + octets, 0)
    with contextlib.suppress(ValueError):
        list(parse_pcap(pcap([]) + octets))
