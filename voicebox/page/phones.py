"""Phones: their accounts, how each application takes them, and quiet."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from voicebox.page.desk import desk_of, form_of, led_to, shown
from voicebox.page.meetings import qr


async def phones(request: Request) -> Response:
    """Show all of them, who is here, and the form for another."""
    desk = desk_of(request)
    there = await desk.ask("phones")
    status = (await desk.ask("status"))["status"]
    here = {phone["user"] for phone in status["phones"]}
    return shown(request, "phones.html", phones=there["phones"], quiet=there["quiet"], here=here, seen=status["seen"])


async def add(request: Request) -> Response:
    """Make an account."""
    form = await form_of(request)
    user = form.get("user", "").strip()
    await desk_of(request).ask("phone_add", user=user, transport=form.get("transport", ""), keying=form.get("keying", "sdes"))
    return led_to(f"/phones/of/{user}")


async def phone(request: Request) -> Response:
    """Show the account of one, with its password."""
    return shown(
        request, "phone.html", account=await desk_of(request).ask("phone", user=str(request.path_params["user"])), url="", qr="", any_certificate=False
    )


async def offer(request: Request) -> Response:
    """Show a code by which Linphone fetches the account, once."""
    form, desk, user = await form_of(request), desk_of(request), str(request.path_params["user"])
    any_certificate = form.get("any_certificate") == "yes"
    url = str((await desk.ask("offer", user=user, any_certificate=any_certificate))["url"])
    return shown(request, "phone.html", account=await desk.ask("phone", user=user), url=url, qr=qr(url), any_certificate=any_certificate)


async def revoke(request: Request) -> Response:
    """Serve a phone no longer."""
    await form_of(request)
    await desk_of(request).ask("phone_remove", user=str(request.path_params["user"]))
    return led_to("/phones")


async def quiet(request: Request) -> Response:
    """Let the house or a phone be quiet, or no more."""
    form = await form_of(request)
    await desk_of(request).ask("dnd", user=form.get("user", ""), on=form.get("on") == "yes")
    return led_to("/phones")


async def authority(request: Request) -> Response:
    """Give the certificate that phones, and browsers of the house, install."""
    pem = str((await desk_of(request).ask("phone_ca"))["pem"])
    return Response(pem, media_type="application/x-pem-file", headers={"content-disposition": 'attachment; filename="box.pem"'})
