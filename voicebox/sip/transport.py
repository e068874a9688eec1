"""Sockets for SIP: UDP, TCP and TLS listeners, one callback for what comes, one method for what goes. [io]

It frames, counts and limits; it understands nothing of SIP beyond framing. NOT here: transactions, who may speak.
Every queue has a bound: connections in all and from one address, what waits to be sent on each, how long a silent one lives, and how long
one may take to begin TLS. A connection counts from its first octet of TCP on, so that who connects and says nothing takes no more room over TLS than over TCP.
Spec: RFC 3261 §18; RFC 5626 §4.4.1 (answer to pings). Departure: the box never opens a connection to a phone; it uses the phone's. It opens one to the provider of a trunk.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from asyncio.trsock import TransportSocket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from voicebox.errors import HostError
from voicebox.sip.flow import Flow, Taken, Transport
from voicebox.sip.framing import Framer, StreamBroken
from voicebox.sip.tls import TlsWire

RECEIVE_BUFFER_OCTETS = 4 * 1024 * 1024
"""With the usual 208 KiB 2 to 4 % of calls fail from 400 new calls a second on."""
MAX_SOURCES = 1_024
WILDCARDS = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared, not bound

Receive = Callable[[bytes, Flow], None]
Closed = Callable[[Flow], None]
Say = Callable[[bytes, tuple[str, int], tuple[str, int]], bool]
"""Send octets to a place as if from another one; False where that failed."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    """Bounds. idle_s: a connection on which nothing came for so long is closed; first_s: the same before the first message; handshake_s: one on which
    TLS does not stand by then.
    """

    max_connections: int = 256
    max_connections_per_address: int = 32
    max_unsent_octets: int = 262_144
    idle_s: float = 3_700.0
    first_s: float = 30.0
    handshake_s: float = 10.0


class SipTransports:
    """All listeners of a box. receive(octets, flow) and closed(flow) are called in the loop's thread."""

    def __init__(self, receive: Receive, closed: Closed, limits: TransportLimits | None = None) -> None:
        self.counters: Counter[str] = Counter()
        self.limits = limits or TransportLimits()
        self.receive, self.closed = receive, closed
        self._number = 0
        self._udp: dict[int, asyncio.DatagramTransport] = {}
        self._places: dict[int, tuple[str, int]] = {}
        """Where the listeners for UDP are."""
        self._say: Say = lambda _octets, _to, _as: False
        self._servers: list[asyncio.Server] = []
        self._connections: dict[int, _Connection] = {}

    async def listen(self, transport: Transport, address: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen on an address and port (0: any) and return the port. tls: for Transport.TLS, and only then. Raises HostError where that is impossible."""
        assert (tls is not None) is (transport is Transport.TLS)
        loop = asyncio.get_running_loop()
        try:
            if transport is Transport.UDP:
                number = self._next_number()
                endpoint, protocol = await loop.create_datagram_endpoint(lambda: _Datagrams(self, number), sock=udp_socket(address, port))
                protocol.set_buffer()
                self._udp[number] = endpoint
                self._places[number] = endpoint.get_extra_info("sockname")[:2]
                return self._places[number][1]
            server = await loop.create_server(lambda: _Connection(self, tls), address, port)
            self._servers.append(server)
            return int(server.sockets[0].getsockname()[1])
        except (OSError, OverflowError) as error:
            number = getattr(error, "errno", None) or 0
            why = os.strerror(number) if number > 0 else "that is no address of this machine"
            # The library's own text repeats the address, so it is neither quoted nor chained.
            raise HostError(f"cannot listen for SIP over {transport.value} on port {port}: {why}") from None

    async def connect(self, transport: Transport, host: str, port: int, tls: ssl.SSLContext | None = None) -> Flow:
        """Open a flow to a server, by its name or address. tls: for Transport.TLS, and only then; its certificate has to name the host. Raises HostError."""
        assert (tls is not None) is (transport is Transport.TLS)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self.limits.handshake_s):
                if transport is not Transport.UDP:
                    _, connection = await loop.create_connection(lambda: _Connection(self, tls, host), host, port)
                    return await connection.stands
                found = await loop.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
                remote = found[0][4]
                number, address = self._next_number(), local_address_towards(str(remote[0]))
                only = (str(remote[0]), int(remote[1]))
                endpoint, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self, number, only), sock=udp_socket(address, 0))
                self._udp[number] = endpoint
                return Flow(transport, number, address, int(endpoint.get_extra_info("sockname")[1]), *only)
        except (OSError, TimeoutError, IndexError):
            # The library's own text repeats the address, so it is neither quoted nor chained.
            raise HostError(f"the server of the trunk is not reached over {transport.value}") from None

    def take(self, octets: bytes, phone: tuple[str, int], taken: Taken, say: Say) -> bool:
        """Receive a datagram of a phone that was taken on its way elsewhere; say: by which it is answered as from there. False where the phone reaches no listener, as it has to for the rest of a call."""
        number = self._listener_towards(phone[0])
        if number is None:
            self.counters["taken_out_of_reach"] += 1
            return False
        self._say = say
        address, port = self._places[number]
        here = local_address_towards(phone[0]) if address in WILDCARDS else address
        self.receive(octets, Flow(Transport.UDP, number, here, port, *phone, taken))
        return True

    def _listener_towards(self, address: str) -> int | None:
        """Return the listener for UDP that a peer reaches: at the address that it sees, at all addresses, or, where it is on this machine, at any."""
        try:
            seen = local_address_towards(address)
        except OSError:
            return None
        same = [(number, at) for number, (at, _) in self._places.items() if (":" in at) is (":" in address)]
        reached = [
            [number for number, at in same if at == seen],
            [number for number, at in same if at in WILDCARDS],
            [number for number, _ in same if seen == address],
        ]
        return next((number for numbers in reached for number in numbers), None)

    def send(self, flow: Flow, octets: bytes) -> bool:
        """Send octets on a flow; False where it is gone or its queue is full."""
        if flow.taken is not None:
            return self._say(octets, (flow.remote_address, flow.remote_port), (flow.taken.address, flow.taken.port))
        if flow.transport is Transport.UDP:
            endpoint = self._udp.get(flow.number)
            if endpoint is None or endpoint.is_closing():
                return False
            if endpoint.get_write_buffer_size() > self.limits.max_unsent_octets:  # type: ignore[attr-defined]  # there, but not in the stub
                self.counters["dropped_unsent"] += 1
                return False
            endpoint.sendto(octets, (flow.remote_address, flow.remote_port))
            return True
        connection = self._connections.get(flow.number)
        return connection is not None and connection.send(octets)

    def close(self) -> None:
        """Close everything; closed() is called for each connection."""
        for endpoint in self._udp.values():
            endpoint.close()
        for server in self._servers:
            server.close()
        for connection in list(self._connections.values()):
            connection.close()
        self._udp.clear()
        self._places.clear()
        self._servers.clear()

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def admit(self, connection: _Connection, address: str) -> int | None:
        """Give a new connection its number, None where there are too many."""
        from_there = sum(1 for known in self._connections.values() if known.flow is not None and known.flow.remote_address == address)
        if len(self._connections) >= self.limits.max_connections or from_there >= self.limits.max_connections_per_address:
            self.counters["connections_refused"] += 1
            return None
        number = self._next_number()
        self._connections[number] = connection
        return number

    def forget(self, number: int) -> None:
        """Drop a connection that is closed."""
        self._connections.pop(number, None)


def udp_socket(address: str, port: int, *, shared: bool = False) -> socket.socket:
    """Return a bound socket of one family: an IPv6 wildcard beside an IPv4 one must not take the other's port, nor show its phones under mapped addresses.

    shared: more sockets of this user, and of nobody else, may be at the same place. Raises OSError.
    """
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    try:
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.setblocking(False)
        made.bind((address, port))
    except BaseException:
        made.close()
        raise
    return made


def local_address_towards(address: str) -> str:
    """Return our address from which packets to another one leave; nothing is sent. Raises OSError."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))
        return str(probe.getsockname()[0])


class _Datagrams(asyncio.DatagramProtocol):
    """One UDP listener. On a wildcard address it finds out which of our addresses a peer sees. only: hear nobody else."""

    def __init__(self, owner: SipTransports, number: int, only: tuple[str, int] | None = None) -> None:
        self._owner, self._number, self._only = owner, number, only
        self._local: tuple[str, int] = ("", 0)
        self._wildcard = False
        self._local_by_source: dict[str, str] = {}
        self._socket: TransportSocket | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._socket = transport.get_extra_info("socket")
        name = transport.get_extra_info("sockname")
        self._local = (name[0], name[1])
        self._wildcard = name[0] in WILDCARDS

    def set_buffer(self) -> None:
        """Ask for a large receive buffer; the forced variant needs a right that a user may not have."""
        if self._socket is None:
            return
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_RCVBUFFORCE", 33), RECEIVE_BUFFER_OCTETS)
        except OSError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_OCTETS)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self._only is not None and self._only != (addr[0], addr[1]):
            self._owner.counters["dropped_strangers"] += 1
            return
        address = self._local_address(addr[0]) if self._wildcard else self._local[0]
        self._owner.receive(data, Flow(Transport.UDP, self._number, address, self._local[1], addr[0], addr[1]))

    def error_received(self, exc: Exception) -> None:  # noqa: ARG002  # asyncio's shape
        # ICMP errors can be forged by anybody; retransmission and time-outs decide.
        self._owner.counters["udp_errors"] += 1

    def _local_address(self, source: str) -> str:
        known = self._local_by_source.get(source)
        if known is None:
            try:
                known = local_address_towards(source)
            except OSError:
                known = self._local[0]
            if len(self._local_by_source) >= MAX_SOURCES:
                self._local_by_source.clear()
            self._local_by_source[source] = known
        return known


