"""The backup: everything in one file, sealed with a passphrase. [io: reads the box's files, sealed as they lie there]"""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from voicebox.circuits.own_relay import FOLDER
from voicebox.contacts.backup import seal_backup
from voicebox.contacts.snapshot import snapshot
from voicebox.errors import UsageError
from voicebox.page.desk import desk_of, form_of, shown, translated
from voicebox.sensitive import Secret


async def backup_page(request: Request) -> Response:
    """Ask for the passphrase of a backup."""
    return shown(request, "backup.html")


async def backup(request: Request) -> Response:
    """Make a backup and give it to the browser, which keeps it as a file. One is made at a time."""
    form, desk = await form_of(request), desk_of(request)
    passphrase = form.get("passphrase", "")
    if passphrase != form.get("again", ""):
        raise UsageError(translated("These were two different passphrases."))
    async with desk.guessing:
        ids = str((await desk.ask("backup"))["ids"])
        sealed = await asyncio.to_thread(lambda: seal_backup(snapshot(desk.home, FOLDER), Secret(passphrase.encode())))
        await desk.ask("backup", made=ids)
    return Response(sealed, media_type="application/octet-stream", headers={"content-disposition": 'attachment; filename="voicebox.backup"'})
