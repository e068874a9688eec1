"""Calls whose sound is protected between box and phone: SRTP with keys in SDP, seen in SIP."""

from __future__ import annotations

import base64
import re

import pytest

from tests.voicebox.b2bua.loopback import PlainPort
from tests.voicebox.b2bua.scripted import SDP_PCMA, SDP_SAVP, Box, Phone, statuses
from voicebox.b2bua.events import Answer, Codec, Refusal, Refuse
from voicebox.sensitive import Secret
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.sdes import Protection, Suite

KEY = bytes(range(30))
CRYPTO = SDP_SAVP[SDP_SAVP.index("a=crypto") :]


def port_of(box: Box) -> PlainPort:
    return box.media.ports[-1]


def key_in(body: bytes, suite: Suite = Suite.AES_CM_128_80) -> tuple[str, bytes]:
    """Return tag and key of our crypto attribute."""
    found = re.search(rf"a=crypto:([0-9]+) {suite.value} inline:([^\r|]+)\r\n", body.decode())
    assert found is not None
    return found[1], base64.b64decode(found[2])


def answered(body: str, transport: Transport = Transport.UDP) -> tuple[Box, Phone, SipResponse]:
    """Return a call out that was answered in PCMA."""
    box = Box()
    phone = Phone(box, "alice", 1, transport)
    phone.invite(body=body)
    box.far_says(Answer(Codec.PCMA))
    answer = phone.inbox[-1]
    assert isinstance(answer, SipResponse)
    assert answer.status == 200
    phone.ack(answer)
    return box, phone, answer


@pytest.mark.parametrize(("protocol", "mirrored"), [("RTP/SAVP", "RTP/SAVP"), ("RTP/SAVPF", "RTP/SAVPF"), ("RTP/AVP", "RTP/AVP")])
def test_a_phones_key_is_answered_with_one_of_ours(protocol: str, mirrored: str) -> None:
    box, _, answer = answered(SDP_PCMA.replace("RTP/AVP", protocol) + CRYPTO)
    tag, ours = key_in(answer.body)
    assert tag == "3"
    assert ours != KEY
    assert f" {mirrored} 8 101\r\n".encode() in answer.body
    assert port_of(box).protection == Protection(Suite.AES_CM_128_80, Secret(ours), Secret(KEY))


def test_the_first_suite_that_is_spoken_is_taken() -> None:
    narrow = CRYPTO.replace("3 AES_CM_128_HMAC_SHA1_80", "2 AES_CM_128_HMAC_SHA1_32")
    strange = CRYPTO.replace("3 AES_CM_128_HMAC_SHA1_80", "1 F8_128_HMAC_SHA1_80")
    box, _, answer = answered(SDP_PCMA.replace("RTP/AVP", "RTP/SAVP") + strange + narrow + CRYPTO)
    assert key_in(answer.body, Suite.AES_CM_128_32)[0] == "2"
    assert answer.body.count(b"a=crypto") == 1
    protection = port_of(box).protection
    assert isinstance(protection, Protection)
    assert protection.suite is Suite.AES_CM_128_32


def test_of_two_media_the_protected_one_is_answered() -> None:
    """How phones offer both at once: RFC 3264 has no better way."""
    clear = "m=audio 4002 RTP/AVP 8\r\n"
    head, media = SDP_SAVP.split("m=audio", 1)
    box, _, answer = answered(head + clear + "m=audio" + media)
    assert b"m=audio 0 RTP/AVP 8\r\n" in answer.body
    key_in(answer.body)
    assert port_of(box).remote == ("192.0.2.20", 4000, Codec.PCMA, 8, 101)


@pytest.mark.parametrize("crypto", ["", CRYPTO.replace("AES_CM_128_HMAC_SHA1_80", "F8_128_HMAC_SHA1_80"), CRYPTO.replace("\r\n", " UNENCRYPTED_SRTP\r\n")])
def test_without_a_suite_in_common_the_call_is_refused_and_says_why(crypto: str) -> None:
    box = Box()
    phone = Phone(box, "alice")
    refusal = phone.invite(body=SDP_PCMA.replace("RTP/AVP", "RTP/SAVP") + crypto)[-1]
    assert isinstance(refusal, SipResponse)
    assert refusal.status == 488
    assert refusal.headers.get("warning") == '305 voicebox "no key of SRTP in a suite that is spoken here"'
    assert box.media.open_ports() == 0


