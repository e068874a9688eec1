"""The sockets of associations: UDP forwards, SOCKS5 UDP ASSOCIATE, interception, and the way of a datagram's first few until the contact's box has taken its association. [io]

Each program that sends gets a socket of its own, connected to it, which is handed to the engine as a door; no datagram passes Python after that. What comes before the contact's box
takes the association is held here, a few of each. NOT here: fragments and queues (the engine), who may reach what (offered.py), which call (bundles.py). Spec: RFC 1928 §7.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from voicebox.config.model import Endpoint
from voicebox.errors import HostError, LocalError, UsageError
from voicebox.sip.transport import udp_socket
from voicebox.streams.bundles import GONE, Bundles, Opening, StreamPlane
from voicebox.streams.opening import opened
from voicebox.streams.socks import bound_reply, parse_datagram

MAX_WAITING = 64
"""Associations that the contact's box has not taken yet."""
MAX_HELD = 16
"""Datagrams of each of them."""
MAX_OCTETS = 8_192 + 262
"""Of a datagram with its header (PROTOCOL.md §11.6)."""
AT_ONCE = 32


@dataclass(eq=False, slots=True)
class _Waiting:
    """An association that is being opened, and what was sent on it. opening: None for the moment in which it is asked for."""

    held: list[bytes] = field(default_factory=list, repr=False)
    opening: Opening | None = None


