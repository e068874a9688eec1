"""The sockets of streams: forwards, proxies and addresses of names that programs connect to, and the connections to services. [io]

A program is waited for here until the contact's box takes its stream; then its socket is handed to the engine, and no octet of it passes Python; where the service speaks TLS, to the
process that does so here (tls_ends.py), and the engine has another one that leads there. NOT here: which contact, which call, who is allowed (bundles.py, offered.py), the octets of SOCKS (socks.py) and HTTP (http.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any, Protocol

from voicebox.b2bua.events import TIE_OCTETS, Offer
from voicebox.b2bua.ports import CircuitLeg
from voicebox.config.model import Endpoint
from voicebox.dataplane import DatagramAsked, StreamEvent
from voicebox.errors import HostError, LocalError, UsageError, VoiceboxError
from voicebox.streams.bundles import GONE, NEVER, REFUSED, UNLIKE, UNREACHABLE, Bundles, Connected, Listener, StreamNetwork, StreamPlane
from voicebox.streams.datagrams import DatagramDoors
from voicebox.streams.listings import Listings, Services
from voicebox.streams.offered import LIST_PORT, Forward, Offered, parse_listing
from voicebox.streams.opening import opened
from voicebox.streams.socks import Wanted, contact_of
from voicebox.streams.tls_checks import TlsService
from voicebox.streams.tls_ends import TlsEnds

MAX_WAITING = 256
"""Programs that wait for their stream."""
NEGOTIATION_S = 10.0
CONNECT_S = 5.0
BACKLOG = 64
CHUNK_OCTETS = 512
MAX_LISTING_OCTETS = 4_096
MAX_DOORS = 256
"""Addresses and ports at which programs are waited for on behalf of names."""


class ProxyTalk(Protocol):
    """How a program says what it wants of a proxy: socks.py, http.py."""

    wanted: Wanted | None
    over: bool
    first: bytes
    whole: bool
    associates: bool

    def receive(self, octets: bytes) -> bytes: ...
    def reply(self, why: int | None) -> bytes: ...


class CallsToCarry(Protocol):
    """The calls of a box, as far as they carry streams; circuits/calls.py has them."""

    on_people: Callable[[], None]
    on_talk: Callable[[str, CircuitLeg, bytes], Listener]

    def on_streams(self, acceptor: Callable[[str, Offer, CircuitLeg], Listener]) -> None: ...


Talk = Callable[[Callable[[str], str | None]], ProxyTalk]
Door = tuple[str, int, str]
"""A contact, a port, and the host below the contact's name, "" for none."""
To = Door | Forward | Talk
"""Where a program that connects is led: to a contact's port, or wherever it says in a proxy's words."""


