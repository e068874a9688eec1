"""Requests outside dialogs, registration and digest, as a phone sees them."""

from __future__ import annotations

from dataclasses import replace
from typing import NoReturn

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import PASSWORD, REALM, SDP_PCMA, SDP_SAVP, Box, Phone, final, statuses
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import Answer, Codec, Refusal, Refuse
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import RefuseCall
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.message import SipResponse


def test_a_phone_registers_with_its_password() -> None:
    box = Box()
    phone = Phone(box, "alice")
    answer = phone.register()
    assert answer.status == 200
    assert answer.headers.all("contact") == ["<sip:alice-0xdeadbeef@192.0.2.20:5062>;expires=300"]
    assert [(line.user, line.transport, line.expires_in_s) for line in box.board.registrations(box.now)] == [("alice", "udp", 300)]
    for absent in ("path", "service-route", "user-agent", "server", "date"):
        assert answer.headers.get(absent) is None


def test_a_phone_with_sha_256_is_challenged_with_it() -> None:
    box = Box()
    phone = Phone(box, "sha")
    challenge = phone.send(phone.text("REGISTER", f"sip:{REALM}"))[0]
    assert challenge.headers.all("www-authenticate")[0].count("Digest") == 1
    assert "SHA-256" in (challenge.headers.get("www-authenticate") or "")
    assert phone.register().status == 200


@pytest.mark.parametrize("user", ["alice", "nobody"])
def test_a_wrong_password_gets_another_challenge_and_then_a_ban(user: str) -> None:
    """The same for a user that there is and for one that there is not."""
    box = Box()
    phone = Phone(box, user, password=b"guess")
    assert [phone.register().status for _ in range(6)] == [401, 401, 401, 401, 401, 403]
    assert Phone(box, "alice", number=2).register().status == 200, "another address is not banned"
    assert beside(phone, "alice", 3).register().status == 403, "who guesses is, with a right password too"
    box.advance(601)
    assert phone.register().status == 401


def beside(phone: Phone, user: str, number: int, password: bytes = PASSWORD) -> Phone:
    """Return another phone at the same address."""
    other = Phone(phone.box, user, number, password=password)
    del phone.box.phones[other.flow]
    other.flow = replace(other.flow, remote_address=phone.address)
    phone.box.phones[other.flow] = other
    return other


def test_guesses_are_counted_by_source_whomever_they_are_for() -> None:
    phone = Phone(Box(), "alice", password=b"guess")
    others = [beside(phone, user, number, b"guess") for number, user in enumerate(("nobody", "carol", "root", "100", "101"), 2)]
    assert [each.register().status for each in (phone, *others)] == [401] * 5 + [403]


def test_a_right_answer_does_not_take_guesses_back() -> None:
    phone = Phone(Box(), "alice")
    guesser = beside(phone, "carol", 2, b"guess")
    for _ in range(4):
        assert (guesser.register().status, phone.register().status) == (401, 200)
    assert (guesser.register().status, phone.register().status) == (401, 403)


def test_wrong_answers_under_a_phones_address_do_not_ban_it() -> None:
    """Who can send from its address, but does not get what is sent there, knows no nonce that is good for it."""
    box = Box()
    phone, forger = Phone(box, "alice"), Phone(box, "alice", 2)
    challenge = final(forger.send(forger.text("REGISTER", f"sip:{REALM}")))
    for count in range(1, 11):
        line = forger.credentials(challenge, "REGISTER", f"sip:{REALM}", f"{count:08x}").replace('response="', 'response="0')
        assert statuses(phone.send(phone.text("REGISTER", f"sip:{REALM}", line))) == [401]
    assert phone.register().status == 200


def test_credentials_do_not_serve_twice() -> None:
    box = Box()
    phone = Phone(box, "alice")
    uri = f"sip:{REALM}"
    challenge = phone.send(phone.text("REGISTER", uri, to="<sip:alice@voicebox>"))[-1]
    assert isinstance(challenge, SipResponse)
    line = phone.credentials(challenge, "REGISTER", uri)
    assert statuses(phone.send(phone.text("REGISTER", uri, line, to="<sip:alice@voicebox>"))) == [200]
    again = phone.send(phone.text("REGISTER", uri, line, to="<sip:alice@voicebox>"))
    assert statuses(again) == [401]
    assert "stale=true" in (again[0].headers.get("www-authenticate") or "")
    line = phone.credentials(challenge, "REGISTER", uri, "00000002")
    assert statuses(phone.send(phone.text("REGISTER", uri, line, to="<sip:alice@voicebox>"))) == [200]
    box.advance(301)
    line = phone.credentials(challenge, "REGISTER", uri, "00000003")
    assert statuses(phone.send(phone.text("REGISTER", uri, line, to="<sip:alice@voicebox>"))) == [401]


