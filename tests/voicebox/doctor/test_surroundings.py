"""What `voicebox doctor` makes of the address and the ports of a machine: real sockets on the loopback."""

from __future__ import annotations

import ipaddress
import socket

import pytest

from voicebox.circuits.descriptor import RelayAddress
from voicebox.config.model import Endpoint
from voicebox.doctor.findings import Grade
from voicebox.doctor.surroundings import look_at_address, look_at_ports, look_at_uplinks, source_address

HERE = "127.0.0.1"


@pytest.mark.parametrize(
    ("address", "box", "relay", "said"),
    [
        (None, Grade.PROBLEM, Grade.PROBLEM, "no way"),
        (HERE, Grade.GOOD, Grade.GOOD, "on this machine"),
        ("192.168.1.4", Grade.GOOD, Grade.NOTE, "behind a router"),
        ("fd00::4", Grade.GOOD, Grade.NOTE, "behind a router"),
        ("100.64.3.4", Grade.GOOD, Grade.NOTE, "its provider's router"),
        ("8.8.4.4", Grade.GOOD, Grade.GOOD, "public"),
    ],
)
def test_address(address: str | None, box: Grade, relay: Grade, said: str) -> None:
    own = ipaddress.ip_address(address) if address is not None else None
    for grade, is_relay in ((box, False), (relay, True)):
        found = look_at_address(own, relay=is_relay)
        assert (found.grade, said in found.said) == (grade, True)
        assert bool(found.advice) is (grade is not Grade.GOOD)
        assert address is None or address not in found.said


def test_address_is_that_of_the_way_to_the_first_relay_there_is_a_way_to() -> None:
    assert source_address([]) is None
    assert source_address([RelayAddress("no address", 1), RelayAddress(HERE, 4000)]) == ipaddress.ip_address(HERE)


def free_port() -> int:
    with socket.socket() as trial:
        trial.bind((HERE, 0))
        return int(trial.getsockname()[1])


def test_ports_are_free_or_taken_by_the_box_or_by_another() -> None:
    endpoint = Endpoint(HERE, free_port())
    assert [each.grade for each in look_at_ports([endpoint], [], runs=False)] == [Grade.GOOD, Grade.GOOD]
    assert look_at_ports([endpoint], [], runs=True)[0].grade is Grade.PROBLEM
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind((endpoint.address, endpoint.port))
        assert "1 of 2 ports for phones are taken by another program" in look_at_ports([endpoint], [], runs=False)[0].said
        tcp.bind((endpoint.address, endpoint.port))
        tcp.listen()
        assert look_at_ports([endpoint], [], runs=True)[0].grade is Grade.GOOD
    elsewhere = look_at_ports([Endpoint("192.0.2.7", 5060)], [], runs=False)[0]
    assert (elsewhere.grade, "not this machine's" in elsewhere.said) == (Grade.PROBLEM, True)


def test_addresses_that_can_be_reached_from_anywhere_are_told() -> None:
    grades = [look_at_ports([Endpoint(address, 5060)], [], runs=False)[1].grade for address in ("0.0.0.0", "::", "8.8.4.4", "192.168.1.4", "fd00::4")]
    assert grades == [Grade.NOTE, Grade.NOTE, Grade.NOTE, Grade.GOOD, Grade.GOOD]


@pytest.mark.parametrize(
    ("chosen", "there", "dropping", "grade", "said"),
    [
        ((), {"eth0"}, 0, None, ""),
        ((), {"eth0", "wlan0"}, 1, Grade.NOTE, "2 lines"),
        (("eth0",), {"eth0", "wlan0"}, 0, Grade.GOOD, "each of the 1"),
        (("eth0", "wlan0"), {"eth0", "wlan0"}, 0, Grade.GOOD, "each of the 2"),
        (("eth0", "wlan0"), {"eth0", "wlan0"}, 1, Grade.PROBLEM, "rp_filter"),
        (("eth0", "wlan0"), {"wlan0", "usb0"}, 0, Grade.NOTE, "1 of the 2"),
        (("eth0", "wlan0"), {"usb0"}, 0, Grade.PROBLEM, "no link leaves"),
    ],
)
def test_a_second_line_that_is_not_used_is_told_and_one_that_was_chosen_and_is_not_there(
    chosen: tuple[str, ...], there: set[str], dropping: int, grade: Grade | None, said: str
) -> None:
    found = look_at_uplinks(chosen, there, dropping)
    if grade is None:
        assert found is None
        return
    assert found is not None
    assert (found.grade, said in found.said) == (grade, True)
    assert not any(name in found.said + found.advice for name in (*chosen, *there)), "also for strangers"