class StreamServer:
    """The streams of one running box.

    suffixes: of contacts' names; petnames(): of all contacts; tls: who ends TLS for programs here, None: nobody does. Contract: made on the running loop; use() says what is offered and where to listen, stop() ends all.
    """

    def __init__(
        self,
        plane: StreamPlane,
        network: StreamNetwork,
        suffixes: tuple[str, ...],
        petnames: Callable[[], frozenset[str]],
        draw: Callable[[float, float], float],
        tls: TlsEnds | None = None,
    ) -> None:
        self._tls = tls
        self._plane, self._suffixes, self._petnames = plane, suffixes, petnames
        self._offered = Offered()
        self._loop = asyncio.get_running_loop()
        self._bundles = Bundles(
            plane, network, self._soon, lambda: self._offered, self._connect, self._tell, self._loop.time, draw, lambda: secrets.token_bytes(TIE_OCTETS)
        )
        self._datagrams = DatagramDoors(plane, self._bundles, self._contact_of, self._arm)
        self._wanted: dict[Endpoint, To] = {}
        self._doors: Mapping[Endpoint, Door] = {}
        self._listening: dict[Endpoint, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._listings = Listings(self._ask_services)
        self._asked: dict[str, asyncio.Task[Services]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.counters: Counter[str] = Counter()

    def status(self) -> dict[str, int]:
        """Return counts of all this."""
        tls = self._tls
        counted = self.counters + self._datagrams.counters + (tls.counters if tls is not None else Counter())
        return {
            "lines": self._bundles.lines,
            "beside": self._bundles.beside,
            "waiting": len(self._tasks),
            "listening": len(self._listening),
            "tls": tls.flows if tls is not None else 0,
            "fast": self._offered.fast,
            **counted,
        }

    def handle_event(self, event: StreamEvent) -> None:
        """Take what happened to a stream."""
        if isinstance(event, DatagramAsked):
            self._soon(partial(self._datagrams.take, event.door, event.datagram))
        else:
            self._soon(partial(self._bundles.handle_event, event))

    def attend(self, calls: CallsToCarry) -> None:
        """Take what calls there are: those for streams, and those of people, which have the circuits and may carry streams beside their sound."""
        calls.on_streams(self._accept)
        calls.on_people, calls.on_talk = self.give_way, self._talk

    def _accept(self, petname: str, _offer: object, leg: CircuitLeg) -> Listener:
        listener = self._bundles.accept(petname, leg)
        self._arm()
        return listener

    def _talk(self, petname: str, leg: CircuitLeg, binding: bytes) -> Listener:
        listener = self._bundles.talk(petname, leg, binding)
        self._arm()
        return listener

    def give_way(self) -> None:
        """Leave the circuits to people, at once."""
        self._bundles.give_way()
        self._arm()

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname, or none any more."""
        self._listings.forget(petname)
        self._bundles.contact_changed(petname, to)
        self._arm()

    def stop(self) -> None:
        """Give everything back; idempotent."""
        self._closed = True
        for endpoint in list(self._listening):
            self._close(endpoint)
        for task in list(self._tasks):
            task.cancel()
        for asking in self._asked.values():
            asking.cancel()
        self._listings.stop()
        if self._tls is not None:
            self._tls.close()
        self._datagrams.stop()
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

    def use(self, offered: Offered, proxies: Mapping[Endpoint, Talk]) -> None:
        """Offer this, and listen where its forwards are, and proxies. Raises HostError where one cannot be listened at; then all is as before."""
        wanted: dict[Endpoint, To] = {each.listen: each for each in offered.forwards if not each.udp}
        wanted |= proxies
        fresh: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in wanted.keys() - self._listening.keys():
                fresh[endpoint] = _listening(endpoint)
            self._datagrams.use({each.listen: (each.petname, each.port) for each in offered.forwards if each.udp})
        except HostError:
            for listening in fresh.values():
                listening.close()
            raise
        self._offered, self._wanted = offered, wanted
        self._close_others()
        self._serve_all(fresh)

    def use_doors(self, doors: Mapping[Endpoint, Door]) -> None:
        """Listen there too, for programs that go by a contact's name, and no more where it was said before. Where that cannot be it is counted."""
        doors = dict(list(doors.items())[-MAX_DOORS:])  # those that were asked for last
        fresh: dict[Endpoint, socket.socket] = {}
        for endpoint in doors.keys() - self._doors.keys() - self._listening.keys():
            try:
                fresh[endpoint] = _listening(endpoint)
            except HostError:
                self.counters["doors_refused"] += 1
        self._doors = doors
        self._close_others()
        self._serve_all(fresh)

    def _close_others(self) -> None:
        for endpoint in self._listening.keys() - self._wanted.keys() - self._doors.keys():
            self._close(endpoint)

    def _serve_all(self, fresh: dict[Endpoint, socket.socket]) -> None:
        for endpoint, listening in fresh.items():
            self._listening[endpoint] = listening, self._loop.create_task(self._serve(endpoint, listening))

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
            self._begin(self._wait(program, self._wanted[endpoint] if endpoint in self._wanted else self._doors[endpoint]))

    async def _wait(self, program: socket.socket, to: To) -> None:
        """Take one program, up to where the engine has its socket."""
        with program, contextlib.suppress(OSError, TimeoutError, VoiceboxError):
            program.setblocking(False)
            if isinstance(to, Forward):
                await self.lead(program, to.petname, to.port, None, fast=to.fast)
                return
            if isinstance(to, tuple):
                await self.lead(program, *to)
                return
            talk = to(self._contact_of)
            wanted = await asyncio.wait_for(self._negotiated(program, talk), NEGOTIATION_S)
            if wanted is not None and talk.associates:
                await self._datagrams.associate(program)
            elif wanted is not None:
                await self.lead(program, wanted.petname, wanted.port, wanted.host, talk)

    async def lead(self, program: socket.socket, petname: str, port: int, host: str | None, talk: ProxyTalk | None = None, *, fast: bool = False) -> int | None:
        """Lead a connection to a contact's service; return None once the engine has it, else why not, of PROTOCOL.md §11.3.

        host: below the contact's name, "" for none, None where any may be meant. talk: in whose words the program is told. fast: in fast cells.
        """
        tls, stream, why = await self._led(petname, port, host, is_plain=talk is not None and talk.whole, fast=fast)
        if why == UNLIKE:
            self.counters["fast_refused" if fast else "fast_only"] += 1
        try:
            if talk is not None:
                await self._loop.sock_sendall(program, talk.reply(why))
            self.counters["streams_opened" if why is None else "streams_refused"] += 1
            if why is None and stream is not None:
                self._hand_over(program, stream, tls, talk)
        except (OSError, LocalError, HostError):  # the program is gone
            if why is None and stream is not None:
                self._plane.stream_reset(stream, GONE)
                return GONE
        return why

    async def _led(self, petname: str, port: int, host: str | None, *, is_plain: bool, fast: bool) -> tuple[TlsService | None, int | None, int | None]:
        """Find out whether the service speaks TLS, and open a stream to it; return that, the stream's number, and why not. is_plain: the program speaks none."""
        service = None
        if self._tls is not None and not fast:  # a service of TLS is no fast one
            try:
                service = await self._listings.tls_service(petname, port)
            except VoiceboxError:
                return None, None, UNREACHABLE
        if service is not None and is_plain:
            return None, None, REFUSED
        return TlsService(petname, service, host) if service is not None else None, *await self._opened(petname, port, fast=fast)

    def _hand_over(self, program: socket.socket, stream: int, tls: TlsService | None, talk: ProxyTalk | None) -> None:
        """Let the engine have a program, or the process that speaks TLS, and the engine that one. Raises HostError, LocalError."""
        first = talk.first if talk is not None else b""
        if tls is None or self._tls is None:
            self._plane.stream_attach(stream, program.fileno(), first, whole=talk is not None and talk.whole)
            return
        own, engines = _pair()
        with own, engines:
            self._tls.take(program, own, tls, first)
            self._plane.stream_attach(stream, engines.fileno())

    async def associate(self, program: socket.socket, held: list[bytes], petname: str, port: int) -> int | None:
        """Lead datagrams to a contact's service; see datagrams.py."""
        return await self._datagrams.lead(program, held, petname, port)

    async def _negotiated(self, program: socket.socket, talk: ProxyTalk) -> Wanted | None:
        while talk.wanted is None:
            came = await self._loop.sock_recv(program, CHUNK_OCTETS)
            if not came:
                return None
            answer = talk.receive(came)
            if answer:
                await self._loop.sock_sendall(program, answer)
            if talk.over:
                return None
        return talk.wanted

    async def _opened(self, petname: str, port: int, *, fast: bool = False) -> tuple[int | None, int | None]:
        """Open a stream and wait for the contact's box; return its number, and why not."""
        return await opened(self._bundles, self._plane, self._arm, petname, port, fast=fast)

    # ---------------------------------------------------------------------------------------------------------- services

    def services_of(self, petname: str) -> Services | None:
        """Return what a contact offers to this box, by the word of the contact's; None while that is asked. Raises UsageError where it does not say."""
        asking = self._asked.get(petname)
        if asking is None:
            asking = self._asked[petname] = self._loop.create_task(self._listings.fresh(petname))  # of contacts, so there are few
        if not asking.done():
            return None
        del self._asked[petname]
        return asking.result()

    async def _ask_services(self, petname: str) -> Services:
        stream, why = await self._opened(petname, LIST_PORT)
        if stream is None or why is not None:
            raise UsageError("The contact's box does not say, or is not reached, or offers you nothing.")
        own, engines = _pair()
        with own:
            with engines:
                self._plane.stream_attach(stream, engines.fileno())
            own.shutdown(socket.SHUT_WR)
            own.setblocking(False)
            came = b""
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(NEGOTIATION_S):
                    while len(came) < MAX_LISTING_OCTETS and (more := await self._loop.sock_recv(own, CHUNK_OCTETS)):
                        came += more
            return parse_listing(came.decode("ascii", "replace"))

    def learn(self, petname: str, then: Callable[[frozenset[int]], None]) -> None:
        """Ask a contact's box at which ports it offers something over TCP, and call then() where it says."""
        if len(self._tasks) < MAX_WAITING:
            self._begin(self._learn(petname, then))

    async def _learn(self, petname: str, then: Callable[[frozenset[int]], None]) -> None:
        with contextlib.suppress(VoiceboxError):
            services = await self._listings.fresh(petname)
            then(frozenset(each.port for each in services if not each.udp))

    def _tell(self, stream: int, octets: bytes) -> None:
        own, engines = _pair()
        with own, engines:
            self._plane.stream_attach(stream, engines.fileno(), octets, whole=True)

    def _connect(self, to: Endpoint, connected: Connected, *, datagrams: bool) -> None:
        self._begin(self._connect_to(to, connected, socket.SOCK_DGRAM if datagrams else socket.SOCK_STREAM))

    async def _connect_to(self, to: Endpoint, connected: Connected, kind: socket.SocketKind) -> None:
        family = socket.AF_INET6 if ":" in to.address else socket.AF_INET
        with socket.socket(family, kind) as service:
            service.setblocking(False)
            try:
                await asyncio.wait_for(self._loop.sock_connect(service, (to.address, to.port)), CONNECT_S)
            except (OSError, TimeoutError):
                connected(None)
            else:
                connected(service.fileno())


def _pair() -> tuple[socket.socket, socket.socket]:
    """Return both ends of a TCP connection of this process with itself. Raises HostError."""
    try:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            one = socket.create_connection(listening.getsockname())
            other, peer = listening.accept()
    except OSError as error:
        raise HostError(f"This machine gives no connection to itself ({error.strerror}).") from None
    if peer != one.getsockname():
        one.close()
        other.close()
        raise HostError("Another program connected in between.")
    return one, other


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
