"""Sockets on loopback: framing, pings, limits, idleness, and that a connection is reused."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from voicebox.contacts.phone_authority import new_phone_tls
from voicebox.errors import HostError
from voicebox.sip.flow import Flow, Taken, Transport
from voicebox.sip.tls import client_context, server_context
from voicebox.sip.transport import RECEIVE_BUFFER_OCTETS, SipTransports, TransportLimits

pytestmark = pytest.mark.system

MESSAGE = b"OPTIONS sip:h SIP/2.0\r\nContent-Length: 2\r\n\r\nhi"


class Heard:
    def __init__(self) -> None:
        self.messages: list[tuple[bytes, Flow]] = []
        self.closed: list[Flow] = []

    def receive(self, octets: bytes, flow: Flow) -> None:
        self.messages.append((octets, flow))


@dataclass(frozen=True)
class BoxTls:
    """What the box shows, and what a phone believes that installed its authority."""

    server: ssl.SSLContext
    phone: ssl.SSLContext


@pytest.fixture
def box_tls() -> BoxTls:
    made = new_phone_tls(("127.0.0.1", "::1"), dt.datetime.now(dt.UTC))
    phone = ssl.create_default_context(cadata=made.to_install.decode())
    return BoxTls(server_context(made.server), phone)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  # what is waited for happens inside the transports, which know no test
            await asyncio.sleep(0.002)


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def transports(heard: Heard) -> AsyncIterator[SipTransports]:
    made = SipTransports(
        heard.receive, heard.closed.append, TransportLimits(max_connections=3, max_connections_per_address=2, first_s=0.3, idle_s=0.3, handshake_s=0.3)
    )
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


async def test_wildcards_of_both_families_share_a_port(transports: SipTransports, heard: Heard) -> None:
    port = await transports.listen(Transport.UDP, "0.0.0.0", 0)
    assert await transports.listen(Transport.UDP, "::", port) == port
    assert await transports.listen(Transport.TCP, "0.0.0.0", port) == await transports.listen(Transport.TCP, "::", port) == port
    for count, (family, address) in enumerate(((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")), 1):
        with socket.socket(family, socket.SOCK_DGRAM) as phone:
            phone.bind((address, 0))
            phone.sendto(MESSAGE, (address, port))
            await until(lambda count=count: len(heard.messages) == count)  # type: ignore[misc]  # bound at once
            flow = heard.messages[-1][1]
            assert (flow.remote_address, flow.local_address) == (address, address), "no address is a mapped one"
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
async def test_addresses_that_cannot_be_used(transports: SipTransports, transport: Transport, address: str, box_tls: BoxTls) -> None:
    with pytest.raises(HostError) as caught:
        await transports.listen(transport, address, 5060, box_tls.server if transport is Transport.TLS else None)
    assert address not in str(caught.value)


async def test_a_port_in_use(transports: SipTransports) -> None:
    port = await transports.listen(Transport.UDP, "127.0.0.1", 0)
    with pytest.raises(HostError, match=str(port)):
        await transports.listen(Transport.UDP, "127.0.0.1", port)


# ----------------------------------------------------------------------------------------------------------------- TLS


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_phone_that_knows_the_authority_speaks_tls(
    transports: SipTransports, heard: Heard, box_tls: BoxTls, address: str, version: ssl.TLSVersion
) -> None:
    port = await transports.listen(Transport.TLS, address, 0, box_tls.server)
    box_tls.phone.minimum_version = box_tls.phone.maximum_version = version
    reader, writer = await asyncio.open_connection(address, port, ssl=box_tls.phone)
    writer.write(MESSAGE[:9])
    await asyncio.sleep(0.01)
    writer.write(MESSAGE[9:] + b"\r\n\r\n")
    assert await reader.readexactly(2) == b"\r\n", "a ping is answered"
    await until(lambda: bool(heard.messages))
    octets, flow = heard.messages[0]
    assert octets == MESSAGE
    assert (flow.transport, flow.reliable, flow.private, flow.local_port) == (Transport.TLS, True, True, port)
    large = b"answer" * 20_000
    assert transports.send(flow, large)
    assert await reader.readexactly(len(large)) == large
    writer.close()
    await until(lambda: heard.closed == [flow])
    assert not transports.send(flow, b"too late")


async def test_a_phone_that_does_not_know_the_authority_is_told_nothing_and_counted(transports: SipTransports, heard: Heard, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
    await until(lambda: transports.counters["tls_failed"] + len(heard.closed) >= 1)
    assert heard.messages == []


async def test_old_versions_of_tls_and_plain_sip_are_closed(transports: SipTransports, heard: Heard, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(MESSAGE)
    assert MESSAGE not in await reader.read()
    writer.close()
    # The ClientHello of TLS 1.1, as RFC 4346 §7.4.1.2 has it: version 3.2, no session, one suite, no compression.
    hello = bytes([3, 2]) + bytes(32) + bytes([0, 0, 2, 0xC0, 0x13, 1, 0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(bytes([22, 3, 1]) + (len(hello) + 4).to_bytes(2, "big") + bytes([1]) + len(hello).to_bytes(3, "big") + hello)
    assert (await reader.read())[:1] == bytes([21]), "an alert"
    writer.close()
    await until(lambda: transports.counters["tls_failed"] == 2)
    assert heard.messages == []


async def test_who_connects_and_begins_no_tls_is_closed(transports: SipTransports, heard: Heard, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    refused, writer = await asyncio.open_connection("127.0.0.1", port)
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await refused.readexactly(1)  # the third from one address, whatever the first two say
    writer.close()
    async with asyncio.timeout(5):
        for reader, writer in silent:
            assert await reader.read() == b""
            writer.close()
    await until(lambda: len(heard.closed) == 2)
    assert transports.counters["connections_refused"] == 1


async def test_a_phone_that_begins_tls_and_says_nothing_is_closed(transports: SipTransports, heard: Heard, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=box_tls.phone)
    async with asyncio.timeout(5):
        assert await reader.read() == b""
    writer.close()
    await until(lambda: len(heard.closed) == 1)


async def test_octets_that_are_not_sip_inside_tls_close_the_connection(transports: SipTransports, heard: Heard, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=box_tls.phone)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    assert transports.counters["streams_broken"] == 1
    assert heard.messages == []
    writer.close()


@pytest.fixture
async def patient(heard: Heard) -> AsyncIterator[SipTransports]:
    """Transports whose limits a busy machine does not meet."""
    made = SipTransports(heard.receive, heard.closed.append)
    yield made
    made.close()
    await asyncio.sleep(0)


@pytest.mark.parametrize("kind", list(Transport), ids=lambda kind: kind.value)
async def test_a_connection_of_our_own_to_a_server(patient: SipTransports, heard: Heard, box_tls: BoxTls, kind: Transport) -> None:
    is_tls = kind is Transport.TLS
    port = await patient.listen(kind, "127.0.0.1", 0, box_tls.server if is_tls else None)
    flow = await patient.connect(kind, "127.0.0.1", port, box_tls.phone if is_tls else None)
    assert (flow.transport, flow.remote_address, flow.remote_port, flow.local_address) == (kind, "127.0.0.1", port, "127.0.0.1")
    assert patient.send(flow, MESSAGE)
    await until(lambda: bool(heard.messages))
    octets, there = heard.messages[0]
    assert (octets, there.remote_port) == (MESSAGE, flow.local_port)
    assert patient.send(there, MESSAGE)
    await until(lambda: len(heard.messages) == 2)
    assert heard.messages[1] == (MESSAGE, flow)
    if kind is Transport.UDP:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(MESSAGE, ("127.0.0.1", flow.local_port))
        await until(lambda: patient.counters["dropped_strangers"] == 1)
        assert len(heard.messages) == 2


async def test_a_server_that_is_not_who_it_should_be_or_not_there_is_not_spoken_to(transports: SipTransports, box_tls: BoxTls) -> None:
    port = await transports.listen(Transport.TLS, "127.0.0.1", 0, box_tls.server)
    plain = await transports.listen(Transport.TCP, "127.0.0.1", 0)
    for at, context in ((port, client_context(None)), (plain, box_tls.phone), (1, box_tls.phone)):
        with pytest.raises(HostError) as raised:
            await transports.connect(Transport.TLS, "127.0.0.1", at, context)
        assert "127" not in str(raised.value)
    with pytest.raises(HostError):
        await transports.connect(Transport.TLS, "localhost", port, box_tls.phone)


TAKEN = Taken("203.0.113.7", 5_060, "box.privacy", admitted=True)


@pytest.mark.parametrize(
    ("listens", "phone", "seen"), [("127.0.0.1", "127.0.0.1", "127.0.0.1"), ("127.0.0.2", "127.0.0.1", "127.0.0.2"), ("0.0.0.0", "127.0.0.3", "127.0.0.1")]
)
async def test_what_was_taken_is_answered_as_from_elsewhere_and_the_rest_comes_to_a_listener_that_the_phone_reaches(
    heard: Heard, listens: str, phone: str, seen: str
) -> None:
    transports, said = SipTransports(heard.receive, heard.closed.append), list[tuple[bytes, tuple[str, int], tuple[str, int]]]()

    def say(octets: bytes, to: tuple[str, int], place: tuple[str, int]) -> bool:
        said.append((octets, to, place))
        return True

    port = await transports.listen(Transport.UDP, listens, 0)
    assert transports.take(MESSAGE, (phone, 5_062), TAKEN, say)
    octets, flow = heard.messages[-1]
    assert octets == MESSAGE
    assert (flow.local_address, flow.local_port, flow.taken) == (seen, port, TAKEN)
    assert transports.send(flow, b"answer")
    assert said == [(b"answer", (phone, 5_062), ("203.0.113.7", 5_060))]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind((phone, 0))
        peer.settimeout(5)
        own = replace(flow, remote_port=peer.getsockname()[1]).own
        assert transports.send(own, b"request of ours")
        assert await asyncio.to_thread(peer.recv, 100) == b"request of ours"
    assert len(said) == 1
    transports.close()
    assert not transports.take(MESSAGE, (phone, 5_062), TAKEN, say)


@pytest.mark.parametrize("phone", ["192.0.2.77", "::1", "203.0.113.300"])
async def test_what_was_taken_of_a_phone_that_reaches_no_listener_is_dropped_and_counted(heard: Heard, phone: str) -> None:
    transports = SipTransports(heard.receive, heard.closed.append)
    await transports.listen(Transport.UDP, "127.0.0.1", 0)
    await transports.listen(Transport.TCP, "0.0.0.0", 0)
    assert not transports.take(MESSAGE, (phone, 5_062), TAKEN, lambda *_: True)
    assert (heard.messages, transports.counters["taken_out_of_reach"]) == ([], 1)
    transports.close()
