"""The connections of gossip: TLS 1.3 over TCP, at the port that a relay's UDP has. [io]

The client shows that it has the relay's descriptor, accepts exactly the key of it (its pin) and then shows that it belongs to the network; whoever does not is told
nothing, and the connection ends. NOT here: what is said (gossip.py), when (gossip_rounds.py). Spec: PROTOCOL.md §10.6; RFC 8446.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import secrets
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any

from cryptography.hazmat.primitives import serialization

from voicebox.addresses import hold_to
from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.gossip import Answering, Asking, Gossip
from voicebox.circuits.gossip_messages import (
    GREETING_OCTETS,
    HELLO_NUMBER_OCTETS,
    HELLO_OCTETS,
    MAX_ANSWER_OCTETS,
    MAX_NEWS_OCTETS,
    MAX_SUMMARY_OCTETS,
    PAGE_OCTETS,
    PROOF_OCTETS,
    hello,
    octets_to_come,
    paged,
    proof,
    records_proof,
    unpaged,
)
from voicebox.circuits.gossip_rounds import Admission, Rounds, Times
from voicebox.circuits.path import Rng
from voicebox.circuits.relay import RelayKeys
from voicebox.circuits.relay_state import pin_of
from voicebox.errors import HandshakeError, HostError, RemoteError, VoiceboxError
from voicebox.tls_key import load_key

CONNECT_S = 10.0
PROOF_S = 5.0
"""From the start of a connection to the handshake's end, and from there to the proof."""
ROUND_S = 120.0
PAUSE_S = 0.02
"""After one who is not let in: so a flood of them costs little."""
BACKLOG = 32
TAKEN_AT_ONCE = 250
"""Descriptors: about a tenth of a second."""
ServeRecords = Callable[[asyncio.StreamReader, asyncio.StreamWriter, bytes], Awaitable[None]]
"""serve(reader, writer, binding): answer a junction that asks about records, until it ends; raises one of FAILURES."""
FAILURES = (VoiceboxError, OSError, EOFError, ValueError)
"""What ends a round: no connection, no key that was expected, a message that is none, a disk that takes nothing."""


