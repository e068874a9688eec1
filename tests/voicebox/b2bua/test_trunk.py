"""Calls to ordinary numbers over a provider: the notice each time, the password, what never goes there, and that nobody is called from there."""

from __future__ import annotations

import random

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_OPUS, Phone, final, statuses
from voicebox.b2bua.announcement import LAST_FRAME_S, recording
from voicebox.b2bua.events import Codec
from voicebox.b2bua.trunk import AGAIN_S, EXPIRES_S, RENEW_SHARE, TrunkAccount, TrunkState
from voicebox.b2bua.voicemail import G711
from voicebox.dialplan.model import CallTrunk, JoinConference
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account, DigestAlgorithm, DigestServer, Verdict
from voicebox.sip.flow import Transport
from voicebox.sip.headers import parse_name_addr
from voicebox.sip.message import SipRequest

NUMBER, PASSWORD = "+41441234567", Secret(b"at the provider")
NOTICE_S = recording("not_protected", G711).seconds + LAST_FRAME_S
ACCOUNT = TrunkAccount("sip.example.org", "owner", PASSWORD)


class Provider(Phone):
    """The provider's end: challenges what it is told to, and checks the answers."""

    def __init__(self, house: House, *algorithms: DigestAlgorithm, transport: Transport = Transport.TLS, registers: bool = False) -> None:
        super().__init__(house.box, "provider", 70, transport)
        self.box_side = house.box.board
        self.asked = 0
        self.algorithms = algorithms or (DigestAlgorithm.SHA_256, DigestAlgorithm.MD5)
        self.account = Account.from_password("owner", PASSWORD, "provider", *self.algorithms)
        self.digest = DigestServer("provider", random.Random(7).randbytes)
        self.box_side.trunk.use(TrunkAccount(ACCOUNT.domain, ACCOUNT.user, PASSWORD, registers), self._connect)

    def _connect(self) -> None:
        self.asked += 1

    def connects(self) -> None:
        """Let the connection stand that the box asked for."""
        assert self.asked
        self.box_side.run(lambda now: self.box_side.trunk.connected(self.flow, now), self.box.now)
        self.box.settle()

    def challenges(self, request: SipRequest, status: int = 401, *, stale: bool = False) -> None:
        name = "www-authenticate" if status == 401 else "proxy-authenticate"
        texts = tuple((name, self.digest.challenge(each, self.box.now, stale=stale)) for each in self.algorithms)
        self.answer(request, status, tag="provider", extra=texts)

    def checks(self, request: SipRequest, field: str = "authorization") -> Verdict:
        return self.digest.verify(request.headers.get(field), request.method, self.account, self.box.now)


@pytest.fixture
def house() -> House:
    made = House()
    made.box.plan["0441234567"] = CallTrunk(NUMBER)
    return made


def state(house: House) -> TrunkState | None:
    return house.box.board.trunk.state


def dials(house: House, body: str | None = None) -> PlainPort:
    house.alice.call_id = f"trunk-{len(house.alice.inbox)}"
    house.alice.invite("sip:0441234567@voicebox", house.alice.sdp() if body is None else body)
    return house.box.media.ports[0]


@pytest.mark.parametrize("status", [401, 407])
def test_a_call_is_made_once_the_caller_was_told_that_nothing_protects_it(house: House, status: int) -> None:
    provider = Provider(house)
    port = dials(house)
    assert statuses(house.alice.inbox)[-1] == 183, "told before anything is answered"
    assert port.announced == (Codec.PCMA, round(recording("not_protected", G711).seconds * 50))
    provider.connects()
    house.box.advance(NOTICE_S - 0.3)
    assert provider.inbox == [], "nothing is asked of the provider while the voice speaks"
    house.box.advance(0.5)
    invite = provider.last_request("INVITE")
    assert (invite.uri, invite.to.uri, invite.from_.uri) == (f"sip:{NUMBER}@sip.example.org", f"sip:{NUMBER}@sip.example.org", "sip:owner@sip.example.org")
    assert b"RTP/SAVP" in invite.body, "over TLS the sound is protected as far as the provider"
    assert b"alice" not in invite.body + str(list(invite.headers)).encode()
    provider.challenges(invite, status)
    again = provider.last_request("INVITE")
    assert (again.call_id, again.cseq.number) == (invite.call_id, invite.cseq.number + 1)
    assert provider.checks(again, "authorization" if status == 401 else "proxy-authorization") is Verdict.GOOD
    provider.answer(again, 180, tag="them")
    assert port.announced == (Codec.PCMA, round(recording("tone", G711).seconds * 50))
    provider.answer(again, 200, protected(provider), tag="them")
    answer = final(house.alice.inbox)
    assert answer.status == 200
    house.alice.ack(answer)
    assert port.joined == (house.box.media.ports[1], Codec.PCMA)
    assert house.box.media.ports[1].protection is not None
    house.alice.inside("BYE", answer)
    assert len(provider.requests("BYE")) == 1
    assert (house.box.board.calls, house.box.media.open_ports(), house.box.board.totals()["calls_trunk"]) == (0, 0, 1)


