"""The rules as text: a suffix is found in every question that ends in it and in no other; routes of others are seen; what is no interface is refused."""

from __future__ import annotations

import ipaddress
import json
import re
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicebox.errors import UsageError
from voicebox.intercept.rules import (
    MAX_OCTETS,
    MAX_OFFSET,
    NAME_OCTETS,
    Plan,
    fence,
    fenced,
    not_serving,
    overlapping,
    plan_of,
    reverse_zones,
    serving,
    table,
    wire_name,
)

V4, V6 = ipaddress.ip_network("198.18.0.0/15"), ipaddress.ip_network("fd12:3456:789a::/48")
PORTS = {4: 7001, 6: 7002}
COMPARISON = re.compile(r"@ih,(\d+),(\d+) & 0x([0-9a-f]+) == 0x([0-9a-f]+)")
HEADER = bytes.fromhex("123401000001000000000001")
TAIL = bytes.fromhex("00010001 0000291000000000000000")

labels = st.from_regex(r"[a-zA-Z0-9-]{1,63}", fullmatch=True)


@cache
def comparisons(suffix: str, chain: str) -> list[list[tuple[int, int, bytes, bytes]]]:
    """Return the rules of a chain as the kernel has them: where, how many octets, mask, value."""
    body = table(Plan((V4,), (suffix,)), PORTS).split(f"chain {chain} {{", 1)[1].split("}", 1)[0]
    rules = [
        [(int(offset) // 8, int(bits) // 8, bytes.fromhex(mask), bytes.fromhex(value)) for offset, bits, mask, value in COMPARISON.findall(line)]
        for line in body.splitlines()
    ]
    assert all(0 <= start <= MAX_OFFSET and 0 < octets <= MAX_OCTETS for rule in rules for start, octets, _, _ in rule)
    return [rule for rule in rules if rule]


def found(suffix: str, chain: str, content: bytes) -> bool:
    """Apply a chain's rules: none matches that reaches beyond the packet."""
    return any(
        all(
            len(part := content[start : start + octets]) == octets and int.from_bytes(part) & int.from_bytes(mask) == int.from_bytes(value)
            for start, octets, mask, value in rule
        )
        for rule in comparisons(suffix, chain)
    )


def question(name: bytes) -> bytes:
    return b"".join(bytes([len(label)]) + label for label in name.split(b".")) + b"\0"


@pytest.mark.parametrize("suffix", ["privacy", "privacy.alt", "a-suffix-of-some-length.and-another-label.example"])
@settings(max_examples=60)
@given(data=st.data())
def test_a_name_of_the_suffix_is_found_wherever_it_begins_and_no_other(data: st.DataObject, suffix: str) -> None:
    before = data.draw(st.lists(labels, max_size=8))
    room = NAME_OCTETS - len(wire_name(suffix))
    while sum(len(label) + 1 for label in before) > room:
        before.pop()
    cased = "".join(data.draw(st.sampled_from((letter.lower(), letter.upper()))) for letter in suffix)
    asked = question(".".join([*before, cased]).encode())
    other = question(".".join([*before, "privacy2", "example"]).encode()[:200])
    for chain, length in (("asked_udp", b""), ("asked_tcp", b"\0\0")):
        assert found(suffix, chain, length + HEADER + asked + TAIL)
        assert not found(suffix, chain, length + HEADER + other + TAIL)


def test_the_longest_name_of_all_is_found() -> None:
    for last in range(1, 60):
        before = b".".join([b"a" * 62] * 3 + [b"b" * last])
        name = question(before + b".privacy")
        if len(name) > NAME_OCTETS:
            break
        assert found("privacy", "asked_udp", HEADER + name + TAIL[:4])
    else:
        pytest.fail("the longest name was not reached")


def test_nothing_but_the_ranges_lookups_and_the_served_interface_is_named() -> None:
    rules = table(Plan((V4, V6), ("privacy",), "lan0"), PORTS)
    for chain in ("incoming", "leaving", "asking", "passing"):
        body = rules.split(f"chain {chain} {{", 1)[1].split("\n}", 1)[0].splitlines()[2:]
        assert body
        assert all(re.search(r"198\.18\.0\.|fd12:3456:789a::|dport (?:\{ 53, 5353, 5355 \}|53|853) |@th,(?:224|384),16 53 drop", line) for line in body)
    assert "masquerade" not in rules
    assert "resolve" not in rules
    assert "ct state" not in rules
    assert "flags owner;" in rules
    assert not any("lan0" in line for line in table(Plan((V4, V6), ("privacy",)), PORTS).splitlines())


def test_resolvers_are_refused_to_whom_it_is_said_at_one_port_and_no_other_packet_is_looked_at() -> None:
    resolvers = tuple(ipaddress.ip_network(each) for each in ("8.8.8.8", "45.90.28.0/24", "2620:fe::fe"))
    for lan, here in (("lan0", False), ("lan0", True), (None, True)):
        before = table(Plan((V4, V6), ("privacy",), lan), PORTS).splitlines()
        more = [line for line in table(Plan((V4, V6), ("privacy",), lan, resolvers, here), PORTS).splitlines() if line not in before]
        assert sum(line.startswith("set resolvers") for line in more) == 2
        refusing = [line for line in more if "jump refused" in line]
        assert len(refusing) == 2 * ((lan is not None) + here)
        assert all(re.search(r"ip6? daddr @resolvers[46] meta l4proto \{ tcp, udp \} th dport 443 counter name", line) for line in refusing)
        assert sum("iifname" in line for line in refusing) == (2 if lan else 0)


def test_a_plan_is_told_and_read_again() -> None:
    plan = Plan((V4, V6), ("privacy", "privacy.alt"), "lan0", (ipaddress.ip_network("8.8.8.8"),), resolvers_here=True)
    assert plan_of(json.loads(json.dumps(plan.told()))) == plan
    with pytest.raises(KeyError):
        plan_of({})


def test_datagrams_are_handed_over_by_what_serving_adds_and_no_more_by_what_not_serving_takes_away() -> None:
    for lan in (None, "lan0"):
        plan = Plan((V4, V6), ("privacy",), lan)
        added = serving(plan, PORTS).splitlines()
        assert len(added) == (4 if lan else 2)
        assert {line.split()[4] for line in added} == {line.split()[4] for line in not_serving(plan).splitlines()}
        assert not any("meta l4proto udp" in line and "tproxy" in line for line in table(plan, PORTS).splitlines())


def test_zones_of_addresses_are_those_of_the_ranges_and_their_names_are_found() -> None:
    assert list(reverse_zones(V4)) == [("18.198.in-addr.arpa", 8), ("19.198.in-addr.arpa", 8)]
    assert list(reverse_zones(V6)) == [("a.9.8.7.6.5.4.3.2.1.d.f.ip6.arpa", 40)]
    for address in ("198.18.0.1", "198.19.255.254"):
        assert found("privacy", "asked_udp", HEADER + question(ipaddress.ip_address(address).reverse_pointer.encode()) + TAIL)
    for address in ("198.20.0.1", "192.0.2.1"):
        assert not found("privacy", "asked_udp", HEADER + question(ipaddress.ip_address(address).reverse_pointer.encode()) + TAIL)


@pytest.mark.parametrize(
    ("route", "overlaps"),
    [
        ({"dst": "default"}, False),
        ({"dst": "0.0.0.0/1", "dev": "tun0"}, False),
        ({"dst": "198.18.0.0/16", "dev": "tun0"}, True),
        ({"dst": "198.16.0.0/12", "dev": "tun0"}, True),
        ({"dst": "198.18.7.1", "type": "local"}, True),
        ({"dst": "fd12:3456:789a:1::/64", "dev": "eth0"}, True),
        ({"dst": "fd00::/8", "dev": "tun0"}, True),
        ({"dst": "fc00::/7", "dev": "tun0"}, False),
        ({"dst": "fd12:3456:789b::/48", "dev": "eth0"}, False),
        ({"dst": "192.168.0.0/16", "dev": "eth0"}, False),
        ({"dst": "198.18.0.0/15", "type": "unreachable", "protocol": "198"}, False),
    ],
)
def test_routes_of_others_into_the_ranges_are_seen(route: dict[str, object], overlaps: bool) -> None:
    assert overlapping((V4, V6), [route]) is overlaps


def test_the_fence_is_known_again() -> None:
    assert all("unreachable" in line and "proto 198" in line for line in fence((V4, V6)))
    assert fenced([{"dst": "198.18.0.0/15", "type": "unreachable", "protocol": "198"}, {"dst": "default"}, {"dst": "10.0.0.0/8", "type": "unreachable"}]) == [
        V4
    ]


@pytest.mark.parametrize("name", ["lo", "", "a b", 'x"; drop', "sixteen-letters-"])
def test_what_is_no_interface_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Plan((V4,), ("privacy",), name)
