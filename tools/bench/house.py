"""What a box does as a telephone system: calls and registrations a second, calls at once and their jitter, a message, its start. [io]

The same box as everywhere, of profile `lan`, on a network of six relays beside it on this machine. sipp is both phones of the calls that are only set up; those with
sound are between scripted phones. Jitter is that of RFC 3550 on what leaves the box, by the kernel's clock. Where Kamailio is installed it does the same calls in the same run: as a
proxy with a registrar, without sound and without asking who calls, so it has less to do.

    python -m tools.bench.house [--seconds S]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tools.adversary.phones import Account, Phone
from tools.bench import sipp
from tools.bench.apart import print_apart
from tools.bench.desk import Desk, talk
from tools.bench.process import cpu_s
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.phones import Login
from voicebox.errors import HostError
from voicebox.probe.figures import mean, percentile
from voicebox.probe.rtpstats import InterarrivalJitter, parse_rtp
from voicebox.sensitive import Secret
from voicebox.sip.message import parse_message, serialise_message

SECONDS = 60.0
RATE = 50.0
"""Calls, and registrations, a second."""
LOCAL_CALLS, CIRCUIT_CALLS = 20, 8
TALK_S, MEET_S = 10.0, 4.0
MESSAGES = 3_000
CLOCK_RATE_HZ = 8_000
START_TIMEOUT_S = 30.0
CALLER, CALLEE = "alice", "bob"
KAMAILIO = """debug=0
log_stderror=yes
fork=yes
children=2
auto_aliases=no
listen=udp:{address}:{port}
mpath="/usr/lib/x86_64-linux-gnu/kamailio/modules/"
loadmodule "tm.so"
loadmodule "sl.so"
loadmodule "rr.so"
loadmodule "pv.so"
loadmodule "maxfwd.so"
loadmodule "usrloc.so"
loadmodule "registrar.so"
loadmodule "siputils.so"
loadmodule "textops.so"
request_route {{
    if (is_method("REGISTER")) {{ save("location"); exit; }}
    if (loose_route()) {{ t_relay(); exit; }}
    if (is_method("CANCEL")) {{ t_relay(); exit; }}
    if (is_method("ACK")) {{ t_relay(); exit; }}
    record_route();
    if (!lookup("location")) {{ sl_send_reply("404", "Not here"); exit; }}
    t_relay();
}}
"""


INVITE = """INVITE sip:bob.privacy SIP/2.0
Via: SIP/2.0/UDP 192.168.1.20:5070;branch=z9hG4bK.Xr3GpBDvl;rport
From: <sip:desk@192.168.1.10>;tag=8Hf0a1Zk2
To: sip:bob.privacy
CSeq: 21 INVITE
Call-ID: mzq3Xn9QpD
Max-Forwards: 70
Supported: replaces, outbound, gruu
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, INFO, PRACK, UPDATE
Content-Type: application/sdp
Content-Length: 337
Contact: <sip:desk@192.168.1.20:5070>;+sip.instance="<urn:uuid:57be2a90-2fb5-00be-b11c-2bd2e5e7e5f1>"
User-Agent: Linphonec/5.1.65 (belle-sip/5.2.0)
Authorization: Digest realm="voicebox", nonce="MTc2NDEyMzQ1Ni4xMjM0NTY3ODkwYWJjZGVm", algorithm=MD5, username="desk", uri="sip:bob.privacy", \
response="d41d8cd98f00b204e9800998ecf8427e", cnonce="5s3kfzPq", nc=00000001, qop=auth

