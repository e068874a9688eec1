"""Protocol modules: the first that wants a flow has it, one that fails harms nobody else, one that others made is found by its entry point."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dnslib import QTYPE, RCODE, RR, A, DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import UsageError
from voicebox.intercept.dns import Assigned
from voicebox.intercept.http import Http
from voicebox.intercept.module import Answer, Cause, Flow, Module, Redirect, Verdict
from voicebox.intercept.modules import MAX_SAID_OCTETS, Modules, load_modules
from voicebox.streams.bundles import BUSY, GONE, REFUSED, UNLIKE, UNREACHABLE

FLOW = Flow("bob", "", 80)
REQUEST = b"GET / HTTP/1.1\r\nHost: bob.privacy\r\n\r\n"


class Scripted(Module):
    """Says one verdict, and keeps what it is told."""

    def __init__(self, name: str, verdict: Verdict) -> None:
        self.name, self._verdict = name, verdict
        self.told: list[object] = []

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        self.told.append((flow.port, first_octets))
        return self._verdict

    def notify(self, module: str, message: object) -> None:
        self.told.append((module, message))


class Failing(Module):
    """Fails at everything."""

    name = "failing"

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        raise ValueError

    def circuit_ready(self, flow: Flow, local_port: int) -> None:
        raise ValueError

    def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:
        raise ValueError

    def notify(self, module: str, message: object) -> None:
        raise ValueError


def test_the_first_that_wants_a_flow_has_it() -> None:
    passing, taking, never = Scripted("a", Verdict.PASS), Scripted("b", Verdict.TAKE), Scripted("c", Verdict.TAKE)
    assert Modules((passing, taking, never)).process(FLOW, b"x") is taking
    assert (passing.told, never.told) == ([(80, b"x")], [])


def test_a_flow_that_one_drops_or_that_nobody_wants_is_nobodys() -> None:
    after = Scripted("b", Verdict.TAKE)
    assert Modules((Scripted("a", Verdict.DROP), after)).process(FLOW, b"") is None
    assert after.told == []
    assert Modules((Scripted("a", Verdict.PASS),)).process(FLOW, b"") is None


def test_one_that_fails_gets_no_flow_and_harms_nobody() -> None:
    failing, other = Failing(), Scripted("b", Verdict.TAKE)
    modules = Modules((failing, other))
    assert modules.process(FLOW, b"") is None
    modules.circuit_ready(failing, FLOW, 1)
    assert modules.circuit_gone(failing, FLOW, Cause.LATE) == b""
    modules.notify("dns", "news")
    assert other.told == [("dns", "news")]
    assert modules.failed == 4


def test_who_says_something_does_not_hear_it_and_nobody_says_too_much() -> None:
    class Long(Module):
        name = "long"

        def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:
            return b"x" * (MAX_SAID_OCTETS + 1)

    speaker, long = Scripted("dns", Verdict.PASS), Long()
    modules = Modules((speaker, long))
    modules.notify("dns", "news")
    assert speaker.told == []
    assert len(modules.circuit_gone(long, FLOW, Cause.LATE)) == MAX_SAID_OCTETS


def test_those_of_the_box_come_in_their_order_and_each_once() -> None:
    assert load_modules(("all",)).names == ("dns", "http", "sip", "tcp", "udp")
    assert load_modules(("tcp", "all")).names == ("tcp", "dns", "http", "sip", "udp")
    with pytest.raises(UsageError, match="no module"):
        load_modules(("gopher",))


def test_one_that_others_made_is_found_by_its_entry_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "finger_of_others.py").write_text(
        "from voicebox.intercept.module import Flow, Module, Verdict\n"
        "class Finger(Module):\n"
        "    def process(self, flow, first_octets):\n"
        "        return Verdict.TAKE if flow.port == 79 else Verdict.PASS\n"
        "def broken():\n"
        "    raise OSError\n"
    )
    about = tmp_path / "finger_of_others-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: finger-of-others\nVersion: 1\n")
    (about / "entry_points.txt").write_text("[voicebox.intercept]\nfinger = finger_of_others:Finger\nbroken = finger_of_others:broken\nnone = builtins:list\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "finger_of_others", raising=False)
    modules = load_modules(("finger", "all"))
    assert modules.names == ("finger", "dns", "http", "sip", "tcp", "udp")
    finger = modules.process(Flow("bob", "", 79), b"")
    assert isinstance(finger, Module)
    assert finger.name == "finger"
    assert modules.process(FLOW, b"SSH-2.0-x") is not finger
    for name in ("broken", "none"):
        with pytest.raises(UsageError):
            load_modules((name,))


class House:
    """A box for modules: one name, one address."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def look_up(self, query: bytes) -> bytes | None:
        asked = DNSRecord.parse(query)
        answer = asked.reply()
        answer.add_answer(RR(asked.q.qname, QTYPE.A, rdata=A("198.18.3.4"), ttl=60))
        return bytes(answer.pack())

    def owner(self, address: str) -> tuple[str, str] | None:
        return ("bob", "nas") if address == "198.18.3.4" else None

    def notify(self, module: str, message: object) -> None:
        self.told.append((module, message))


