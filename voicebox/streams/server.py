"""The sockets of streams: forwards and SOCKS5 that programs connect to, and the connections to services. [io]

A program is waited for here until the contact's box takes its stream; then its socket is handed to the engine, and no octet of it passes Python. NOT here: which
contact, which call, who is allowed (bundles.py, offered.py), the octets of SOCKS (socks.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

from voicebox.b2bua.events import TIE_OCTETS
from voicebox.b2bua.ports import CircuitLeg
from voicebox.config.model import Endpoint
from voicebox.dataplane import StreamEvent
from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.streams.bundles import BUSY, NEVER, Bundles, Connected, Listener, StreamNetwork, StreamPlane
from voicebox.streams.offered import Offered
from voicebox.streams.socks import REASONS, Negotiation, Reply, contact_of

MAX_WAITING = 256
"""Programs that wait for their stream."""
NEGOTIATION_S = 10.0
CONNECT_S = 5.0
BACKLOG = 64
CHUNK_OCTETS = 512


class StreamServer:
    """The streams of one running box.

    suffixes: of contacts' names; petnames(): of all contacts. Contract: made on the running loop; use() says what is offered and where to listen, stop() ends all.
    """

    def __init__(
        self,
        plane: StreamPlane,
        network: StreamNetwork,
        suffixes: tuple[str, ...],
        petnames: Callable[[], frozenset[str]],
        draw: Callable[[float, float], float],
    ) -> None:
        self._plane, self._suffixes, self._petnames = plane, suffixes, petnames
        self._offered = Offered()
        self._loop = asyncio.get_running_loop()
        self._bundles = Bundles(
            plane, network, self._soon, lambda: self._offered, self._connect, self._loop.time, draw, lambda: secrets.token_bytes(TIE_OCTETS)
        )
        self._wanted: dict[Endpoint, tuple[str, int] | None] = {}
        self._listening: dict[Endpoint, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.counters: Counter[str] = Counter()

    def status(self) -> dict[str, int]:
        """Return counts of all this."""
        return {"lines": self._bundles.lines, "waiting": len(self._tasks), "listening": len(self._listening), **self.counters}

    def handle_event(self, event: StreamEvent) -> None:
        """Take what happened to a stream."""
        self._soon(lambda: self._bundles.handle_event(event))

    def accept(self, petname: str, _offer: object, leg: CircuitLeg) -> Listener:
        """Take a call for streams; see circuits/calls.py."""
        listener = self._bundles.accept(petname, leg)
        self._arm()
        return listener

    def give_way(self) -> None:
        """Leave the circuits to people, at once."""
        self._bundles.give_way()
        self._arm()

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname, or none any more."""
        self._bundles.contact_changed(petname, to)
        self._arm()

    def stop(self) -> None:
        """Give everything back; idempotent."""
        self._closed = True
        for endpoint in list(self._listening):
            self._close(endpoint)
        for task in list(self._tasks):
            task.cancel()
        self._bundles.end_all()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _soon(self, step: Callable[[], None]) -> None:
        """Do something soon, and never inside of what caused it."""
        self._loop.call_soon(self._step, step)

    def _step(self, step: Callable[[], None]) -> None:
        if not self._closed:
            step()
            self._arm()

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due = self._bundles.next_timer()
        if due < NEVER and not self._closed:
            self._timer = self._loop.call_at(due, self._tick)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _tick(self) -> None:
        self._timer = None
        self._step(self._bundles.handle_timer)

    # ----------------------------------------------------------------------------------------------------- programs here

    def use(self, offered: Offered, socks: Endpoint | None) -> None:
        """Offer this, and listen where its forwards are, and for SOCKS5. Raises HostError where one cannot be listened at; then all is as before."""
        wanted: dict[Endpoint, tuple[str, int] | None] = {each.listen: (each.petname, each.port) for each in offered.forwards}
        if socks is not None:
            wanted[socks] = None
        fresh: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in wanted.keys() - self._listening.keys():
                fresh[endpoint] = _listening(endpoint)
        except HostError:
            for listening in fresh.values():
                listening.close()
            raise
        for endpoint in self._listening.keys() - wanted.keys():
            self._close(endpoint)
        for endpoint, listening in fresh.items():
            self._listening[endpoint] = listening, self._loop.create_task(self._serve(endpoint, listening))
        self._offered, self._wanted = offered, wanted

    def _contact_of(self, host: str) -> str | None:
        return contact_of(host, self._suffixes, self._petnames())

    def _close(self, endpoint: Endpoint) -> None:
        if endpoint in self._listening:
            listening, task = self._listening.pop(endpoint)
            task.cancel()
            listening.close()

    async def _serve(self, endpoint: Endpoint, listening: socket.socket) -> None:
        while True:
            try:
                program, _ = await self._loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(1.0)  # no descriptor is left, say
                continue
            if len(self._tasks) >= MAX_WAITING:
                self.counters["programs_refused"] += 1
                program.close()
                continue
            self._begin(self._wait(program, self._wanted[endpoint]))

    async def _wait(self, program: socket.socket, to: tuple[str, int] | None) -> None:
        """Take one program, up to where the engine has its socket."""
        with program, contextlib.suppress(OSError, TimeoutError, VoiceboxError):
            program.setblocking(False)
            is_socks = to is None
            if to is None:
                to = await asyncio.wait_for(self._negotiate(program), NEGOTIATION_S)
            if to is None:
                return
            stream, why = await self._opened(*to)
            if is_socks:
                await self._loop.sock_sendall(program, (Reply.DONE if why is None else REASONS.get(why, Reply.FAILED)).serialise())
            self.counters["streams_opened" if why is None else "streams_refused"] += 1
            if why is None and stream is not None:
                self._plane.stream_attach(stream, program.fileno())

    async def _negotiate(self, program: socket.socket) -> tuple[str, int] | None:
        negotiation = Negotiation(self._contact_of)
        while negotiation.wanted is None:
            came = await self._loop.sock_recv(program, CHUNK_OCTETS)
            if not came:
                return None
            answer = negotiation.receive(came)
            if answer:
                await self._loop.sock_sendall(program, answer)
            if negotiation.over:
                return None
        return negotiation.wanted.petname, negotiation.wanted.port

    async def _opened(self, petname: str, port: int) -> tuple[int | None, int | None]:
        """Open a stream and wait for the contact's box; return its number, and why not."""
        future: asyncio.Future[int | None] = self._loop.create_future()

        def opened(why: int | None) -> None:
            if not future.done():
                future.set_result(why)

        try:
            opening = self._bundles.open(petname, port, opened)
        except UsageError:
            return None, BUSY
        self._arm()
        try:
            why = await future
        except asyncio.CancelledError:
            self._bundles.give_up(opening)
            raise
        return opening.stream, why

    # ---------------------------------------------------------------------------------------------------------- services

    def _connect(self, to: Endpoint, connected: Connected) -> None:
        self._begin(self._connect_to(to, connected))

    async def _connect_to(self, to: Endpoint, connected: Connected) -> None:
        family = socket.AF_INET6 if ":" in to.address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as service:
            service.setblocking(False)
            try:
                await asyncio.wait_for(self._loop.sock_connect(service, (to.address, to.port)), CONNECT_S)
            except (OSError, TimeoutError):
                connected(None)
            else:
                connected(service.fileno())


def _listening(endpoint: Endpoint) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setblocking(False)
        listening.bind((endpoint.address, endpoint.port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise HostError(f"Nothing can listen where a forward or SOCKS should ({error.strerror}). `voicebox forward list` prints the addresses.") from None
    return listening
