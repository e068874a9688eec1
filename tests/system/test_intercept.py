"""Interception on a host with a line to the world: the helper's rules and routes, what they close and what they leave alone, and how they vanish. [io]"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.embedded import wait_until
from tests.support.interception import (
    V4,
    V6,
    heard,
    helper_of,
    look_up,
    look_up_by_tcp,
    query,
    reach,
    resolver_by_tcp,
    send,
    virtual,
    with_ipv6,
    without_identification,
)
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.cli.main import main
from voicebox.errors import HostError, UsageError
from voicebox.intercept.asking import ask_helper, end_helper, start_helper, take_sockets
from voicebox.intercept.helper import SOCKET_NAME, clear
from voicebox.intercept.rules import Plan

pytestmark = pytest.mark.system

PLAN = Plan((V4, V6), ("privacy",))
NAMES = 1_000
STREET = "192.0.2.1"
RESOLVER, RESOLVER_6 = "203.0.113.53", "2001:db8:1::53"
RESOLVER_OCTETS, RESOLVER_6_OCTETS = socket.inet_pton(socket.AF_INET, RESOLVER), socket.inet_pton(socket.AF_INET6, RESOLVER_6)
KINDS = ("A", "AAAA")


@dataclass
class Line:
    """A host, and the street that its line leads to, where all that leaves is heard."""

    host: Namespace = field(default_factory=Namespace)
    street: Namespace = field(default_factory=Namespace)

    def __post_init__(self) -> None:
        for each in (self.host, self.street):
            each.run(with_ipv6)
        self.host.ip([f"link add wan type veth peer name street netns {self.street.path}", "link set wan addrgenmode none"])  # no address that comes later
        self.host.ip(["address add 192.0.2.2/24 dev wan", "link set wan up"])
        self.host.ip(["address add 2001:db8::2/64 dev wan nodad"])
        self.street.ip(["address add 192.0.2.1/24 dev street", "address add 2001:db8::1/64 dev street nodad", "link set street up"])
        wait_carries(self.host, "wan")
        neighbour = self._address()
        self.host.ip([f"neighbour replace {near} lladdr {neighbour} dev wan nud permanent" for near in ("192.0.2.1", "2001:db8::1")])
        self.host.ip(["route add default via 192.0.2.1", "route add default via 2001:db8::1"])

    def _address(self) -> str:
        told = subprocess.run([*self.street.wrapper, "ip", "-o", "link", "show", "street"], capture_output=True, text=True, check=True, timeout=10).stdout
        return told.split("link/ether ")[1].split()[0]

    def close(self) -> None:
        self.host.close()
        self.street.close()

    def told(self) -> str:
        """Return all rules and routes of the host."""
        commands = (["nft", "list", "ruleset"], *(["ip", version, *what] for version in ("-4", "-6") for what in (["rule"], ["route", "show", "table", "all"])))
        return "".join(subprocess.run([*self.host.wrapper, *command], capture_output=True, text=True, check=True, timeout=30).stdout for command in commands)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.close()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path


@contextlib.contextmanager
def intercepted(line: Line, home: Path, plan: Plan = PLAN) -> Iterator[int]:
    """Have interception on; yield the helper's process."""
    line.host.run(lambda: start_helper(home, plan))
    number = helper_of(home)
    try:
        yield number
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)


def tried(line: Line) -> list[bytes]:
    """Ask for a thousand names of the suffix, connect and send to virtual addresses; return what of all that left."""
    names = [f"n{number}.Privacy" for number in range(NAMES)]
    with heard(line.street, "street") as frames:
        line.host.run(lambda: look_up(names, RESOLVER, KINDS))
        line.host.run(lambda: look_up(names, RESOLVER_6, KINDS))
        for address in ("198.18.3.4", "198.19.255.254", "fd12:3456:789a::77"):
            line.host.run(partial(send, address))
            assert line.host.run(partial(reach, address, 0.5)) != 0
        line.host.run(lambda: look_up(["example.org"], RESOLVER))
    assert [frame for frame in frames if query("example.org")[12:] in frame], "an ordinary question did not leave, so nothing could be heard"
    return virtual(frames)


def test_names_and_virtual_addresses_would_leave_without_it(line: Line) -> None:
    assert len(tried(line)) > 4 * NAMES


