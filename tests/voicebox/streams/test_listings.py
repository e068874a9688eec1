"""What contacts' boxes said that they offer: asked once by many, believed for a while, and again where there is something new."""

from __future__ import annotations

import asyncio

import pytest

from voicebox.errors import UsageError
from voicebox.streams import listings as module
from voicebox.streams.listings import Listings, Services
from voicebox.streams.offered import Listed

OFFERED = (Listed("web", 443, udp=False, tls=True), Listed("page", 80, udp=False), Listed("dns", 53, udp=True))


class Contact:
    """Answers, or does not."""

    def __init__(self) -> None:
        self.asked = 0
        self.offered: Services | None = OFFERED

    async def answer(self, petname: str) -> Services:
        assert petname == "bob"
        self.asked += 1
        await asyncio.sleep(0)
        if self.offered is None:
            raise UsageError("The contact's box does not say.")
        return self.offered


@pytest.fixture
def contact() -> Contact:
    return Contact()


async def test_many_who_want_to_know_ask_once_and_it_is_believed(contact: Contact) -> None:
    known = Listings(contact.answer)
    assert await asyncio.gather(*(known.tls_service("bob", 443) for _ in range(20))) == ["web"] * 20
    assert [await known.tls_service("bob", port) for port in (443, 80)] == ["web", None]
    assert contact.asked == 1
    known.forget("bob")
    assert await known.tls_service("bob", 443) == "web"
    assert contact.asked == 2


async def test_a_port_at_which_there_was_nothing_is_asked_for_again(contact: Contact) -> None:
    known = Listings(contact.answer)
    assert await known.tls_service("bob", 8443) is None
    contact.offered = (*OFFERED, Listed("new", 8443, udp=False, tls=True))
    assert await known.tls_service("bob", 8443) == "new"
    assert await known.tls_service("bob", 53) is None, "that one is of datagrams"
    assert contact.asked == 3


async def test_it_is_believed_for_a_while_alone(contact: Contact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BELIEVED_S", 0.0)
    known = Listings(contact.answer)
    assert [await known.tls_service("bob", 443) for _ in range(3)] == ["web"] * 3
    assert contact.asked == 3


async def test_a_box_that_does_not_say_leads_nowhere_and_is_asked_again(contact: Contact) -> None:
    known, contact.offered = Listings(contact.answer), None
    for _ in range(2):
        with pytest.raises(UsageError):
            await known.tls_service("bob", 443)
    contact.offered = OFFERED
    assert await known.tls_service("bob", 443) == "web"


async def test_who_goes_while_it_is_asked_costs_the_others_nothing(contact: Contact) -> None:
    known = Listings(contact.answer)
    first, other = (asyncio.create_task(known.tls_service("bob", 443)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await other == "web"
    assert first.cancelled()
    contact.offered = None
    lost = asyncio.create_task(known.fresh("bob"))
    await asyncio.sleep(0)
    lost.cancel()
    known.stop()
