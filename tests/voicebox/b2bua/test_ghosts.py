"""Calls between phones of a house over wires that lose packets, in virtual time: every call comes about, and nothing of it is left at any end."""

from __future__ import annotations

import heapq
import json
import random
from collections.abc import Callable
from itertools import count

import pytest

from tests.voicebox.b2bua.house import NoNetwork
from tests.voicebox.b2bua.scripted import REALM, Box, Phone
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.sip.message import Malformed, SipMessage, SipRequest, SipResponse, parse_message

T1_S, T2_S, LIMIT_S = 0.5, 4.0, 32.0
"""RFC 3261 Table 4."""
SETTINGS = SwitchboardSettings(calls=CallSettings(max_calls=1_000, max_calls_of_user=1_000))


class Wires(Box):
    """A box and its phones; each datagram takes 1 to 30 ms, or is lost. At each time something of the box or of a phone happens."""

    def __init__(self, loss: float, seed: int) -> None:
        self.loss, self.random = loss, random.Random(seed)
        self.later_events: list[tuple[float, int, Callable[[], None]]] = []
        self.numbers = count()
        self.lost = self.sent = 0
        super().__init__(SETTINGS)
        self.board.use(NoNetwork(), self.media)

    def later(self, seconds: float, act: Callable[[], None]) -> None:
        heapq.heappush(self.later_events, (self.now + seconds, next(self.numbers), act))

    def carry(self, arrive: Callable[[], None]) -> None:
        """Take a datagram to the other end, or not."""
        self.sent += 1
        if self.random.random() < self.loss:
            self.lost += 1
        else:
            self.later(self.random.uniform(0.001, 0.03), arrive)

    def settle(self) -> None:
        while True:
            for transmit in self.board.poll():
                phone = self.phones[transmit.flow]
                assert isinstance(phone, LossyPhone)
                self.carry(lambda phone=phone, octets=transmit.octets: phone.arrived(octets))  # type: ignore[misc]  # bound at once
            if not self.posted:
                return
            self.board.run(self.posted.popleft(), self.now)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while True:
            timer = self.board.next_timer()
            event = self.later_events[0][0] if self.later_events else None
            due = min((at for at in (timer, event) if at is not None), default=None)
            if due is None or due > end:
                self.now = end
                return
            self.now = max(self.now, due)
            if due == event:
                heapq.heappop(self.later_events)[2]()
            else:
                self.board.handle_timer(self.now)
                self.settle()


