"""Bindings."""

from __future__ import annotations

import pytest

from tests.voicebox.b2bua.scripted import Box, Phone
from voicebox.b2bua.registrar import MAX_CONTACTS, Registrar, Registration
from voicebox.errors import SipError
from voicebox.sip.auth import Account
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.message import SipRequest, parse_message

ALICE = Account("alice", ())
FLOW = Flow(Transport.UDP, 1, "192.0.2.1", 5060, "192.0.2.20", 5062)


def register(*contacts: str, expires: str | None = "300", call_id: str = "c", cseq: int = 1, to: str = "<sip:alice@voicebox>") -> SipRequest:
    phone = Phone(Box(), "alice")
    phone.call_id = call_id
    fields = [f"Contact: {contact}" for contact in contacts] + ([f"Expires: {expires}"] if expires is not None else [])
    message = parse_message(phone.text("REGISTER", "sip:voicebox", "\r\n".join(fields), to=to, cseq=cseq, contact=False))
    assert isinstance(message, SipRequest)
    return message


def contacts(registrar: Registrar, now: float = 0.0) -> list[str]:
    return sorted(binding.uri for binding in registrar.bindings(now))


def test_contacts_come_refresh_and_go() -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:a@192.0.2.20>;+sip.instance=planted", "<sip:b@192.0.2.20>;expires=100"), ALICE, FLOW, 0.0)
    assert contacts(registrar, 99.0) == ["sip:a@192.0.2.20", "sip:b@192.0.2.20"]
    assert contacts(registrar, 101.0) == ["sip:a@192.0.2.20"]
    fields = registrar.register(register("<sip:A@192.0.2.20>", "<sip:a@192.0.2.20:5060>", cseq=2), ALICE, FLOW, 0.0)
    assert len(fields) == 4, "user parts differ by case, and a port that is written differs from none"
    fields = registrar.register(register("<sip:a@192.0.2.20>", expires="0", cseq=3), ALICE, FLOW, 50.0)
    assert ("contact", "<sip:b@192.0.2.20>;expires=50") in fields
    assert not any("planted" in value or "a@192.0.2.20>" in value for _, value in fields)
    registrar.register(register("*", expires="0", cseq=4, call_id="d"), ALICE, FLOW, 50.0)
    assert contacts(registrar) == []


def test_a_query_changes_nothing() -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:a@h>"), ALICE, FLOW, 0.0)
    assert registrar.register(register(cseq=2), ALICE, FLOW, 0.0) == (("contact", "<sip:a@h>;expires=300"),)


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (register("*"), 400),
        (register("*", "<sip:a@h>", expires="0"), 400),
        (register("rubbish"), 400),
        (register("<http://x>"), 416),
        (register("<sip:a@h>", expires="59"), 423),
        (register("<sip:a@h>;expires=1"), 423),
        (register("<sip:a@h>", to="<sip:bob@voicebox>"), 403),
        (register("<sip:a@h>", to="<sip:voicebox>"), 403),
        (register(*(f"<sip:a{number}@h>" for number in range(MAX_CONTACTS + 1))), 503),
        (register(*(f"<sip:a{number}@h>" for number in range(20))), 400),
    ],
)
def test_refusals_change_nothing(request_: SipRequest, status: int) -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:old@h>", call_id="old"), ALICE, FLOW, 0.0)
    with pytest.raises(SipError) as caught:
        registrar.register(request_, ALICE, FLOW, 0.0)
    assert caught.value.status == status
    assert contacts(registrar) == ["sip:old@h"]


def test_a_late_copy_does_not_win() -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:a@h>", cseq=2), ALICE, FLOW, 0.0)
    with pytest.raises(SipError):
        registrar.register(register("<sip:a@h>", expires="0", cseq=1), ALICE, FLOW, 0.0)
    assert contacts(registrar) == ["sip:a@h"]


def test_expiry_is_bounded_and_has_a_default() -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:a@h>;expires=99999999999", "<sip:b@h>;expires=soon", expires=None), ALICE, FLOW, 0.0)
    assert sorted(line.expires_in_s for line in registrar.registrations(0.0)) == [300, 3600]


def test_a_closed_connection_takes_its_contacts_with_it() -> None:
    registrar = Registrar(["alice"])
    tcp = Flow(Transport.TCP, 2, "192.0.2.1", 5060, "192.0.2.20", 40_000)
    registrar.register(register("<sip:a@h;transport=tcp>"), ALICE, tcp, 0.0)
    registrar.register(register("<sip:a@h>", cseq=2), ALICE, FLOW, 0.0)
    registrar.flow_closed(tcp)
    assert registrar.registrations(0.0) == [Registration("alice", "udp", True, 300)]
    assert "sip:" not in repr(registrar.bindings(0.0))


def test_who_was_seen_is_known_in_memory_alone_and_forgotten_with_the_account() -> None:
    registrar = Registrar(["alice", "carol"])
    assert registrar.seen() == {}
    registrar.register(register("<sip:a@h>"), ALICE, FLOW, 5.0)
    registrar.register(register("<sip:a@h>", expires="0", cseq=2), ALICE, FLOW, 9.0)
    assert registrar.seen() == {"alice": 9.0}
    registrar.use(["carol"])
    assert registrar.seen() == {}
    registrar.use(["alice", "carol"])
    assert contacts(registrar) == []


def test_accounts_that_stay_keep_their_bindings() -> None:
    registrar = Registrar(["alice"])
    registrar.register(register("<sip:a@h>"), ALICE, FLOW, 0.0)
    registrar.use(["alice", "carol"])
    assert contacts(registrar) == ["sip:a@h"]
