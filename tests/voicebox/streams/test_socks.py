"""SOCKS5 by RFC 1928 and RFC 1929: contacts' names alone lead anywhere, and garbage is refused."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.streams.socks import MAX_OCTETS, Negotiation, Reply, Wanted, bound_reply, contact_of, parse_datagram

NO_AUTHENTICATION, PASSWORD = b"\x05\x01\x00", b"\x05\x02\x00\x02"


def contact(host: str) -> str | None:
    return contact_of(host, ("privacy", "privacy.alt"), frozenset({"bob", "carol"}))


def request(host: bytes, port: int = 80, *, command: int = 1, kind: int = 3) -> bytes:
    address = bytes([len(host)]) + host if kind == 3 else host
    return bytes([5, command, 0, kind]) + address + port.to_bytes(2)


def negotiated(*said: bytes) -> tuple[bytes, Negotiation]:
    negotiation = Negotiation(contact)
    return b"".join(negotiation.receive(octets) for octets in said), negotiation


def test_a_contact_is_named() -> None:
    answer, negotiation = negotiated(NO_AUTHENTICATION, request(b"bob.privacy", 8080))
    assert (answer, negotiation.wanted, negotiation.over) == (b"\x05\x00", Wanted("bob", 8080), False)


def test_a_host_under_a_contacts_name_is_the_contacts() -> None:
    assert negotiated(NO_AUTHENTICATION, request(b"NAS.bob.privacy", 8080))[1].wanted == Wanted("bob", 8080, "nas")


def test_a_user_name_is_taken_whatever_it_is() -> None:
    answer, negotiation = negotiated(PASSWORD, b"\x01\x03tor\x00", request(b"Carol.Privacy.ALT."))
    assert (answer, negotiation.wanted) == (b"\x05\x02\x01\x00", Wanted("carol", 80))


def test_an_association_is_asked_for_and_told_where_datagrams_go() -> None:
    for kind, host in ((1, bytes(4)), (4, bytes(16)), (3, b"whatever")):
        answer, negotiation = negotiated(NO_AUTHENTICATION, request(host, 0, command=3, kind=kind))
        assert (answer, negotiation.associates, negotiation.over) == (b"\x05\x00", True, False)
    assert bound_reply(ipaddress.ip_address("127.0.0.1"), 258) == b"\x05\x00\x00\x01\x7f\x00\x00\x01\x01\x02"
    assert bound_reply(ipaddress.ip_address("::1"), 1) == b"\x05\x00\x00\x04" + bytes(15) + b"\x01\x00\x01"


HEADER = b"\x00\x00\x00\x03\x0bbob.privacy\x005"


@pytest.mark.parametrize(
    "datagram",
    [
        HEADER[:2] + b"\x01" + HEADER[3:],
        b"\x00\x00\x00\x01\x7f\x00\x00\x01\x005hello",
        b"\x00\x00\x00\x03\x0ddave.privacy.\x005",
        b"\x00\x00\x00\x03\x0bexample.org\x005",
        HEADER[:-2] + bytes(2),
        *(HEADER[:cut] for cut in range(len(HEADER))),
    ],
)
def test_a_datagram_for_nobody_by_name_leads_nowhere(datagram: bytes) -> None:
    assert parse_datagram(HEADER + b"hello", contact) == (HEADER, Wanted("bob", 53))
    assert parse_datagram(datagram, contact) is None


def test_octet_by_octet() -> None:
    said = PASSWORD + b"\x01\x03tor\x02xy" + request(b"bob.privacy")
    answer, negotiation = negotiated(*(bytes([octet]) for octet in said))
    assert (answer, negotiation.wanted) == (b"\x05\x02\x01\x00", Wanted("bob", 80))


@pytest.mark.parametrize(
    ("said", "reply"),
    [
        (request(b"example.org"), Reply.NOT_ALLOWED),
        (request(b"privacy"), Reply.NOT_ALLOWED),
        (request(b"bobprivacy"), Reply.NOT_ALLOWED),
        (request(b"bob.privacy.example.org"), Reply.NOT_ALLOWED),
        (request(b"\xffbob.privacy.\x00"), Reply.NOT_ALLOWED),
        (request(bytes([127, 0, 0, 1]), kind=1), Reply.NOT_ALLOWED),
        (request(bytes(16), kind=4), Reply.NOT_ALLOWED),
        (request(b"bob.privacy", 0), Reply.NOT_ALLOWED),
        (request(b"dave.privacy"), Reply.HOST_UNREACHABLE),
        (request(b"a.nas.bob.privacy"), Reply.HOST_UNREACHABLE),
        (request(b".bob.privacy"), Reply.HOST_UNREACHABLE),
        (request(b"bob.nas.privacy"), Reply.HOST_UNREACHABLE),
        (request(b".privacy"), Reply.HOST_UNREACHABLE),
        (request(b"bob.privacy", command=2), Reply.COMMAND),
        (request(b"bob.privacy", kind=2), Reply.ADDRESS),
    ],
)
def test_everything_else_is_refused(said: bytes, reply: Reply) -> None:
    answer, negotiation = negotiated(NO_AUTHENTICATION, said)
    assert (answer, negotiation.wanted, negotiation.over) == (b"\x05\x00" + reply.serialise(), None, True)


def test_other_versions_and_methods_are_refused() -> None:
    assert negotiated(b"\x05\x01\x01")[0] == b"\x05\xff"
    for said in (b"\x04\x01\x00\x50", b"GET / HTTP/1.1\r\n"):
        answer, negotiation = negotiated(said)
        assert (answer, negotiation.over) == (b"", True)


def test_a_program_that_does_not_wait_for_the_reply_is_refused() -> None:
    _, negotiation = negotiated(NO_AUTHENTICATION, request(b"bob.privacy") + b"GET /")
    assert (negotiation.wanted, negotiation.over) == (None, True)


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_garbage_leads_nowhere(said: list[bytes]) -> None:
    negotiation = Negotiation(lambda _host: None)
    for octets in said:
        assert len(negotiation.receive(octets)) <= 16
    assert negotiation.wanted is None
    assert negotiation.over or sum(map(len, said)) <= MAX_OCTETS
