"""A look whether others reach a port, among relays that answer, lie, forget and are off."""

from __future__ import annotations

import hmac
import ipaddress
from random import Random

import pytest

from tests.support.networks import make_relay
from voicebox.circuits.descriptor import RelayAddress, Role
from voicebox.circuits.reach import OCTETS, Reach, hello, parse_cookie, parse_reached, serialise_reach

PORT = 23_456
RELAYS = [make_relay(Role.GUARD, f"op{number}", 4_000 + number, hosts=(f"192.0.2.{number}",)).descriptor for number in range(1, 4)]


def cookie_of(number: int) -> bytes:
    return (b"\x02" + bytes([number]) * 20).ljust(OCTETS, b"\0")


def reached(asked: bytes, address: str) -> bytes:
    """Return what a relay sends to the port."""
    parsed = ipaddress.ip_address(address)
    octets = parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed
    return (b"\x05" + asked[23:39] + octets).ljust(OCTETS, b"\0")


def new_reach() -> Reach:
    return Reach(RELAYS, PORT, Random(1).randbytes)


def ask_all(reach: Reach) -> list[bytes]:
    """Let each relay give a cookie; return what each is asked then."""
    asked = []
    for number, (to, datagram) in enumerate(reach.to_send()):
        assert (datagram[0], len(datagram)) == (1, OCTETS)
        assert to == RELAYS[number].addresses[0]
        ((back, octets),) = reach.answered(to.host, to.port, cookie_of(number))
        assert back == to
        asked.append(octets)
    return asked


def test_a_hello_shows_that_its_maker_knows_the_pin() -> None:
    number = bytes(range(31))
    assert hello(bytes(32), number) == b"\x01" + number + hmac.new(bytes(32), b"voicebox/1 hello" + number, "sha256").digest()
    assert hello(bytes(32), number) != hello(b"\1" + bytes(31), number)


def test_who_is_reached_knows_under_which_address() -> None:
    reach = new_reach()
    asked = ask_all(reach)
    assert [octets[:23] for octets in asked] == [b"\x04" + bytes([number]) * 20 + PORT.to_bytes(2, "big") for number in range(3)]
    assert len({octets[23:39] for octets in asked}) == 3, "each relay has a number of its own"
    reach.reached(reached(asked[0], "198.51.100.7"))
    assert (reach.address, reach.over) == (None, False), "one of three is not more than half"
    reach.reached(reached(asked[1], "198.51.100.7"))
    assert (reach.address, reach.over) == ("198.51.100.7", False)
    assert [to for to, _ in reach.to_send()] == [RELAYS[2].addresses[0]], "only who did not answer is asked again"
    reach.reached(reached(asked[2], "198.51.100.7"))
    assert (reach.address, reach.over, reach.to_send()) == ("198.51.100.7", True, [])


def test_relays_that_see_different_addresses_are_not_believed() -> None:
    reach = new_reach()
    asked = ask_all(reach)
    for octets, address in zip(asked, ("198.51.100.7", "198.51.100.7", "198.51.100.8"), strict=True):
        reach.reached(reached(octets, address))
    assert reach.address is None


def test_ipv6_is_told_as_it_is() -> None:
    reach = new_reach()
    for octets in ask_all(reach):
        reach.reached(reached(octets, "2001:db8::7"))
    assert reach.address == "2001:db8::7"


def test_what_was_not_asked_for_changes_nothing() -> None:
    reach = new_reach()
    hosts = RELAYS[0].addresses[0]
    assert reach.answered("203.0.113.9", hosts.port, cookie_of(1)) == [], "a stranger's cookie"
    assert reach.answered(hosts.host, hosts.port, b"\x02" + bytes(62)) == []
    assert reach.answered(hosts.host, hosts.port, bytes(64)) == []
    early = serialise_reach(bytes(20), PORT, Random(1).randbytes(47)[31:])
    reach.reached(reached(early, "198.51.100.7"))
    asked = ask_all(reach)
    assert reach.answered(hosts.host, hosts.port, cookie_of(9)) == [], "one cookie is enough"
    good = reached(asked[1], "198.51.100.7")
    for wrong in (b"", good[:63], good + b"\0", b"\x04" + good[1:], good[:63] + b"\1", good[:1] + bytes(16) + good[17:]):
        reach.reached(wrong)
    assert reach.address is None
    assert [datagram[0] for _, datagram in reach.to_send()] == [4, 4, 4]


@pytest.mark.fuzz
def test_any_octets_are_parsed_or_nothing(fuzz_inputs: int) -> None:
    dice = Random(7)
    taken = 0
    for _ in range(fuzz_inputs):
        datagram = bytes([dice.randrange(7)]) + dice.randbytes(dice.choice([0, 20, 32])) if dice.random() < 0.9 else dice.randbytes(dice.randrange(100))
        datagram = datagram.ljust(dice.choice([OCTETS, OCTETS, 63]), b"\0")
        cookie, told = parse_cookie(datagram), parse_reached(datagram)
        assert cookie is None or (datagram[0], len(cookie)) == (2, 20)
        assert told is None or datagram[0] == 5
        taken += cookie is not None or told is not None
    assert taken > 0


def test_nobody_to_ask_is_nobody_reached() -> None:
    assert Reach([], PORT, Random(1).randbytes).address is None
    assert Reach([], PORT, Random(1).randbytes).over
    assert RelayAddress("192.0.2.1", 4_001) == RELAYS[0].addresses[0]
