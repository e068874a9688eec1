"""Captured frames as datagrams. Pure, apart from load_capture [io].

Reads pcap files with nanoseconds (as capture.py writes) or microseconds, link type Ethernet, IPv4 and IPv6, UDP and TCP; all else is passed
over, also fragments behind the first. One TCP segment is one datagram: on a loopback a SIP message is one segment.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from voicebox.errors import FileProblem

MAGICS = {0xA1B23C4D: 1, 0xA1B2C3D4: 1000}
"""Magic number -> nanoseconds per unit of the time's fraction."""
FILE_HEADER_OCTETS = 24
LINKTYPE_ETHERNET = 1
ETHERNET_OCTETS = 14
ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
PROTOCOL_TCP, PROTOCOL_UDP = 6, 17
IPV6_OCTETS = 40
MAX_FRAME_OCTETS = 1 << 18
NS_PER_S = 1_000_000_000


class Endpoint(NamedTuple):
    """An address and a port. Port 0 in a description means any."""

    address: str
    port: int


class Datagram(NamedTuple):
    """One datagram as it arrived. time_ns: nanoseconds of the kernel's clock; payload: of UDP or TCP."""

    time_ns: int
    protocol: int
    source: Endpoint
    destination: Endpoint
    payload: bytes


class _Endpoints:
    """Endpoints by their octets, each made once: a capture has hundreds of thousands of datagrams between a few."""

    def __init__(self) -> None:
        self._known: dict[bytes, Endpoint] = {}

    def __call__(self, address: bytes, port: bytes) -> Endpoint:
        key = address + port
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = Endpoint(str(ip_address(address)), int.from_bytes(port, "big"))
        return known


def parse_pcap(octets: bytes) -> Iterator[Datagram]:
    """Yield the datagrams of a pcap file in its order.

    A last record that was cut off is passed over. Raises ValueError where it is no pcap file that we can read.
    """
    if len(octets) < FILE_HEADER_OCTETS:
        raise ValueError("too short for a capture")
    order = "<" if struct.unpack_from("<I", octets)[0] in MAGICS else ">"
    magic = struct.unpack_from(order + "I", octets)[0]
    if magic not in MAGICS:
        raise ValueError("not a capture in pcap format")
    if struct.unpack_from(order + "I", octets, 20)[0] & 0xFFFF != LINKTYPE_ETHERNET:
        raise ValueError("a capture of another kind of link than Ethernet")
    return _records(octets, struct.Struct(order + "IIII"), MAGICS[magic])


def _records(octets: bytes, record: struct.Struct, unit_ns: int) -> Iterator[Datagram]:
    endpoints = _Endpoints()
    position, end = FILE_HEADER_OCTETS, len(octets)
    while position + record.size <= end:
        seconds, fraction, captured, _ = record.unpack_from(octets, position)
        position += record.size
        if captured > MAX_FRAME_OCTETS:
            raise ValueError("a record longer than any frame")
        if position + captured > end:
            return
        datagram = parse_frame(octets[position : position + captured], seconds * NS_PER_S + fraction * unit_ns, endpoints)
        position += captured
        if datagram is not None:
            yield datagram


def parse_frame(frame: bytes, time_ns: int, endpoints: _Endpoints | None = None) -> Datagram | None:
    """Return the UDP datagram or TCP segment in an Ethernet frame, or None where there is none."""
    endpoints = endpoints or _Endpoints()
    if len(frame) < ETHERNET_OCTETS + 20:
        return None
    ethertype = int.from_bytes(frame[12:14], "big")
    if ethertype == ETHERTYPE_IPV4:
        network = ETHERNET_OCTETS
        transport = network + 4 * (frame[network] & 0x0F)
        if int.from_bytes(frame[network + 6 : network + 8], "big") & 0x1FFF:
            return None
        protocol, source, destination = frame[network + 9], frame[network + 12 : network + 16], frame[network + 16 : network + 20]
        end = network + int.from_bytes(frame[network + 2 : network + 4], "big")
    elif ethertype == ETHERTYPE_IPV6 and len(frame) >= ETHERNET_OCTETS + IPV6_OCTETS:
        network = ETHERNET_OCTETS
        transport = network + IPV6_OCTETS
        protocol, source, destination = frame[network + 6], frame[network + 8 : network + 24], frame[network + 24 : network + 40]
        end = transport + int.from_bytes(frame[network + 4 : network + 6], "big")
    else:
        return None
    return _transport(frame[transport:end], protocol, endpoints, (source, destination), time_ns)


def _transport(segment: bytes, protocol: int, endpoints: _Endpoints, addresses: tuple[bytes, bytes], time_ns: int) -> Datagram | None:
    if protocol == PROTOCOL_UDP and len(segment) >= 8:
        payload = segment[8:]
    elif protocol == PROTOCOL_TCP and len(segment) >= 20:
        payload = segment[4 * (segment[12] >> 4) :]
    else:
        return None
    return Datagram(time_ns, protocol, endpoints(addresses[0], segment[0:2]), endpoints(addresses[1], segment[2:4]), payload)


def load_capture(path: Path, ends: Collection[str] = ()) -> list[Datagram]:
    """Return the datagrams of a capture file. ends: only those from or to one of these addresses. Raises FileProblem where it cannot be read."""
    try:
        datagrams = parse_pcap(path.read_bytes())
        return [each for each in datagrams if not ends or each.source.address in ends or each.destination.address in ends]
    except OSError as error:
        raise FileProblem(str(path), 0, f"cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise FileProblem(str(path), 0, str(error), "A capture is made with `voicebox demo --keep DIR`.") from None