def ordinary(line: Line) -> list[bytes]:
    """Do what ordinary programs do, in the same words each time; return all that leaves of it, to the octet."""
    with heard(line.street, "street") as frames:
        for resolver, local in ((RESOLVER, "192.0.2.2"), (RESOLVER_6, "2001:db8::2")):
            with line.host.run(partial(socket.socket, socket.AF_INET6 if ":" in local else socket.AF_INET, socket.SOCK_DGRAM)) as asking:
                asking.bind((local, 40_053))
                for number, (name, kind) in enumerate(
                    itertools.product(("example.org", "privacy.example.org", "xprivacy", "www.privacy2"), ("A", "AAAA", "MX"))
                ):
                    asked = number.to_bytes(2) + query(name, kind)[2:]
                    for port in (53, 5_353, 853, 443, 80, 5_000):
                        line.host.run(partial(asking.sendto, asked, (resolver, port)))
                line.host.run(partial(asking.sendto, bytes(range(256)) * 12, (resolver, 4_000)))  # in fragments
    return [without_identification(frame) for frame in frames if RESOLVER_OCTETS in frame[:54] or RESOLVER_6_OCTETS in frame[:54]]


def test_what_ordinary_programs_send_leaves_to_the_octet_as_before_and_afterwards(line: Line, home: Path) -> None:
    before = ordinary(line)
    assert len(before) > 2 * 12 * 6
    with intercepted(line, home):
        assert ordinary(line) == before
        line.host.run(lambda: end_helper(home))
    assert ordinary(line) == before


def test_no_question_by_tcp_leaves_and_ordinary_ones_do(line: Line, home: Path) -> None:
    names = [f"n{number}.privacy" for number in range(NAMES)]
    with resolver_by_tcp(line.street, STREET), intercepted(line, home):
        with heard(line.street, "street") as frames:
            assert line.host.run(lambda: look_up_by_tcp(names, STREET)) == NAMES
            line.host.run(lambda: look_up_by_tcp(["example.org"], STREET))
        assert virtual(frames) == []
        assert [frame for frame in frames if query("example.org")[12:] in frame]


def test_nothing_for_contacts_leaves_while_it_is_on_and_all_is_as_before_when_it_is_off(line: Line, home: Path) -> None:
    before = line.told()
    with intercepted(line, home):
        assert ask_helper(home, "status").startswith('{"box": false, "lan": false,')
        assert tried(line) == []
        end_helper(home)
    assert line.told() == before


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_when_the_helper_is_killed_all_is_gone_but_the_fence_and_no_virtual_address_leaves(line: Line, home: Path, ended_by: signal.Signals) -> None:
    before = line.told()
    with intercepted(line, home) as helper:
        os.kill(helper, ended_by)
        wait_until(lambda: "table inet voicebox {" not in line.told(), "the end of the table")
        fence = [each for each in line.told().splitlines() if each not in before.splitlines()]
        assert fence.pop(0) == "table inet voicebox_fence {"
        assert [each for each in fence[fence.index("}") + 1 :] if not each.startswith("unreachable ")] == []
        assert fence[-1].startswith("unreachable ")
        with heard(line.street, "street") as frames:
            for address in ("198.18.3.4", "198.19.255.254", "fd12:3456:789a::77"):
                line.host.run(partial(send, address))
                assert line.host.run(partial(reach, address, 0.5)) != 0
        assert virtual(frames) == []
        line.host.run(lambda: end_helper(home))
    assert line.told() == before


