"""What contacts offer, by the word of their boxes, for as long as that is believed. [io: a loop]

Whether a port speaks TLS is known from nowhere else, so a program waits until the contact's box has said. NOT here: how it is asked (server.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from voicebox.streams.offered import Listed

BELIEVED_S = 60.0
"""As long as it is not asked again at each look-up of a name either."""
Services = tuple[Listed, ...]


class Listings:
    """One for each contact who was asked. ask(petname): asks the contact's box now; raises UsageError where it does not say.

    Contract: on one loop; stop() ends what is being asked.
    """

    def __init__(self, ask: Callable[[str], Coroutine[Any, Any, Services]]) -> None:
        self._ask, self._loop = ask, asyncio.get_running_loop()
        self._known: dict[str, tuple[Services, float]] = {}
        self._asking: dict[str, asyncio.Task[Services]] = {}

    async def fresh(self, petname: str) -> Services:
        """Ask, or wait for the answer where it is asked already. Raises UsageError."""
        asking = self._asking.get(petname)
        if asking is None:
            asking = self._asking[petname] = self._loop.create_task(self._asked(petname))  # of contacts, so there are few
            asking.add_done_callback(lambda _done: self._asking.pop(petname, None))
            asking.add_done_callback(_looked_at)
        return await asyncio.shield(asking)

    async def tls_service(self, petname: str, port: int) -> str | None:
        """Return the name of the service that speaks TLS at a port; None where the one there does not, or there is none. Raises UsageError.

        What was said within BELIEVED_S is believed of ports at which there was something; the contact may have added another one.
        """
        services, until = self._known.get(petname, ((), 0.0))
        if self._loop.time() >= until or not any(each.port == port and not each.udp for each in services):
            services = await self.fresh(petname)
        return next((each.name for each in services if each.port == port and each.tls), None)

    def forget(self, petname: str) -> None:
        """Believe nothing of a contact any more."""
        self._known.pop(petname, None)

    def stop(self) -> None:
        """End what is being asked."""
        for asking in self._asking.values():
            asking.cancel()

    async def _asked(self, petname: str) -> Services:
        services = await self._ask(petname)
        self._known[petname] = services, self._loop.time() + BELIEVED_S
        return services


def _looked_at(asking: asyncio.Task[Services]) -> None:
    """Take a failure that nobody waits for any more."""
    if not asking.cancelled():
        asking.exception()