def protected(provider: Phone) -> str:
    key = "inline:" + "A" * 40
    return provider.sdp().replace("RTP/AVP", "RTP/SAVP") + f"a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n"


def called(house: House, transport: Transport = Transport.TCP) -> tuple[Provider, SipRequest]:
    """Let alice's call come to the provider, in the clear."""
    provider = Provider(house, transport=transport)
    dials(house)
    provider.connects()
    house.box.advance(NOTICE_S + 0.1)
    return provider, provider.last_request("INVITE")


def test_the_provider_is_heard_before_the_answer_and_hangs_up(house: House) -> None:
    provider, invite = called(house)
    assert b"RTP/AVP" in invite.body
    provider.answer(invite, 183, provider.sdp(), tag="them")
    assert house.box.media.ports[0].joined == (house.box.media.ports[1], Codec.PCMA)
    provider.answer(invite, 180, tag="them")
    assert house.box.media.ports[0].joined is not None, "no tone over what the provider lets hear"
    provider.answer(invite, 200, provider.sdp(), tag="them")
    house.alice.ack(final(house.alice.inbox))
    provider.from_callee("BYE", invite, tag="them")
    assert len(house.alice.requests("BYE")) == 1
    assert house.box.media.open_ports() == 0


@pytest.mark.parametrize(("status", "shown"), [(486, 486), (603, 603), (404, 480), (500, 480), (488, 488)])
def test_refusals_of_the_provider(house: House, status: int, shown: int) -> None:
    provider, invite = called(house)
    provider.answer(invite, status, tag="them")
    assert final(house.alice.inbox).status == shown
    assert (house.box.board.calls, house.box.media.open_ports()) == (0, 0)


def test_a_wrong_password_is_shown_once_and_a_stale_nonce_answered_anew(house: House) -> None:
    provider, invite = called(house)
    provider.challenges(invite)
    provider.challenges(provider.last_request("INVITE"), stale=True)
    assert len(provider.requests("INVITE")) == 3
    provider.challenges(provider.last_request("INVITE"), stale=True)
    assert len(provider.requests("INVITE")) == 3
    assert final(house.alice.inbox).status == 480
    provider, invite = called(house)
    provider.challenges(invite)
    provider.challenges(provider.last_request("INVITE"))
    assert len(provider.requests("INVITE")) == 2, "no guess at a password that is not taken"
    assert final(house.alice.inbox).status == 480


def cancels(house: House) -> None:
    branch = f"z9hG4bKplantedalice1x{house.alice.branches}"
    house.alice.send(house.alice.text("CANCEL", "sip:0441234567@voicebox", cseq=house.alice.cseq, branch=branch))


def test_who_hangs_up_once_the_password_was_shown_is_not_cancelled_before_the_provider_has_said_anything(house: House) -> None:
    """A CANCEL that comes before its INVITE cancels nothing. Spec: RFC 3261 §9.1."""
    provider, invite = called(house)
    provider.answer(invite, 100)
    provider.challenges(invite)
    again = provider.last_request("INVITE")
    cancels(house)
    assert provider.requests("CANCEL") == []
    provider.answer(again, 100)
    cancel = provider.last_request("CANCEL")
    assert cancel.cseq.number == again.cseq.number
    provider.answer(cancel, 200)
    provider.answer(again, 487, tag="them")
    assert (house.box.board.calls, house.box.media.open_ports()) == (0, 0)


def test_who_hangs_up_while_the_voice_speaks_is_never_known_there(house: House) -> None:
    provider = Provider(house)
    dials(house)
    provider.connects()
    house.box.advance(NOTICE_S / 2)
    cancels(house)
    house.box.advance(2 * NOTICE_S)
    assert provider.inbox == []
    assert (house.box.board.calls, house.box.media.open_ports()) == (0, 0)


