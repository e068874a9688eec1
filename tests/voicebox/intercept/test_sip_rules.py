"""The rules about requests of SIP as text: a suffix is found in every Request-URI that names it, up to a bound, and never behind the URI."""

from __future__ import annotations

import ipaddress
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebox.intercept.module import Answer, Flow, Redirect
from voicebox.intercept.modules import load_modules
from voicebox.intercept.rules import MARK, MAX_OCTETS, MAX_OFFSET, Plan, interface
from voicebox.intercept.sip_rules import AFTER, BEFORE, METHODS, around, named, sip_fence, taking

V4, V6 = ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd12:3456:789a::/48")
SUFFIXES = ("privacy", "a-suffix-of-some-length.example")
TAIL = b" SIP/2.0\r\nVia: SIP/2.0/UDP h.privacy;branch=z9hG4bKx\r\nTo: <sip:bob@bob.privacy>\r\n\r\n"
MATCH = re.compile(r"@ih,(\d+),(\d+) (?:& 0x([0-9a-f]+) == 0x([0-9a-f]+)|(!= )?\{([^}]*)\}|@(before|after)|0x([0-9a-f]+))")
Test = tuple[int, int, bytes, bool, frozenset[bytes]]
"""Where, how many octets, the mask, whether the value is to be none of these, and these."""


@cache
def rules() -> list[tuple[list[Test], str]]:
    """Return the chain's rules as the kernel has them, each with what it does."""
    sets = {"before": frozenset(bytes([octet]) for octet in BEFORE), "after": frozenset(bytes([octet]) for octet in AFTER)}
    made = []
    for line in named(SUFFIXES, "goto found"):
        tests = list[Test]()
        for offset, bits, mask, value, is_not, values, name, octet in MATCH.findall(line):
            start, length = int(offset) // 8, int(bits) // 8
            assert 0 <= start <= MAX_OFFSET
            assert 0 < length <= MAX_OCTETS
            some = frozenset(bytes.fromhex(each.strip().removeprefix("0x")) for each in values.split(",")) if values else sets.get(name, frozenset())
            tests.append((start, length, bytes.fromhex(mask) if mask else b"\xff" * length, bool(is_not), some or frozenset({bytes.fromhex(value or octet)})))
        made.append((tests, line.rsplit("}", 1)[-1].split()[-1]))
    return made


def found(content: bytes) -> bool:
    """Run the chain: the first rule that matches ends it, and none does that reaches beyond the packet."""
    for tests, what in rules():
        if all(
            len(part := content[start : start + length]) == length and ((int.from_bytes(part) & int.from_bytes(mask)).to_bytes(length) in values) is not is_not
            for start, length, mask, is_not, values in tests
        ):
            return what == "found"
    return False


def test_the_sets_are_those_of_the_rules() -> None:
    text = "".join(around())
    assert re.findall(r"0x([0-9a-f]{2})", text) == [f"{octet:02x}" for octets in (sorted(BEFORE), sorted(AFTER)) for octet in octets]


@settings(max_examples=300)
@given(
    method=st.sampled_from(METHODS),
    before=st.from_regex(r"[a-z0-9@:;._=-]{0,180}[.@:]", fullmatch=True),
    suffix=st.sampled_from(SUFFIXES),
    after=st.from_regex(r"(?:[:;?@][a-z0-9@.=]{0,40})?", fullmatch=True),
    dot=st.sampled_from(("", ".")),
    flips=st.integers(0, 2**32 - 1),
)
def test_a_suffix_is_found_wherever_it_stands_in_the_uri_however_its_letters_are_written(
    method: str, before: str, suffix: str, after: str, dot: str, flips: int
) -> None:
    written = "".join(letter.upper() if flips >> place & 1 else letter for place, letter in enumerate(suffix))
    assert found(f"{method} sip:{before}{written}{dot}{after}".encode() + TAIL)


