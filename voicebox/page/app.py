"""The page as one application: its addresses, and what every request passes before it comes to one. [io]"""

from __future__ import annotations

import asyncio
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from voicebox.config.model import Endpoint
from voicebox.errors import UsageError, VoiceboxError
from voicebox.page import calls, contacts, entering, keeping, meetings, phones, speaking, state
from voicebox.page.desk import HERE, Desk, shown
from voicebox.page.entry import PASSPHRASE_FILE
from voicebox.page.guard import HEADERS, Guard, hosts_of

OPEN = frozenset({"/enter", "/login", "/static/style.css", "/static/enter.js"})
"""What answers before somebody is in; /login only once there is a passphrase."""
REQUEST_S = 60.0
LONGER = frozenset({"/call/live"})


def make_app(home: Path, listen: Endpoint, *, tls: bool) -> Front:
    """Return the page of a box's directory. listen: where it is found; tls: so, and only so."""
    desk = Desk(home, cookie=f"{'__Host-' if tls else ''}voicebox-{listen.port}", secure=tls)
    app = Starlette(routes=_routes(), exception_handlers={VoiceboxError: _problem, 404: _nothing, 405: _nothing})
    app.state.desk = desk
    return Front(app, desk, Guard(hosts_of(listen, loopback=not tls), "https" if tls else "http"))


def _routes() -> list[BaseRoute]:
    get, post = ["GET"], ["POST"]
    return [
        Route("/", state.home, methods=get),
        Route("/enter", entering.enter_page, methods=get),
        Route("/enter", entering.enter, methods=post),
        Route("/login", entering.login_page, methods=get),
        Route("/login", entering.login, methods=post),
        Route("/logout", entering.logout, methods=post),
        Route("/state", state.state, methods=get),
        Route("/state/now", state.state, methods=get),
        Route("/state/machine", state.machine, methods=get),
        Route("/cost", state.cost, methods=get),
        Route("/contacts", contacts.contacts, methods=get),
        Route("/contacts/card", contacts.card, methods=get),
        Route("/contacts/meeting", meetings.meeting, methods=get),
        Route("/contacts/add", contacts.add, methods=post),
        Route("/contacts/invite", meetings.invite, methods=post),
        Route("/contacts/accept", meetings.accept, methods=post),
        Route("/contacts/met", meetings.met, methods=post),
        Route("/contacts/invitations/{place:int}", meetings.settle, methods=post),
        Route("/contacts/of/{petname}", contacts.contact, methods=get),
        Route("/contacts/of/{petname}/compare", contacts.compare, methods=post),
        Route("/contacts/of/{petname}/{what}", contacts.change, methods=post),
        Route("/phones", phones.phones, methods=get),
        Route("/phones/authority", phones.authority, methods=get),
        Route("/phones/add", phones.add, methods=post),
        Route("/phones/quiet", phones.quiet, methods=post),
        Route("/phones/of/{user}", phones.phone, methods=get),
        Route("/phones/of/{user}/offer", phones.offer, methods=post),
        Route("/phones/of/{user}/revoke", phones.revoke, methods=post),
        Route("/call", calls.call, methods=get),
        Route("/call/live", calls.live, methods=get),
        Route("/call/probe", calls.probe, methods=get),
        Route("/call/probe", calls.begin_probe, methods=post),
        Route("/call/probe.css", calls.probe_style, methods=get),
        Route("/phone", speaking.speaking, methods=get),
        WebSocketRoute("/phone/socket", speaking.line),
        Route("/backup", keeping.backup_page, methods=get),
        Route("/backup", keeping.backup, methods=post),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]


async def _problem(request: Request, error: Exception) -> Response:
    """Say what was wrong, in the words that the command line has for it."""
    return shown(request, "problem.html", 400 if isinstance(error, UsageError) else 502, problem=str(error))


async def _nothing(request: Request, _error: Exception) -> Response:
    return shown(request, "problem.html", 404, problem="")


class Front:
    """What every request passes: the guard, then who is in; and the headers that every answer gets."""

    def __init__(self, app: ASGIApp, desk: Desk, guard: Guard) -> None:
        self._app, self.desk, self.guard = app, desk, guard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request, as ASGI has it."""
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            refused = self.guard.check("GET", headers, self.desk.now_s(), socket=True) is not None
            if refused or not self.desk.logins.seen(HTTPConnection(scope).cookies.get(self.desk.cookie, ""), self.desk.now_s()):
                await WebSocketClose(1008)(scope, receive, send)
                return
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        answer = self._stopped(scope)
        limit_s = None if scope["path"] in LONGER else REQUEST_S
        try:
            async with asyncio.timeout(limit_s):
                await (answer or self._app)(scope, receive, _with_headers(send))
        except TimeoutError:
            pass  # whoever asked so slowly is cut off

    def _stopped(self, scope: Scope) -> Response | None:
        """Return what a request is answered with that goes no further."""
        headers = Headers(scope=scope)
        refused = self.guard.check(scope["method"], headers, self.desk.now_s())
        if refused is not None:
            return PlainTextResponse(refused.phrase, refused)
        inside = scope["inside"] = self.desk.logins.seen(Request(scope).cookies.get(self.desk.cookie, ""), self.desk.now_s())
        if inside:
            return None
        begun = self.desk.store.exists(PASSPHRASE_FILE)
        if scope["path"] in OPEN and (begun or scope["path"] != "/login"):
            return None
        return RedirectResponse("/login" if begun else "/enter", 303) if scope["method"] == "GET" else PlainTextResponse("Forbidden", 403)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
        await send(message)

    return sending
