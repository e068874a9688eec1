"""The pages before all others: the link of half an hour, the passphrase. [io: files of the page]"""

from __future__ import annotations

import asyncio
import time

from starlette.requests import Request
from starlette.responses import Response

from voicebox.errors import UsageError
from voicebox.page.desk import Desk, desk_of, form_of, led_to, shown
from voicebox.page.entry import LINK_FILE, LOGIN_S, PASSPHRASE_FILE, check_link, check_passphrase, new_passphrase


async def enter_page(request: Request) -> Response:
    """Ask for the token, which the link has behind its #, where no server sees it, and a passphrase."""
    return shown(request, "enter.html", problem="")


async def enter(request: Request) -> Response:
    """Take the token, once, and keep the passphrase; whoever was in is out."""
    form, desk = await form_of(request), desk_of(request)
    try:
        kept = await asyncio.to_thread(new_passphrase, form.get("passphrase", ""), form.get("again", ""))
        # Nothing is awaited from here on, so that of two requests with one token the second finds no file.
        check_link(desk.file(LINK_FILE), form.get("token", "").strip(), time.time())
        desk.store.remove(LINK_FILE)
        desk.store.write(PASSPHRASE_FILE, kept.encode())
    except UsageError as problem:
        return shown(request, "enter.html", 403, problem=str(problem))
    desk.logins.close_all()
    desk.tries.right()
    return _inside(desk)


async def login_page(request: Request) -> Response:
    """Ask for the passphrase."""
    return shown(request, "login.html", problem="")


async def login(request: Request) -> Response:
    """Take the passphrase. One is tried at a time, so that guesses cost the box one core for half a second each, and five are all there are."""
    form, desk = await form_of(request), desk_of(request)
    try:
        async with desk.guessing:
            desk.tries.check(desk.now_s())
            desk.tries.wrong(desk.now_s())  # until it is known to be right: who breaks off has tried
            await asyncio.to_thread(check_passphrase, desk.file(PASSPHRASE_FILE), form.get("passphrase", ""))
            desk.tries.right()
    except UsageError as problem:
        return shown(request, "login.html", 403, problem=str(problem))
    return _inside(desk)


async def logout(request: Request) -> Response:
    """Forget who was in with this cookie."""
    desk = desk_of(request)
    desk.logins.close(request.cookies.get(desk.cookie, ""))
    answer = led_to("/login")
    answer.delete_cookie(desk.cookie, httponly=True, samesite="strict", secure=desk.secure)
    return answer


def _inside(desk: Desk) -> Response:
    answer = led_to("/")
    answer.set_cookie(desk.cookie, desk.logins.open(desk.now_s()), max_age=LOGIN_S, httponly=True, samesite="strict", secure=desk.secure)
    return answer