@settings(max_examples=300)
@given(method=st.sampled_from(METHODS), uri=st.from_regex(r"(?:sip:|sips:)[a-z0-9@:;._=-]{1,300}", fullmatch=True))
def test_nothing_is_found_behind_the_uri_nor_in_another_name(method: str, uri: str) -> None:
    for other in (uri.replace("privacy", "x"), f"{uri[:200]}.privacy2", f"{uri[:200]}.privacy.example", f"{uri[:200]}xprivacy", f"{uri[:200]}-privacy"):
        assert not found(f"{method} {other}".encode() + TAIL)


@given(st.binary(max_size=400))
def test_nothing_is_found_in_noise(noise: bytes) -> None:
    assert not found(noise) or b"privacy" in noise.lower() or b"suffix" in noise.lower()


@pytest.mark.parametrize("line", [b"SIP/2.0 200 OK\r\nTo: <sip:bob@bob.privacy>\r\n", b"\r\n\r\n", b"", b"INVIT", b"invite sip:bob@bob.privacy SIP/2.0\r\n"])
def test_what_is_no_request_is_left_alone(line: bytes) -> None:
    assert not found(line)


def test_a_uri_is_looked_at_up_to_its_bound() -> None:
    for length in (MAX_OFFSET - len("INVITE sip:x@") - len(".privacy "), MAX_OFFSET):
        uri = f"sip:x@{'a' * length}.privacy"
        assert found(f"INVITE {uri}".encode() + TAIL) is (len(f"INVITE {uri}") <= MAX_OFFSET)


def test_the_fence_belongs_to_nobody_and_takes_the_place_of_one_that_was_left() -> None:
    text = sip_fence(Plan((V4,), ("privacy",), sip_port=5_070))
    assert "flags owner" not in text
    assert text.startswith("add table inet voicebox_fence\ndelete table inet voicebox_fence\ntable inet voicebox_fence {")
    assert text.count("dport 5070 jump named") == 2
    assert "queue" not in text


@pytest.mark.parametrize("lan", [None, "lan0"])
def test_what_is_taken_stays_here_and_only_with_those_who_are_served(lan: str | None) -> None:
    plan = Plan((V4, V6), ("privacy",), lan, takes_calls=True)
    text = "\n".join(taking(plan, {4: 7_003, 6: 7_004}))
    assert ("lan0" in text) is (lan is not None)
    assert "tproxy ip to 198.18.0.255:7003" in text
    assert "tproxy ip6 to [fd12:3456:789a::ff]:7004" in text
    assert all("fib saddr type != local" in line for line in text.splitlines() if line.endswith("udp sport set 5060"))
    rules = [line for line in interface(plan) if " rule add " in line]
    assert [line.split("iif ")[1].split()[0] for line in rules] == [*(["lan0"] if lan else []), "lo"] * 2
    assert all(f"fwmark {MARK}" in line for line in rules)
    assert not any("iif lo" in line for line in interface(Plan((V4, V6), ("privacy",), lan)))


SIP = Flow("", "", 5_060, Redirect.SIP)


@pytest.mark.parametrize(
    "octets", [b"INVITE sip:bob@bob.privacy SIP/2.0\r\n\r\n", b"CANCEL sips:bob.privacy SIP/2.0\r\n", b"INVITE sip:\xff.privacy SIP/2.0\r\n"]
)
def test_the_module_takes_requests(octets: bytes) -> None:
    taker = load_modules(("all",)).process(SIP, octets)
    assert not isinstance(taker, Answer | None)
    assert taker.name == "sip"


@pytest.mark.parametrize("octets", [b"", b"INVITE sip:bob.privacy", b"SIP/2.0 200 OK\r\n", b"INVITE  sip:b.privacy SIP/2.0\r\n", b"X" * 70_000])
def test_what_is_no_whole_request_is_nobodys(octets: bytes) -> None:
    assert load_modules(("all",)).process(SIP, octets) is None
    assert load_modules(("dns", "http", "tcp")).process(SIP, b"INVITE sip:bob@bob.privacy SIP/2.0\r\n\r\n") is None


@given(st.binary(max_size=200))
def test_the_module_stands_anything(noise: bytes) -> None:
    modules = load_modules(("sip",))
    modules.process(SIP, noise)
    assert modules.failed == 0
