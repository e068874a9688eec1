"""The page that a phone fetches once, over HTTP, at an address of the home network; there is a socket only while a ticket may be used. [io]

HTTP in the clear: a phone does not know the box's authority before it has its account, and Linphone takes no page from a server that it cannot check. So whoever
listens on the home network in that moment reads the account (THREATS.md). NOT here: who may have what (tickets.py), the page (forms.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable

from voicebox.config.model import Endpoint
from voicebox.errors import HostError, UsageError
from voicebox.provisioning.tickets import MAX_REQUEST_OCTETS, Tickets, TicketState, asked_token, is_near, reply

MAX_CLIENTS = 8
CLIENT_S = 5.0


class ProvisioningServer:
    """Serves pages for tickets. page(user, any_certificate): what the phone of an account is given, None where there is no such account any more."""

    def __init__(self, page: Callable[[str, bool], str | None]) -> None:
        self._page, self._tickets = page, Tickets()
        self._listener: socket.socket | None = None
        self._server: asyncio.Task[asyncio.Server] | None = None
        self._closing: asyncio.TimerHandle | None = None
        self._clients = 0

    def offer(self, user: str, address: str, *, any_certificate: bool) -> str:
        """Return the URL of a fresh ticket, good once and for ten minutes. address: of this machine, towards the phones. Raises HostError, UsageError for a wildcard."""
        if ipaddress.ip_address(address).is_unspecified:
            raise UsageError("The page for the phone needs an address in sip.listen of box.yaml, not only a wildcard.")
        loop = asyncio.get_running_loop()
        if self._listener is not None and self._listener.getsockname()[0] != address:
            self.close()
        if self._listener is None:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            try:
                self._listener = socket.create_server((address, 0), family=family)
            except OSError as error:
                raise HostError(f"The page for the phone cannot be offered ({error.strerror}).") from None
            self._server = loop.create_task(asyncio.start_server(self._serve, sock=self._listener, limit=MAX_REQUEST_OCTETS))
        token = self._tickets.issue(user, loop.time(), any_certificate=any_certificate)
        self._close_when_done()
        return f"http://{Endpoint(address, self._listener.getsockname()[1])}/{token}"

    def state(self, user: str) -> TicketState:
        """Return what became of an account's latest ticket."""
        return self._tickets.state(user, asyncio.get_running_loop().time())

    def withdraw(self, user: str) -> None:
        """Let nobody fetch an account's page any more."""
        self._tickets.withdraw(user)
        self._close_when_done()

    def close(self) -> None:
        """Listen no more; idempotent."""
        if self._closing is not None:
            self._closing.cancel()
        if self._server is not None and not self._server.cancel() and self._server.exception() is None:
            self._server.result().close()
        if self._listener is not None:
            self._listener.close()
        self._closing = self._server = self._listener = None

    def _close_when_done(self) -> None:
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        loop = asyncio.get_running_loop()
        until = self._tickets.open_until(loop.time())
        if until is None:
            self.close()
        else:
            self._closing = loop.call_at(until, self._close_when_done)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients += 1
        try:
            remote, local = writer.get_extra_info("peername"), writer.get_extra_info("sockname")
            if self._clients <= MAX_CLIENTS and remote and local and is_near(remote[0], local[0]):
                async with asyncio.timeout(CLIENT_S):
                    writer.write(reply(self._page_for(await _token(reader))))
                    await writer.drain()
        except (OSError, TimeoutError, ValueError):
            pass  # whoever asks for anything else is answered nothing
        finally:
            self._clients -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            if self._listener is not None:
                self._close_when_done()

    def _page_for(self, token: str) -> str | None:
        taken = self._tickets.take(token, asyncio.get_running_loop().time())
        return None if taken is None else self._page(*taken)


async def _token(reader: asyncio.StreamReader) -> str:
    """Read a request. Raises ValueError for another one than is answered."""
    octets = b""
    while (token := asked_token(octets)) is None:
        piece = await reader.read(MAX_REQUEST_OCTETS)
        if not piece:
            raise ValueError("the request is not whole")
        octets += piece
    return token
