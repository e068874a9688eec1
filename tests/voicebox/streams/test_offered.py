"""What is offered to contacts: the file, changes, and that nobody is allowed who was not named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.config.model import Endpoint
from voicebox.errors import FileProblem, UsageError
from voicebox.streams.offered import Listed, Offered, changed, parse_listing, parse_offered

TEXT = "service web 127.0.0.1:8080 80 bob,carol\nservice nas [fd00::7]:445 445 -\nforward 127.0.0.1:8022 bob 22\n"
ALL = frozenset({"bob", "carol"})


def test_the_file_is_read_as_it_is_written() -> None:
    offered = parse_offered(TEXT, "streams")
    assert offered.serialise() == TEXT
    assert parse_offered("", "streams") == Offered()


def test_a_service_of_tls_is_told_as_one_and_is_named_as_certificates_name() -> None:
    text = "service Web 127.0.0.1:8443 443 bob tls\n"
    offered = parse_offered(text, "streams")
    assert (offered.serialise(), offered.listing("bob")) == (text, "Web 443 tls\n")
    assert parse_listing(offered.listing("bob")) == (Listed("Web", 443, udp=False, tls=True),)
    assert (service := offered.allowed("bob", 443)) is not None
    assert service.to == Endpoint("127.0.0.1", 8443)
    for name in ("-web", "web-"):
        assert parse_offered(text.replace("Web", name).replace(" tls", ""), "streams").services[0].name == name
        with pytest.raises(FileProblem, match="begins and ends"):
            parse_offered(text.replace("Web", name), "streams")
    with pytest.raises(FileProblem):
        parse_offered("forward 127.0.0.1:8022 bob 53 tls\n", "streams")


def test_nobody_is_allowed_who_was_not_named() -> None:
    offered = parse_offered(TEXT, "streams")
    assert (service := offered.allowed("bob", 80)) is not None
    assert service.to == Endpoint("127.0.0.1", 8080)
    assert [offered.allowed(*asked) for asked in (("dave", 80), ("bob", 445), ("bob", 8080), ("bob", 22), ("-", 445))] == [None] * 5
    assert [offered.offers_to(petname) for petname in ("bob", "carol", "dave")] == [True, True, False]


def test_a_port_of_udp_is_another_than_the_same_of_tcp() -> None:
    text = TEXT.replace("forward", "service dns 127.0.0.1:53 80 bob udp\nforward") + "forward 127.0.0.1:8022 bob 53 udp\n"
    offered = parse_offered(text, "streams")
    assert offered.serialise() == text
    services = [offered.allowed("bob", 80, udp=udp) for udp in (False, True)]
    assert [service and service.to for service in services] == [Endpoint("127.0.0.1", 8080), Endpoint("127.0.0.1", 53)]
    assert [offered.allowed(*asked, udp=True) for asked in (("carol", 80), ("bob", 445))] == [None, None]
    with pytest.raises(UsageError):
        changed(offered, "add", "service more 127.0.0.1:54 80 bob udp", ALL)


def test_what_a_contact_may_reach_is_told_and_whatever_comes_is_read_or_passed_over() -> None:
    offered = parse_offered(TEXT + "service dns 127.0.0.1:53 53 bob udp\nservice bulk 127.0.0.1:9 81 bob fast\n", "streams")
    assert parse_listing(offered.listing("bob")) == (Listed("web", 80, udp=False), Listed("dns", 53, udp=True), Listed("bulk", 81, udp=False, fast=True))
    assert offered.listing("dave") == ""
    assert parse_listing("web 80\nw.b 80 tcp\nweb 0 tcp\nweb 80 sctp\n\x1b[2J 80 tcp\nnas 445 tcp") == (Listed("nas", 445, udp=False),)
    assert len(parse_listing("web 80 tcp\n" * 100)) == 64


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("service web 127.0.0.1:8080 80", "neither"),
        ("service web localhost:8080 80 bob", "in numbers"),
        ("service web 127.0.0.1:8080 0 bob", "65535"),
        ("service web 127.0.0.1:8080 80 b_b", "petname"),
        ("service w.b 127.0.0.1:8080 80 bob", "letters"),
        ("forward 127.0.0.1:8022 bob 65536", "65535"),
        ("service web 127.0.0.1:8080 80 bob tcp", "neither"),
        ("forward 127.0.0.1:8022 bob 53 udp udp", "neither"),
        ("forward 127.0.0.1:8022 bob 53 udp fast", "neither"),
        ("", "neither"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(line: str, problem: str) -> None:
    with pytest.raises(FileProblem, match=f"^streams:4: .*{problem}"):
        parse_offered(f"{TEXT}{line}\n", "streams")


def test_changes() -> None:
    offered = changed(Offered(), "add", "service web 127.0.0.1:8080 80 bob,bob", ALL)
    offered = changed(offered, "add", "forward 127.0.0.1:8022 carol 22", ALL)
    assert offered.serialise() == "service web 127.0.0.1:8080 80 bob\nforward 127.0.0.1:8022 carol 22\n"
    for what, line, problem in (
        ("add", "service web 127.0.0.1:1 81 bob", "already"),
        ("add", "service other 127.0.0.1:1 80 bob", "already"),
        ("add", "forward 127.0.0.1:8022 bob 23", "already"),
        ("add", "service mail 127.0.0.1:1 25 dave", "no contact"),
        ("add", "forward 127.0.0.1:8025 dave 25", "no contact"),
        ("remove", "service mail", "no service"),
        ("remove", "forward 127.0.0.1:8023", "no forward"),
        ("allow", "service web", "added or removed"),
    ):
        with pytest.raises(UsageError, match=problem):
            changed(offered, what, line, ALL)
    assert changed(changed(offered, "remove", "service web", ALL), "remove", "forward 127.0.0.1:8022", ALL) == Offered()


def test_a_contact_has_another_petname_or_is_gone() -> None:
    offered = parse_offered(TEXT, "streams")
    assert offered.renamed("bob", "robert").serialise() == TEXT.replace("bob", "robert")
    assert offered.renamed("bob", None).serialise() == "service web 127.0.0.1:8080 80 carol\nservice nas [fd00::7]:445 445 -\n"
    assert offered.renamed("dave", None) == offered


def test_there_are_64_at_most() -> None:
    lines = [f"service s{port} 127.0.0.1:1 {port} bob\n" for port in range(1, 66)]
    assert len(parse_offered("".join(lines[:64]), "streams").services) == 64
    with pytest.raises(FileProblem, match=r"^streams:65: .* at most 64"):
        parse_offered("".join(lines), "streams")


@given(st.text(max_size=80))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        offered = parse_offered(text, "streams")
    except FileProblem:
        return
    assert parse_offered(offered.serialise(), "streams") == offered
