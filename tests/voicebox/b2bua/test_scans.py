"""What scanners of telephones ask (svmap, svwar, svcrack of sipvicious; nmap): nothing in the answers, their size, or the work they take tells a user from nobody.

The shapes of the requests are sipvicious's: OPTIONS for 100, REGISTER and INVITE for one extension after the other, with and without digests that are guessed.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Callable
from types import FrameType

import pytest

from tests.voicebox.b2bua.scripted import BOX, REALM, Box, Phone
from voicebox.sip.auth import DigestAlgorithm, digest_response, parse_digest
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.message import SipResponse

USER, NOBODY = "alice", "alicf"
"""A user that there is, and one that there is not, of the same length."""
METHODS = ("OPTIONS", "REGISTER", "INVITE", "MESSAGE", "SUBSCRIBE", "PUBLISH", "NOTIFY", "BYE", "CANCEL", "REFER", "INFO", "UPDATE", "ACK", "PRACK")


def scanner(number: int) -> Flow:
    return Flow(Transport.UDP, 0, BOX, 5060, f"198.51.100.{number}", 5061)


def asked(method: str, user: str, number: int, extra: str = "", *, to: bool = True) -> bytes:
    """Return a request as sipvicious makes it. to: the extension stands in To and From too, as in a REGISTER, else in the Request-URI only."""
    name = user if to else "sipvicious"
    return (
        f"{method} sip:{user}@{BOX} SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.1:5061;branch=z9hG4bK-{number:010};rport\r\nContent-Length: 0\r\n"
        f'From: "{name}"<sip:{name}@{REALM}>; tag={number:024}\r\nAccept: application/sdp\r\nUser-Agent: friendly-scanner\r\nTo: "{name}"<sip:{name}@{REALM}>\r\n'
        f"Contact: sip:{name}@198.51.100.1:5061\r\nCSeq: 1 {method}\r\nCall-ID: {number:024}\r\nMax-Forwards: 70\r\n{extra}\r\n"
    ).encode()


def told(box: Box, octets: bytes, flow: Flow) -> list[bytes]:
    """Return the answers to a request, with what is fresh in each masked by as many letters."""
    before = len(box.octets)
    box.receive(octets, flow)
    box.advance(40)
    masked = []
    for answer in box.octets[before:]:
        text = answer.decode()
        for pattern in (r'(nonce=")([0-9a-f]+)', r"(To: .*;tag=)([0-9A-Za-z]+)"):
            text = re.sub(pattern, lambda found: found[1] + "x" * len(found[2]), text)
        masked.append(text.replace(USER, "u" * len(USER)).replace(NOBODY, "u" * len(NOBODY)).encode())
    return masked


def work_of(act: Callable[[], object]) -> list[str]:
    """Return every Python function that was called, in order: the work, without the machine's noise."""
    calls: list[str] = []

    def note(frame: FrameType, event: str, arg: object) -> None:  # the shape of every profiler
        if event == "call":
            calls.append(frame.f_code.co_qualname)

    before = sys.getprofile()
    gc.disable()  # who collects has callbacks
    sys.setprofile(note)
    try:
        act()
    finally:
        sys.setprofile(before)
        gc.enable()
    return calls


def guess(box: Box, user: str, number: int, algorithm: DigestAlgorithm = DigestAlgorithm.MD5) -> bytes:
    """Return a REGISTER that answers the challenge of a first one with a wrong password, as svcrack does."""
    box.receive(asked("REGISTER", user, number), scanner(number))
    challenge = box.outbox[-1][1]
    assert isinstance(challenge, SipResponse)
    fields = parse_digest(challenge.headers.get("www-authenticate") or "")
    response = digest_response(algorithm, algorithm.digest(f"{user}:{REALM}:guess".encode()).encode(), "REGISTER", {"uri": "sip:x", "nonce": fields["nonce"]})
    digest = f'Digest username="{user}",realm="{REALM}",nonce="{fields["nonce"]}",uri="sip:x",response="{response}",algorithm={algorithm.value}'
    return asked("REGISTER", user, number + 1, f"Authorization: {digest}\r\n")


@pytest.mark.parametrize("to", [True, False], ids=["in To", "in the URI"])
@pytest.mark.parametrize("method", METHODS)
def test_a_user_is_answered_as_nobody_is(method: str, *, to: bool) -> None:
    answers = []
    for user in (USER, NOBODY):
        box = Box()
        Phone(box, USER).register()  # one who is there, besides
        answers.append(told(box, asked(method, user, 1, to=to), scanner(1)))
    assert answers[0] == answers[1]
    assert len(answers[0]) == (method != "ACK")


@pytest.mark.parametrize("method", METHODS)
def test_a_user_takes_the_box_the_same_work_as_nobody(method: str) -> None:
    box = Box()
    Phone(box, USER).register()
    works = []
    for number, user in enumerate((USER, NOBODY, USER, NOBODY), 1):
        octets = asked(method, user, number)
        works.append(work_of(lambda octets=octets, number=number: box.board.receive(octets, scanner(number), box.now)))  # type: ignore[misc]  # called at once
        box.settle()
    assert works[2] == works[3], "the first ones fill caches"
    assert len(works[2]) > 20


def test_a_guess_for_a_user_is_answered_as_one_for_nobody_and_takes_the_same_work() -> None:
    box = Box()
    answers, works = [], []
    for number, user in enumerate((USER, NOBODY, USER, NOBODY), 1):
        octets = guess(box, user, 10 * number)
        flow = scanner(10 * number)
        before = len(box.octets)
        works.append(work_of(lambda octets=octets, flow=flow: box.board.receive(octets, flow, box.now)))  # type: ignore[misc]  # called at once
        box.settle()
        assert len(box.octets) == before + 1
        answers.append(re.sub(rb'nonce="\w+|tag=\w+|branch=[\w-]+|Call-ID: \d+|198\.51\.100\.\d+', b"", box.octets[-1]).replace(NOBODY.encode(), USER.encode()))
    assert answers[2] == answers[3]
    assert works[2] == works[3]


def test_a_scanner_is_banned_as_soon_for_nobody_as_for_a_user() -> None:
    statuses: dict[str, list[int]] = {}
    for user in (USER, NOBODY):
        box = Box()
        statuses[user] = []
        for turn in range(12):
            octets = guess(box, user, 20)  # always from the same address
            box.receive(octets.replace(b"%010d" % 21, b"%010d" % (100 + turn)), scanner(20))
            statuses[user].append(int(box.octets[-1].split(b" ")[1]))
    assert statuses[USER] == statuses[NOBODY]
    assert 403 in statuses[USER]


def test_a_scan_of_two_thousand_extensions_finds_nobody() -> None:
    """svwar: whoever answers otherwise than the rest is somebody."""
    box = Box()
    Phone(box, USER).register()
    kinds: dict[bytes, list[str]] = {}
    for number, user in enumerate([str(extension) for extension in range(1_000, 3_000)] + [USER, "carol", NOBODY]):
        before = len(box.octets)
        box.receive(asked("REGISTER", user, number), scanner(number % 250))
        (answer,) = box.octets[before:]
        box.octets.clear()
        box.outbox.clear()
        mask = re.sub(rb'nonce="\w+|tag=\w+|branch=[\w-]+|Call-ID: \d+|198\.51\.100\.\d+', b"", answer).replace(user.encode(), b"user")
        kinds.setdefault(mask, []).append(user)
    assert len(kinds) == 1, {len(users) for users in kinds.values()}
    assert box.board.totals()["transactions"] <= 1
