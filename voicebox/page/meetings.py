"""Inviting and accepting: words and a QR code, and what became of them. [io: waits beside the requests]

The slow hash of the words is done here, not in the box (contacts/words.py). One meeting at a time, as the box goes to one at a time.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import segno
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from voicebox.circuits.meeting import Outcome
from voicebox.contacts.changes import What
from voicebox.contacts.invitation import parse_said
from voicebox.contacts.words import draw_words, request_of
from voicebox.errors import UsageError, VoiceboxError
from voicebox.page.desk import Desk, desk_of, form_of, led_to, shown, translated

HOURS = 24
LOOK_EVERY_S, AGAIN_S, WAIT_S = 0.3, 3.0, 60.0


@dataclass
class Going:
    """A meeting that this box goes to. outcome: a value of Outcome, or "problem", empty while it is under way; claims, card: whom we met."""

    petname: str
    outcome: str = ""
    claims: str = ""
    card: str = ""
    problem: str = ""


def qr(text: str) -> Markup:
    """Return a QR code as SVG, which is as wide as its place."""
    made = segno.make(text, error="m").svg_inline(omitsize=True, border=4, dark="#000", light="#fff", svgclass="qr", lineclass=None)
    return Markup(made)  # noqa: S704 - it is made of squares


async def invite(request: Request) -> Response:
    """Make an invitation and show it, once: the words are kept nowhere."""
    form, desk = await form_of(request), desk_of(request)
    about, words = await desk.ask("about"), draw_words()
    asked = await asyncio.to_thread(request_of, words, bytes.fromhex(about["network"]))
    petname = form.get("petname", "").strip()
    await desk.ask("invite", for_s=str(HOURS * 3600), petname=petname, sure=bool(petname) and form.get("sure") == "yes", **asked)
    text = (await desk.ask("invitation", words=words.text()))["invitation"]
    return shown(request, "invitation.html", words=words.text(), invitation=text, line=about["line"], qr=qr(text.upper()), hours=HOURS)


async def settle(request: Request) -> Response:
    """Add who came by an invitation, or take it back."""
    form, desk, place = await form_of(request), desk_of(request), str(request.path_params["place"])
    if form.get("what") == "add":
        rows = (await desk.ask("invited"))["invitations"]
        row = next((row for row in rows if str(row["place"]) == place and row["card"]), None)
        if row is None:
            raise UsageError(translated("Nobody is there to be added."))
        await _add(desk, form.get("petname", "").strip(), row["card"])
        await desk.ask("invited", settle=place, added=True)
    else:
        await desk.ask("invited", settle=place)
    return led_to("/contacts")


async def accept(request: Request) -> Response:
    """Go to the meeting of somebody's words; it goes on beside."""
    form, desk = await form_of(request), desk_of(request)
    there = desk.work.get("meeting")
    if isinstance(there, Going) and not there.outcome:
        raise UsageError(translated("This box goes to a meeting already; wait a moment."))
    about, petname = await desk.ask("about"), form.get("petname", "").strip()
    await _check_free(desk, petname)
    network_id = bytes.fromhex(about["network"])
    words, inviter = parse_said(form.get("words", "").strip(), network_id)
    going = desk.work["meeting"] = Going(petname)
    desk.begin(_go(desk, going, inviter, await asyncio.to_thread(request_of, words, network_id)))
    return led_to("/contacts/meeting")


async def _go(desk: Desk, going: Going, inviter: str, asked: dict[str, str]) -> None:
    """Go to the meeting, again where nobody answered, for a minute."""
    end_s = desk.now_s() + WAIT_S
    try:
        while True:
            await desk.ask("accept", inviter=inviter, **asked)
            while not (met := await desk.ask("accepted"))["outcome"]:  # noqa: ASYNC110 - another process is asked
                await asyncio.sleep(LOOK_EVERY_S)
            if met["outcome"] != Outcome.NOBODY or desk.now_s() >= end_s:
                break
            await asyncio.sleep(AGAIN_S)
        going.claims, going.card = met["claims"], met["card"]
        going.outcome = str(met["outcome"])
    except VoiceboxError as problem:
        going.outcome, going.problem = "problem", str(problem)


async def meeting(request: Request) -> Response:
    """Show how the meeting goes; the page asks again by itself, with a script or without."""
    going = desk_of(request).work.get("meeting")
    if not isinstance(going, Going):
        return led_to("/contacts")
    return shown(request, "meeting.html", going=going)


async def met(request: Request) -> Response:
    """Add who was met, or not."""
    form, desk = await form_of(request), desk_of(request)
    going = desk.work.get("meeting")
    if not isinstance(going, Going) or going.outcome != Outcome.MET:
        raise UsageError(translated("Nobody is there to be added."))
    if form.get("what") == "add":
        petname = form.get("petname", "").strip()
        await _add(desk, petname, going.card)
        del desk.work["meeting"]
        return led_to(f"/contacts/of/{petname.lower()}")
    del desk.work["meeting"]
    return led_to("/contacts")


async def _add(desk: Desk, petname: str, card: str) -> None:
    await _check_free(desk, petname)
    await desk.ask("contact", what=What.ADD.value, petname=petname, value=card)


async def _check_free(desk: Desk, petname: str) -> None:
    """Raise UsageError where somebody has a petname: a card for it would be taken for another card of theirs."""
    if any(row["petname"] == petname.lower() for row in (await desk.ask("contacts"))["contacts"]):
        raise UsageError(translated("There is a contact of that name already. Take another name."))
