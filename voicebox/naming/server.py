"""The name server's sockets: UDP and TCP at the same addresses. [io]

NOT here: what is answered (zone.py). Spec: RFC 1035 §4.2, RFC 7766 (several queries on one connection, in any pieces).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import Sequence

from voicebox.config.model import Endpoint
from voicebox.errors import HostError
from voicebox.naming.zone import Zone
from voicebox.sip.transport import udp_socket

MAX_CONNECTIONS = 64
MAX_QUERIES = 256
"""On one connection."""
QUERY_S = 10.0
"""So long a connection may take for one query."""
DATAGRAM_OCTETS = 4_096
"""Of a query, over TCP too."""
DATAGRAMS_AT_ONCE = 64
BACKLOG = 64


class NameServer:
    """Answers for a zone. Contract: made on the running loop; start(), then stop()."""

    def __init__(self, zone: Zone) -> None:
        self._zone = zone
        self._loop = asyncio.get_running_loop()
        self._datagrams: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self._connections: set[asyncio.Task[None]] = set()
        self.counters: Counter[str] = Counter()

    async def start(self, endpoints: Sequence[Endpoint]) -> None:
        """Answer there from now on. Raises HostError; then nothing is answered."""
        try:
            for endpoint in endpoints:
                self._datagrams.append(taken := udp_socket(endpoint.address, endpoint.port))
                self._loop.add_reader(taken.fileno(), self._receive, taken)
                self._servers.append(await asyncio.start_server(self._talk, endpoint.address, endpoint.port, backlog=BACKLOG, limit=DATAGRAM_OCTETS))
        except OSError as error:
            await self.stop()
            raise HostError(f"The name server cannot answer where names.listen says ({error.strerror}).") from None

    async def stop(self) -> None:
        """Answer nothing any more; idempotent."""
        for taken in self._datagrams:
            self._loop.remove_reader(taken.fileno())
            taken.close()
        self._datagrams.clear()
        for server in self._servers:
            server.close()
        self._servers.clear()
        connections = list(self._connections)
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)

    def _receive(self, taken: socket.socket) -> None:
        for _ in range(DATAGRAMS_AT_ONCE):
            try:
                query, asker = taken.recvfrom(DATAGRAM_OCTETS)
            except OSError:
                return  # no more, or an answer that reached nobody
            answer = self._answer(query)
            if answer is not None:
                with contextlib.suppress(OSError):
                    taken.sendto(answer, asker)

    def _answer(self, query: bytes) -> bytes | None:
        answer = self._zone.answer(query, time.time())
        self.counters["queries" if answer is not None else "no_queries"] += 1
        return answer

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= MAX_CONNECTIONS:
            self.counters["connections_refused"] += 1
            writer.close()
            return
        self._connections.add(task)
        try:
            await self._answer_all(reader, writer)
        except (OSError, EOFError, TimeoutError):
            return
        finally:
            self._connections.discard(task)
            writer.close()

    async def _answer_all(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(MAX_QUERIES):
            async with asyncio.timeout(QUERY_S):
                octets = int.from_bytes(await reader.readexactly(2))
                if octets > DATAGRAM_OCTETS:
                    return  # nothing that is answered is so long
                answer = self._answer(await reader.readexactly(octets))
                if answer is None:
                    return
                writer.write(len(answer).to_bytes(2) + answer)
                await writer.drain()
