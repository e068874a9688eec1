"""The sockets of streams, over loopback: what becomes of a stream whose program is gone before the engine has its socket."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from voicebox.dataplane import StreamTaken
from voicebox.errors import LocalError
from voicebox.streams.bundles import GONE, StreamNetwork, StreamPlane
from voicebox.streams.server import ProxyTalk, StreamServer
from voicebox.streams.socks import Negotiation

STREAM = 7


class Engine:
    """Notes which streams got a socket and which were given up."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, int]] = []

    def bundle_open(self) -> int:
        return 1

    def bundle_close(self, _bundle: int) -> None:
        pass

    def stream_open(self, _bundle: int, _port: int, *, datagrams: bool = False) -> int:
        assert not datagrams
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
        leading = asyncio.create_task(server.lead(program, "bob", 80, words()))
        await asyncio.sleep(0)
        if not stays:
            far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end is a reset
            far.close()
        server.handle_event(StreamTaken(STREAM))
        assert await leading == (None if stays else GONE)
    assert engine.notes == [("attach" if stays else "reset", STREAM)]