class DatagramDoors:
    """All of a running box. contact_of(host): as in socks.py. soon(): called when something was asked of `bundles`. Contract: as StreamServer, whose part it is."""

    def __init__(self, plane: StreamPlane, bundles: Bundles, contact_of: Callable[[str], str | None], soon: Callable[[], None]) -> None:
        self._plane, self._bundles, self._contact_of, self._soon = plane, bundles, contact_of, soon
        self._loop = asyncio.get_running_loop()
        self._forwards: dict[Endpoint, tuple[socket.socket, tuple[str, int]]] = {}
        self._leads: dict[int, tuple[str, int]] = {}
        """Of doors of forwards that wait: where they lead."""
        self._waiting: dict[tuple[int, bytes], _Waiting] = {}
        self.counters: Counter[str] = Counter()

    def use(self, forwards: Mapping[Endpoint, tuple[str, int]]) -> None:
        """Take datagrams at these places, and at no others. Raises HostError where one cannot be had; then all is as before."""
        fresh: dict[Endpoint, socket.socket] = {}
        try:
            for endpoint in forwards.keys() - self._forwards.keys():
                fresh[endpoint] = udp_socket(endpoint.address, endpoint.port, shared=True)
        except OSError as error:
            for taken in fresh.values():
                taken.close()
            raise HostError(f"No datagrams can be taken where a forward should ({error.strerror}). `voicebox forward list` prints the addresses.") from None
        for endpoint in self._forwards.keys() - forwards.keys():
            self._close(endpoint)
        for endpoint, to in forwards.items():
            taken = fresh.get(endpoint) or self._forwards[endpoint][0]
            self._forwards[endpoint] = taken, to
            if endpoint in fresh:
                self._loop.add_reader(taken.fileno(), self._receive, endpoint)

    def stop(self) -> None:
        """Close everything; idempotent."""
        for endpoint in list(self._forwards):
            self._close(endpoint)
        for key in list(self._waiting):
            self._give_up(key)

    def _close(self, endpoint: Endpoint) -> None:
        taken, _ = self._forwards.pop(endpoint)
        self._loop.remove_reader(taken.fileno())
        taken.close()

    # ---------------------------------------------------------------------------------------------------------- forwards

    def _receive(self, endpoint: Endpoint) -> None:
        """Take what programs send for the first time: each gets a door."""
        taken, to = self._forwards[endpoint]
        came: dict[tuple[object, ...], list[bytes]] = {}
        for octets, program in _drained(taken):
            came.setdefault(program, []).append(octets)
        for program, held in came.items():
            if len(self._waiting) >= MAX_WAITING:
                self.counters["datagrams_refused"] += len(held)
                continue
            with contextlib.suppress(OSError, LocalError), udp_socket(endpoint.address, endpoint.port, shared=True) as own:
                own.connect(program)
                held += [octets for octets, sender in _drained(own) if sender == program]  # none but the program's comes from now on
                door = self._plane.door_open(own.fileno())
                self._leads[door] = to
                for octets in held:
                    self._hold(door, b"", octets, to)

    # ------------------------------------------------------------------------------------------------------------- SOCKS

    async def associate(self, program: socket.socket) -> None:
        """Serve a program that asked for UDP ASSOCIATE over its TCP connection, until that ends."""
        own_address, peer_address = (program.getsockname()[0], program.getpeername()[0])
        with udp_socket(own_address, 0, shared=True) as own:
            await self._loop.sock_sendall(program, bound_reply(ipaddress.ip_address(own_address), own.getsockname()[1]))
            over = self._loop.create_task(self._over(program))
            first = self._loop.create_task(self._first(own, peer_address))
            door = None
            try:
                await asyncio.wait([over, first], return_when=asyncio.FIRST_COMPLETED)
                if first.done():
                    door = self._plane.door_open(own.fileno(), has_headers=True)
                    for octets in first.result():
                        self.take(door, octets)
                    await over
            finally:
                for task in (over, first):
                    task.cancel()
                if door is not None:
                    for key in [key for key in self._waiting if key[0] == door]:
                        self._give_up(key)
                    self._plane.door_close(door)

    async def _over(self, program: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while await self._loop.sock_recv(program, 512):
                pass

    async def _first(self, own: socket.socket, peer_address: str) -> list[bytes]:
        """Return the first datagrams of the program at an address, and take none but its own from then on."""
        while True:
            octets, program = await self._loop.sock_recvfrom(own, MAX_OCTETS)
            if program[0] == peer_address:
                own.connect(program)
                return [octets, *(more for more, sender in _drained(own) if sender == program)]

    # ------------------------------------------------------------------------------------------------------ interception

    async def lead(self, program: socket.socket, held: list[bytes], petname: str, port: int) -> int | None:
        """Lead the datagrams of a connected socket to a contact's service; return None once the engine has it, else why not, of PROTOCOL.md §11.3.

        held: what goes before what waits at the socket; more may be added until then.
        """
        stream, why = await opened(self._bundles, self._plane, self._soon, petname, port, datagrams=True)
        if stream is None:
            return why
        if why is None:
            try:
                self._plane.door_attach(self._plane.door_open(program.fileno()), stream, b"", held)
            except LocalError:  # the socket is none any more
                self._plane.stream_reset(stream, GONE)
                why = GONE
        self.counters["associations_opened" if why is None else "associations_refused"] += 1
        return why

    # ------------------------------------------------------------------------------------------------------- all of them

    def take(self, door: int, datagram: bytes) -> None:
        """Take a datagram that came through a door and has no association yet."""
        lead = self._leads.get(door)
        if lead is not None:
            self._hold(door, b"", datagram, lead)
            return
        parsed = parse_datagram(datagram, self._contact_of)
        if parsed is None:
            self.counters["datagrams_refused"] += 1
            return
        header, wanted = parsed
        self._hold(door, header, datagram[len(header) :], (wanted.petname, wanted.port))

    def _hold(self, door: int, header: bytes, octets: bytes, to: tuple[str, int]) -> None:
        waiting = self._waiting.get((door, header))
        if waiting is not None:
            waiting.held += [octets] if len(waiting.held) < MAX_HELD else []
            return
        if len(self._waiting) >= MAX_WAITING:
            self.counters["datagrams_refused"] += 1
            return
        self._waiting[door, header] = waiting = _Waiting([octets])
        try:
            waiting.opening = self._bundles.open(*to, lambda why: self._opened((door, header), why), datagrams=True)
        except UsageError:
            self._opened((door, header), 0)
        self._soon()

    def _opened(self, key: tuple[int, bytes], why: int | None) -> None:
        """Let an association go on in the engine, or nowhere."""
        waiting = self._waiting.pop(key, None)
        door, header = key
        is_forward = self._leads.pop(door, None) is not None
        if waiting is not None and waiting.opening is not None and why is None:
            self._plane.door_attach(door, waiting.opening.stream, header, waiting.held)
        elif is_forward:
            self._plane.door_close(door)
        self.counters["associations_opened" if why is None else "associations_refused"] += 1

    def _give_up(self, key: tuple[int, bytes]) -> None:
        waiting = self._waiting.pop(key)
        if waiting.opening is not None:
            self._bundles.give_up(waiting.opening)
        if self._leads.pop(key[0], None) is not None:
            self._plane.door_close(key[0])


def _drained(taken: socket.socket) -> list[tuple[bytes, tuple[object, ...]]]:
    """Return what waits at a socket, and from whom."""
    came: list[tuple[bytes, tuple[object, ...]]] = []
    with contextlib.suppress(OSError):
        while len(came) < AT_ONCE:
            came.append(taken.recvfrom(MAX_OCTETS))
    return came
