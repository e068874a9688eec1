"""A request that is wrong in one place, for every place and every way of being wrong, at a box: a defect costs nothing, and the next phone is served. [fuzz]

Each case comes twice, without and with a password that is right, so that what lies behind the challenge is reached. The quick run takes each 7th case, from a place that
the seed chooses (VOICEBOX_SEED); the long one takes all, and then all over UDP to a server.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import Counter

import pytest

from tests.support.protos import RIGHT, Case, cases
from tests.voicebox.b2bua.loopback import LoopNetwork, PlainMedia
from tests.voicebox.b2bua.scripted import PASSWORD, REALM, Box, Phone
from voicebox.b2bua.server import SipServer
from voicebox.dialplan.model import CallContact, OutgoingDecision, RefuseCall, RingPhones
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account
from voicebox.sip.message import SipResponse

pytestmark = pytest.mark.fuzz

LONG = os.environ.get("VOICEBOX_LONG") == "1"
SEED = int(os.environ.get("VOICEBOX_SEED", "1"))
STEP = 1 if LONG else 7
METHODS = ("INVITE", "REGISTER", "OPTIONS", "MESSAGE", "BYE")


def chosen(method: str) -> list[Case]:
    """Return the cases of a run."""
    return [case for case in cases()[(SEED + METHODS.index(method)) % STEP :: STEP] if method == "INVITE" or not case.element.startswith("sdp")]


def test_the_right_request_is_served() -> None:
    """Else the wrong ones would show nothing."""
    box = Box()
    phone = Phone(box, "alice")
    assert len(cases()) > 4_000
    challenge = phone.send(RIGHT.request(1))[-1]
    assert isinstance(challenge, SipResponse)
    assert challenge.status == 401
    phone.send(RIGHT.request(2, authorization=phone.credentials(challenge, "INVITE", "sip:bob@voicebox:5060;x=y").partition(": ")[2]))
    assert box.board.calls == 1
    assert len(box.offers) == 1


@pytest.mark.parametrize("method", METHODS)
def test_one_wrong_element_at_a_time(method: str) -> None:
    box = Box()
    phone = Phone(box, "alice")
    challenge = phone.send(phone.text("REGISTER", "sip:voicebox"))[-1]
    assert isinstance(challenge, SipResponse)
    came: Counter[str] = Counter()
    for number, case in enumerate(chosen(method)):
        authorization = phone.credentials(challenge, method, "sip:bob@voicebox", f"{number + 1:08x}").partition(": ")[2]
        for password in ("", authorization):
            octets = case.request(2 * number + bool(password), method, password)
            before = len(box.octets)
            try:
                box.receive(octets, phone.flow)
            except Exception as error:
                raise AssertionError(f"{method}, {case}: {error!r}") from error
            answers = [int(answer.split(b" ")[1]) for answer in box.octets[before:] if answer.startswith(b"SIP/2.0")]
            assert len([status for status in answers if status >= 200]) <= 1, f"{method}, {case}: {answers}"
            came[str(answers[-1]) if answers else "silence"] += 1
        box.outbox.clear()
        phone.inbox.clear()
        if box.board.calls:
            box.board.hang_up_all(box.now)  # else there would soon be too many calls, and the rest would be refused for that
            box.settle()
        box.octets.clear()
    box.board.hang_up_all(box.now)
    box.advance(800)
    totals = box.board.totals()
    assert (totals["calls"], totals["transactions"], box.media.open_ports(), len(box.board._context.dialogs)) == (0, 0, 0, 0)
    assert totals.get("bugs", 0) == 0
    other = Phone(box, "carol", 2)
    assert other.register().status == 200
    print(f"\nPROTOS-like {method}: {sum(came.values())} requests, seed {SEED}: {dict(came)}")
    assert came["400"] > 0
    assert came["503"] == 0
    assert came["silence"] > 0


@pytest.mark.long
@pytest.mark.system
@pytest.mark.parametrize("method", METHODS)
async def test_all_of_them_over_udp(method: str) -> None:
    """The same to a server: it has no fault, and answers a right request after each hundred."""
    ring = RingPhones((("alice",),))
    plan: dict[str, OutgoingDecision] = {"bob": CallContact("bob"), "alice": ring}
    accounts, bugs = [Account.from_password("alice", Secret(PASSWORD), REALM)], list[Exception]()
    server = SipServer(accounts, LoopNetwork("me"), PlainMedia(), lambda dialled: plan.get(dialled, RefuseCall(404)), lambda _: ring, on_bug=bugs.append)
    port = (await server.start([("udp", "127.0.0.1", 0)]))[0]
    loop = asyncio.get_running_loop()
    with contextlib.closing(socket.socket(type=socket.SOCK_DGRAM)) as client:
        client.bind(("127.0.0.1", 0))
        client.setblocking(False)
        for number, case in enumerate(chosen(method)):
            octets = case.request(number, method)
            if len(octets) < 65_000:
                await loop.sock_sendto(client, octets, ("127.0.0.1", port))
            if number % 100 == 99:
                mark = f"z9hG4bKprotos{10_000_000 + number}".encode()
                await loop.sock_sendto(client, RIGHT.request(10_000_000 + number, "OPTIONS"), ("127.0.0.1", port))
                async with asyncio.timeout(10):
                    while mark not in await loop.sock_recv(client, 65_536):
                        pass
    counters = server.counters()
    await server.stop()
    assert bugs == []
    assert counters.get("bugs", 0) == 0