v=0
o=desk 2734 2911 IN IP4 192.168.1.20
s=Talk
c=IN IP4 192.168.1.20
t=0 0
a=rtcp-xr:rcvr-rtt=all:10000 stat-summary=loss,dup,jitt,TTL voip-metrics
m=audio 7078 RTP/AVP 96 0 8 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1
a=rtpmap:101 telephone-event/48000
a=rtcp-fb:* trr-int 1000
a=rtcp-fb:* ccm tmmbr
a=sendrecv
a=ptime:20
a=mid:as
"""
"""As a phone that others wrote sends it (linphone 5.1, with credentials)."""


def message_us(count: int = MESSAGES) -> dict[str, float]:
    """Return what parsing an INVITE with its description, and writing it anew, takes: median and 99th percentile of CPU, in microseconds."""
    text = INVITE.replace("\n", "\r\n").encode()
    took: list[float] = []
    for _ in range(count):
        began = time.process_time_ns()
        octets = serialise_message(parse_message(text))
        took.append((time.process_time_ns() - began) / 1_000)
        assert len(octets) > len(text) / 2
    return {"p50_us": percentile(took, 0.5), "p99_us": percentile(took, 0.99)}


def jitter_ms(wire: list[Datagram], box: str) -> list[float]:
    """Return the mean jitter of each stream that a box sent its phones."""
    streams: dict[int, tuple[InterarrivalJitter, list[float]]] = {}
    for datagram in wire:
        packet = parse_rtp(datagram.payload) if datagram.source.address == box and len(datagram.payload) == 172 else None
        if packet is not None:
            known, estimates = streams.setdefault(packet.ssrc, (InterarrivalJitter(CLOCK_RATE_HZ), []))
            estimates.append(known.receive(datagram.time_ns / 1e9, packet.rtp_timestamp))
    return [mean(estimates[1:]) for _, estimates in streams.values() if len(estimates) > 10]


class Server:
    """A box of an embedded network, with accounts for phones, that is measured."""

    def __init__(self, network: EmbeddedNetwork, name: str) -> None:
        self.network, self.node = network, network.boxes[name]
        self.address = (network.plan.box_address(name), network.plan.sip_port)
        self.logins = [network.login(name)]

    def add_phones(self, count: int) -> None:
        """Make accounts, before it starts."""
        for number in range(count):
            made = json.loads(self.network.voicebox("phone", "add", f"phone{number}", "--transport", "udp", "--json", home=self.node.home))
            self.logins.append(Login(*self.address, made["user"], Secret(made["password"].encode())))

    def account(self, login: Login, own: tuple[str, int]) -> Account:
        """Return a login for a scripted phone at a port of its own."""
        return Account(login.user, self.address, login.user, login.password.reveal().decode(), own)

    def cpu_s(self) -> float:
        """Return the CPU time of the box so far."""
        if self.node.process is None:
            raise HostError("the box has ended")
        return cpu_s(self.node.process.pid)


def start_s(network: EmbeddedNetwork, name: str) -> float:
    """Return how long a box takes from its start to its first answer over SIP."""
    own = (network.plan.phone_sip(name).address, 5_990)
    server = (network.plan.box_address(name), network.plan.sip_port)
    ask = f"OPTIONS sip:{server[0]} SIP/2.0\r\nVia: SIP/2.0/UDP {own[0]}:{own[1]};branch=z9hG4bKstart;rport\r\nMax-Forwards: 70\r\nFrom: <sip:x@x>;tag=1\r\n"
    ask += f"To: <sip:{server[0]}>\r\nCall-ID: start\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    node = network.boxes[name]
    network.stop_node(node)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind(own)
        phone.settimeout(0.01)
        began = time.monotonic()
        network.start_node(node)
        while time.monotonic() - began < START_TIMEOUT_S:
            phone.sendto(ask.encode(), server)
            with contextlib.suppress(TimeoutError):
                if phone.recv(2_048).startswith(b"SIP/2.0 200"):
                    return time.monotonic() - began
    raise HostError("the box does not answer")


def _loaded(load: sipp.Load, cpu: float) -> dict[str, Any]:
    return {
        "wanted": load.wanted, "good": load.good, "failed": load.wanted - load.good, "retransmissions": load.retransmissions, "rate": load.rate,
        "cpu_ms_each": 1_000 * cpu / load.good if load.good else None,
    }  # fmt: skip


async def _register(account: Account) -> None:
    """Register a phone whose port sipp then takes."""
    phone = Phone(account)
    await asyncio.get_running_loop().create_datagram_endpoint(lambda: phone, local_addr=account.own)
    try:
        if not await phone.register():
            raise HostError("a phone could not register")
    finally:
        phone.close()
        await asyncio.sleep(0)


def loads(server: Server, directory: Path, seconds: float) -> dict[str, Any]:
    """Return how calls and registrations at RATE a second went."""
    own = server.network.plan.phone_sip(CALLER).address
    count = round(RATE * seconds)
    caller, callee = server.logins[1], server.logins[2]
    asyncio.run(_register(server.account(callee, (own, 6_100))))
    with contextlib.closing(sipp.Sipp(sipp.callee(callee), directory / "callee", server.address, (own, 6_100))):
        before = server.cpu_s()
        load = sipp.Sipp(sipp.caller(caller, callee.user), directory / "caller", server.address, (own, 6_200), RATE, count).finish()
        calls = _loaded(load, server.cpu_s() - before)
    before = server.cpu_s()
    load = sipp.Sipp(sipp.registrations(caller), directory / "registrations", server.address, (own, 6_300), RATE, count).finish()
    return {"calls": calls, "registrations": _loaded(load, server.cpu_s() - before)}


def reference(server: Server, directory: Path, seconds: float) -> dict[str, Any] | str:
    """Return how Kamailio does the same calls; why not, where it does not: the box has its figures all the same."""
    program = shutil.which("kamailio") or shutil.which("kamailio", path="/usr/sbin")
    if program is None:
        return "not installed"
    try:
        return kamailio(program, server, directory, seconds)
    except HostError as error:
        return f"no figure: {error}"


def kamailio(program: str, server: Server, directory: Path, seconds: float) -> dict[str, Any]:
    """Return how Kamailio does the same calls. Raises HostError where it does not."""
    own, address = server.network.plan.phone_sip(CALLER).address, ("127.0.0.1", 6_500)
    directory.mkdir()
    config = directory / "kamailio.cfg"
    config.write_text(KAMAILIO.format(address=address[0], port=address[1]))
    login = Login(*address, "callee", Secret(b""))
    with _running([program, "-f", str(config), "-DD", "-E", "-Y", str(directory)], directory / "log") as pids:
        sipp.Sipp(sipp.registrations(login, challenged=False), directory / "registration", address, (own, 6_600), 1, 1).finish()
        with contextlib.closing(sipp.Sipp(sipp.callee(login), directory / "callee", address, (own, 6_600))):
            before = sum(cpu_s(pid) for pid in pids())
            scenario = sipp.caller(Login(*address, "caller", Secret(b"")), "callee", challenged=False)
            load = sipp.Sipp(scenario, directory / "caller", address, (own, 6_700), RATE, round(RATE * seconds)).finish()
            return _loaded(load, sum(cpu_s(pid) for pid in pids()) - before)


@contextlib.contextmanager
def _running(command: list[str], log: Path) -> Iterator[Any]:
    """Run a server of several processes; yield what returns their numbers."""
    with log.open("wb") as out, subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True) as process:
        try:
            time.sleep(1)
            yield lambda: [process.pid, *(int(child) for child in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split())]
        finally:
            process.terminate()


async def _talk(callers: list[Phone], desks: list[Desk], uris: list[str], directory: Path, *, meet: bool) -> list[Datagram]:
    """Let each caller call, all talk at once, and return what the wire saw of that."""
    loop = asyncio.get_running_loop()
    wire = directory / "wire.pcap"
    with ExitStack() as stack:
        for phone in (*callers, *desks):
            stack.callback(phone.close)
            await loop.create_datagram_endpoint(lambda phone=phone: phone, local_addr=phone.account.own)  # type: ignore[misc]  # mypy has no type for a lambda with a default
        for desk in desks:
            if not await desk.register():
                raise HostError("a phone could not register")
        if meet:
            await callers[0].dial(uris[0])
            await callers[0].hang_up()
            await asyncio.sleep(MEET_S)
        for count, (phone, uri) in enumerate(zip(callers, uris, strict=True), 1):
            if not await phone.dial(uri):
                raise HostError(f"call {count} did not come about: {phone.final[:20].strip() or 'no answer'}")
        await talk([*callers, *desks], 1.0)
        with Capture(wire):
            await talk([*callers, *desks], TALK_S)
        for phone in callers:
            await phone.hang_up()
    await asyncio.sleep(0)
    return load_capture(wire)


def at_once(server: Server, other: Server, directory: Path) -> dict[str, Any]:
    """Return the mean jitter of sound to the phones: of calls between phones of one box, and of calls through circuits."""
    own = server.network.plan.phone_sip(CALLER).address
    directory.mkdir()
    found: dict[str, Any] = {}
    callers = [Phone(server.account(server.logins[1 + index % 2], (own, 7_000 + 10 * index))) for index in range(LOCAL_CALLS)]
    desk = server.logins[3]
    wire = asyncio.run(
        _talk(callers, [Desk(server.account(desk, (own, 7_500)))], [f"sip:{desk.user}@{server.address[0]}"] * LOCAL_CALLS, directory, meet=False)
    )
    found["local"] = _jitters(jitter_ms(wire, server.address[0]), 2 * LOCAL_CALLS)
    callers = [Phone(server.account(server.logins[1], (own, 8_000 + 10 * index))) for index in range(CIRCUIT_CALLS)]
    wire = asyncio.run(_talk(callers, [Desk(other.account(other.logins[0], (own, 8_500)))], [f"sip:{CALLEE}.privacy"] * CIRCUIT_CALLS, directory, meet=True))
    found["circuits"] = _jitters([*jitter_ms(wire, server.address[0]), *jitter_ms(wire, other.address[0])], 2 * CIRCUIT_CALLS)
    return found


def _jitters(streams: list[float], wanted: int) -> dict[str, Any]:
    """Return figures of streams; none where one is missing."""
    return {"streams": len(streams), "wanted": wanted, "mean_ms": mean(streams) if len(streams) == wanted else None, "worst_ms": max(streams, default=None)}


def measure(seconds: float) -> dict[str, Any]:
    """Return all of it."""
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, EmbeddedNetwork(Path(scratch) / "network", Plan(profile="lan")) as network:
        network.set_up()
        server, other = (Server(network, name) for name in (CALLER, CALLEE))
        server.add_phones(3)
        network.start()
        network.wait_ready()
        started = start_s(network, CALLER)
        network.wait_ready()
        found = {
            "start_s": started,
            "message": message_us(),
            **loads(server, Path(scratch) / "loads", seconds),
            "at_once": at_once(server, other, Path(scratch) / "at_once"),
        }
        return {**found, "kamailio": reference(server, Path(scratch) / "kamailio", seconds), "seconds": seconds}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of calls, and of registrations")
    given = parser.parse_args()
    print_apart(lambda: measure(given.seconds))


if __name__ == "__main__":
    main()
