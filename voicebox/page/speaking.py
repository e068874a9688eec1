"""The phone in the browser: its page, and the JSON socket behind the same login. [io] One phone for each window that shows it, all of one account."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from voicebox.browser.agent import Account
from voicebox.browser.line import Line
from voicebox.errors import UsageError, VoiceboxError
from voicebox.page.desk import Desk, desk_of, shown, translated
from voicebox.sensitive import Secret

MAX_LINES = 4
MAX_MESSAGE_CHARACTERS = 20_000
MAX_SAID = 64
REFUSED, TOO_MANY = 1008, 1013
"""Of RFC 6455 §7.4.1. With the first, what is wrong was said before."""


async def speaking(request: Request) -> Response:
    """Show the phone."""
    return shown(request, "speaking.html", contacts=await desk_of(request).callees())


async def line(socket: WebSocket) -> None:
    """Be the phone of a window until it is closed; a call that it is in ends with it."""
    desk: Desk = socket.app.state.desk
    await socket.accept()
    if desk.work.setdefault("lines", 0) >= MAX_LINES:
        await socket.close(TOO_MANY)
        return
    desk.work["lines"] += 1
    said: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MAX_SAID)
    phone: Line | None = None
    sending = asyncio.get_running_loop().create_task(_send(socket, said))
    try:
        phone = await _phone(desk, said)
        await phone.start()
        while True:
            text = await socket.receive_text()
            if len(text) > MAX_MESSAGE_CHARACTERS:
                raise UsageError(translated("That is longer than a phone says."))
            try:
                await phone.handle(text)
            except UsageError as problem:
                _put(said, {"problem": str(problem)})
    except (WebSocketDisconnect, KeyError):
        pass  # the window is closed, or says what is no text
    except VoiceboxError as problem:
        with contextlib.suppress(RuntimeError):
            await socket.send_text(json.dumps({"problem": str(problem)}))
            await socket.close(REFUSED)
    finally:
        desk.work["lines"] -= 1
        if phone is not None:
            await phone.stop()
        sending.cancel()


async def _phone(desk: Desk, said: asyncio.Queue[dict[str, Any]]) -> Line:
    login = await desk.ask("browser_phone")
    account = Account(str(login["user"]), Secret(str(login["password"]).encode()), str(login["host"]))
    host = str(login["address"])
    loopback = "::1" if ipaddress.ip_address(host).version == 6 else "127.0.0.1"
    return Line(account, host, int(login["port"]), list({host, loopback}), lambda what: _put(said, what))


def _put(said: asyncio.Queue[dict[str, Any]], what: dict[str, Any]) -> None:
    if not said.full():
        said.put_nowait(what)


async def _send(socket: WebSocket, said: asyncio.Queue[dict[str, Any]]) -> None:
    with contextlib.suppress(RuntimeError, OSError, WebSocketDisconnect):
        while True:
            await socket.send_text(json.dumps(await said.get()))