def test_a_malformed_key_is_a_bad_request() -> None:
    assert statuses(Phone(Box(), "alice").invite(body=SDP_SAVP.replace("inline:", "inline:AAAA")))[-1] == 400


def test_the_same_key_again_keeps_ours_and_a_fresh_one_is_taken() -> None:
    box, phone, answer = answered(SDP_SAVP)
    _, ours = key_in(answer.body)
    for key in (KEY, bytes(30)):
        body = SDP_SAVP.replace(base64.b64encode(KEY).decode(), base64.b64encode(key).decode())
        again = phone.inside("INVITE", answer, body=body)[-1]
        assert isinstance(again, SipResponse)
        assert key_in(again.body) == ("3", ours)
        assert port_of(box).protection == Protection(Suite.AES_CM_128_80, Secret(ours), Secret(key))
        phone.ack(again)


def test_an_offer_of_ours_inside_a_protected_call_is_protected() -> None:
    box, phone, answer = answered(SDP_SAVP)
    offer = phone.inside("INVITE", answer)[-1]
    assert isinstance(offer, SipResponse)
    assert b" RTP/SAVP 8 101\r\n" in offer.body
    tag, ours = key_in(offer.body)
    phone.ack(offer, SDP_SAVP.replace("crypto:3", f"crypto:{tag}"))
    assert port_of(box).protection == Protection(Suite.AES_CM_128_80, Secret(ours), Secret(KEY))


@pytest.mark.parametrize(("transport", "protected"), [(Transport.UDP, False), (Transport.TCP, False), (Transport.TLS, True)])
def test_a_phone_is_offered_protection_where_its_signalling_has_it(transport: Transport, *, protected: bool) -> None:
    box = Box()
    phone = Phone(box, "alice", 1, transport)
    phone.register()
    box.far_calls()
    invite = phone.last_request("INVITE")
    assert (b" RTP/SAVP " in invite.body) is protected
    assert invite.body.count(b"a=crypto") == (len(Suite) if protected else 0)
    if not protected:
        return
    keys = {key_in(invite.body, suite) for suite in Suite}
    assert {tag for tag, _ in keys} == {"1", "2", "3", "4"}
    tag, ours = key_in(invite.body)
    phone.answer(invite, 200, SDP_SAVP.replace("crypto:3", f"crypto:{tag}"))
    assert port_of(box).protection == Protection(Suite.AES_CM_128_80, Secret(ours), Secret(KEY))
    assert box.far_heard[-1] == Answer(Codec.PCMA)


@pytest.mark.parametrize("body", [SDP_PCMA, SDP_SAVP, SDP_SAVP.replace("crypto:3", "crypto:9")])
def test_an_answer_that_leaves_out_the_protection_ends_the_call(body: str) -> None:
    box = Box()
    phone = Phone(box, "alice", 1, Transport.TLS)
    phone.register()
    box.far_calls()
    invite = phone.last_request("INVITE")
    phone.answer(invite, 200, body)
    assert [message.method for message in phone.inbox if isinstance(message, SipRequest)][-2:] == ["ACK", "BYE"]
    assert box.far_heard[-1] == Refuse(Refusal.NO_COMMON_CODEC)
    assert box.media.open_ports() == 0


def test_rtcp_beside_rtp_is_answered_where_it_is_offered() -> None:
    box, _, answer = answered(SDP_PCMA + "a=rtcp-mux\r\n")
    assert b"a=rtcp-mux\r\n" in answer.body
    assert port_of(box).rtcp_port == 4000
    box, _, answer = answered(SDP_PCMA + "a=rtcp:4711 IN IP4 192.0.2.20\r\n")
    assert b"a=rtcp" not in answer.body
    assert port_of(box).rtcp_port == 4711
    box, _, answer = answered(SDP_PCMA)
    assert port_of(box).rtcp_port is None
