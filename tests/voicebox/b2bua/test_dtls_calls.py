"""Calls whose keys come out of a handshake of DTLS between box and phone, seen in SIP. Spec: RFC 5763, RFC 8643."""

from __future__ import annotations

import re

import pytest

from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_PCMA, SDP_SAVP, Box, Phone, statuses
from voicebox.b2bua.events import Answer, Codec, End, Refusal, Refuse
from voicebox.dialplan.model import RingPhones
from voicebox.sip.fingerprint import Fingerprint, Handshake, Setup, serialise_fingerprint
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.sdes import Protection
from voicebox.sip.sdp import Medium, parse_sdp

PHONES = Fingerprint("sha-256", bytes(range(32)))
OTHER = Fingerprint("sha-256", bytes(32))
PROTOCOL = "UDP/TLS/RTP/SAVP"


def sdp(setup: str = "actpass", protocol: str = PROTOCOL, fingerprint: Fingerprint = PHONES, more: str = "") -> str:
    """Return a phone's description with a fingerprint."""
    return SDP_PCMA.replace("RTP/AVP", protocol) + f"a=fingerprint:{serialise_fingerprint(fingerprint)}\r\na=setup:{setup}\r\n" + more


def port_of(box: Box) -> PlainPort:
    return box.media.ports[-1]


def certificate_of(box: Box) -> Fingerprint:
    """Return what our description says of the port's certificate."""
    return Fingerprint("sha-256", port_of(box).fingerprint())


def ours(body: bytes) -> Medium:
    """Return what our description says of sound."""
    return next(medium for medium in parse_sdp(body).media if medium.port)


def answered(body: str, transport: Transport = Transport.UDP, user: str = "alice") -> tuple[Box, Phone, SipResponse]:
    """Return a call out that was answered in PCMA."""
    box = Box()
    phone = Phone(box, user, 1, transport)
    phone.invite(body=body)
    box.far_says(Answer(Codec.PCMA))
    answer = phone.inbox[-1]
    assert isinstance(answer, SipResponse)
    assert answer.status == 200
    phone.ack(answer)
    return box, phone, answer


@pytest.mark.parametrize(("setup", "our_setup"), [("actpass", Setup.ACTIVE), ("passive", Setup.ACTIVE), ("active", Setup.PASSIVE)])
@pytest.mark.parametrize("protocol", [PROTOCOL, "UDP/TLS/RTP/SAVPF", "RTP/SAVPF", "RTP/AVP"])
@pytest.mark.parametrize("transport", [Transport.UDP, Transport.TLS])
def test_an_offer_with_a_fingerprint_is_answered_with_ours(setup: str, our_setup: Setup, protocol: str, transport: Transport) -> None:
    box, _, answer = answered(sdp(setup, protocol), transport)
    medium = ours(answer.body)
    assert (medium.protocol, medium.setup, medium.fingerprint, medium.cryptos) == (protocol, our_setup, certificate_of(box), ())
    assert port_of(box).protection == Handshake(active=our_setup is Setup.ACTIVE, phone=PHONES)


@pytest.mark.parametrize(
    "body",
    [
        SDP_PCMA.replace("RTP/AVP", PROTOCOL),
        sdp("holdconn"),
        sdp().replace("a=setup:actpass\r\n", ""),
        re.sub(r"sha-256 \S+", "sha-1 " + ":".join(["00"] * 20), sdp()),
        SDP_SAVP.replace("RTP/SAVP", PROTOCOL),
    ],
    ids=["nothing", "holdconn", "no role", "sha-1", "keys in SDP under UDP/TLS"],
)
def test_without_what_a_handshake_needs_the_call_is_refused(body: str) -> None:
    box = Box()
    assert statuses(Phone(box, "alice").invite(body=body))[-1] == 488
    assert box.media.open_ports() == 0


def test_keys_in_sdp_are_taken_where_both_are_offered_under_srtp() -> None:
    crypto = SDP_SAVP[SDP_SAVP.index("a=crypto") :]
    box, _, answer = answered(sdp(protocol="RTP/SAVP", more=crypto))
    assert ours(answer.body).fingerprint is None
    assert isinstance(port_of(box).protection, Protection)


