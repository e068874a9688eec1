"""Sockets on loopback: framing, pings, limits, idleness, and that a connection is reused."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from voicebox.errors import HostError
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.transport import RECEIVE_BUFFER_OCTETS, SipTransports, TransportLimits

pytestmark = pytest.mark.system

MESSAGE = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 2\r\n\r\nhi"


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.closed: list[Flow] = []

    def receive(self, octets: bytes, flow: Flow) -> None:
        self.messages.append((octets, flow))


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for happens inside the transports, which know no test
            await asyncio.sleep(0.002)


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def transports(heard: Heard) -> AsyncIterator[SipTransports]:
    made = SipTransports(heard.receive, heard.closed.append, TransportLimits(max_connections=3, max_connections_per_address=2, first_s=0.3, idle_s=0.3))
    yield made
    made.close()
    await asyncio.sleep(0)


async def test_datagrams_come_and_go(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.UDP, "0.0.0.0", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(("127.0.0.2", 0))
        phone.sendto(MESSAGE, ("127.0.0.1", port))
        await until(lambda: bool(heard.messages))
        octets, flow = heard.messages[0]
        assert octets == MESSAGE
        assert (flow.remote_address, flow.remote_port, flow.local_port) == ("127.0.0.2", phone.getsockname()[1], port)
        assert flow.local_address.startswith("127."), "behind a wildcard the address that the phone sees is found"
        assert transports.send(flow, b"answer")
        phone.settimeout(5)
        assert await asyncio.to_thread(phone.recv, 100) == b"answer"


async def test_the_receive_buffer_is_large(transports: SipTransports) -> None:
    await transports.listen(Transport.UDP, "127.0.0.1", 0)
    [endpoint] = transports._udp.values()
    granted = endpoint.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
    ceiling = int(await asyncio.to_thread(Path("/proc/sys/net/core/rmem_max").read_text))
    assert granted >= min(2 * RECEIVE_BUFFER_OCTETS, 2 * ceiling)


async def test_a_stream_in_pieces_and_the_way_back(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for start in range(0, len(MESSAGE), 9):
        writer.write(MESSAGE[start : start + 9])
        await asyncio.sleep(0.001)
    writer.write(b"\r\n\r\n")
    await until(lambda: bool(heard.messages))
    assert await reader.readexactly(2) == b"\r\n", "a ping is answered"
    octets, flow = heard.messages[0]
    assert octets == MESSAGE
    assert flow.reliable
    assert transports.send(flow, b"answer")
    assert await reader.readexactly(6) == b"answer"
    writer.close()
    await until(lambda: heard.closed == [flow])
    assert not transports.send(flow, b"too late")


async def test_a_stream_that_is_not_sip_is_closed(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    assert transports.counters["streams_broken"] == 1
    assert heard.messages == []
    writer.close()


async def test_silent_connections_are_closed(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"OPTIONS sip:h")
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    await until(lambda: len(heard.closed) == 1)
    writer.close()


async def test_connections_are_bounded(transports: SipTransports) -> None:
    port = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    streams = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await streams[2][0].readexactly(1)
    assert transports.counters["connections_refused"] == 1
    for _, writer in streams:
        writer.close()


async def test_a_peer_that_does_not_read_is_closed(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(MESSAGE)
    await until(lambda: bool(heard.messages))
    flow = heard.messages[0][1]
    sent = 0
    while transports.send(flow, b"x" * 65_536):
        sent += 1
        assert sent < 1_000
    await until(lambda: heard.closed == [flow])
    writer.close()


@pytest.mark.parametrize("address", ["192.0.2.1", "not an address"])
@pytest.mark.parametrize("transport", list(Transport))
async def test_addresses_that_cannot_be_used(transports: SipTransports, transport: Transport, address: str) -> None:
    with pytest.raises(HostError) as caught:
        await transports.listen(transport, address, 5060)
    assert address not in str(caught.value)


async def test_a_port_in_use(transports: SipTransports) -> None:
    port = await transports.listen(Transport.UDP, "127.0.0.1", 0)
    with pytest.raises(HostError, match=str(port)):
        await transports.listen(Transport.UDP, "127.0.0.1", port)
