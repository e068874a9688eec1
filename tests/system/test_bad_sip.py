"""Bad SIP at a running box while its phone talks: malformed, huge, unauthenticated, unknown, forged. Each is answered or counted, and the call goes on. [io]

The octets come from a stranger in the home network, over UDP and TCP. What each message is answered in detail: tests/voicebox/sip, tests/voicebox/b2bua.
"""

from __future__ import annotations

import contextlib
import random
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import CALLEE, CALLER
from tests.system.test_bad_datagrams import phone, the_call, wire_until_now
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.measure import frames_received
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.system

VECTORS = Path(__file__).parents[1] / "vectors" / "rfc4475"
STRANGER = "127.0.77.251"
SEED = 41
NS = 1_000_000_000
REPLY_S = 1.0


@dataclass
class Outcome:
    """What came of it all. status: of the last answer to each named request, 0 for none."""

    status: dict[str, int] = field(default_factory=dict)
    answers: list[bytes] = field(default_factory=list)
    before: Mapping[str, Any] = field(default_factory=dict)
    after: Mapping[str, Any] = field(default_factory=dict)
    heard: dict[str, list[int]] = field(default_factory=dict)
    span_ns: tuple[int, int] = (0, 0)
    hung_up: bool = False

    def rose(self, name: str) -> int:
        """Return how much a counter of the box's SIP side rose."""
        return int(self.after["sip"].get(name, 0)) - int(self.before["sip"].get(name, 0))


def request(method: str, uri: str, number: int, extra: str = "", *, call_id: str = "", tags: tuple[str, str] = ("1", "")) -> bytes:
    """Return a well-formed request of a stranger."""
    to_tag = f";tag={tags[1]}" if tags[1] else ""
    return (
        f"{method} {uri} SIP/2.0\r\nVia: SIP/2.0/UDP {STRANGER};branch=z9hG4bKbad{number};rport\r\nMax-Forwards: 70\r\n"
        f"From: <sip:desk@{STRANGER}>;tag={tags[0]}\r\nTo: <{uri}>{to_tag}\r\nCall-ID: {call_id or f'bad{number}'}\r\nCSeq: {7_000 + number} {method}\r\n"
        f"Contact: <sip:desk@{STRANGER}>\r\n{extra}Content-Length: 0\r\n\r\n"
    ).encode()


def dialog_of(wire: list[Datagram], box: str) -> tuple[str, tuple[str, str]]:
    """Return the call's identifiers as somebody who listens in the home network knows them: Call-ID, and the tags of phone and box."""
    for each in wire:
        if each.source.address == box and each.payload.startswith(b"SIP/2.0 200") and b"INVITE" in each.payload:
            text = each.payload.decode()
            found = [
                re.search(rf"^{name}:.*?{value}\r$", text, re.MULTILINE | re.IGNORECASE)
                for name, value in (("call-id", r"\s*(\S+)"), ("from", r";tag=(\S+)"), ("to", r";tag=(\S+)"))
            ]
            call_id, mine, its = (match.group(1) for match in found if match)
            return call_id, (mine, its)
    raise AssertionError("no 200 to an INVITE was seen")


def named_requests(wire: list[Datagram], box: str) -> dict[str, bytes]:
    """Return requests by what they try."""
    call_id, tags = dialog_of(wire, box)
    here = f"sip:desk@{box}"
    wrong = 'Authorization: Digest username="nobody", realm="voicebox", nonce="0", uri="sip:x", response="00000000000000000000000000000000"\r\n'
    return {
        "no password": request("REGISTER", f"sip:{box}", 1, "Expires: 60\r\n"),
        "a wrong password": request("REGISTER", f"sip:{box}", 2, wrong),
        "a call without a password": request("INVITE", f"sip:{CALLEE}.privacy", 3),
        "an unknown method": request("FROBNICATE", here, 4),
        "a subscription": request("SUBSCRIBE", here, 5, "Event: dialog\r\n"),
        "a required extension": request("OPTIONS", here, 6, "Require: everything\r\n"),
        "another scheme": request("OPTIONS", "sips:desk@example.com", 7),
        "a cancel of nothing": request("CANCEL", here, 8),
        "a bye of no call": request("BYE", here, 9, tags=("1", "2")),
        "a bye of the call": request("BYE", here, 10, call_id=call_id, tags=tags),
        "a hold of the call": request("INVITE", here, 11, call_id=call_id, tags=tags),
        "a huge header": request("OPTIONS", here, 12, f"Subject: {'x' * 60_000}\r\n"),
        "ten thousand fields": request("OPTIONS", here, 13, "X: y\r\n" * 10_000),
        "no call id": re.sub(rb"Call-ID: \S+\r\n", b"", request("OPTIONS", here, 14)),
        "a length that lies": request("OPTIONS", here, 15).replace(b"Content-Length: 0", b"Content-Length: 70000"),
    }


def exchange(client: socket.socket, box: tuple[str, int], octets: bytes, outcome: Outcome) -> int:
    """Send over UDP; return the status of the answer, 0 where none comes in time."""
    client.sendto(octets, box)
    with contextlib.suppress(TimeoutError):
        while True:
            answer = client.recv(65_536)
            outcome.answers.append(answer)
            return int(answer.split(b" ")[1])
    return 0


