"""The server with real sockets: two boxes, sipp as phones, packet loss, and a defect inside."""

from __future__ import annotations

import asyncio
import random
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.voicebox.b2bua.loopback import LoopNetwork, PlainMedia
from tests.voicebox.b2bua.scripted import PASSWORD, REALM, Box, Phone
from voicebox.b2bua.context import CallSettings
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Ringing
from voicebox.b2bua.ports import CircuitLeg
from voicebox.b2bua.server import SipServer
from voicebox.b2bua.switchboard import SwitchboardSettings
from voicebox.dialplan.model import CallContact, IncomingDecision, OutgoingDecision, RefuseCall, RingPhones
from voicebox.errors import HostError, UsageError
from voicebox.sensitive import Secret
from voicebox.sip.auth import Account
from voicebox.sip.message import SipResponse, parse_message
from voicebox.sip.transaction import TimerValues

pytestmark = pytest.mark.system

SETTINGS = SwitchboardSettings(timers=TimerValues(t1_s=0.02, t2_s=0.1, t4_s=0.1))
ALICE = Account.from_password("alice", Secret(PASSWORD), REALM)


def nobody(dialled: str) -> OutgoingDecision:
    return RefuseCall(404)


def bob(dialled: str) -> OutgoingDecision:
    return CallContact(dialled) if dialled == "bob" else RefuseCall(404)


def alices_phones(petname: str) -> IncomingDecision:
    return RingPhones((("alice",),))


