"""The page over real sockets: fetched once, by GET alone, and nothing listens when no ticket may be used."""

from __future__ import annotations

import asyncio
from urllib.parse import urlsplit

import pytest

from voicebox.errors import UsageError
from voicebox.provisioning.server import MAX_CLIENTS, ProvisioningServer
from voicebox.provisioning.tickets import TicketState

pytestmark = pytest.mark.system


async def http(url: str, method: str = "GET") -> bytes:
    """Return what comes back."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"{method} {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""  # let go with what was said unread
    finally:
        writer.close()


@pytest.fixture
def server() -> ProvisioningServer:
    return ProvisioningServer(lambda user, any_certificate: f"<{user} {any_certificate}>" if user != "gone" else None)


async def test_a_page_is_fetched_once_and_then_nothing_listens(server: ProvisioningServer) -> None:
    url = server.offer("desk", "127.0.0.1", any_certificate=False)
    assert (await http(url + "x")).startswith(b"HTTP/1.1 404 ")
    assert await http(url, "HEAD") == b""
    assert server.state("desk") is TicketState.WAITING
    assert (await http(url)).endswith(b"\r\n\r\n<desk False>")
    assert server.state("desk") is TicketState.USED
    with pytest.raises(OSError, match=r".+"):
        await http(url)
    again = server.offer("desk", "127.0.0.1", any_certificate=True)
    assert (await http(again)).endswith(b"<desk True>")
    server.close()


@pytest.mark.parametrize("wildcard", ["0.0.0.0", "::"])
async def test_a_page_is_offered_at_an_address_and_not_everywhere(server: ProvisioningServer, wildcard: str) -> None:
    with pytest.raises(UsageError, match="wildcard"):
        server.offer("desk", wildcard, any_certificate=False)
    assert server.state("desk") is TicketState.OVER


async def test_two_phones_at_once_and_one_that_is_revoked(server: ProvisioningServer) -> None:
    first, second, gone = (server.offer(user, "127.0.0.1", any_certificate=False) for user in ("desk", "hall", "gone"))
    assert urlsplit(first).port == urlsplit(second).port
    server.withdraw("hall")
    assert b"404" in await http(second)
    assert b"404" in await http(gone), "its account went meanwhile"
    assert b"<desk False>" in await http(first)
    server.close()
    server.close()


async def test_who_says_nothing_keeps_nobody_out_for_long_and_they_are_bounded(server: ProvisioningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.provisioning.server.CLIENT_S", 0.3)
    url = server.offer("desk", "127.0.0.1", any_certificate=False)
    parts = urlsplit(url)
    silent = [await asyncio.open_connection(parts.hostname, parts.port) for _ in range(MAX_CLIENTS)]
    await asyncio.sleep(0.05)
    assert await http(url) == b"", "too many at once are let go"
    assert all([await asyncio.wait_for(reader.read(), 10) == b"" for reader, _ in silent])
    assert b"<desk False>" in await http(url)
    for _, writer in silent:
        writer.close()
    server.close()


async def test_closing_before_it_listened_is_no_harm(server: ProvisioningServer) -> None:
    server.offer("desk", "127.0.0.1", any_certificate=False)
    server.close()
    await asyncio.sleep(0)
    assert server.state("desk") is TicketState.WAITING