async def ask(gossip: Gossip, peer: Descriptor, attempt: int, local_host: str, rounds: Rounds, *, tell_news: bool, uplink: str | None = None) -> None:
    """Have one round with a peer. local_host: the address to leave from, or a wildcard; uplink: the interface, None for any. Raises one of FAILURES."""
    async with asyncio.timeout(ROUND_S):
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await connect(peer, attempt, local_host, client_context(), uplink)
        try:
            await _asked(gossip, peer, reader, writer, rounds, tell_news=tell_news)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def connect(
    peer: Descriptor, attempt: int, local_host: str, context: ssl.SSLContext, uplink: str | None = None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a connection to a peer, which has its hello. Raises OSError."""
    loop, address = asyncio.get_running_loop(), peer.address(attempt)
    is_v6 = ":" in address.host
    connection = socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        hold_to(connection, uplink)
        if (":" in local_host) == is_v6:
            connection.bind((local_host, 0))
        await loop.sock_connect(connection, (address.host, address.port))
        await loop.sock_sendall(connection, hello(peer.link_pin, secrets.token_bytes(HELLO_NUMBER_OCTETS)))
        return await asyncio.open_connection(sock=connection, ssl=context, server_hostname="", ssl_shutdown_timeout=PROOF_S)
    except BaseException:
        connection.close()
        raise


def check_pin(writer: asyncio.StreamWriter, peer: Descriptor) -> None:
    """Raise HandshakeError where the other end has another key than the relay's descriptor says."""
    certificate = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    if certificate is None or not hmac.compare_digest(pin_of(certificate), peer.link_pin):
        raise HandshakeError("a relay has another key than its descriptor says")


async def _asked(gossip: Gossip, peer: Descriptor, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rounds: Rounds, *, tell_news: bool) -> None:
    check_pin(writer, peer)
    writer.write(proof(gossip.network.network_id, binding_of(writer)))
    asking = Asking(gossip)
    their_s = asking.greeted(await reader.readexactly(GREETING_OCTETS))
    writer.write(paged(asking.summary()))
    try:
        while not asking.is_answered:
            await _look(asking, asking.answer(await _message(reader, MAX_ANSWER_OCTETS)))
    finally:
        asking.finish(time.time())
    rounds.went(peer.relay_id, time.time(), their_s, asking.compared(time.time()))
    news = asking.news() if tell_news else None
    if news is not None:
        writer.write(paged(news))
        await writer.drain()


async def _look(hearing: Asking | Answering, texts: Iterable[str]) -> None:
    """Look at what a peer told, and let others have the loop between two and two."""
    for count, text in enumerate(texts, start=1):
        hearing.look(text)
        await asyncio.sleep(0)
        if count % TAKEN_AT_ONCE == 0:
            hearing.take(time.time())


async def _message(reader: asyncio.StreamReader, most: int, begun: bytes = b"") -> bytes:
    """Return the content of the next message. begun: what was read of it already."""
    first = begun + await reader.readexactly(PAGE_OCTETS - len(begun))
    return unpaged(first + await reader.readexactly(octets_to_come(first, most)))


def binding_of(writer: asyncio.StreamWriter) -> bytes:
    """Return the client's Finished, which is what the library calls tls-unique where nothing was resumed. Raises HandshakeError."""
    binding = writer.get_extra_info("ssl_object").get_channel_binding("tls-unique")
    if not binding:
        raise HandshakeError("the connection has nothing that a proof could be bound to")
    return bytes(binding)


def client_context() -> ssl.SSLContext:
    """Return what a client's TLS has to be; the server's certificate is compared with the pin afterwards."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the certificate is compared with the pin, and nothing was said before that
    return context


def _server_context(keys: RelayKeys) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0
    key = serialization.load_der_private_key(keys.link_key.reveal(), None)
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    load_key(context, pem + ssl.DER_cert_to_PEM_cert(keys.certificate).encode())
    return context


class Gossiping:
    """The rounds of one node. peers(): whom to ask now; local_host: the address to leave from, or a wildcard; uplink_to(peer): over which interface, None for any.

    Contract: start() and stop() within the running loop.
    """

    def __init__(
        self,
        gossip: Gossip,
        times: Times,
        rng: Rng,
        peers: Callable[[], list[Descriptor]],
        local_host: str,
        uplink_to: Callable[[Descriptor], str | None] = lambda _peer: None,
    ) -> None:
        self._gossip, self._times, self._rng, self._peers, self._local_host, self._uplink_to = gossip, times, rng, peers, local_host, uplink_to
        self.rounds = Rounds(times)
        self.first_done = False
        """Each of the first peers was asked, or failed."""
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; the first round comes a while later."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, also in the midst of a round; idempotent."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        await asyncio.sleep(self._times.first_s(self._rng))
        attempt = 0
        while True:
            for peer in self._peers():
                try:
                    uplink = self._uplink_to(peer)
                    await ask(self._gossip, peer, attempt, self._local_host, self.rounds, tell_news=self._times.is_relay, uplink=uplink)
                except FAILURES:
                    self.rounds.failed(peer.relay_id)
            self.first_done = True
            attempt += 1
            await asyncio.sleep(self._times.next_s(self._rng))


class GossipListener:
    """Answers those who ask a relay."""

    def __init__(self, gossip: Gossip, times: Times, keys: RelayKeys) -> None:
        self._gossip, self._context, self._pin = gossip, _server_context(keys), pin_of(keys.certificate)
        self._admission = Admission(times.unit_s)
        self.serve_records: ServeRecords | None = None
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, host: str, port: int) -> None:
        """Listen, within the running loop. Raises HostError."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            self._listener = socket.create_server((host, port), family=family, backlog=BACKLOG, dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6())
        except OSError as error:
            raise HostError(f"The list of relays cannot be offered over TCP, at the port that `listen` has for UDP ({error.strerror}).") from None
        self._listener.setblocking(False)
        self._begin(self._accept(self._listener))

    async def stop(self) -> None:
        """Listen no more, and end what goes on; idempotent."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, address = await loop.sock_accept(listener)
            except OSError:  # no descriptor is left, or who came is gone again
                await asyncio.sleep(PROOF_S)
                continue
            source = self._admission.enters(address[0], loop.time())
            if source is None:
                self._gossip.counters["gossip_held_back"] += 1
                connection.close()
                await asyncio.sleep(PAUSE_S)
            else:
                self._begin(self._serve(connection, source))

    async def _serve(self, connection: socket.socket, source: str) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(reader)
        here = contextlib.ExitStack()
        here.callback(self._admission.leaves, source)
        try:
            async with asyncio.timeout(ROUND_S):
                try:
                    await self._greeted(connection)
                except BaseException:
                    connection.close()
                    raise
                transport, _ = await loop.connect_accepted_socket(
                    lambda: protocol, connection, ssl=self._context, ssl_handshake_timeout=PROOF_S, ssl_shutdown_timeout=PROOF_S
                )
                writer = asyncio.StreamWriter(transport, protocol, reader, loop)
                try:
                    await self._answer(reader, writer, here)
                finally:
                    transport.abort()
        except FAILURES:
            self._gossip.counters["gossip_clients_dropped"] += 1
        finally:
            here.close()

    async def _greeted(self, connection: socket.socket) -> None:
        """Wait for a hello that was made with our pin; to anything else nothing is said."""
        said = b""
        async with asyncio.timeout(PROOF_S):
            while len(said) < HELLO_OCTETS:
                more = await asyncio.get_running_loop().sock_recv(connection, HELLO_OCTETS - len(said))
                if not more:
                    raise EOFError
                said += more
        if not hmac.compare_digest(said, hello(self._pin, said[:HELLO_NUMBER_OCTETS])):
            raise RemoteError("somebody who does not have this relay's descriptor")

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, here: contextlib.ExitStack) -> None:
        async with asyncio.timeout(PROOF_S):
            said = await reader.readexactly(PROOF_OCTETS)
        network_id, binding = self._gossip.network.network_id, binding_of(writer)
        if self.serve_records is not None and hmac.compare_digest(said, records_proof(network_id, binding)):
            here.close()  # a junction stays, and is counted by who it is
            await self.serve_records(reader, writer, binding)
            return
        if not hmac.compare_digest(said, proof(network_id, binding)):
            raise RemoteError("somebody who does not belong to the network")
        answering = Answering(self._gossip)
        writer.write(answering.greeting(time.time()))
        for content in answering.answers(await _message(reader, MAX_SUMMARY_OCTETS)):
            writer.write(paged(content))
            await writer.drain()
        self._gossip.counters["gossip_answered"] += 1
        if not (begun := await reader.read(1)):
            return  # a box, or a relay that knows nothing more
        texts = answering.news(await _message(reader, MAX_NEWS_OCTETS, begun))
        try:
            await _look(answering, texts)
        finally:
            answering.finish(time.time())
