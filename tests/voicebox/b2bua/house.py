"""A box whose phones call each other, and whose network breaks a test that touches it."""

from __future__ import annotations

from collections.abc import Callable

from tests.voicebox.b2bua.scripted import Box, Phone, final
from voicebox.b2bua.events import CallEvent, Offer
from voicebox.b2bua.ports import CircuitLeg
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import RingPhones
from voicebox.sip.message import SipRequest, SipResponse

USERS = ("alice", "carol", "dave", "erin")


class NoNetwork:
    """Circuits that nobody may ask for."""

    def call(self, petname: str, offer: Offer, listener: Callable[[CallEvent], None]) -> CircuitLeg:
        raise AssertionError("a call inside the house touched circuit code")

    def on_call(self, acceptor: Callable[[str, Offer, CircuitLeg], Callable[[CallEvent], None]]) -> None:
        pass


class House:
    """Phones of four accounts, each registered."""

    def __init__(self, settings: SwitchboardSettings | None = None, *, network: bool = False) -> None:
        self.box = Box(settings, USERS)
        if not network:
            self.box.board.use(NoNetwork(), self.box.media)
        self.alice, self.carol, self.dave, self.erin = self.phones = [Phone(self.box, user, number) for number, user in enumerate(USERS, 1)]
        for phone in self.phones:
            assert phone.register("Expires: 3600").status == 200

    def group(self, ring: RingPhones) -> None:
        """Let 30 ring so."""
        self.box.plan["30"] = ring

    def rings(self, caller: Phone, callee: Phone, codec: str = "PCMA", name: str = "") -> tuple[SipResponse, SipRequest]:
        """Let a phone call another, which rings; return the 180 that the caller has and the INVITE that the callee has."""
        caller.call_id = f"planted-{caller.user}-{len(caller.inbox)}"
        caller.invite(f"sip:{name or callee.user}@voicebox", caller.sdp(codec))
        invite = callee.last_request("INVITE")
        callee.answer(invite, 180, tag=f"callee-{callee.user}-{len(callee.inbox)}")
        ringing = caller.inbox[-1]
        assert isinstance(ringing, SipResponse)
        return ringing, invite

    def talk(self, caller: Phone, callee: Phone, codec: str = "PCMA") -> Talk:
        """Let a phone call another, which answers."""
        _, invite = self.rings(caller, callee, codec)
        tag = f"tag-{callee.user}-{len(callee.inbox)}"
        callee.answer(invite, 200, callee.sdp(codec), tag=tag)
        answer = final(caller.inbox)
        assert answer.status == 200
        caller.ack(answer)
        return Talk(caller, callee, answer, invite, tag, caller.call_id)


class Talk:
    """A call in which two phones talk: answer is what the caller got, invite what the callee got."""

    def __init__(self, caller: Phone, callee: Phone, answer: SipResponse, invite: SipRequest, tag: str, call_id: str) -> None:
        self.caller, self.callee, self.answer, self.invite, self.tag, self.call_id = caller, callee, answer, invite, tag, call_id

    def as_caller(self, method: str, extra: str = "", body: str = "") -> SipResponse:
        """Let the caller send a request inside the call, and return what it is answered."""
        self.caller.call_id = self.call_id
        return final(self.caller.inside(method, self.answer, extra, body))

    def as_callee(self, method: str, extra: str = "", body: str = "") -> SipResponse:
        """Let the callee send a request inside the call, and return what it is answered."""
        return final(self.callee.from_callee(method, self.invite, extra, body, self.tag))

    def byes(self, phone: Phone) -> int:
        """Return how many BYEs of this call a phone got."""
        call_id = self.call_id if phone is self.caller else self.invite.call_id
        return sum(bye.call_id == call_id for bye in phone.requests("BYE"))
