"""What the parser makes of the torture tests of RFC 4475: understood, answered with a status, or dropped."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from voicebox.sip.message import Malformed, SipRequest, SipResponse, parse_message, serialise_message
from voicebox.sip.uri import parse_uri

VECTORS = Path(__file__).parents[2] / "vectors" / "rfc4475"

WELL_FORMED = (
    # §3.1.1
    *("wsinv", "intmeth", "esc01", "escnull", "esc02", "lwsdisp", "longreq", "dblreq", "semiuri", "transports", "mpart01"),
    *("unreason", "noreason"),
    # §3.2 to §3.4: the application decides
    *("badbranch", "unkscm", "novelsc", "unksm2", "bext01", "invut", "regaut01", "bcast", "zeromf"),
    *("cparam01", "cparam02", "regescrt", "sdp01", "inv2543"),
    # §3.1.2, wrong only in a field or a part of a URI that the parser leaves to whoever needs it
    *("escruri", "baddate", "regbadct"),
)
ANSWERED = {
    "badinv01": None,  # the topmost Via cannot be parsed, so nobody knows where an answer would go
    "clerr": 400,
    "ncl": 400,
    "scalar02": 400,
    "scalarlg": None,
    "quotbal": 400,
    "ltgtruri": 400,
    "lwsruri": 400,
    "lwsstart": 400,
    "trws": 400,
    "badaspec": 400,
    "baddn": 400,
    "badvers": None,  # its Via is of another version too
    "mismatch01": 400,
    "mismatch02": 400,
    "bigcode": None,
    "insuf": None,
    "multi01": 400,
    "mcl01": 400,
}


def octets_of(name: str) -> bytes:
    return (VECTORS / f"{name}.dat").read_bytes()


def test_every_vector_is_judged() -> None:
    assert {path.stem for path in VECTORS.glob("*.dat")} == {*WELL_FORMED, *ANSWERED}
    assert len(WELL_FORMED) + len(ANSWERED) == 49, "all messages of RFC 4475 §3"


def test_the_octets_are_those_that_were_checked() -> None:
    """An editor or a version control that turns one line end spoils a vector; SHA256SUMS says what each one was when it was compared."""
    listed = {line[66:]: line[:64] for line in (VECTORS / "SHA256SUMS").read_text("ascii").splitlines()}
    assert listed == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VECTORS.glob("*.dat")}


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed(name: str) -> None:
    message = parse_message(octets_of(name))
    again = parse_message(serialise_message(message))
    assert serialise_message(again) == serialise_message(message)


@pytest.mark.parametrize(("name", "status"), ANSWERED.items())
def test_malformed(name: str, status: int | None) -> None:
    with pytest.raises(Malformed) as caught:
        parse_message(octets_of(name))
    if status is None:
        assert caught.value.echo is None
    else:
        assert caught.value.status == status
        assert caught.value.echo is not None
        assert caught.value.echo.get("via") is not None


def request(name: str) -> SipRequest:
    message = parse_message(octets_of(name))
    assert isinstance(message, SipRequest)
    return message


def test_wsinv_is_read_as_meant() -> None:
    message = request("wsinv")
    assert message.to.tag == "1918181833n"
    assert message.from_.tag == "98asjd8"
    assert message.from_.display == '"J Rosenberg \\\\\\""'
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    assert message.headers.get("subject") == ""
    assert message.body.startswith(b"v=0")


def test_users_with_semicolons_and_escapes_are_read_as_meant() -> None:
    uri = parse_uri(request("semiuri").uri)
    assert (uri.host, uri.user, uri.params) == ("example.com", "user;par=u%40example.net", ())
    uri = parse_uri(request("esc01").uri)
    assert (uri.host, uri.user_text) == ("example.net", "sips:user@example.com")
    uri = parse_uri(request("intmeth").uri)
    assert uri.host == "example.com"
    assert (uri.user or "").startswith("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")


def test_the_octets_behind_the_body_are_ignored() -> None:
    assert request("dblreq").body == b""


def test_binary_part_of_a_body_keeps_its_octets() -> None:
    body = request("mpart01").body
    assert len(body) == 553
    assert body == octets_of("mpart01")[-553:]
    assert body.count(b"\n") > body.count(b"\r\n"), "there are bare line feeds in the binary part"


def test_escaped_method_is_another_method() -> None:
    assert request("esc02").method == "RE%47IST%45R"


@pytest.mark.parametrize(("name", "status"), [("unreason", 200), ("noreason", 100), ("bcast", 200)])
def test_responses(name: str, status: int) -> None:
    message = parse_message(octets_of(name))
    assert isinstance(message, SipResponse)
    assert message.status == status
