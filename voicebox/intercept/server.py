"""What a box does with what comes for virtual addresses: takes the helper's sockets, asks the modules, and leads each to its contact. [io]

    the helper's socket -> accept -> whose address? -> the modules, with a look at what was said -> a stream to the contact -> the engine has the connection

What a program said is looked at and left where it is (MSG_PEEK), so the engine finds all of it. NOT here: datagrams to contacts (associations.py), which contact an address is (naming), streams (streams), rules (helper.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from voicebox.config.model import BoxConfig, Doh
from voicebox.errors import HostError
from voicebox.intercept.asking import take_sockets
from voicebox.intercept.associations import Associations, LeadsDatagrams, Place, led
from voicebox.intercept.datagram import leaving_from, waiting
from voicebox.intercept.doors import Doors
from voicebox.intercept.helper import SOCKET_NAME
from voicebox.intercept.module import Answer, Flow, Redirect
from voicebox.intercept.modules import load_modules
from voicebox.intercept.resolvers import known_resolvers
from voicebox.intercept.rules import INTERFACE, LOOKUP_PORT, Network, Plan, own_address
from voicebox.intercept.taken import SipSide, TakenCalls

AGAIN_S = 1.0
"""So often a helper is looked for where there is none."""
HOLD_S = 5.0
"""As long as a connection waits for its contact at most."""
FIRST_S = 0.05
"""As long as a program is waited for to say something: those that speak first have done so by then."""
FIRST_OCTETS = 16_384
MUCH_OCTETS = 1_000
"""Who says so much at once may not have said all of it yet, and is waited for once more."""
MAX_WAITING = 256
BACKLOG = 64
SAY_S = 2.0
DATAGRAM_OCTETS = 4_096
OWN = frozenset({INTERFACE, "lo", "*"})
"""The interfaces whose routes into the ranges are interception's own: the kernel shows those of the fence under the last two."""


class Names(Protocol):
    """The names of the box; naming/names.py has them.

    place_of(address): whose it is; answer(query): a message of DNS; intercept(own): answer with addresses that are intercepted on these interfaces, None: no more; ranges(): of those addresses.
    """

    def place_of(self, address: str, /) -> Place | None: ...
    def answer(self, query: bytes, /) -> bytes | None: ...
    def intercept(self, own: frozenset[str] | None, /) -> None: ...
    def ranges(self) -> tuple[Network, ...]: ...


class Leads(LeadsDatagrams, Protocol):
    """Leads connections too; streams/server.py has it."""

    async def lead(self, program: socket.socket, petname: str, port: int, host: str, /) -> int | None: ...


