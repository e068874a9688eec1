"""What the pages share: the box on its control socket, the files of the entry, the templates, and answers in the page's form. [io]"""

from __future__ import annotations

import asyncio
import gettext
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse

from voicebox.contacts.contact import Trust
from voicebox.contacts.store import StateDirectory
from voicebox.control import ask
from voicebox.errors import UsageError
from voicebox.page.entry import Logins, Tries

HERE = Path(__file__).parent
MAX_FIELDS = 32
AT_ONCE = 2
"""Questions to the box at a time: its socket has room for eight."""
_TEXTS = gettext.translation("voicebox", HERE / "locale", fallback=True)
translated: Callable[[str], str] = _TEXTS.gettext
"""A text in the language of whoever reads it; English where there is no other."""


def _templates() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, extensions=["jinja2.ext.i18n"], undefined=jinja2.StrictUndefined
    )
    made.globals["gettext"] = made.globals["_"] = translated
    made.globals["ngettext"] = _TEXTS.ngettext
    return made


@dataclass
class Desk:
    """One page of one box. cookie: the name under which a browser keeps who is in; secure: over TLS alone."""

    home: Path
    cookie: str
    secure: bool
    logins: Logins = field(default_factory=Logins)
    tries: Tries = field(default_factory=Tries)
    work: dict[str, Any] = field(default_factory=dict)
    """What goes on beyond a request, one of each kind: a meeting, a probe."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    templates: jinja2.Environment = field(default_factory=_templates)
    now_s: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self.store = StateDirectory(self.home)
        self._asking = asyncio.Semaphore(AT_ONCE)
        self.guessing = asyncio.Lock()

    async def ask(self, do: str, **more: str | bool | int) -> dict[str, Any]:
        """Ask the box. Raises UsageError, HostError, in the box's words."""
        async with self._asking:
            return await asyncio.to_thread(ask, self.home, do, **more)

    async def callees(self) -> list[dict[str, Any]]:
        """Return the contacts with whom there may be calls (Contact.open)."""
        return [row for row in (await self.ask("contacts"))["contacts"] if not row["blocked"] and row["state"] != Trust.CHANGED.value]

    def file(self, name: str) -> str:
        """Return the text of a file of the page, empty where there is none. Raises FileProblem."""
        return self.store.read_text(name) if self.store.exists(name) else ""

    def begin(self, work: Any) -> None:
        """Let a coroutine go on beyond the request."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def desk_of(request: Request) -> Desk:
    """Return whose request it is."""
    desk: Desk = request.app.state.desk
    return desk


def shown(request: Request, template: str, status: int = 200, **facts: Any) -> HTMLResponse:
    """Return a page. facts: what its template names."""
    page = desk_of(request).templates.get_template(template)
    return HTMLResponse(page.render(path=request.url.path, inside=request.scope.get("inside", False), **facts), status)


def led_to(path: str) -> RedirectResponse:
    """Return the answer after a change: look there."""
    return RedirectResponse(path, 303)


async def form_of(request: Request) -> dict[str, str]:
    """Return the fields of a form, each once; the body's length was bounded before. Raises UsageError."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise UsageError(translated("This is no form of this page."))
    try:
        return dict(parse_qsl((await request.body()).decode("utf-8"), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError:
        raise UsageError(translated("This is no form of this page.")) from None
