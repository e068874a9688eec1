"""Control messages of sockets: where a datagram was going, read from what the kernel writes, and sent from there."""

from __future__ import annotations

import socket

import pytest

from voicebox.intercept.datagram import CONTROL_OCTETS, IP_LEVEL, IP_ORIGDSTADDR, IPV6_LEVEL, IPV6_ORIGDSTADDR, destination, leaving_from


@pytest.mark.parametrize(
    ("family", "level", "option", "address"), [(socket.AF_INET, IP_LEVEL, IP_ORIGDSTADDR, "127.0.0.7"), (socket.AF_INET6, IPV6_LEVEL, IPV6_ORIGDSTADDR, "::1")]
)
def test_the_kernel_says_where_a_datagram_was_going_and_lets_the_answer_leave_from_there(
    family: socket.AddressFamily, level: int, option: int, address: str
) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as taking, socket.socket(family, socket.SOCK_DGRAM) as asking:
        taking.setsockopt(level, option, 1)
        taking.bind(("0.0.0.0" if family == socket.AF_INET else "::", 0))
        taking.settimeout(5)
        port = taking.getsockname()[1]
        asking.connect((address, port))
        asking.settimeout(5)
        asking.send(b"asked")
        octets, control, _, sender = taking.recvmsg(64, CONTROL_OCTETS)
        assert (octets, destination(control)) == (b"asked", (address, port))
        taking.sendmsg([b"answered"], [leaving_from(address)], 0, sender)
        assert asking.recv(64) == b"answered"


@pytest.mark.parametrize("control", [[], [(IP_LEVEL, 8, bytes(12))], [(IP_LEVEL, IP_ORIGDSTADDR, b"short")]])
def test_where_the_kernel_does_not_say_there_is_nothing(control: list[tuple[int, int, bytes]]) -> None:
    assert destination(control) is None