def test_dns_answers_for_the_box_and_tells_the_others_whose_an_address_is() -> None:
    modules, house = load_modules(("dns",)), House()
    modules.use(house)
    asked = Flow("", "", 53, Redirect.LOOKUP)
    answer = modules.process(asked, bytes(DNSRecord.question("nas.bob.privacy").pack()))
    assert isinstance(answer, Answer)
    assert [str(each.rdata) for each in DNSRecord.parse(answer.octets).rr] == ["198.18.3.4"]
    assert house.told == [("dns", Assigned("198.18.3.4", "bob", "nas"))]
    assert modules.process(FLOW, REQUEST) is None, "it is asked about questions alone"


def test_dns_says_that_the_canarys_name_does_not_exist_and_drops_garbage() -> None:
    modules, house = load_modules(("dns",)), House()
    modules.use(house)
    asked = Flow("", "", 53, Redirect.LOOKUP)
    answer = modules.process(asked, bytes(DNSRecord.question("use-application-DNS.net").pack()))
    assert isinstance(answer, Answer)
    assert DNSRecord.parse(answer.octets).header.rcode == RCODE.NXDOMAIN
    assert house.told == []
    assert modules.process(asked, b"garbage") is None


class Houses(House):
    """A box for modules that knows two contacts."""

    def look_up(self, query: bytes) -> bytes | None:
        asked = DNSRecord.parse(query)
        answer = asked.reply()
        addresses = {"bob.privacy.": "198.18.3.4", "nas.bob.privacy.": "198.18.3.5", "eve.privacy.": "198.18.3.6"}
        if address := addresses.get(str(asked.q.qname)):
            answer.add_answer(RR(asked.q.qname, QTYPE.A, rdata=A(address), ttl=60))
        return bytes(answer.pack())

    def owner(self, address: str) -> tuple[str, str] | None:
        return {"198.18.3.4": ("bob", ""), "198.18.3.5": ("bob", "nas"), "198.18.3.6": ("eve", ""), "fd12::4": ("bob", "")}.get(address)


def http() -> Http:
    made = Http()
    made.box = Houses()
    return made


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH\r\n", b"", b"GET", b"\x16\x03\x01\x02\x00\x01", b"PASS secret\r\n", b"EHLO x\r\n"])
def test_http_takes_nothing_but_requests(said: bytes) -> None:
    assert http().process(FLOW, said) is Verdict.PASS


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: bob.privacy",
        "QUERY /x HTTP/1.1\r\nAccept: */*\r\nhOST:\tNAS.bob.privacy.:8080 ",
        "GET /x HTTP/1.1\r\nHost: 198.18.3.4",
        "GET /x HTTP/1.1\r\nHost: [fd12::4]:80",
        "GET / HTTP/1.0\r\nAccept: */*",
        f"GET /{'x' * 9_000} HTTP/1.1\r\nHost: bob.privacy",
    ],
)
def test_http_takes_requests_for_the_contacts_names_and_addresses(head: str) -> None:
    assert http().process(FLOW, f"{head}\r\n\r\n".encode()) is Verdict.TAKE


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: page.example",
        "GET / HTTP/1.1\r\nHost: bob.privacy.page.example",
        "GET / HTTP/1.1\r\nHost: bob.page.example",
        "GET / HTTP/1.1\r\nHost: eve.privacy",
        "GET / HTTP/1.1\r\nHost: bob.privacy\r\nHost: page.example",
        "GET / HTTP/1.1\r\nHost: 192.0.2.1",
        "ANYTHING / HTTP/1.1\r\nHost: page.example",
        "POST / HTTP/1.1\r\nHost: page.example\r\n\r\nHost: bob.privacy",
        "GET / HTTP/1.1\r\nAccept: */*",
        "GET / HTTP/1.0\r\nHost: page.example",
        f"GET /{'x' * 20_000}",
        f"GET / HTTP/1.1\r\nHost: {'a' * 64}.privacy",
        "GET / HTTP/1.1\r\nHost: ",
    ],
)
def test_http_answers_a_request_for_another_name_itself_and_names_nobody(head: str) -> None:
    answer = http().process(FLOW, f"{head}\r\n\r\n".encode())
    assert isinstance(answer, Answer)
    assert answer.octets.startswith(b"HTTP/1.1 421 ")
    assert b"bob" not in answer.octets


@given(st.binary(max_size=200), st.sampled_from([b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: "]))
def test_http_stands_any_octets(octets: bytes, before: bytes) -> None:
    assert isinstance(http().process(FLOW, before + octets), Verdict | Answer)


def test_every_reason_of_a_contacts_box_is_a_cause() -> None:
    assert {int(cause) for cause in Cause} == {0, REFUSED, BUSY, UNREACHABLE, GONE, UNLIKE}


def test_the_page_says_why_whole_and_names_nobody() -> None:
    pages = {cause: Http().circuit_gone(FLOW, cause) for cause in Cause}
    assert len(set(pages.values())) == len(Cause)
    for page in pages.values():
        head, _, body = page.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 ")
        assert f"Content-Length: {len(body)}".encode() in head
        assert b"bob" not in page
