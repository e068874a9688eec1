"""Dialogs: what both ends keep of each other."""

from __future__ import annotations

import pytest

from voicebox.errors import SipError
from voicebox.sip.dialog import DialogState, dialog_of_request, dialog_of_response
from voicebox.sip.flow import Flow, Transport
from voicebox.sip.message import SipRequest, SipResponse, parse_message
from voicebox.sip.transaction import OutgoingRequest

FLOW = Flow(Transport.UDP, 1, "192.0.2.1", 5060, "192.0.2.20", 5062)
HEAD = 'Via: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: "A" <sip:a@h>;tag=them\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 5 INVITE\r\n'


def invite(extra: str = "Contact: <sip:a@192.0.2.20:5062>\r\n") -> SipRequest:
    message = parse_message(f"INVITE sip:b@h SIP/2.0\r\n{HEAD}{extra}\r\n".encode())
    assert isinstance(message, SipRequest)
    return message


def answer(extra: str = "", to: str = "<sip:b@h>;tag=them") -> SipResponse:
    head = HEAD.replace("To: <sip:b@h>", f"To: {to}").replace("tag=them", "tag=us", 1)
    message = parse_message(f"SIP/2.0 200 OK\r\n{head}{extra}\r\n".encode())
    assert isinstance(message, SipResponse)
    return message


def test_a_dialog_we_answer() -> None:
    dialog = dialog_of_request(invite('Record-Route: <sip:p1;lr>, <sip:p2;lr>\r\nContact: "x" <sip:a@192.0.2.20:5062>;q=1\r\n'), "us", FLOW)
    assert dialog.key == ("c", "us", "them")
    assert (dialog.state, dialog.target, dialog.routes) == (DialogState.EARLY, "sip:a@192.0.2.20:5062", ("<sip:p1;lr>", "<sip:p2;lr>"))
    bye = dialog.request("BYE")
    assert bye.uri == "sip:a@192.0.2.20:5062"
    assert bye.field("from") == "<sip:b@h>;tag=us"
    assert bye.field("to") == '"A" <sip:a@h>;tag=them'
    assert bye.field("cseq") == "1 BYE"
    assert dialog.request("OPTIONS").field("cseq") == "2 OPTIONS"
    assert [value for name, value in bye.fields if name == "route"] == ["<sip:p1;lr>", "<sip:p2;lr>"]


def test_a_dialog_we_began() -> None:
    asked = OutgoingRequest("INVITE", "sip:b@h", (("from", "<sip:a@h>;tag=us"), ("cseq", "5 INVITE")))
    dialog = dialog_of_response(asked, "us", answer("Record-Route: <sip:p1;lr>\r\nRecord-Route: <sip:p2;lr>\r\nContact: <sip:b@192.0.2.20>\r\n"), FLOW)
    assert dialog.key == ("c", "us", "them")
    assert dialog.routes == ("<sip:p2;lr>", "<sip:p1;lr>")
    assert dialog.request("ACK", cseq=5).field("cseq") == "5 ACK"
    assert dialog.request("BYE").field("cseq") == "6 BYE"
    assert dialog_of_response(asked, "us", answer(), FLOW).target == "sip:b@h", "without a Contact the request's URI stays"


@pytest.mark.parametrize(
    "extra", ["", "Contact: rubbish\r\n", "Contact: <sip:a@b>\r\n" + "Record-Route: <sip:p;lr>\r\n" * 9, "Contact: <sip:a@b>\r\nRecord-Route: rubbish\r\n"]
)
def test_dialogs_that_cannot_be_made(extra: str) -> None:
    with pytest.raises(SipError) as caught:
        dialog_of_request(invite(extra), "us", FLOW)
    assert caught.value.status == 400


def test_requests_come_in_order() -> None:
    dialog = dialog_of_request(invite(), "us", FLOW)
    with pytest.raises(SipError) as caught:
        dialog.accept(invite(), FLOW)
    assert caught.value.status == 500
    later = parse_message(f"INVITE sip:b@h SIP/2.0\r\n{HEAD.replace('5 INVITE', '9 INVITE')}Contact: <sip:new@192.0.2.20>\r\n\r\n".encode())
    assert isinstance(later, SipRequest)
    moved = Flow(Transport.TCP, 7, "192.0.2.1", 5060, "192.0.2.20", 40_000)
    dialog.accept(later, moved)
    assert (dialog.target, dialog.flow, dialog.remote_cseq) == ("sip:new@192.0.2.20", moved, 9)


def test_nothing_of_a_person_prints() -> None:
    text = repr(dialog_of_request(invite(), "us", FLOW))
    for planted in ("sip:", "192.0.2", '"A"'):
        assert planted not in text