def test_nobody_registers_for_another_account() -> None:
    phone = Phone(Box(), "alice")
    assert final(phone.authorised("REGISTER", f"sip:{REALM}", to=f"<sip:carol@{REALM}>")).status == 403


def test_brief_registrations_are_refused_with_the_minimum() -> None:
    answer = Phone(Box(), "alice").register("Expires: 10")
    assert answer.status == 423
    assert answer.headers.get("min-expires") == "60"


def test_unregistering() -> None:
    box = Box()
    phone = Phone(box, "alice")
    phone.register()
    assert phone.register("Expires: 0").headers.all("contact") == []
    assert box.board.registrations(box.now) == []


def test_a_registration_ends_by_itself_and_with_its_connection() -> None:
    box = Box()
    phone, other = Phone(box, "alice"), Phone(box, "carol", 2, Transport.TCP)
    phone.register()
    other.register()
    assert len(box.board.registrations(box.now)) == 2
    box.board.flow_closed(other.flow, box.now)
    assert [line.user for line in box.board.registrations(box.now)] == ["alice"]
    box.advance(301)
    assert box.board.registrations(box.now) == []


@pytest.mark.parametrize(("transport", "status"), [(Transport.UDP, 403), (Transport.TCP, 403), (Transport.TLS, 200)])
def test_a_phone_that_is_to_speak_over_tls_only_is_held_to_it(transport: Transport, status: int) -> None:
    box = Box()
    phone = Phone(box, "discreet", 1, transport)
    assert phone.register().status == status
    assert [(line.transport, line.clear) for line in box.board.registrations(box.now)] == ([("tls", False)] if status == 200 else [])
    assert statuses(phone.invite())[-1] == (403 if status == 403 else 488), "and its sound is to be protected"
    assert box.board.totals().get("refused_in_the_clear", 0) == (2 if status == 403 else 0)


@pytest.mark.parametrize("transport", list(Transport))
def test_what_passes_in_the_clear_is_told(transport: Transport) -> None:
    box = Box()
    Phone(box, "alice", 1, transport).register()
    assert [(line.transport, line.clear) for line in box.board.registrations(box.now)] == [(transport.value.lower(), transport is not Transport.TLS)]


def test_sips_is_for_tls_and_answered_with_sips() -> None:
    box = Box()
    assert statuses(Phone(box, "alice").authorised("INVITE", "sips:bob.privacy", body=SDP_PCMA)) == [416]
    phone = Phone(box, "alice", 2, Transport.TLS)
    phone.invite("sips:bob.privacy", SDP_SAVP)
    box.far_says(Answer(Codec.PCMA))
    assert final(phone.inbox).headers.get("contact") == "<sips:box@192.0.2.1:5060>"
    other = Phone(box, "alice", 3, Transport.TLS)
    other.invite(body=SDP_SAVP)
    box.far_says(Answer(Codec.PCMA))
    assert final(other.inbox).headers.get("contact") == "<sip:box@192.0.2.1:5060;transport=tls>"


def test_a_call_over_tls_is_not_ended_in_the_clear_without_the_password() -> None:
    box = Box()
    phone = Phone(box, "alice", 1, Transport.TLS)
    phone.invite(body=SDP_SAVP)
    box.far_says(Answer(Codec.PCMA))
    answer = final(phone.inbox)
    phone.ack(answer)
    forged = phone.text("BYE", "sip:box@192.0.2.1", to=answer.headers.get("to") or "")
    stranger = Flow(Transport.UDP, 9, "192.0.2.1", 5060, phone.address, 1234)
    box.receive(forged, stranger)
    assert box.board.calls == 1
    reply = box.outbox[-1][1]
    assert isinstance(reply, SipResponse)
    assert reply.status == 401
    assert statuses(phone.inside("BYE", answer)) == [200]


@pytest.mark.parametrize(
    ("method", "status"),
    [
        ("OPTIONS", 200),
        ("SUBSCRIBE", 489),
        ("PUBLISH", 489),
        ("NOTIFY", 489),
        ("MESSAGE", 401),
        ("REFER", 405),
        ("FLY", 501),
        ("BYE", 481),
        ("UPDATE", 481),
        ("INFO", 481),
        ("PRACK", 481),
        ("CANCEL", 481),
    ],
)
def test_methods_outside_a_dialog(method: str, status: int) -> None:
    phone = Phone(Box(), "alice")
    answer = final(phone.send(phone.text(method, f"sip:{REALM}")))
    assert answer.status == status
    assert answer.to.tag
    if status in {200, 405, 501}:
        assert "INVITE" in (answer.headers.get("allow") or "")