class Wire:
    """A UDP phone on loopback that loses datagrams on purpose."""

    def __init__(self, port: int, loss: float = 0.0) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port, self.loss, self.rng = port, loss, random.Random(3)

    async def exchange(self, octets: bytes, want: tuple[bytes, ...], again_s: float = 0.05) -> bytes:
        """Send octets again and again until an answer begins with one of want."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(10):
            while True:
                if self.rng.random() >= self.loss:
                    await loop.sock_sendto(self.socket, octets, ("127.0.0.1", self.port))
                try:
                    async with asyncio.timeout(again_s):
                        while True:
                            answer = await loop.sock_recv(self.socket, 65_536)
                            if self.rng.random() >= self.loss and answer.startswith(want):
                                return answer
                except TimeoutError:
                    continue


@pytest.fixture
async def network() -> LoopNetwork:
    here, there = LoopNetwork("me"), LoopNetwork("bob")
    here.contacts["bob"] = there
    there.contacts["me"] = here
    return here


@pytest.fixture
async def bugs() -> list[Exception]:
    return []


@pytest.fixture
async def server(network: LoopNetwork, bugs: list[Exception]) -> AsyncIterator[SipServer]:
    made = SipServer([ALICE], network, PlainMedia(), bob, alices_phones, SETTINGS, on_bug=bugs.append)
    yield made
    await made.stop()
    assert bugs == []


def phone_of(number: int = 1) -> Phone:
    phone = Phone(Box(), "alice", number)
    phone.address = phone.host = "127.0.0.1"
    return phone


async def register(wire: Wire, phone: Phone) -> None:
    """Register as phones do: answer every challenge, since a late repetition may find its transaction gone and its nonce used."""
    uri, to = f"sip:{REALM}", f"<sip:alice@{REALM}>"
    answer = parse_message(await wire.exchange(phone.text("REGISTER", uri, to=to), (b"SIP/2.0 401",)))
    for _ in range(5):
        assert isinstance(answer, SipResponse)
        octets = phone.text("REGISTER", uri, phone.credentials(answer, "REGISTER", uri), to=to)
        while True:
            answer = parse_message(await wire.exchange(octets, (b"SIP/2.0 200", b"SIP/2.0 401")))
            if answer.cseq.number == phone.cseq:
                break  # others are late copies of earlier answers
        if isinstance(answer, SipResponse) and answer.status == 200:
            return
    raise AssertionError("never registered")


async def test_a_phone_registers_through_loss(server: SipServer) -> None:
    [port, _] = await server.start([("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0)])
    for number in range(10):
        wire = Wire(port, loss=0.3)
        with wire.socket:
            await register(wire, phone_of(number))
    assert [line.user for line in server.registrations()] == ["alice"]
    assert server.counters()["requests_register"] >= 2


async def test_an_incoming_call_is_repeated_by_real_timers(server: SipServer, network: LoopNetwork) -> None:
    [port] = await server.start([("udp", "127.0.0.1", 0)])
    wire = Wire(port)
    phone = phone_of()
    await register(wire, phone)
    said: list[object] = []
    network.contacts["bob"].call("me", Offer((Codec.PCMA,)), said.append)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(5):
        invites = [await loop.sock_recv(wire.socket, 65_536) for _ in range(3)]
    assert len(set(invites)) == 1
    assert invites[0].startswith(b"INVITE sip:alice")
    assert said == [Ringing()]
    wire.socket.close()


async def test_stopping_hangs_up_and_is_idempotent(network: LoopNetwork) -> None:
    server = SipServer([ALICE], network, PlainMedia(), bob, alices_phones, SETTINGS)
    [port] = await server.start([("udp", "127.0.0.1", 0)])
    wire = Wire(port)
    phone = phone_of()
    await register(wire, phone)
    said: list[object] = []
    network.contacts["bob"].call("me", Offer((Codec.PCMA,)), said.append)
    await asyncio.sleep(0.05)
    await server.stop()
    await server.stop()
    assert said == [Ringing(), End()]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", port))
    wire.socket.close()


async def test_what_cannot_be_started_leaves_nothing_behind(network: LoopNetwork) -> None:
    server = SipServer([ALICE], network, PlainMedia(), nobody, alices_phones, SETTINGS)
    with pytest.raises(UsageError):
        await server.start([("sctp", "127.0.0.1", 0)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(HostError):
            await server.start([("tcp", "127.0.0.1", 0), ("udp", "127.0.0.1", taken.getsockname()[1])])
    await server.stop()


async def test_a_defect_costs_one_message(network: LoopNetwork) -> None:
    bugs: list[Exception] = []
    server = SipServer([ALICE], network, PlainMedia(), nobody, alices_phones, SETTINGS, on_bug=bugs.append)
    [port] = await server.start([("udp", "127.0.0.1", 0)])

    def defect(*_: object) -> None:
        raise RuntimeError("planted")

    honest = server._board.registrar.register
    server._board.registrar.register = defect  # type: ignore[method-assign, assignment]  # a defect to be survived
    wire = Wire(port)
    phone, uri, to = phone_of(), f"sip:{REALM}", f"<sip:alice@{REALM}>"
    challenge = parse_message(await wire.exchange(phone.text("REGISTER", uri, to=to), (b"SIP/2.0 401",)))
    assert isinstance(challenge, SipResponse)
    await wire.exchange(phone.text("REGISTER", uri, phone.credentials(challenge, "REGISTER", uri), to=to), (b"SIP/2.0 500",))
    server._board.registrar.register = honest  # type: ignore[method-assign]  # as above
    await register(wire, phone_of(5))
    assert server.counters()["bugs"] == len(bugs) > 0
    await server.stop()
    wire.socket.close()


@pytest.mark.interop
async def test_sipp_asks_a_thousand_times(server: SipServer, tmp_path: Path) -> None:
    """sipp's OPTIONS scenario over UDP and TCP: all are answered, none is left behind."""
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (Debian package sip-tester)")
    udp, tcp = await server.start([("udp", "127.0.0.1", 0), ("tcp", "127.0.0.1", 0)])
    scenario = """<?xml version="1.0" encoding="ISO-8859-1"?><scenario name="options"><send retrans="500"><![CDATA[

OPTIONS sip:[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:a@[local_ip]>;tag=[call_number]
To: <sip:b@[remote_ip]>
Call-ID: [call_id]
CSeq: 1 OPTIONS
Max-Forwards: 70
Content-Length: 0

]]></send><recv response="200"/></scenario>"""
    path = tmp_path / "options.xml"
    path.write_text(scenario)
    for mode, port in (("u1", udp), ("t1", tcp)):
        words = ["sipp", "-sf", str(path), "-t", mode, "-i", "127.0.0.1", "-r", "500", "-m", "1000", "-nostdin", f"127.0.0.1:{port}"]
        process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=tmp_path)
        async with asyncio.timeout(30):
            assert await process.wait() == 0, mode
    assert server.counters()["requests_options"] == 2_000


