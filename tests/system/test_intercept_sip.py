"""Calls to contacts by way of a provider elsewhere: what the kernel takes, refuses and lets pass, on a gateway with a phone at its LAN and a provider beyond its line. [io]"""

from __future__ import annotations

import contextlib
import os
import random
import re
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest

from tests.support.embedded import wait_until
from tests.support.interception import V4, V6, helper_of, with_ipv6
from tests.system.test_intercept import Line
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.intercept.asking import end_helper, start_helper, take_calls
from voicebox.intercept.datagram import CONTROL_OCTETS, destination, leaving_from
from voicebox.intercept.rules import MAX_OFFSET, Plan
from voicebox.intercept.sip_rules import METHODS

pytestmark = pytest.mark.system

PLAN = Plan((V4, V6), ("privacy", "privacy.alt"), "lan0", takes_calls=True)
PHONE, GATEWAY, PHONE_6, GATEWAY_6 = "192.168.9.9", "192.168.9.1", "2001:db8:9::9", "2001:db8:9::1"
PROVIDER, PROVIDER_6, PORT = "192.0.2.1", "2001:db8::1", 5_060
CASES = 600
SUFFIX_IN_URI = re.compile(rb"[.:@]privacy(?:\.alt)?\.?[ :;>?@]", re.IGNORECASE)
"""As sip_rules.py says what names a contact, said another way."""


@dataclass
class Gateway(Line):
    """Line, with a phone at a LAN of the host's, and a provider on the street. provider, by IP version: hears all that reaches it over UDP."""

    phone: Namespace = field(default_factory=Namespace)
    provider: dict[int, socket.socket] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.phone.run(with_ipv6)
        self.host.ip(
            [
                f"link add lan0 type veth peer name eth0 netns {self.phone.path}",
                f"address add {GATEWAY}/24 dev lan0",
                "link set lan0 up",
            ]
        )
        self.host.ip([f"address add {GATEWAY_6}/64 dev lan0 nodad"])
        self.phone.ip([f"address add {PHONE}/24 dev eth0", f"address add {PHONE_6}/64 dev eth0 nodad", "link set eth0 up"])
        self.phone.ip([f"route add default via {GATEWAY}", f"route add default via {GATEWAY_6}"])
        self.street.ip(["route add 192.168.9.0/24 via 192.0.2.2", "route add 2001:db8:9::/64 via 2001:db8::2"])
        for what in ("ipv4/ip_forward", "ipv6/conf/all/forwarding"):
            self.host.run(lambda what=what: Path(f"/proc/sys/net/{what}").write_text("1"))  # type: ignore[misc]  # mypy has no type for a lambda with a default
        wait_carries(self.phone, "eth0")
        self.provider = {version: self.street.run(partial(_bound, address)) for version, address in ((4, PROVIDER), (6, PROVIDER_6))}

    def close(self) -> None:
        for each in self.provider.values():
            each.close()
        self.phone.close()
        super().close()

    def caller(self, where: Namespace, version: int = 4) -> socket.socket:
        """Return the socket of a phone, which sends to the provider and hears nobody else."""

        def connected() -> socket.socket:
            made = socket.socket(socket.AF_INET if version == 4 else socket.AF_INET6, socket.SOCK_DGRAM)
            made.settimeout(5)
            made.connect((PROVIDER if version == 4 else PROVIDER_6, PORT))
            return made

        return where.run(connected)


def _bound(address: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((address, PORT))
    return made


@pytest.fixture(scope="module")
def line() -> Iterator[Gateway]:
    line = Gateway()
    yield line
    line.close()


@contextlib.contextmanager
def intercepted(line: Gateway, home: Path, plan: Plan = PLAN) -> Iterator[int]:
    line.host.run(lambda: start_helper(home, plan))
    number = helper_of(home)
    try:
        yield number
    finally:
        try:
            line.host.run(lambda: end_helper(home))
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)


def request(uri: str, method: str = "INVITE", number: int = 1) -> bytes:
    return f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP x.privacy;branch=z9hG4bK{number}\r\nTo: <{uri}>\r\nCSeq: {number} {method}\r\n\r\n".encode()


def coming(*sockets: socket.socket, patience_s: float = 0.5) -> list[bytes]:
    """Return what comes at sockets, until nothing does for a moment."""
    came = []
    while ready := select.select(sockets, [], [], patience_s)[0]:
        came += [each.recv(65_535) for each in ready]
    return came


def drawn(rng: random.Random, number: int) -> bytes:
    """Return a request, or what looks like one, with a name of the suffix somewhere or nearly so."""
    method = rng.choice([*METHODS, "INVITE", "INVITE", "SIP/2.0", "HELLO"])
    name = rng.choice(
        [".privacy", ".Privacy", ".PRIVACY.alt", ".privacy.", "privacy", "@privacy", ".privacy2", ".xprivacy", ".privac", ".privacy.example", "-privacy"]
    )
    before = "".join(rng.choice("abz019-_") for _ in range(rng.choice([0, 1, 3, 20, rng.randrange(230)])))
    after = rng.choice(["", "", ":5060", ";transport=udp", "@provider.example", "?x=y", "a", ";x", "@203.0.113.1:5060"])
    uri = rng.choice([f"sip:{before}{name}{after}", f"sips:u@{before}{name}{after}", f"sip:{before}@provider.example", f"sip:+49{before}@b{name}{after}"])
    return request(uri, method, number)