def test_a_phone_that_cannot_be_told_gets_no_such_call(house: House) -> None:
    provider = Provider(house)
    dials(house, "")
    assert final(house.alice.inbox).status == 488
    dials(house, SDP_OPUS.replace("111 8", "111"))
    assert final(house.alice.inbox).status == 488
    house.box.advance(2 * NOTICE_S)
    assert (provider.asked, provider.inbox, house.box.media.open_ports()) == (0, [], 0)


def test_no_connection_no_call(house: House) -> None:
    provider = Provider(house)
    dials(house)
    house.box.board.trunk.failed(house.box.now)
    house.box.advance(NOTICE_S + 1)
    assert provider.asked == 1
    assert final(house.alice.inbox).status == 480
    assert state(house) is TrunkState.IDLE


@pytest.mark.parametrize(
    "uri", ["sip:0441234567.privacy", "sip:x@0441234567.privacy", "sip:0441234567.privacy@voicebox", "sip:0441234567.privacy.alt@voicebox"]
)
def test_a_name_of_the_network_never_goes_there(house: House, uri: str) -> None:
    provider = Provider(house)
    assert final(house.alice.invite(uri, house.alice.sdp())).status == 404
    assert provider.asked == 0


def test_without_a_trunk_the_number_is_none(house: House) -> None:
    assert final(house.alice.invite("sip:0441234567@voicebox", house.alice.sdp())).status == 404
    assert state(house) is None


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE"])
def test_nobody_is_called_from_there_and_no_password_is_tried(house: House, method: str) -> None:
    provider = Provider(house)
    dials(house)
    provider.connects()
    answered = final(provider.send(provider.text(method, "sip:carol@voicebox", body=provider.sdp() if method == "INVITE" else "")))
    assert answered.status == (489 if method == "SUBSCRIBE" else 403)
    assert answered.headers.get("www-authenticate") is None
    assert house.carol.requests("INVITE") == []
    assert statuses(provider.send(provider.text("OPTIONS", "sip:box@voicebox"))) == [200]


def test_a_call_over_it_is_not_transferred(house: House) -> None:
    provider, invite = called(house)
    provider.answer(invite, 200, provider.sdp(), tag="them")
    answer = final(house.alice.inbox)
    house.alice.ack(answer)
    house.box.plan["*3"] = JoinConference()
    for target in ("carol", "*3"):
        assert final(house.alice.inside("REFER", answer, f"Refer-To: <sip:{target}@voicebox>")).status == 403, "nor into the conference, where contacts may be"
    assert final(provider.from_callee("REFER", invite, "Refer-To: <sip:carol@voicebox>", tag="them")).status == 481


def test_a_register_that_is_not_answered_before_its_connection_breaks_or_the_account_is_another_changes_nothing(house: House) -> None:
    provider = Provider(house, registers=True)
    provider.connects()
    assert provider.requests("REGISTER")
    house.box.board.flow_closed(provider.flow, house.box.now)
    house.box.settle()
    assert state(house) is TrunkState.IDLE
    provider.connects()
    assert state(house) is TrunkState.CONNECTED
    register = provider.last_request("REGISTER")
    house.box.board.trunk.use(ACCOUNT, provider._connect)
    provider.answer(register, 200)
    assert state(house) is TrunkState.IDLE


def test_it_registers_where_it_is_to_and_again_before_that_ends(house: House) -> None:
    provider = Provider(house, registers=True)
    assert provider.asked == 1, "from the start on"
    provider.connects()
    register = provider.last_request("REGISTER")
    assert (register.uri, register.to.uri, register.headers.get("expires")) == ("sip:sip.example.org", "sip:owner@sip.example.org", str(EXPIRES_S))
    assert parse_name_addr(register.headers.get("contact") or "").uri.startswith("sip:box@")
    provider.challenges(register)
    again = provider.last_request("REGISTER")
    assert provider.checks(again) is Verdict.GOOD
    provider.answer(again, 200, extra=(("expires", "300"),))
    assert state(house) is TrunkState.REGISTERED
    house.box.advance(RENEW_SHARE * 300 - 1)
    assert len(provider.requests("REGISTER")) == 2
    house.box.advance(2)
    renewed = provider.last_request("REGISTER")
    assert renewed.cseq.number == again.cseq.number + 1
    provider.answer(renewed, 403)
    assert state(house) is TrunkState.REFUSED
    house.box.board.flow_closed(provider.flow, house.box.now)
    assert state(house) is TrunkState.IDLE
    house.box.advance(AGAIN_S + 1)
    assert provider.asked == 2
    house.box.board.trunk.use(None, provider._connect)
    house.box.advance(10 * AGAIN_S)
    assert provider.asked == 2