@pytest.mark.parametrize(
    ("uri", "status"), [("sips:bob.privacy", 416), ("tel:+1234", 416), ("sip:bob@@privacy", 400), ("sip:" + "b" * 2000, 414), ("bob", 400)]
)
def test_bad_request_uris(uri: str, status: int) -> None:
    phone = Phone(Box(), "alice")
    assert final(phone.send(phone.text("INVITE", uri, body=SDP_PCMA, to="<sip:bob.privacy>"))).status == status


@pytest.mark.parametrize("option", ["100rel", "gruu, timer", "nothing"])
def test_required_extensions_are_refused_by_name(option: str) -> None:
    phone = Phone(Box(), "alice")
    answer = final(phone.send(phone.text("INVITE", "sip:bob.privacy", f"Require: {option}", SDP_PCMA)))
    assert answer.status == 420
    assert answer.headers.get("unsupported") == option.partition(",")[0]


@pytest.mark.parametrize(
    ("uri", "dialled"),
    [
        ("sip:bob.privacy", "bob"),
        ("sip:anything@bob.privacy", "bob"),
        ("sip:bob@192.0.2.1", "bob"),
        ("sip:bob@voicebox;transport=udp", "bob"),
        ("sip:bob.privacy@192.0.2.1:5060", "bob"),
        ("sip:bob.privacy.alt", "bob"),
        ("sip:BOB.PRIVACY", "bob"),
        ("sip:712@voicebox", "712"),
        ("sip:%62ob@voicebox;user=phone", "bob"),
    ],
)
def test_what_may_be_dialled(uri: str, dialled: str) -> None:
    box = Box()
    assert statuses(Phone(box, "alice").invite(uri))[0] == 100
    assert box.dialled == [dialled]
    assert len(box.offers) == 1


@pytest.mark.parametrize("uri", ["sip:nobody.privacy", "sip:bob@example.com", "sip:voicebox", "sip:.privacy@voicebox", "sip:privacy"])
def test_unknown_names_are_not_found(uri: str) -> None:
    box = Box()
    assert statuses(Phone(box, "alice").invite(uri)) == [100, 404]
    assert box.offers == []
    assert box.media.open_ports() == 0


def test_a_contact_that_the_network_does_not_know_is_unavailable() -> None:
    box = Box()
    assert statuses(Phone(box, "alice").invite("sip:ghost.privacy")) == [100, 480]
    assert box.media.open_ports() == 0
    assert box.board.calls == 0


def test_emergency_numbers_are_refused() -> None:
    box = Box()
    phone = Phone(box, "alice")
    assert statuses(phone.invite("sip:112@voicebox")) == [100, 183]
    box.advance(15)
    assert statuses(phone.inbox)[-1] == 503
    assert box.offers == []


def test_the_plan_refuses_with_its_own_status() -> None:
    box = Box()
    box.plan["bob"] = RefuseCall(486)
    assert statuses(Phone(box, "alice").invite("sip:bob.privacy")) == [100, 486]
    assert box.offers == []


def test_a_call_needs_a_password() -> None:
    box = Box()
    phone = Phone(box, "nobody")
    assert statuses(phone.invite()) == [401]
    assert box.offers == []
    assert box.dialled == []


def test_the_same_request_over_two_paths_is_served_once() -> None:
    box = Box()
    phone = Phone(box, "alice")
    phone.invite()
    assert statuses(phone.send(phone.text("INVITE", "sip:bob.privacy", body=SDP_PCMA, cseq=phone.cseq))) == [482]


def test_no_hops_left() -> None:
    phone = Phone(Box(), "alice")
    octets = phone.text("INVITE", "sip:bob.privacy", body=SDP_PCMA)
    challenge = phone.send(octets.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))[-1]
    assert isinstance(challenge, SipResponse)
    line = phone.credentials(challenge, "INVITE", "sip:bob.privacy")
    octets = phone.text("INVITE", "sip:bob.privacy", line, SDP_PCMA)
    assert statuses(phone.send(octets.replace(b"Max-Forwards: 70", b"Max-Forwards: 0"))) == [100, 483]