class LossyPhone(Phone):
    """A phone with transactions of its own: it repeats what is not answered, and answers what is repeated. One call after the other, many at once."""

    def __init__(self, wires: Wires, user: str, number: int) -> None:
        super().__init__(wires, user, number)
        self.wires = wires
        self.waiting: set[tuple[str, str]] = set()
        """Branch and method of requests without an answer."""
        self.said: dict[tuple[str, str], bytes] = {}
        """The last answer to each request."""
        self.unacknowledged: set[str] = set()
        self.talking: set[str] = set()
        """Calls in which this phone believes to be."""
        self.talked: set[str] = set()
        self.failed: list[int] = []
        self.registered = False
        self.hangs_up: Callable[[], bool] = lambda: False
        self.refuses = False
        self.asked: dict[str, tuple[str, int]] = {}
        """URI and CSeq of the last INVITE of each call."""
        self.branches_of: dict[str, str] = {}
        """Branch of the last INVITE of each call."""
        self.incoming: dict[str, SipRequest] = {}

    # ------------------------------------------------------------------------------------------------------- the wire

    def send(self, octets: bytes) -> list[SipMessage]:
        message = parse_message(octets)
        if isinstance(message, SipResponse):
            self.said[message.via.branch, message.cseq.method] = octets
        elif message.method != "ACK":
            key = (message.via.branch, message.method)
            if message.method == "INVITE":
                self.branches_of[message.call_id] = message.via.branch
            self.waiting.add(key)
            self.repeat(octets, T1_S, T1_S, lambda: key in self.waiting, capped=message.method != "INVITE")
        self.put(octets)
        return []

    def put(self, octets: bytes) -> None:
        self.wires.carry(lambda: self.wires.receive(octets, self.flow))

    def repeat(self, octets: bytes, wait_s: float, after_s: float, wanted: Callable[[], bool], *, capped: bool) -> None:
        def again() -> None:
            if wanted() and after_s < LIMIT_S:
                self.put(octets)
                longer_s = min(2 * wait_s, T2_S) if capped else 2 * wait_s
                self.repeat(octets, longer_s, after_s + longer_s, wanted, capped=capped)

        self.wires.later(wait_s, again)

    def arrived(self, octets: bytes) -> None:
        try:
            message = parse_message(octets)
        except Malformed as malformed:
            raise AssertionError("the box sent something malformed") from malformed
        if isinstance(message, SipResponse):
            self.answered(message)
        elif message.method != "ACK" and (message.via.branch, message.method) in self.said:
            self.put(self.said[message.via.branch, message.method])
        else:
            self.asked_for(message)

    # ------------------------------------------------------------------------------------------------------ as a client

    def call(self, call_id: str, uri: str) -> None:
        self.call_id = call_id
        self.send(self.text("INVITE", uri, body=self.sdp()))
        self.asked[call_id] = (uri, self.cseq)

    def answered(self, response: SipResponse) -> None:
        method, key = response.cseq.method, (response.via.branch, response.cseq.method)
        first = key in self.waiting
        if response.status >= 200 or method == "INVITE":
            self.waiting.discard(key)
        self.call_id = response.call_id
        if method == "REGISTER":
            if response.status == 401 and first:
                uri = f"sip:{REALM}"
                self.send(self.text("REGISTER", uri, self.credentials(response, "REGISTER", uri), to=f"<sip:{self.user}@{REALM}>"))
            self.registered |= response.status == 200
        elif method == "INVITE" and response.status >= 200:
            self.invite_answered(response)

    def invite_answered(self, response: SipResponse) -> None:
        uri, cseq = self.asked[response.call_id]
        if response.status < 300:
            self.ack(response)
            if response.call_id not in self.talked:
                self.talked.add(response.call_id)
                self.talking.add(response.call_id)
                if self.hangs_up():
                    self.wires.later(self.wires.random.uniform(0.5, 3), lambda: self.hang_up(response))
            return
        self.send(self.text("ACK", uri, to=response.headers.get("to") or "", cseq=response.cseq.number, branch=response.via.branch))
        if response.cseq.number != cseq:
            return  # an answer that was seen before
        if response.status == 401:
            self.send(self.text("INVITE", uri, self.credentials(response, "INVITE", uri), self.sdp()))
            self.asked[response.call_id] = (uri, self.cseq)
        else:
            self.asked[response.call_id] = (uri, 0)
            self.failed.append(response.status)

    def cancel(self, call_id: str) -> None:
        """Give up a call, if it has not been answered or refused yet."""
        uri, cseq = self.asked[call_id]
        if cseq:
            self.call_id = call_id
            self.send(self.text("CANCEL", uri, to=f"<{uri}>", cseq=cseq, branch=self.branches_of[call_id], contact=False))

    def hang_up(self, answer: SipResponse) -> None:
        if answer.call_id in self.talking:
            self.talking.discard(answer.call_id)
            self.call_id = answer.call_id
            self.inside("BYE", answer)

    # ------------------------------------------------------------------------------------------------------ as a server

    def asked_for(self, request: SipRequest) -> None:
        match request.method:
            case "INVITE":
                self.incoming[request.call_id] = request
                self.answer(request, 180)
                self.wires.later(self.wires.random.uniform(0.2, 2), lambda: self.pick_up(request))
            case "ACK":
                if request.call_id in self.unacknowledged:
                    self.unacknowledged.discard(request.call_id)
                    if self.hangs_up():
                        self.wires.later(self.wires.random.uniform(0.5, 3), lambda: self.callee_hangs_up(request.call_id))
            case "BYE":
                self.answer(request, 200)
                self.talking.discard(request.call_id)
                self.unacknowledged.discard(request.call_id)
            case "CANCEL":
                self.answer(request, 200)
                invite = self.incoming.get(request.call_id)
                if invite is not None and invite.call_id not in self.talked:
                    self.refuse(invite, 487)
            case _:
                self.answer(request, 200)

    def pick_up(self, invite: SipRequest) -> None:
        if self.said[invite.via.branch, "INVITE"].startswith(b"SIP/2.0 180"):
            if self.refuses:
                self.refuse(invite, 486)
                return
            self.talking.add(invite.call_id)
            self.talked.add(invite.call_id)
            self.unacknowledged.add(invite.call_id)
            self.answer(invite, 200, self.sdp())
            octets = self.said[invite.via.branch, "INVITE"]
            self.repeat(octets, T1_S, T1_S, lambda: invite.call_id in self.unacknowledged, capped=True)

    def refuse(self, invite: SipRequest, status: int) -> None:
        self.unacknowledged.add(invite.call_id)
        self.answer(invite, status)
        octets = self.said[invite.via.branch, "INVITE"]
        self.repeat(octets, T1_S, T1_S, lambda: invite.call_id in self.unacknowledged, capped=True)

    def callee_hangs_up(self, call_id: str) -> None:
        if call_id in self.talking:
            self.talking.discard(call_id)
            self.from_callee("BYE", self.incoming[call_id])