class Interception:
    """Interception as the box sees it. leads(): who leads to contacts now, None while nobody does; sip(): see TakenCalls. Raises UsageError for modules that there are not.

    Contract: start() on the running loop, then stop().
    """

    def __init__(self, home: Path, config: BoxConfig, names: Names, leads: Callable[[], Leads | None], sip: Callable[[], SipSide | None]) -> None:
        self._home, self._config, self._names, self._leads = home, config, names, leads
        self._modules = modules = load_modules(config.intercept_modules)
        self._calls = TakenCalls(home, config.phones_elsewhere, modules, sip)
        modules.use(self)
        self._running: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[None]] = set()
        self._has_helper = False
        self.counters: Counter[str] = Counter()

    def status(self) -> dict[str, object]:
        """Return whether there is a helper, how many connections wait, and counts; flows are connections and associations."""
        return {"on": self._has_helper, "waiting": len(self._waiting), "module_failures": self._modules.failed, **self.counters, **self._calls.counters}

    def start(self) -> None:
        """Look for a helper, now and whenever there is none."""
        self._running = asyncio.get_running_loop().create_task(self._run())

    def stop(self) -> None:
        """Take no more; idempotent."""
        for task in (*self._waiting, *([self._running] if self._running is not None else [])):
            task.cancel()
        self._running = None

    def plan(self) -> Plan:
        """Return what this box wants intercepted, for programs of this host. Raises HostError."""
        config = self._config
        resolvers = () if config.intercept_doh is Doh.ALLOW else (*known_resolvers(), *config.intercept_resolvers)
        refuses_here, takes_calls = config.intercept_doh is Doh.REFUSE_HERE, bool(config.phones_elsewhere)
        return Plan(self._names.ranges(), config.suffixes, None, resolvers, refuses_here, config.sip_port, takes_calls)

    # ------------------------------------------------------------------------------------------------- what modules have

    def look_up(self, query: bytes) -> bytes | None:
        """See module.py."""
        return self._names.answer(query)

    def owner(self, address: str) -> tuple[str, str] | None:
        """See module.py."""
        place = self._names.place_of(address)
        return (place.petname, place.host) if place is not None else None

    def notify(self, module: str, message: object) -> None:
        """See module.py."""
        self._modules.notify(module, message)

    # --------------------------------------------------------------------------------------------------------- the helper

    async def _run(self) -> None:
        while True:
            taken = await asyncio.to_thread(take_sockets, self._home) if (self._home / SOCKET_NAME).exists() else None
            if taken is not None:
                await self._serve(*taken)
            await asyncio.sleep(AGAIN_S)

    async def _serve(self, helper: socket.socket, taken: list[socket.socket]) -> None:
        """Take connections and datagrams until the helper is gone."""
        loop, accepting = asyncio.get_running_loop(), list[asyncio.Task[None]]()
        doors = Doors(helper)
        associations = Associations(self._modules, self._names.place_of, self._leads, doors.ask, HOLD_S, self.counters)
        try:
            if not {str(each.getsockname()[0]) for each in taken} <= {str(own_address(each)) for each in self._names.ranges()}:
                raise HostError("The helper was started for other ranges.")
            self._names.intercept(OWN)
            self._has_helper = True
            await self._calls.begin()
            for each in taken:
                each.setblocking(False)
                if each.type == socket.SOCK_STREAM:
                    each.listen(BACKLOG)
                    accepting.append(loop.create_task(self._accept(each)))
                elif each.getsockname()[1] == LOOKUP_PORT:
                    loop.add_reader(each, self._receive, each)
                else:
                    associations.take(each)
            await doors.gone.wait()
        except (HostError, OSError):
            self.counters["helpers_refused"] += 1
        finally:
            self._has_helper = False
            self._calls.end()
            for task in accepting:
                task.cancel()
            associations.stop()
            doors.close()
            for each in (helper, *taken):
                loop.remove_reader(each)
                each.close()
            self._names.intercept(None)

    # ---------------------------------------------------------------------------------------------------------- datagrams

    def _receive(self, taken: socket.socket) -> None:
        for octets, to, sender in waiting(taken, DATAGRAM_OCTETS):
            said = self._modules.process(Flow("", "", to[1], Redirect.LOOKUP), octets) if to is not None else None
            self.counters["lookups" if isinstance(said, Answer) else "lookups_dropped"] += 1
            if to is not None and isinstance(said, Answer):
                with contextlib.suppress(OSError):
                    taken.sendmsg([said.octets], [leaving_from(to[0])], 0, sender)

    # -------------------------------------------------------------------------------------------------------- connections

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                program, (_, local_port, *_more) = await loop.sock_accept(listening)
            except OSError:
                await asyncio.sleep(AGAIN_S)  # no descriptor is left, say
                continue
            if len(self._waiting) >= MAX_WAITING:
                self.counters["flows_refused"] += 1
                _reset(program)
            else:
                self._begin(self._take(program, local_port))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def _take(self, program: socket.socket, local_port: int) -> None:
        """Take one connection, up to where the engine has it."""
        with program:
            try:
                program.setblocking(False)
                said = await self._answered(program, local_port)
                if said:
                    await asyncio.wait_for(_say(program, said), SAY_S)
            except (OSError, TimeoutError):
                said = b""
            if said == b"":
                _reset(program)

    async def _answered(self, program: socket.socket, local_port: int) -> bytes | None:
        """Lead a connection on; return None once the engine has it, else what is said to the program, which may be nothing."""
        address, port = program.getsockname()[:2]
        place, leads = self._names.place_of(address), self._leads()
        if place is None:
            self.counters["flows_refused"] += 1
            return b""
        flow = Flow(place.petname, place.host, port)
        module = self._modules.process(flow, await _first_octets(program))
        if isinstance(module, Answer):
            return module.octets
        if module is None:
            self.counters["flows_refused"] += 1
            return b""
        leading = leads.lead(program, place.petname, port, place.host) if leads is not None else None
        return await led(self._modules, module, flow, local_port, leading, HOLD_S, self.counters)


async def _first_octets(program: socket.socket) -> bytes:
    """Return what a program has said within a moment, and leave it there."""
    loop = asyncio.get_running_loop()
    readable = asyncio.Event()
    loop.add_reader(program, readable.set)
    try:
        await asyncio.wait_for(readable.wait(), FIRST_S)
        said = program.recv(FIRST_OCTETS, socket.MSG_PEEK)
        if len(said) < MUCH_OCTETS:
            return said
        loop.remove_reader(program)
        await asyncio.sleep(FIRST_S)
        return program.recv(FIRST_OCTETS, socket.MSG_PEEK)
    except (TimeoutError, BlockingIOError):
        return b""
    finally:
        loop.remove_reader(program)


async def _say(program: socket.socket, said: bytes) -> None:
    """Say something and end the connection in order, for what lay unread would reset it, and what was said might be lost."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(program, said)
    program.shutdown(socket.SHUT_WR)
    while await loop.sock_recv(program, FIRST_OCTETS):
        pass


def _reset(program: socket.socket) -> None:
    """End a connection at once, so that its program does not take it for one that was over."""
    with contextlib.suppress(OSError):
        program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    program.close()