def test_calls_are_bounded() -> None:
    box = Box(SwitchboardSettings(calls=CallSettings(max_calls=2)))
    assert [statuses(Phone(box, "alice", number).invite())[-1] for number in (1, 2, 3)] == [100, 100, 503]
    assert box.media.open_ports() == 2


def test_calls_of_one_account_are_bounded() -> None:
    box = Box(SwitchboardSettings(calls=CallSettings(max_calls_of_user=2)))
    assert [statuses(Phone(box, "alice", number).invite())[-1] for number in (1, 2, 3)] == [100, 100, 503]
    assert statuses(Phone(box, "carol", 4).invite()) == [100]
    box.far.legs[0].send(Refuse(Refusal.BUSY))
    box.settle()
    assert statuses(Phone(box, "alice", 5).invite()) == [100]


def planted_bug(*_: object) -> NoReturn:
    raise RuntimeError("planted")


def test_a_bug_inside_a_request_is_answered_and_leaves_no_transaction() -> None:
    box = Box()
    phone = Phone(box, "alice")
    box.board.registrar.register = planted_bug  # type: ignore[method-assign, assignment]  # a bug to be survived
    with pytest.raises(RuntimeError, match="planted"):
        phone.register()
    box.settle()
    assert statuses(phone.inbox) == [401, 500]
    box.advance(40)
    assert box.board.totals()["transactions"] == 0


def test_a_bug_inside_a_call_that_begins_is_answered_and_leaves_no_call() -> None:
    box = Box()
    phone = Phone(box, "alice")
    box.network.call = planted_bug  # type: ignore[method-assign, assignment]  # as above
    with pytest.raises(RuntimeError, match="planted"):
        phone.invite()
    box.settle()
    refusal = final(phone.inbox)
    assert statuses(phone.inbox) == [401, 100, 500]
    phone.send(phone.text("ACK", "sip:bob.privacy", to=refusal.headers.get("to") or "", cseq=refusal.cseq.number, branch=branch_of(refusal)))
    assert box.board.calls == box.media.open_ports() == 0
    box.advance(40)
    assert box.board.totals()["transactions"] == 0
    assert statuses(phone.inbox) == [401, 100, 500], "it is said once"


def branch_of(response: SipResponse) -> str:
    return dict(response.via.params)["branch"] or ""


def test_a_call_that_goes_on_without_whoever_began_it_is_not_counted_as_theirs() -> None:
    house = House(SwitchboardSettings(calls=CallSettings(max_calls_of_user=1)))
    talk = house.talk(house.alice, house.carol)
    house.alice.call_id = "another"
    assert statuses(house.alice.invite("sip:erin@voicebox"))[-1] == 503
    assert talk.as_caller("REFER", "Refer-To: <sip:dave@voicebox>").status == 202
    house.dave.answer(house.dave.last_request("INVITE"), 200, house.dave.sdp(), tag="d")
    assert house.box.board.calls == 1
    house.alice.call_id = "third"
    assert statuses(house.alice.invite("sip:erin@voicebox"))[-1] == 100


def test_no_media_port_is_a_clean_refusal() -> None:
    box = Box()
    box.media._limit = 0
    assert statuses(Phone(box, "alice").invite()) == [100, 503]
    assert box.board.calls == 0


def test_answers_go_where_rport_or_via_say() -> None:
    box = Box()
    phone = Phone(box, "alice")
    octets = phone.text("OPTIONS", f"sip:{REALM}")
    box.receive(octets.replace(b";rport", b"").replace(b":5062;branch", b":7777;branch"), phone.flow)
    flow, _ = box.outbox[-1]
    assert (flow.remote_address, flow.remote_port) == (phone.address, 7777)
    elsewhere = Flow(Transport.UDP, 9, "192.0.2.1", 5060, "198.51.100.7", 1234)
    box.receive(phone.text("OPTIONS", f"sip:{REALM}"), elsewhere)
    flow, message = box.outbox[-1]
    assert flow == elsewhere
    assert dict(message.via.params)["received"] == "198.51.100.7"
    assert dict(message.via.params)["rport"] == "1234"


def test_keep_alives_and_noise_are_counted_and_not_answered() -> None:
    box = Box()
    phone = Phone(box, "alice")
    for octets in (b"\r\n\r\n", b"\x00", b"", b"\x16\xfe\xff noise", b"SIP/2.0 200 OK\r\n\r\n"):
        assert phone.send(octets) == []
    totals = box.board.totals()
    assert totals["dropped_keep_alive"] == 3
    assert totals["dropped_malformed"] == 2
