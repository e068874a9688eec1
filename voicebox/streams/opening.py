"""Waiting until a contact's box has taken a stream or an association. [io]

NOT here: which call carries it (bundles.py), what becomes of the program that waits (server.py, datagrams.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from voicebox.errors import UsageError
from voicebox.streams.bundles import BUSY, GONE, Bundles, StreamPlane


async def opened(
    bundles: Bundles, plane: StreamPlane, soon: Callable[[], None], petname: str, port: int, *, datagrams: bool = False, fast: bool = False
) -> tuple[int | None, int | None]:
    """Open a stream, or an association, and wait for the contact's box; return its number, and why not, of PROTOCOL.md §11.3. No number: it was not even asked for.

    soon(): called when something was asked of `bundles`.
    """
    future: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
    try:
        opening = bundles.open(petname, port, lambda why: None if future.done() else future.set_result(why), datagrams=datagrams, fast=fast)
    except UsageError:
        return None, BUSY
    soon()
    try:
        why = await future
    except asyncio.CancelledError:
        bundles.give_up(opening)
        if future.done() and not future.cancelled():  # it was taken in the same moment
            plane.stream_reset(opening.stream, GONE)
        raise
    return opening.stream, why  # its number may have become another one meanwhile
