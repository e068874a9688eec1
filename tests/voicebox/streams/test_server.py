"""The sockets of streams, over loopback: what becomes of a stream whose program is gone before the engine has its socket, and who is led to TLS."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from voicebox.dataplane import StreamTaken
from voicebox.errors import HostError, LocalError, UsageError
from voicebox.streams.bundles import GONE, REFUSED, UNREACHABLE, StreamNetwork, StreamPlane
from voicebox.streams.http import HttpNegotiation
from voicebox.streams.listings import Services
from voicebox.streams.offered import parse_listing
from voicebox.streams.server import ProxyTalk, StreamServer
from voicebox.streams.socks import Negotiation
from voicebox.streams.tls_checks import TlsService
from voicebox.streams.tls_ends import TlsEnds

STREAM = 7


class Engine:
    """Notes which streams got a socket and which were given up."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, int]] = []

    def bundle_open(self) -> int:
        return 1

    def bundle_close(self, _bundle: int) -> None:
        pass

    def stream_open(self, _bundle: int, _port: int, *, datagrams: bool = False, fast: bool = False) -> int:
        assert (datagrams, fast) == (False, False)
        return STREAM

    def stream_attach(self, stream: int, descriptor: int, first: bytes = b"", *, whole: bool = False) -> None:
        assert (first, whole) == (b"", False)
        with socket.socket(fileno=os.dup(descriptor)) as own:
            try:
                own.getpeername()
            except OSError:
                raise LocalError("none of a connected TCP socket") from None
        self.notes.append(("attach", stream))

    def stream_reset(self, stream: int, why: int) -> None:
        assert why == GONE
        self.notes.append(("reset", stream))


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
async def server(engine: Engine) -> AsyncIterator[StreamServer]:
    made = StreamServer(cast("StreamPlane", engine), cast("StreamNetwork", None), ("privacy",), lambda: frozenset({"bob"}), lambda low, _high: low)
    yield made
    made.stop()


def words_of_socks() -> ProxyTalk:
    return Negotiation(lambda _host: None)


@pytest.mark.parametrize("words", [lambda: None, words_of_socks])
@pytest.mark.parametrize("stays", [True, False])
async def test_a_stream_is_given_up_whose_program_went_while_it_was_opened(
    server: StreamServer, engine: Engine, words: Callable[[], ProxyTalk | None], *, stays: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far = socket.create_connection(listening.getsockname())
        program, _ = listening.accept()
    program.setblocking(False)
    with far, program:
        leading = asyncio.create_task(server.lead(program, "bob", 80, "", words()))
        await asyncio.sleep(0)
        if not stays:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end is a reset
            far.close()
        server.handle_event(StreamTaken(STREAM))
        assert await leading == (None if stays else GONE)
    assert engine.notes == [("attach" if stays else "reset", STREAM)]


class Ends:
    """Stands for the process that speaks TLS: notes what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[TlsService, bytes]] = []
        self.full = False
        self.flows = 0
        self.counters: Counter[str] = Counter()

    def take(self, program: socket.socket, service: socket.socket, to: TlsService, first: bytes) -> None:
        if self.full:
            raise HostError("Too many programs use contacts' services over TLS.")
        program.getpeername()
        service.getpeername()
        self.taken.append((to, first))

    def close(self) -> None:
        pass


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
async def tls_server(engine: Engine, ends: Ends, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[StreamServer]:
    """Yield a server whose contact bob said that there is TLS at port 443; carol does not say."""

    async def ask(_server: StreamServer, petname: str) -> Services:
        if petname != "bob":
            raise UsageError("The contact's box does not say.")
        return parse_listing("web 443 tls\npage 80 tcp\n")

    monkeypatch.setattr(StreamServer, "_ask_services", ask)
    petnames = frozenset({"bob", "carol"})
    made = StreamServer(cast("StreamPlane", engine), cast("StreamNetwork", None), ("privacy",), lambda: petnames, lambda low, _high: low, cast("TlsEnds", ends))
    yield made
    made.stop()


async def led(server: StreamServer, petname: str, port: int, host: str | None, talk: ProxyTalk | None = None) -> tuple[int | None, bytes]:
    """Lead a program there; return what was said of it, and what it heard."""
    program, far = socket.socketpair()
    program.setblocking(False)
    with far, program:
        leading = asyncio.create_task(server.lead(program, petname, port, host, talk))
        for _ in range(10):
            await asyncio.sleep(0)
        server.handle_event(StreamTaken(STREAM))
        why = await leading
        program.shutdown(socket.SHUT_WR)
        return why, far.recv(10_000)


def words_of_http(request: bytes) -> ProxyTalk:
    words = HttpNegotiation(lambda _host: "bob")
    words.receive(request)
    return words


async def test_a_port_that_the_contact_lists_as_tls_is_led_to_who_speaks_it_and_no_other_is(tls_server: StreamServer, engine: Engine, ends: Ends) -> None:
    for host in ("nas", "", None):
        assert await led(tls_server, "bob", 443, host) == (None, b"")
    assert ends.taken == [(TlsService("bob", "web", host), b"") for host in ("nas", "", None)]
    assert await led(tls_server, "bob", 80, "nas") == (None, b"")
    assert (len(ends.taken), engine.notes) == (3, [("attach", STREAM)] * 4)


async def test_what_a_program_said_behind_its_connect_is_handed_over_and_a_plain_get_is_refused(tls_server: StreamServer, engine: Engine, ends: Ends) -> None:
    why, heard = await led(tls_server, "bob", 443, "nas", words_of_http(b"CONNECT nas.bob.privacy:443 HTTP/1.1\r\n\r\n\x16\x03\x01"))
    assert (why, heard, ends.taken[0][1]) == (None, b"HTTP/1.1 200 Connected\r\n\r\n", b"\x16\x03\x01")
    why, heard = await led(tls_server, "bob", 443, "", words_of_http(b"GET http://bob.privacy:443/ HTTP/1.1\r\n\r\n"))
    assert (why, heard[:12], len(engine.notes), len(ends.taken)) == (REFUSED, b"HTTP/1.1 403", 1, 1)


async def test_where_the_contacts_box_does_not_say_nothing_is_led_and_where_there_is_no_room_it_is_given_up(
    tls_server: StreamServer, engine: Engine, ends: Ends
) -> None:
    assert await led(tls_server, "carol", 80, "") == (UNREACHABLE, b"")
    assert engine.notes == []
    ends.full = True
    assert await led(tls_server, "bob", 443, "") == (GONE, b"")
    assert engine.notes == [("reset", STREAM)]