def is_named(asked: bytes) -> bool:
    """Return whether a request's URI names a contact, where the kernel looks for it."""
    method, uri = asked.split(b" ")[:2]
    return method.decode() in METHODS and SUFFIX_IN_URI.search(asked[: len(method) + len(uri) + 2][: MAX_OFFSET + 1]) is not None


def test_the_kernel_takes_what_names_a_contact_and_nothing_else_and_what_passes_is_as_it_was(line: Gateway, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    asked = [drawn(rng, number) for number in range(CASES)]
    with intercepted(line, tmp_path), contextlib.ExitStack() as stack:
        taken = [stack.enter_context(each) for each in take_calls(tmp_path)]
        callers = [stack.enter_context(line.caller(where, version)) for where in (line.phone, line.host) for version in (4, 6)]
        came, passed = list[bytes](), list[bytes]()
        for number, each in enumerate(asked):
            callers[number % len(callers)].send(each)
            if number % 20 == 19:  # no buffer is asked for more
                came += coming(*taken, patience_s=0.02)
                passed += coming(*line.provider.values(), patience_s=0.02)
        came += coming(*taken)
        passed += coming(*line.provider.values())
    named = [each for each in asked if is_named(each)]
    assert CASES / 10 < len(named) < 9 * CASES / 10
    assert sorted(came) == sorted(named)
    assert sorted(passed) == sorted(each for each in asked if not is_named(each))


@pytest.mark.parametrize("version", [4, 6])
def test_an_answer_comes_from_the_provider_that_the_phone_asked(line: Gateway, tmp_path: Path, version: int) -> None:
    provider = PROVIDER if version == 4 else PROVIDER_6
    with intercepted(line, tmp_path), contextlib.ExitStack() as stack:
        taken = [stack.enter_context(each) for each in take_calls(tmp_path)]
        listening = next(each for each in taken if (each.family == socket.AF_INET) is (version == 4))
        listening.settimeout(5)
        for where in (line.phone, line.host):
            with line.caller(where, version) as calling:
                calling.send(request("sip:bob.privacy@provider.example"))
                octets, control, _, sender = listening.recvmsg(65_535, CONTROL_OCTETS)
                assert octets == request("sip:bob.privacy@provider.example")
                assert sender[:2] == calling.getsockname()[:2]
                assert destination(control) == (provider, PORT)
                listening.sendmsg([b"SIP/2.0 180 Ringing\r\n\r\n"], [leaving_from(provider)], 0, sender)
                assert calling.recv(100) == b"SIP/2.0 180 Ringing\r\n\r\n"  # it is connected, and hears that place alone
        assert coming(*line.provider.values()) == []


def refused(line: Gateway, where: Namespace) -> bool:
    """Call a contact; return whether the phone is told at once that nobody listens."""
    with line.caller(where) as calling:
        calling.settimeout(2)
        try:
            calling.send(request("sip:bob@bob.privacy"))
            calling.recv(100)
        except (ConnectionRefusedError, PermissionError, TimeoutError) as error:
            return not isinstance(error, TimeoutError)
    return False


def connects(line: Gateway, where: Namespace) -> bytes:
    """Call a contact over TCP; return what the provider gets of it."""
    with (
        line.street.run(lambda: socket.create_server((PROVIDER, PORT))) as provider,
        where.run(lambda: socket.create_connection((PROVIDER, PORT), 5)) as calling,
    ):
        served, _ = provider.accept()
        with served, contextlib.suppress(OSError):
            served.settimeout(1)
            calling.sendall(request("sip:bob@bob.privacy"))
            return served.recv(2_048)
    return b""


def test_nothing_leaves_without_a_box_nor_after_the_helper_is_killed_and_all_is_as_before_when_it_is_off(line: Gateway, tmp_path: Path) -> None:
    before = line.told()
    ordinary = request("sip:+4930123456@provider.example")
    assert b"bob.privacy" in connects(line, line.phone)
    with intercepted(line, tmp_path) as helper:
        for is_killed in (False, True):
            if is_killed:
                os.kill(helper, signal.SIGKILL)
                wait_until(lambda: "table inet voicebox {" not in line.told(), "the end of the helper's table")
                assert take_calls(tmp_path) == []
            for where in (line.phone, line.host):
                # The kernel tells no program of its own host in a provider's name, so that one waits until it gives up.
                assert refused(line, where) is (is_killed or where is line.phone)
                assert connects(line, where) == b""
                with line.caller(where) as calling:
                    calling.send(ordinary)
            assert coming(*line.provider.values()) == [ordinary] * 2
    assert line.told() == before
    with line.caller(line.phone) as calling:
        calling.send(request("sip:bob@bob.privacy"))
    assert coming(*line.provider.values()), "nothing could have been heard"


def test_where_nobody_may_call_so_it_is_refused_at_once(line: Gateway, tmp_path: Path) -> None:
    with intercepted(line, tmp_path, replace(PLAN, takes_calls=False)):
        assert take_calls(tmp_path) == []
        assert refused(line, line.phone)
        assert refused(line, line.host)
        assert coming(*line.provider.values()) == []


def test_another_port_is_another_provider(line: Gateway, tmp_path: Path) -> None:
    with intercepted(line, tmp_path, replace(PLAN, sip_port=5_070)):
        with line.caller(line.phone) as calling:
            calling.send(request("sip:bob@bob.privacy"))
        assert coming(*line.provider.values()) == [request("sip:bob@bob.privacy")]
