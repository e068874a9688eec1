"""Phones that others wrote, registered to two boxes whose circuits are function calls: register, call, ring, hear, hang up, be refused.

The network between the boxes is in memory here; everything a phone sees is the real thing. Tests over the real network are in tests/system.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.looped import Looped
from tests.support.phones import PHONES, Login, PhoneDriver, PhoneSetup, free_port_block, installed
from tests.support.tone import seconds_of_tone, write_tone
from tests.voicebox.b2bua.loopback import LoopMedia, LoopNetwork
from voicebox.b2bua.events import Codec
from voicebox.b2bua.server import SipServer
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import CallContact, IncomingDecision, RingPhones
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account

pytestmark = pytest.mark.interop

ADDRESS = "127.0.0.1"
PASSWORD = Secret(b"a-long-password")
TALK_S = 2.0
TONES_HZ = {"alice": 440, "bob": 1000, "carol": 700}


def ringing(users: list[str]) -> Callable[[str], IncomingDecision]:
    """Let phones ring for every contact."""
    return lambda petname: RingPhones((tuple(users),))


class TwoBoxes(Looped):
    """Alice's box and Bob's, in a loop of their own thread. alice_port, bob_port: UDP and TCP alike."""

    def __init__(self) -> None:
        super().__init__()
        self.alice, self.bob = LoopNetwork("alice"), LoopNetwork("bob")
        self.alice.contacts["bob"], self.bob.contacts["alice"] = self.bob, self.alice
        self.media = LoopMedia()
        self.bugs: list[Exception] = []
        self.alice_port, self.bob_port = free_port_block(2), free_port_block(2)
        self.servers: list[SipServer] = []

    async def _run(self) -> None:
        settings = SwitchboardSettings(realm=ADDRESS)
        for network, users, port in ((self.alice, ["alice"], self.alice_port), (self.bob, ["bob", "carol"], self.bob_port)):
            accounts = [Account.from_password(user, PASSWORD, ADDRESS) for user in users]
            server = SipServer(accounts, network, self.media, CallContact, ringing(users), settings, on_bug=self.bugs.append)
            await server.start([("udp", ADDRESS, port), ("tcp", ADDRESS, port)])
            self.servers.append(server)
        self._ready.set()
        while not self._stop.is_set():
            self.media.pump(self.alice.legs + self.bob.legs)
            await asyncio.sleep(0.004)
        for server in self.servers:
            await server.stop()


@pytest.fixture
def boxes() -> Iterator[TwoBoxes]:
    with TwoBoxes() as made:
        yield made
        deadline = time.monotonic() + 3
        while made.media.ports and time.monotonic() < deadline:
            time.sleep(0.02)
        assert made.media.ports == [], "every media port was given back"
        assert made.bugs == []


def phone(boxes: TwoBoxes, name: str, kind: str, transport: str, codec: str, directory: Path) -> PhoneDriver:
    if not installed(kind):
        pytest.skip(f"{kind} is not installed")
    ports = free_port_block(20)
    play = write_tone(directory / f"{name}.wav", TONES_HZ[name], 12, 48000 if codec == "opus" else 8000)
    login = Login(ADDRESS, boxes.alice_port if name == "alice" else boxes.bob_port, name, PASSWORD, transport)
    setup = PhoneSetup(name, login, ADDRESS, ports, ports + 4, play, codec, None, transport)
    return PHONES[kind](setup, directory / name)


@pytest.mark.parametrize(
    ("caller", "callee", "codec", "uri", "who_hangs_up"),
    [
        (("baresip", "udp"), ("pjsua2", "tcp"), Codec.PCMA, "sip:bob@bob.privacy", "caller"),
        (("pjsua2", "udp"), ("baresip", "tcp"), Codec.PCMU, "sip:bob.privacy", "callee"),
        (("baresip", "tcp"), ("baresip", "udp"), Codec.OPUS, "sip:bob@127.0.0.1", "callee"),
        (("linphonec", "udp"), ("pjsua2", "udp"), Codec.PCMA, "sip:bob@bob.privacy", "callee"),
        (("pjsua2", "tcp"), ("linphonec", "tcp"), Codec.PCMA, "sip:anything@bob.privacy", "caller"),
    ],
)
def test_two_phones_hear_each_other(
    boxes: TwoBoxes, tmp_path: Path, caller: tuple[str, str], callee: tuple[str, str], codec: Codec, uri: str, who_hangs_up: str
) -> None:
    alice = phone(boxes, "alice", *caller, codec.name.lower(), tmp_path)
    bob = phone(boxes, "bob", *callee, codec.name.lower(), tmp_path)
    with alice, bob:
        alice.wait_for("registered")
        bob.wait_for("registered")
        assert [line.transport for line in boxes.servers[0].registrations()] == [caller[1]]
        alice.dial(uri)
        bob.wait_for("incoming")
        alice.wait_for("ringing")
        bob.answer()
        alice.wait_for("connected")
        bob.wait_for("connected")
        time.sleep(TALK_S)
        (alice if who_hangs_up == "caller" else bob).hang_up()
        alice.wait_for("ended")
        bob.wait_for("ended")
    assert boxes.alice.legs[0].bound is not None
    assert boxes.alice.legs[0].bound[1] is codec
    for listener, theirs, own in ((alice, "bob", "alice"), (bob, "alice", "bob")):
        heard = listener.heard()
        assert heard is not None
        assert seconds_of_tone(heard, TONES_HZ[theirs]) >= TALK_S - 1
        assert seconds_of_tone(heard, TONES_HZ[own]) == 0


def test_both_phones_of_a_person_ring_and_one_is_answered(boxes: TwoBoxes, tmp_path: Path) -> None:
    alice = phone(boxes, "alice", "pjsua2", "udp", "pcma", tmp_path)
    bob = phone(boxes, "bob", "baresip", "udp", "pcma", tmp_path)
    carol = phone(boxes, "carol", "pjsua2", "tcp", "pcma", tmp_path)
    with alice, bob, carol:
        for one in (alice, bob, carol):
            one.wait_for("registered")
        alice.dial("sip:bob@bob.privacy")
        bob.wait_for("incoming")
        carol.wait_for("incoming")
        carol.answer()
        alice.wait_for("connected")
        bob.wait_for("ended")
        carol.hang_up()
        alice.wait_for("ended")
        alice.dial("sip:bob@bob.privacy")
        bob.wait_for("incoming", count=2)
        carol.wait_for("incoming", count=2)
        alice.hang_up()
        bob.wait_for("ended", count=2)
        carol.wait_for("ended", count=2)