CALL = """<?xml version="1.0" encoding="ISO-8859-1"?><scenario name="calls">
<send retrans="500" start_txn="first"><![CDATA[

INVITE sip:bob.privacy SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:alice@voicebox>;tag=[pid]x[call_number]
To: <sip:bob.privacy>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:alice@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 6000 RTP/AVP 8
]]></send>
<recv response="401" auth="true" response_txn="first"/>
<send ack_txn="first"><![CDATA[

ACK sip:bob.privacy SIP/2.0
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<send retrans="500" start_txn="second"><![CDATA[

INVITE sip:bob.privacy SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:alice@voicebox>;tag=[pid]x[call_number]
To: <sip:bob.privacy>
Call-ID: [call_id]
CSeq: 2 INVITE
Contact: <sip:alice@[local_ip]:[local_port]>
[authentication username=alice password=pass-phrase]
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=- 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [local_ip]
t=0 0
m=audio 6000 RTP/AVP 8
]]></send>
<recv response="100" optional="true" response_txn="second"/>
<recv response="180" optional="true" response_txn="second"/>
<recv response="200" rrs="true" response_txn="second"/>
<send ack_txn="second"><![CDATA[

ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:alice@voicebox>;tag=[pid]x[call_number]
[last_To:]
[last_Call-ID:]
CSeq: 2 ACK
Max-Forwards: 70
Content-Length: 0

]]></send>
<send retrans="500" start_txn="bye"><![CDATA[

BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: <sip:alice@voicebox>;tag=[pid]x[call_number]
[last_To:]
[last_Call-ID:]
CSeq: 3 BYE
Max-Forwards: 70
Content-Length: 0

]]></send>
<recv response="200" response_txn="bye"/></scenario>"""


@pytest.mark.interop
@pytest.mark.parametrize(("mode", "loss", "calls", "rate"), [("u1", 0, 400, 100), ("t1", 0, 400, 100), ("u1", 10, 60, 20)])
async def test_sipp_makes_calls(network: LoopNetwork, tmp_path: Path, mode: str, loss: int, calls: int, rate: int) -> None:
    """Every call of sipp comes about and ends, also where one datagram in ten is lost on its way in and out; nothing is left behind."""
    if shutil.which("sipp") is None:
        pytest.skip("sipp is not installed (Debian package sip-tester)")
    there = network.contacts["bob"]

    def pick_up(petname: str, offer: Offer, leg: CircuitLeg) -> Callable[[CallEvent], None]:
        leg.send(Ringing())
        leg.send(Answer(offer.codecs[0]))
        return lambda event: None

    there.on_call(pick_up)
    media = PlainMedia()
    bugs: list[Exception] = []
    account = Account.from_password("alice", Secret(b"pass-phrase"), REALM)
    settings = SwitchboardSettings(calls=CallSettings(max_calls=1_000, max_calls_of_user=1_000))
    server = SipServer([account], network, media, bob, alices_phones, settings, on_bug=bugs.append)
    [port] = await server.start([("tcp" if mode == "t1" else "udp", "127.0.0.1", 0)])
    path = tmp_path / "calls.xml"
    path.write_text(CALL)
    words = ["sipp", "-sf", str(path), "-t", mode, "-i", "127.0.0.1", "-r", str(rate), "-m", str(calls), "-nostdin", f"127.0.0.1:{port}"]
    words += ["-lost", str(loss)] if loss else []
    process = await asyncio.create_subprocess_exec(*words, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL, cwd=tmp_path)
    async with asyncio.timeout(60):
        assert await process.wait() == 0
    counters = server.counters()
    print(f"\nsipp {mode}, {loss} % loss: {calls} calls, counters {counters}")
    assert counters["calls_out"] == calls
    assert counters["calls"] == 0
    assert media.open_ports() == 0
    assert bugs == []
    await server.stop()