class _Connection(asyncio.Protocol):
    """One TCP connection of a phone, with TLS in it where it has one. server_name: of the server, where we connect; stands: its flow, once TLS stands too."""

    def __init__(self, owner: SipTransports, tls: ssl.SSLContext | None, server_name: str | None = None) -> None:
        self.flow: Flow | None = None
        self.stands: asyncio.Future[Flow] = asyncio.get_running_loop().create_future()
        self._owner = owner
        self._framer = Framer()
        self._wire = None if tls is None else TlsWire(tls, server_name)
        self._connects = server_name is not None
        self._transport: asyncio.Transport | None = None
        self._idle: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        local, remote = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        number = None if remote is None else self._owner.admit(self, remote[0])
        if number is None:
            transport.abort()
            return
        self.flow = Flow(Transport.TCP if self._wire is None else Transport.TLS, number, local[0], local[1], remote[0], remote[1])
        self._wait(self._owner.limits.first_s if self._wire is None else self._owner.limits.handshake_s)
        if self._wire is None:
            self._stands(self.flow)
        elif self._connects:
            self._open(self._wire, b"")

    def _stands(self, flow: Flow) -> None:
        # Nobody looks at the flow of a connection that a phone made.
        if self._connects and not self.stands.done():
            self._wait(self._owner.limits.idle_s)
            self.stands.set_result(flow)

    def data_received(self, data: bytes) -> None:
        if self.flow is None or self._transport is None:
            return
        try:
            said = data if self._wire is None else self._open(self._wire, data)
            frames = self._framer.feed(said) if said else []
        except StreamBroken:
            self._owner.counters["streams_broken" if self._wire is None or self._wire.is_ready else "tls_failed"] += 1
            self._flush()  # an alert of TLS says why
            self._transport.close()
            return
        for _ in range(self._framer.take_pings()):
            self.send(b"\r\n")
        if frames:
            self._wait(self._owner.limits.idle_s)
        for frame in frames:
            self._owner.receive(frame, self.flow)
        if self._wire is not None and self._wire.is_over:
            self.close()

    def _open(self, wire: TlsWire, data: bytes) -> bytes:
        was_ready = wire.is_ready
        said = wire.feed(data)
        self._flush()
        if wire.is_ready and not was_ready and self.flow is not None:
            self._wait(self._owner.limits.first_s)
            self._stands(self.flow)
        return said

    def _flush(self) -> None:
        """Send what TLS has to send."""
        if self._wire is not None and self._transport is not None and (octets := self._wire.take()):
            self._transport.write(octets)

    def send(self, octets: bytes) -> bool:
        """Send on this connection; one whose peer does not read is closed."""
        if self._transport is None or self._transport.is_closing() or (self._wire is not None and not self._wire.is_ready):
            return False
        if self._transport.get_write_buffer_size() > self._owner.limits.max_unsent_octets:
            self._owner.counters["dropped_unsent"] += 1
            self._transport.abort()
            return False
        if self._wire is None:
            self._transport.write(octets)
        else:
            self._wire.seal(octets)
            self._flush()
        return True

    def close(self) -> None:
        """Close after what waits has been sent."""
        if self._transport is not None and not self._transport.is_closing():
            if self._wire is not None:
                self._wire.close()
                self._flush()
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's shape
        if self._idle is not None:
            self._idle.cancel()
        if self._connects and not self.stands.done():
            self.stands.set_exception(ConnectionError())
        if self.flow is not None:
            self._owner.forget(self.flow.number)
            self._owner.closed(self.flow)

    def _wait(self, seconds: float) -> None:
        if self._idle is not None:
            self._idle.cancel()
        self._idle = asyncio.get_running_loop().call_later(seconds, self.close)
