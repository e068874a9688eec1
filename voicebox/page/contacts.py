"""Contacts: who they are, how sure that is, what is done to them. NOT here: how boxes meet (meetings.py)."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from voicebox.contacts.changes import What
from voicebox.contacts.code import Code
from voicebox.errors import UsageError
from voicebox.page.desk import desk_of, form_of, led_to, shown, translated

SIMPLE = frozenset({What.BLOCK, What.UNBLOCK, What.REMOVE, What.ACCEPT, What.KEEP})
"""What needs no value."""


async def contacts(request: Request) -> Response:
    """Show all of them, the invitations, and the forms by which there are more."""
    desk = desk_of(request)
    there = (await desk.ask("contacts"))["contacts"]
    invitations = (await desk.ask("invited"))["invitations"]
    return shown(request, "contacts.html", contacts=there, invitations=invitations, about=await desk.ask("about"))


async def card(request: Request) -> Response:
    """Give the box's own card, to be kept as a file."""
    text = (await desk_of(request).ask("about"))["card"]
    return PlainTextResponse(text, headers={"content-disposition": 'attachment; filename="my.card"'})


async def add(request: Request) -> Response:
    """Add somebody's card, which was pasted."""
    form, desk = await form_of(request), desk_of(request)
    petname = form.get("petname", "").strip()
    await desk.ask("contact", what=What.ADD.value, petname=petname, value=form.get("card", "").replace("\r\n", "\n"))
    return led_to(f"/contacts/of/{petname.lower()}")


async def contact(request: Request) -> Response:
    """Show one of them."""
    return shown(request, "contact.html", contact=await _found(request), digits="", words="", waiting=False)


async def change(request: Request) -> Response:
    """Do something to one of them."""
    form, desk, petname = await form_of(request), desk_of(request), str(request.path_params["petname"])
    what = str(request.path_params["what"])
    if what == What.RENAME:
        to = form.get("to", "").strip()
        await desk.ask("contact", what=what, petname=petname, value=to)
        return led_to(f"/contacts/of/{to.lower()}")
    if what == What.VERIFY:
        await desk.ask("contact", what=what, petname=petname, value=form.get("id", ""))
    elif what in SIMPLE:
        await desk.ask("contact", what=what, petname=petname, value="")
    else:
        raise UsageError(translated("That cannot be done to a contact."))
    return led_to("/contacts" if what == What.REMOVE else f"/contacts/of/{petname}")


async def compare(request: Request) -> Response:
    """Show the code of the call with one of them, once they ask for it too."""
    petname = str(request.path_params["petname"])
    answer = await desk_of(request).ask("compare", petname=petname)
    code = Code(str(answer["digits"])) if answer["digits"] else None
    digits, words = (code.grouped(), code.words()) if code else ("", "")
    return shown(request, "contact.html", contact=await _found(request), digits=digits, words=words, waiting=code is None)


async def _found(request: Request) -> dict[str, object]:
    """Return the contact that the address names. Raises UsageError where there is none."""
    rows: list[dict[str, object]] = (await desk_of(request).ask("contacts"))["contacts"]
    found = next((row for row in rows if row["petname"] == request.path_params["petname"]), None)
    if found is None:
        raise UsageError(translated("There is no contact of that name."))
    return found