def pour_over_tcp(box: tuple[str, int]) -> None:
    """Open connections that say junk, a header without an end, half a message, or nothing."""
    dice = random.Random(SEED)
    clients = []
    for number in range(24):
        client = socket.create_connection(box, timeout=REPLY_S, source_address=(STRANGER, 0))
        clients.append(client)
        words = [dice.randbytes(5_000), b"OPTIONS sip:x SIP/2.0\r\n" + b"X: " + b"y" * 200_000, request("OPTIONS", "sip:x", number)[:80], b""][number % 4]
        with contextlib.suppress(OSError):  # the box may have closed it meanwhile
            client.sendall(words)
    for client in clients:
        client.close()


def attack(network: EmbeddedNetwork, wire: list[Datagram], outcome: Outcome) -> None:
    """Say it all to the caller's box."""
    address = network.plan.box_address(CALLER)
    box, dice = (address, network.plan.sip_port), random.Random(SEED)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.bind((STRANGER, 5_060))  # where the answers to messages without rport go (RFC 3261 §18.2.2)
        client.settimeout(REPLY_S)
        for name, octets in named_requests(wire, address).items():
            outcome.status[name] = exchange(client, box, octets, outcome)
        client.settimeout(0.02)
        for path in sorted(VECTORS.glob("*.dat")):
            outcome.status[path.stem] = exchange(client, box, path.read_bytes(), outcome)
        for _ in range(300):
            client.sendto(dice.randbytes(dice.randrange(1_500)), box)
            time.sleep(0.002)
    pour_over_tcp(box)


@pytest.fixture(scope="module")
def outcome(embedded_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Call, attack the caller's box, go on talking, hang up."""
    directory, network, found = tmp_path_factory.mktemp("bad-sip"), embedded_network, Outcome()
    path, node = directory / "wire.pcap", network.boxes[CALLER]
    with Capture(path), phone(network, directory, CALLER, 0) as caller, phone(network, directory, CALLEE, 1) as callee:
        for each in (caller, callee):
            each.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected")
        time.sleep(2)
        found.before = network.status(node) or {}
        wire, begun_ns = wire_until_now(path), time.time_ns()
        attack(network, wire, found)
        found.span_ns = begun_ns, time.time_ns()
        time.sleep(1)
        found.after = network.status(node) or {}
        caller.hang_up()
        callee.wait_for("ended")
        found.hung_up = True
    wire = load_capture(path)
    call = the_call(wire, caller, callee)
    for name, view in ((CALLER, call.caller_media), (CALLEE, call.callee_media)):
        assert view is not None
        found.heard[name] = [frame.time_ns for frame in frames_received(wire, view)]
    return found


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("no password", 401),
        ("a wrong password", 401),
        ("a call without a password", 401),
        ("an unknown method", 501),
        ("a subscription", 489),
        ("a required extension", 420),
        ("another scheme", 416),
        ("a cancel of nothing", 481),
        ("a bye of no call", 481),
        ("a bye of the call", 401),
        ("a hold of the call", 401),
        ("a length that lies", 400),
    ],
)
def test_bad_requests_are_answered(outcome: Outcome, what: str, status: int) -> None:
    assert outcome.status[what] == status


@pytest.mark.parametrize("what", ["a huge header", "ten thousand fields", "no call id"])
def test_what_cannot_be_read_is_refused_or_counted(outcome: Outcome, what: str) -> None:
    assert outcome.status[what] == 0 or 400 <= outcome.status[what] < 600


def test_torture_tests_and_noise_are_answered_or_counted(outcome: Outcome) -> None:
    answered = [path.stem for path in VECTORS.glob("*.dat") if outcome.status[path.stem]]
    assert len(answered) >= 25, "most of RFC 4475's requests have a place to answer to"
    drops = sum(outcome.rose(name) for name in outcome.after["sip"] if name.startswith("dropped_"))
    print(f"\nbad SIP: {len(outcome.status)} messages, 300 datagrams of noise, 24 connections, {drops} dropped, seed {SEED}")
    assert drops >= 250
    assert all(re.match(rb"SIP/2\.0 [1-6]\d\d ", answer) for answer in outcome.answers)


def test_the_call_goes_on(outcome: Outcome) -> None:
    begun, ended = outcome.span_ns
    assert outcome.after["calls"] == outcome.before["calls"] == 1
    for name, times in outcome.heard.items():
        assert sum(begun <= each < ended for each in times) >= 0.9 * 50 * (ended - begun) / NS, name
    assert outcome.hung_up


def test_the_box_found_no_fault_and_is_not_larger_for_it(outcome: Outcome) -> None:
    assert outcome.rose("bugs") == 0
    before, after = ({name: count for name, count in status["counters"].items() if name != "gossip_rounds"} for status in (outcome.before, outcome.after))
    assert after == before
    assert len(outcome.after["phones"]) == len(outcome.before["phones"]) == 1
    assert outcome.after["sip"]["transactions"] < 100
    assert outcome.after["engine"]["panics"] == 0