def test_who_says_hello_stays_so_and_the_handshake_goes_on() -> None:
    box, phone, answer = answered(sdp("active"))
    for body, setup, phones in ((sdp("actpass"), Setup.PASSIVE, PHONES), (sdp("actpass", fingerprint=OTHER), Setup.ACTIVE, OTHER)):
        again = phone.inside("INVITE", answer, body=body)[-1]
        assert isinstance(again, SipResponse)
        assert (ours(again.body).setup, ours(again.body).fingerprint) == (setup, certificate_of(box))
        phone.ack(again)
        assert port_of(box).protection == Handshake(active=setup is Setup.ACTIVE, phone=phones)


def test_a_call_so_protected_is_never_taken_back_into_the_clear() -> None:
    box, phone, answer = answered(sdp())
    again = phone.inside("INVITE", answer, body=SDP_PCMA)[-1]
    assert isinstance(again, SipResponse)
    assert again.status == 488
    assert port_of(box).protection == Handshake(active=True, phone=PHONES)


def test_an_offer_of_ours_inside_such_a_call_is_one_too() -> None:
    box, phone, answer = answered(sdp("active"))
    offer = phone.inside("INVITE", answer)[-1]
    assert isinstance(offer, SipResponse)
    assert (ours(offer.body).protocol, ours(offer.body).setup) == (PROTOCOL, Setup.ACTPASS)
    phone.ack(offer, sdp("active"))
    assert port_of(box).protection == Handshake(active=False, phone=PHONES)


# ----------------------------------------------------------------------------------------------- accounts that are for it


def called() -> tuple[Box, Phone, SipRequest]:
    """Return a call in to a phone of an account for DTLS-SRTP."""
    box = Box()
    phone = Phone(box, "shaken")
    phone.register()
    box.incoming = RingPhones((("shaken",),))
    box.far_calls()
    return box, phone, phone.last_request("INVITE")


@pytest.mark.parametrize(("setup", "active"), [("active", False), ("passive", True)])
def test_a_phone_whose_account_says_so_is_offered_it(setup: str, *, active: bool) -> None:
    box, phone, invite = called()
    medium = ours(invite.body)
    assert (medium.protocol, medium.setup, medium.fingerprint, medium.cryptos) == (PROTOCOL, Setup.ACTPASS, certificate_of(box), ())
    phone.answer(invite, 200, sdp(setup))
    assert port_of(box).protection == Handshake(active, PHONES)
    assert box.far_heard[-1] == Answer(Codec.PCMA)


@pytest.mark.parametrize("body", [SDP_PCMA, SDP_SAVP, sdp("actpass"), sdp("holdconn")], ids=["clear", "keys in SDP", "both roles", "no role"])
def test_an_answer_without_it_ends_the_call(body: str) -> None:
    box, phone, invite = called()
    phone.answer(invite, 200, body)
    assert [message.method for message in phone.inbox if isinstance(message, SipRequest)][-2:] == ["ACK", "BYE"]
    assert box.far_heard[-1] == Refuse(Refusal.NO_COMMON_CODEC)
    assert box.media.open_ports() == 0


def test_such_a_phone_is_not_let_speak_in_the_clear() -> None:
    box = Box()
    phone = Phone(box, "shaken")
    assert statuses(phone.invite(body=SDP_PCMA))[-1] == 488
    assert statuses(phone.invite(body=sdp()))[-1] == 100
    assert box.media.open_ports() == 1


def test_two_calls_have_two_certificates() -> None:
    fingerprints = [ours(called()[2].body).fingerprint]
    box, phone, _ = called()
    box.far_calls()
    fingerprints += [ours(invite.body).fingerprint for invite in phone.requests("INVITE")]
    assert len(set(fingerprints[1:])) == 2


# -------------------------------------------------------------------------------------------------- where it comes to nothing


def test_a_handshake_that_fails_ends_the_call() -> None:
    box, phone, _ = answered(sdp())
    port = port_of(box)
    assert port.fails is not None
    port.fails()
    box.settle()
    assert phone.requests("BYE")
    assert box.far_leg.sent[-1] == End() or box.far_heard[-1] == End()
    assert port.closed
    assert box.board.calls == 0


def test_a_handshake_that_fails_before_the_answer_is_begun_again_with_it() -> None:
    box = Box()
    phone = Phone(box, "alice")
    phone.invite(body=sdp())
    port = port_of(box)
    assert port.fails is not None
    port.fails()
    box.settle()
    assert box.board.calls == 1
    box.far_says(Answer(Codec.PCMA))
    assert statuses(phone.inbox)[-1] == 200
