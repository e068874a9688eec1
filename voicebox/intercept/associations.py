"""What a box does with datagrams to virtual addresses: one association (PROTOCOL.md §11.6) for each socket of a program and each place that it sends to. [io]

    the helper's socket -> whose address? -> the modules, with the first datagram -> a socket at that address, connected to the program -> an association -> the engine has both

The kernel gives what a program sends next to the connected socket, and the engine reads it there: so only what came before passes here, and an answer leaves from the address and port that the program
sent to. Where there is nobody, that socket stays for a while and is transparent no more: then the kernel refuses what the program sends next (rules.py).
NOT here: connections (server.py), fragments and queues (the engine), idle associations (the engine too).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from voicebox.errors import HostError
from voicebox.intercept.datagram import TRANSPARENT, Sender, waiting
from voicebox.intercept.module import Answer, Cause, Flow, Module, Redirect
from voicebox.intercept.modules import Modules

MAX_WAITING = 64
"""Associations that no contact's box has taken yet."""
MAX_WAITING_EACH = 32
"""Those of them that are one device's, or this machine's."""
MAX_HELD = 16
"""Datagrams of each."""
MAX_DATAGRAM_OCTETS = 8_192
REFUSED_S = 10.0
MAX_REFUSED = 256
"""Pairs of a program and a place whose datagrams the kernel refuses for a while; beyond, the oldest is forgotten."""


class Place(Protocol):
    """Whose virtual address one is; naming/virtual.py has it."""

    @property
    def petname(self) -> str: ...
    @property
    def host(self) -> str: ...


class LeadsDatagrams(Protocol):
    """Leads the datagrams of a connected socket to a contact's service; streams/server.py has it."""

    async def associate(self, program: socket.socket, held: list[bytes], petname: str, port: int, /) -> int | None: ...


@dataclass(eq=False, slots=True)
class _Waiting:
    """An association that is being opened. held: what was sent on it, and goes before what waits at its socket."""

    task: asyncio.Task[None]
    held: list[bytes] = field(repr=False)


class Associations:
    """All of one helper's sockets.

    place_of(address): whose it is; leads(): who leads to contacts now; door(address, port): a socket of the helper's, bound there; hold_s: as long as a datagram waits for its contact
    at most. Contract: made on the running loop; take() each socket, whose owner closes it after stop().
    """

    def __init__(
        self,
        modules: Modules,
        place_of: Callable[[str], Place | None],
        leads: Callable[[], LeadsDatagrams | None],
        door: Callable[[str, int], Awaitable[socket.socket]],
        hold_s: float,
        counters: Counter[str],
    ) -> None:
        self._modules, self._place_of, self._leads, self._door, self._hold_s = modules, place_of, leads, door, hold_s
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[tuple[Sender, tuple[str, int]], _Waiting] = {}
        self._refused: deque[socket.socket] = deque()
        self._taken: list[socket.socket] = []

    def take(self, taken: socket.socket) -> None:
        """Take datagrams from a socket of the helper's. What waits there already was sent while no box ran."""
        with contextlib.suppress(OSError):
            while True:
                taken.recv(1)
        self._taken.append(taken)
        self._loop.add_reader(taken, self._receive, taken)

    def stop(self) -> None:
        """Take no more; idempotent. What the engine has goes on."""
        for taken in self._taken:
            self._loop.remove_reader(taken)
        self._taken.clear()
        for opening in self._waiting.values():
            opening.task.cancel()
        while self._refused:
            self._refused.popleft().close()

    def _receive(self, taken: socket.socket) -> None:
        for octets, to, sender in waiting(taken, MAX_DATAGRAM_OCTETS + 1):
            if to is None or len(octets) > MAX_DATAGRAM_OCTETS:
                self._counters["datagrams_dropped"] += 1
            else:
                self._hold(sender, to, octets)

    def _hold(self, sender: Sender, to: tuple[str, int], octets: bytes) -> None:
        opening = self._waiting.get((sender, to))
        if opening is None and len(self._waiting) < MAX_WAITING and sum(other[0] == sender[0] for other, _ in self._waiting) < MAX_WAITING_EACH:
            fresh = list[bytes]()
            opening = self._waiting[sender, to] = _Waiting(self._loop.create_task(self._open(sender, to, fresh)), fresh)
        if opening is None or len(opening.held) >= MAX_HELD:
            self._counters["datagrams_dropped"] += 1
        else:
            opening.held.append(octets)

    async def _open(self, sender: Sender, to: tuple[str, int], held: list[bytes]) -> None:
        """Open one association, up to where the engine has it."""
        try:
            door = await asyncio.wait_for(self._door(*to), self._hold_s)
            with contextlib.ExitStack() as stack:
                stack.callback(door.close)
                said = await self._answered(door, sender, to, held)
                if said:
                    door.sendto(said, sender)
                elif said is not None:
                    self._refuse(door, sender)
                    stack.pop_all()
        except (HostError, OSError):  # no helper any more, no descriptor left, no way back
            self._counters["datagrams_dropped"] += len(held)
        finally:
            del self._waiting[sender, to]

    async def _answered(self, door: socket.socket, sender: Sender, to: tuple[str, int], held: list[bytes]) -> bytes | None:
        """Lead an association on; return None once the engine has it, or all is answered, else what is said to the program, which may be nothing."""
        place, leads = self._place_of(to[0]), self._leads()
        if place is None:
            self._counters["flows_refused"] += 1
            return b""
        flow = Flow(place.petname, place.host, to[1], Redirect.UDP)
        while isinstance(module := self._modules.process(flow, held[0]), Answer):
            door.sendto(module.octets, sender)
            del held[0]
            if not held:
                return None
        if module is None:
            self._counters["flows_refused"] += 1
            return b""
        leading = None
        if leads is not None:
            door.connect(sender)  # from now on it gets what the program sends
            leading = leads.associate(door, held, flow.petname, flow.port)
        said = await led(self._modules, module, flow, sender[1], leading, self._hold_s, self._counters)
        return said and said[:MAX_DATAGRAM_OCTETS]

    def _refuse(self, door: socket.socket, sender: Sender) -> None:
        """Let the kernel refuse for a while what the program sends there."""
        door.connect(sender)
        door.setsockopt(*TRANSPARENT[door.family], 0)
        self._refused.append(door)
        if len(self._refused) > MAX_REFUSED:
            self._refused.popleft().close()
        self._loop.call_later(REFUSED_S, self._forget, door)

    def _forget(self, door: socket.socket) -> None:
        if door in self._refused:
            self._refused.remove(door)
        door.close()


async def led(
    modules: Modules, module: Module, flow: Flow, local_port: int, leading: Awaitable[int | None] | None, hold_s: float, counters: Counter[str]
) -> bytes | None:
    """Wait until a contact's box takes a flow; return None once it did, else what is said to the program. leading: None where nobody leads."""
    cause = Cause.UNREACHABLE
    if leading is not None:
        try:
            why = await asyncio.wait_for(leading, hold_s)
        except TimeoutError:
            cause = Cause.LATE
        else:
            if why is None:
                counters["flows_led"] += 1
                modules.circuit_ready(module, flow, local_port)
                return None
            cause = Cause(why)
    counters["flows_gone"] += 1
    return modules.circuit_gone(module, flow, cause)
