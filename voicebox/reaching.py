"""Two sockets for a look whether others reach this machine: one asks, the other is the port in question. [io]

NOT here: what is said (circuits/reach.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Sequence

from voicebox.circuits.descriptor import Descriptor
from voicebox.circuits.reach import Reach
from voicebox.config.model import Endpoint

TRIES = 4
TRY_S = 1.0


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)


async def look(relays: Sequence[Descriptor], listen: Endpoint) -> str | None:
    """Return the address at which relays reach the port that is listened on; None where they do not, it is taken, or there is none to ask.

    Relays without an address of the same family are not asked. It takes TRIES seconds at most.
    """
    is_v6 = ":" in listen.address
    asked = [relay for relay in relays if (":" in relay.addresses[0].host) == is_v6]
    reach = Reach(asked, listen.port, secrets.token_bytes)
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def send_more(datagram: bytes, source: tuple[str, int]) -> None:
        for to, octets in reach.answered(source[0], source[1], datagram):
            asking.sendto(octets, (to.host, to.port))

    def take(datagram: bytes, _source: tuple[str, int]) -> None:
        reach.reached(datagram)
        if reach.over:
            done.set()

    with contextlib.ExitStack() as opened:
        try:
            port, _ = await loop.create_datagram_endpoint(lambda: _Side(take), local_addr=(listen.address, listen.port))
            opened.callback(port.close)
            asking, _ = await loop.create_datagram_endpoint(lambda: _Side(send_more), local_addr=(listen.address, 0))
            opened.callback(asking.close)
        except OSError:
            return None
        for _ in range(TRIES if asked else 0):
            for to, octets in reach.to_send():
                asking.sendto(octets, (to.host, to.port))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(done.wait(), TRY_S)
                break
    await asyncio.sleep(0)  # the loop closes them now, so that the port is free
    return reach.address
