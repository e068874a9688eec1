"""The name server over UDP and TCP: in pieces, several on one connection, too many, and what is said to nobody."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator

import pytest
from dnslib import DNSRecord

from voicebox.config.model import Endpoint
from voicebox.errors import HostError
from voicebox.naming.server import MAX_CONNECTIONS, NameServer
from voicebox.naming.virtual import new_addresses
from voicebox.naming.zone import Zone

QUERY = bytes(DNSRecord.question("bob.privacy").pack())
FRAMED = len(QUERY).to_bytes(2) + QUERY


@pytest.fixture
async def place() -> AsyncIterator[Endpoint]:
    zone = Zone(("privacy",), new_addresses(bytes(5), random.Random(1).randrange), None)
    zone.use(frozenset({"bob"}), loopback=True)
    server = NameServer(zone)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
        free.bind(("127.0.0.1", 0))
        endpoint = Endpoint("127.0.0.1", free.getsockname()[1])
    await server.start([endpoint])
    yield endpoint
    await server.stop()
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection(endpoint.address, endpoint.port)


async def by_udp(place: Endpoint, *queries: bytes) -> bytes:
    """Send datagrams, and return the first answer."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.setblocking(False)
        asker.connect((place.address, place.port))
        for query in queries:
            asker.send(query)
        return await asyncio.wait_for(loop.sock_recv(asker, 4_096), 10)


async def framed_answer(reader: asyncio.StreamReader) -> DNSRecord:
    octets = struct.unpack("!H", await asyncio.wait_for(reader.readexactly(2), 10))[0]
    return DNSRecord.parse(await asyncio.wait_for(reader.readexactly(octets), 10))


async def test_over_udp_also_behind_what_gets_no_answer(place: Endpoint) -> None:
    answer = DNSRecord.parse(await by_udp(place, b"", b"junk", QUERY[:2] + b"\x80" + QUERY[3:], QUERY))
    assert (answer.header.id, len(answer.rr)) == (DNSRecord.parse(QUERY).header.id, 1)


async def test_over_tcp_in_single_octets_and_several_at_once(place: Endpoint) -> None:
    reader, writer = await asyncio.open_connection(place.address, place.port)
    for octet in FRAMED:
        writer.write(bytes([octet]))
        await writer.drain()
        await asyncio.sleep(0)
    assert len((await framed_answer(reader)).rr) == 1
    writer.write(FRAMED * 3)
    assert [len((await framed_answer(reader)).rr) for _ in range(3)] == [1, 1, 1]
    writer.write(b"\x00\x05junk!")
    assert await asyncio.wait_for(reader.read(), 10) == b"", "what is no query ends the connection"
    writer.close()


async def test_what_is_too_long_for_a_query_ends_the_connection(place: Endpoint) -> None:
    reader, writer = await asyncio.open_connection(place.address, place.port)
    writer.write(FRAMED + (4_097).to_bytes(2))
    assert (await framed_answer(reader)).rr
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


async def test_connections_are_bounded_and_one_that_ends_makes_room(place: Endpoint) -> None:
    there = [await asyncio.open_connection(place.address, place.port) for _ in range(MAX_CONNECTIONS)]
    for _, writer in there:
        writer.write(FRAMED)
    for reader, _ in there:
        assert (await framed_answer(reader)).rr
    reader, writer = await asyncio.open_connection(place.address, place.port)
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    assert len(await by_udp(place, QUERY)) > 40, "datagrams are answered meanwhile"
    for _, other in there[:8]:
        other.close()
    said = b""
    for _ in range(200):
        reader, writer = await asyncio.open_connection(place.address, place.port)
        writer.write(FRAMED)
        said = await asyncio.wait_for(reader.read(2), 10)
        writer.close()
        if said:
            break
        await asyncio.sleep(0.02)
    assert said
    for _, other in there:
        other.close()


async def test_a_place_that_is_taken_is_told(place: Endpoint) -> None:
    server = NameServer(Zone(("privacy",), new_addresses(bytes(5), random.Random(1).randrange), None))
    with pytest.raises(HostError, match=r"names\.listen"):
        await server.start([place])