def test_that_nothing_leaves_after_a_killed_helper_is_told_while_the_fence_stands_alone(line: Line, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told() -> str:
        assert line.host.run(lambda: main(["intercept", "status", "--home", str(home)])) == 1
        return capsys.readouterr().out

    with intercepted(line, home) as helper:
        os.kill(helper, signal.SIGKILL)
        wait_until(lambda: "table inet voicebox {" not in line.told(), "the end of the table")
        assert "nothing for virtual addresses leaves" in told()
        line.host.run(clear)  # as when the machine starts anew
        assert told() == "Interception is off.\n"


def test_a_helper_that_cannot_be_asked_leaves_nothing(line: Line, home: Path) -> None:
    before = line.told()
    (home / SOCKET_NAME).mkdir()
    with pytest.raises(HostError, match="socket cannot be made"):
        line.host.run(lambda: start_helper(home, PLAN))
    assert line.told() == before


def test_programs_reach_whoever_has_the_sockets_and_are_refused_at_once_when_that_is_gone(line: Line, home: Path) -> None:
    with intercepted(line, home):
        began = time.monotonic()
        assert line.host.run(lambda: reach("198.18.3.4")) == 111
        assert time.monotonic() - began < 2
        for _ in range(2):
            taken = take_sockets(home)
            assert taken is not None
            assert take_sockets(home) is None, "two boxes have them"
            connection, listening = taken
            connections = [each for each in listening if each.type == socket.SOCK_STREAM]
            for each, address in zip(connections, ("198.18.3.4", "fd12:3456:789a::77"), strict=True):
                each.listen()
                each.settimeout(5)
                with line.host.run(partial(socket.create_connection, (address, 8_080), 5)) as program:
                    served, _ = each.accept()
                    assert served.getsockname()[:2] == (address, 8_080)
                    program.sendall(b"there")
                    assert served.recv(5) == b"there"
                    served.sendall(b"back")
                    assert program.recv(4) == b"back"
                    served.close()
            connection.close()
            wait_until(lambda: ask_helper(home, "status").startswith('{"box": false'), "the helper's notice")
            assert line.host.run(lambda: reach("198.18.3.4")) == 111, "a box that is gone is still waited for"
            for each in listening:
                each.close()


def test_after_a_helper_was_killed_the_next_one_starts_and_takes_all_away(line: Line, home: Path) -> None:
    before, plan = line.told(), replace(PLAN, lan="lan0")
    with intercepted(line, home, plan) as helper:
        os.kill(helper, signal.SIGKILL)
        wait_until(lambda: "table inet voicebox {" not in line.told(), "the end of the table")
        assert "fwmark" in line.told()
    with intercepted(line, home, plan):
        assert ask_helper(home, "status").startswith('{"box": false, "lan": true,')
        line.host.run(lambda: end_helper(home))
    assert line.told() == before


def told_over_tcp(line: Line, name: str) -> bytes:
    """Ask for a name over TCP; return what the resolver on the street gets of it."""
    asked = query(name)
    with line.street.run(lambda: socket.create_server((STREET, 53))) as resolver:
        resolver.settimeout(5)
        with line.host.run(lambda: socket.create_connection((STREET, 53), 5)) as asking:
            served, _ = resolver.accept()
            with served:
                served.settimeout(1)
                with contextlib.suppress(OSError):  # reset
                    asking.sendall(len(asked).to_bytes(2) + asked)
                    asking.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    return served.recv(512)
    return b""


def test_a_question_over_tcp_ends_at_the_suffix_and_no_other_does(line: Line, home: Path) -> None:
    assert b"privacy" in told_over_tcp(line, "bob.privacy")
    with intercepted(line, home):
        assert told_over_tcp(line, "bob.privacy") == b""
        assert b"privacy2" in told_over_tcp(line, "bob.privacy2")


def test_no_question_passes_of_others_that_the_machine_routes_for(line: Line, home: Path) -> None:
    with contextlib.closing(Namespace()) as guest:
        line.host.ip([f"link add guest0 type veth peer name eth0 netns {guest.path}", "address add 192.168.7.1/24 dev guest0", "link set guest0 up"])
        guest.ip(["address add 192.168.7.7/24 dev eth0", "link set eth0 up", "route add default via 192.168.7.1"])
        line.host.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
        wait_carries(guest, "eth0")
        for on in (False, True):
            with intercepted(line, home) if on else contextlib.nullcontext(), heard(line.street, "street") as frames:
                guest.run(lambda: look_up(["bob.privacy", "example.org"], RESOLVER))
            assert bool(virtual(frames)) is not on
            assert [frame for frame in frames if query("example.org")[2:] in frame]


def test_a_route_of_another_vpn_is_refused_and_so_is_a_second_box(line: Line, home: Path, tmp_path: Path) -> None:
    line.host.ip(["route add 198.18.64.0/18 dev wan"])
    before = line.told()
    with pytest.raises(HostError, match="VPN"):
        line.host.run(lambda: start_helper(home, PLAN))
    assert line.told() == before
    line.host.ip(["route del 198.18.64.0/18 dev wan"])
    other = tmp_path / "other"
    other.mkdir()
    with intercepted(line, home):
        with pytest.raises(HostError, match="already"):
            line.host.run(lambda: start_helper(other, PLAN))
        with pytest.raises(UsageError, match="not on"):
            end_helper(other)


def test_the_helper_has_two_rights_and_stands_garbage(line: Line, home: Path) -> None:
    with intercepted(line, home) as helper:
        status = Path(f"/proc/{helper}/status").read_text()
        assert {each.split()[1] for each in status.splitlines() if each.startswith(("CapPrm", "CapEff", "CapBnd"))} == {f"{1 << 12 | 1 << 10:016x}"}
        assert "NoNewPrivs:\t1" in status
        for garbage in (b"\n", b"x" * 4_096, b"off", b"status\nstatus\n", bytes(range(256)), b""):
            with socket.socket(socket.AF_UNIX) as asking:
                asking.connect(str(home / "intercept.sock"))
                asking.settimeout(10)
                asking.sendall(garbage)
                asking.shutdown(socket.SHUT_WR)
                with contextlib.suppress(OSError):
                    assert asking.recv(64) == b""
        assert ask_helper(home, "status").startswith("{")