def registered(wires: Wires, user: str, number: int) -> LossyPhone:
    phone = LossyPhone(wires, user, number)
    phone.send(phone.text("REGISTER", f"sip:{REALM}", to=f"<sip:{user}@{REALM}>", body=""))
    wires.run(20)
    assert phone.registered
    return phone


@pytest.mark.parametrize(("loss", "seed"), [(0.15, 1), *(pytest.param(loss, 2, marks=pytest.mark.long) for loss in (0.0, 0.05, 0.1, 0.15))])
def test_every_call_comes_about_and_none_haunts(loss: float, seed: int) -> None:
    """200 calls, 15 of 100 datagrams lost in each direction at each phone. The callee hangs up, and in half of the calls the caller, who is sooner, or at once, or later."""
    wires = Wires(loss, seed)
    alice, carol = registered(wires, "alice", 1), registered(wires, "carol", 2)
    alice.hangs_up, carol.hangs_up = (lambda: wires.random.random() < 0.5), (lambda: True)
    for number in range(200):
        wires.later(number * 0.3, lambda number=number: alice.call(f"call-{number}", f"sip:carol@{REALM}"))  # type: ignore[misc]  # bound at once
    wires.run(60 + 3 * LIMIT_S)
    assert (len(alice.talked), len(carol.talked), alice.failed) == (200, 200, [])
    assert wires.board.totals()["calls_local"] == 200
    for phone in (alice, carol):
        assert phone.talking == phone.unacknowledged == set()
        assert phone.waiting == set()
    wires.run(2 * LIMIT_S)
    totals = wires.board.totals()
    left = {"calls": totals["calls"], "transactions": totals["transactions"], "media_ports": wires.media.open_ports()}
    figures = {
        "loss": loss,
        "seed": seed,
        "datagrams": wires.sent,
        "lost": wires.lost,
        "calls": 200,
        "set_up": len(alice.talked),
        "taken_down": 200 - len(alice.talking),
    }
    print(f"\n{json.dumps(figures | {'left': left})}")
    assert not any(left.values())


@pytest.mark.parametrize("seed", [3, pytest.param(4, marks=pytest.mark.long)])
def test_refused_and_cancelled_calls_leave_nothing_either(seed: int) -> None:
    wires = Wires(0.15, seed)
    alice, carol = registered(wires, "alice", 1), registered(wires, "carol", 2)
    carol.refuses = True
    for number in range(100):
        call_id = f"call-{number}"
        wires.later(number * 0.3, lambda call_id=call_id: alice.call(call_id, f"sip:carol@{REALM}"))  # type: ignore[misc]  # bound at once
        if number % 2:
            wires.later(number * 0.3 + wires.random.uniform(0.1, 2), lambda call_id=call_id: alice.cancel(call_id))  # type: ignore[misc]  # as above
    wires.run(30 + 6 * LIMIT_S)
    assert alice.talked == carol.talked == set()
    assert set(alice.failed) <= {486, 487, 480}
    assert {486, 487} <= set(alice.failed)
    assert len(alice.failed) == 100
    totals = wires.board.totals()
    assert (totals["calls"], totals["transactions"], wires.media.open_ports()) == (0, 0, 0)
