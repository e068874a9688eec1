"""The connection by which a box has the helper's sockets, and asks it for more of them: one for datagrams at each virtual address and port that somebody uses. [io]

The helper answers each `door` with one octet, in the order in which they were asked; a socket comes with it where there is one (helper.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque

from voicebox.errors import HostError
from voicebox.intercept.helper import DOOR


class Doors:
    """What is asked and not answered yet. helper: the connection, which stays the caller's. gone: set once the helper is.

    Contract: made on the running loop; close() before the connection is closed.
    """

    def __init__(self, helper: socket.socket) -> None:
        self._helper = helper
        self._loop = asyncio.get_running_loop()
        self._asked: deque[asyncio.Future[socket.socket | None]] = deque()
        self.gone = asyncio.Event()
        helper.setblocking(False)
        self._loop.add_reader(helper, self._hear)

    async def ask(self, address: str, port: int) -> socket.socket:
        """Return a socket that is bound there, and that the kernel gives what is for it once it is connected. Raises HostError where there is none."""
        if self.gone.is_set():
            raise HostError("The helper of interception is gone.")
        future: asyncio.Future[socket.socket | None] = self._loop.create_future()
        try:
            self._helper.send(f"door {address} {port}\n".encode())  # whole: as many as may wait find room
        except OSError:
            self.close()
            raise HostError("The helper of interception does not listen.") from None
        self._asked.append(future)
        try:
            door = await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and (late := future.result()) is not None:
                late.close()
            raise
        if door is None:
            raise HostError("The helper of interception has no socket for this.")
        door.setblocking(False)
        return door

    def _hear(self) -> None:
        try:
            said, descriptors, _, _ = socket.recv_fds(self._helper, 1, 1, socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            said, descriptors = b"", []
        if not said or not self._asked:
            self.close()
        elif (future := self._asked.popleft()).done():  # nobody waits for it any more
            for each in descriptors:
                os.close(each)
        else:
            future.set_result(socket.socket(fileno=descriptors[0]) if said == DOOR and descriptors else None)

    def close(self) -> None:
        """Ask nothing more; idempotent."""
        with contextlib.suppress(ValueError):  # it is closed already
            self._loop.remove_reader(self._helper)
        self.gone.set()
        while self._asked:
            if not (future := self._asked.popleft()).done():
                future.set_result(None)
