"""Interception with running boxes: curl, sftp, iperf3 and programs that speak UDP, on the box's host and on a device of its LAN that asks a resolver of its own, reach a contact; a phone of the LAN calls one by way of its provider. [io]

Relays on an internet of this machine's own, each box in a house behind a router. Alice's machine is the router of a LAN too; what leaves it towards the world is heard.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from dnslib import DNSRecord

from tests.support.embedded import CALLEE, CALLER, leave_dummies, running, told, wait_until
from tests.support.houses import INSIDE, House, Internet
from tests.support.interception import heard, helper_of, look_up, look_up_by_tcp, query, reach, resolver_by_tcp, send, virtual
from tests.support.phones import Baresip, BuiltinPhone, Login, PhoneSetup, assert_heard
from tests.support.tone import write_tone
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.demo.network import EmbeddedNetwork, Node, Plan
from voicebox.sensitive import Secret

pytestmark = pytest.mark.system

DEVICE, GATEWAY, WIRED_IN = "192.168.9.9", "192.168.9.1", "8.8.8.8"
PROVIDER, USER_ELSEWHERE = "203.0.113.250", "4930123456"
"""Where the device's phone is told to register, and where nobody is."""
CALLER_HZ, CALLEE_HZ, TALK_S = 440, 1_000, 2.0
NAMES = 1_000
PAGE = b"hello from a contact\n"
SFTP_OCTETS, IPERF_OCTETS, IPERF_PIECE_OCTETS = 30_000, 10_000, 400
LONG = b"".join(hashlib.sha256(bytes([place % 256, place // 256])).digest() for place in range(1_600))


@dataclass(frozen=True, slots=True)
class HousesPlan(Plan):
    """Relays with addresses of the internet; each box on its house's loopback."""

    def box_address(self, name: str) -> str:
        return "127.0.0.1"


PLAN = HousesPlan(prefix="203.0.113")


class _Page(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        page = LONG if self.path == "/long" else PAGE
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@dataclass
class Place:
    """Alice's machine with its box, the router beyond it, and a device of its LAN."""

    network: EmbeddedNetwork
    host: Namespace
    router: Namespace
    device: Namespace
    there: Namespace
    """Where the contact is."""
    directory: Path
    internet: Namespace

    @property
    def box(self) -> Node:
        return self.network.boxes[CALLER]

    def voicebox(self, *arguments: str) -> str:
        return self.host.run(lambda: self.network.voicebox(*arguments, home=self.box.home))

    def run(self, where: Namespace, resolver: str, *command: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        """Run a program as it is, on a machine with one resolver."""
        settings = self.directory / f"resolv.{resolver}"
        settings.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:2\n")
        inside = f'mount --bind {settings} /etc/resolv.conf && exec "$@"'
        return subprocess.run([*where.wrapper, "unshare", "-m", "sh", "-c", inside, "sh", *command], input=given, capture_output=True, timeout=60, check=False)

    def curl(self, where: Namespace, resolver: str, url: str) -> subprocess.CompletedProcess[bytes]:
        """Run curl as it is, on a machine with one resolver."""
        return self.run(where, resolver, "curl", "-sS", "--noproxy", "*", "--max-time", "30", url)

    def until_done(self, where: Namespace, resolver: str, *command: str, given: bytes = b"") -> bytes:
        """Return what a program says once it ends well: the circuits may be in a dummy for longer than a connection is held."""
        done = [subprocess.CompletedProcess[bytes]([], 1)]

        def ended() -> bool:
            done[0] = self.run(where, resolver, *command, given=given)
            return done[0].returncode == 0

        try:
            wait_until(ended, "a program's end", 90)
        except AssertionError:
            raise AssertionError((done[0].stdout + done[0].stderr)[-600:]) from None
        return done[0].stdout

    def fetch(self, where: Namespace, resolver: str, url: str) -> bytes:
        """Return what curl gets, once the contact's box answers: circuits may be in a dummy, or just be made, for longer than a connection is held."""
        got = [b""]

        def answered() -> bool:
            done = self.curl(where, resolver, url)
            got[0] = done.stdout
            return done.returncode == 0 and not any(late in done.stdout for late in (b"has not answered in time", b"cannot be reached now"))

        wait_until(answered, "an answer of the contact's box", 90)
        return got[0]

    def rules(self) -> str:
        """Return all rules and routes of alice's machine."""
        commands = (["nft", "list", "ruleset"], ["ip", "rule"], ["ip", "route", "show", "table", "all"], ["ip", "-o", "link"])
        return "".join(subprocess.run([*self.host.wrapper, *each], capture_output=True, text=True, check=True, timeout=30).stdout for each in commands)


def with_a_device(house: House) -> Namespace:
    """Let a house's machine be the router of a LAN with one device."""
    device = Namespace()
    house.inside.ip([f"link add lan0 type veth peer name eth0 netns {device.path}", f"address add {GATEWAY}/24 dev lan0", "link set lan0 up"])
    device.ip([f"address add {DEVICE}/24 dev eth0", "link set eth0 up", f"route add default via {GATEWAY}"])
    house._router.ip([f"route add 192.168.9.0/24 via {INSIDE}"])
    house.inside.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
    wait_carries(device, "eth0")
    return device


ECHO = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 5000))\nwhile True:\n    octets, sender = s.recvfrom(9000)\n    s.sendto(octets[:2] + b'!' + octets[2:], sender)\n"


def services(house: Namespace, directory: Path, stack: contextlib.ExitStack) -> list[str]:
    """Start what the contact offers besides the page; return what each is: name, place, port, and whether it is UDP."""
    for key in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / key)], check=True, timeout=30)
    (directory / "long").write_bytes(LONG[:SFTP_OCTETS])
    settings = {
        "Port": "2222",
        "ListenAddress": "127.0.0.1",
        "HostKey": directory / "host",
        "AuthorizedKeysFile": directory / "user.pub",
        "StrictModes": "no",
        "PasswordAuthentication": "no",
        "PermitRootLogin": "yes",
        "PidFile": "none",
        "Subsystem": "sftp /usr/lib/openssh/sftp-server",
    }
    (directory / "sshd").write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
    own_run = "mount -t tmpfs none /run && mkdir -p /run/sshd && exec /usr/sbin/sshd -D -e -f "  # it wants this directory
    for command in (["unshare", "-m", "sh", "-c", f"{own_run}{directory / 'sshd'}"], ["iperf3", "-s", "-B", "127.0.0.1"], [sys.executable, "-c", ECHO]):
        nothing = subprocess.DEVNULL
        server = stack.enter_context(subprocess.Popen([*house.wrapper, *command], stdin=nothing, stdout=nothing, stderr=nothing))
        stack.callback(server.kill)
    return [
        "ssh 127.0.0.1:2222 22",
        "iperf 127.0.0.1:5201 5201",
        "iperf-udp 127.0.0.1:5201 5201 --udp",
        "echo 127.0.0.1:5000 5000 --udp",
        "dns 127.0.0.1:5000 53 --udp",
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("intercept")
    network = EmbeddedNetwork(directory / "network", PLAN)
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(Internet([PLAN.relay_address(name).address for name in network.relays]))
        stack.enter_context(network)
        internet.namespace.ip([f"address add {WIRED_IN}/32 dev lo"])
        houses = {name: internet.house() for name in network.boxes}
        for node in network.relays.values():
            node.wrapper = internet.namespace.wrapper
        network.set_up()
        for name, node in network.boxes.items():
            node.wrapper = houses[name].inside.wrapper
            settings = node.home / "box.yaml"
            text = settings.read_text().replace("link_address: 127.0.0.1", "link_address: 0.0.0.0")
            own = f'"127.0.0.1:{PLAN.sip_port}"'
            assert all(each in text for each in ("listen: [none]", f"listen: [{own}]", "phones: [nobody]"))
            text = text.replace("listen: [none]", 'listen: ["127.0.0.1:53"]')
            if name == CALLER:
                text = text.replace(f"listen: [{own}]", f'listen: [{own}, "{GATEWAY}:5060", "{INSIDE}:5060"]').replace(
                    "phones: [nobody]", f'phones: [here, "{DEVICE}"]'
                )
            settings.write_text(text)
        device = with_a_device(houses[CALLER])
        stack.callback(device.close)
        server = houses[CALLEE].inside.run(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", 8_080), _Page))
        stack.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(server.shutdown)
        for each in (*services(houses[CALLEE].inside, directory, stack), "web 127.0.0.1:8080 80"):
            name, to, port, *kind = each.split()
            network.voicebox("service", "add", name, "--to", to, "--port", port, *kind, "--allow", CALLER, home=network.boxes[CALLEE].home)
        stack.enter_context(running(network))
        leave_dummies(network)
        place = Place(network, houses[CALLER].inside, houses[CALLER]._router, device, houses[CALLEE].inside, directory, internet.namespace)
        yield place


def rebound(place: Place) -> bytes:
    """Fetch a page under a name of somebody else's that leads to the contact's address, as a hostile page in a browser does; return what it gets."""
    address = address_of(place.device, WIRED_IN, f"{CALLEE}.privacy")
    command = ["curl", "-sS", "--noproxy", "*", "--max-time", "30", "--resolve", f"page.example:80:{address}", "http://page.example/"]
    return place.run(place.device, WIRED_IN, *command).stdout


@contextlib.contextmanager
def interception(place: Place) -> Iterator[None]:
    """Have interception on, for the host and its LAN."""
    place.voicebox("intercept", "on", "--gateway", "lan0")
    helper = helper_of(place.box.home)
    try:
        wait_until(lambda: bool(told(place.box)["interception"]["on"]), "the box's notice of the helper", 30)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(helper, signal.SIGKILL)


@pytest.fixture
def intercepted(place: Place) -> Iterator[Place]:
    try:
        with interception(place):
            yield place
    finally:
        with contextlib.suppress(Exception):
            place.voicebox("intercept", "off")


def test_a_page_comes_to_curl_as_it_is_on_the_host_and_on_a_device_with_a_resolver_wired_in(place: Place) -> None:
    before = place.rules()
    with interception(place):
        with heard(place.router, "lan") as frames:
            assert place.fetch(place.host, "127.0.0.1", f"http://{CALLEE}.privacy/") == PAGE
            assert place.fetch(place.device, WIRED_IN, f"http://{CALLEE}.privacy/") == PAGE
            assert place.fetch(place.device, WIRED_IN, f"http://nas.{CALLEE}.privacy/long") == LONG
            assert b"offers you nothing" in place.fetch(place.device, WIRED_IN, f"http://{CALLEE}.privacy:81/")
            place.device.run(lambda: look_up(["example.org"], WIRED_IN))
            assert b"contact's name alone" in rebound(place)
        assert [frame for frame in frames if query("example.org")[2:] in frame], "an ordinary question of the device did not leave as it was"
        assert virtual(frames) == []
        place.voicebox("intercept", "off")
    assert place.rules() == before


@pytest.fixture(params=["host", "device"])
def somewhere(request: pytest.FixtureRequest, intercepted: Place) -> tuple[Place, Namespace, str]:
    """Have interception on; return a machine and the resolver that it has."""
    place = intercepted
    return (place, place.host, "127.0.0.1") if request.param == "host" else (place, place.device, WIRED_IN)


def address_of(where: Namespace, resolver: str, name: str) -> str:
    """Ask for a name as a program does; return its address of IPv4."""
    answer = where.run(lambda: DNSRecord.parse(DNSRecord.question(name).send(resolver, timeout=10)))
    return next(str(each.rdata) for each in answer.rr)


def exchanged(program: socket.socket, sent: bytes) -> bytes:
    """Send a datagram until an answer to it comes, for they may be lost or refused as others may; return the answer."""
    program.settimeout(2)
    ends_at = time.monotonic() + 60
    while time.monotonic() < ends_at:
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            program.send(sent)
            while (came := program.recv(9_000))[:2] != sent[:2]:
                pass
            return came
        time.sleep(0.1)
    raise AssertionError("no answer")


def test_datagrams_are_answered_and_a_request_like_those_of_dns_too(somewhere: tuple[Place, Namespace, str]) -> None:
    place, where, resolver = somewhere
    address = address_of(where, resolver, f"{CALLEE}.privacy")
    with heard(place.router, "lan") as frames:
        for port in (5_000, 53):
            with where.run(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as program:
                where.run(partial(program.connect, (address, port)))
                for sent in (query("a.request"), b"2 " + b"x" * 3_000, b"3 "):
                    assert exchanged(program, sent) == sent[:2] + b"!" + sent[2:]
    assert virtual(frames) == []
    assert told(place.box)["interception"]["flows_led"] >= 2
    assert told(place.box)["engine"]["panics"] == 0


def test_sftp_fetches_a_file_as_it_is(somewhere: tuple[Place, Namespace, str]) -> None:
    place, where, resolver = somewhere
    got = place.directory / f"got.{resolver}"
    options = [
        f"IdentityFile={place.directory / 'user'}",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
        "ConnectTimeout=20",
        "AddressFamily=inet",
    ]
    command = ["sftp", "-q", "-b", "-", *(word for each in options for word in ("-o", each)), f"{getpass.getuser()}@{CALLEE}.privacy"]
    place.until_done(where, resolver, *command, given=f"get {place.directory / 'long'} {got}\n".encode())
    assert got.read_bytes() == LONG[:SFTP_OCTETS]


def test_iperf3_measures_tcp_and_udp_as_it_is(somewhere: tuple[Place, Namespace, str]) -> None:
    place, where, resolver = somewhere
    command = ["iperf3", "-4", "-J", "-c", f"{CALLEE}.privacy", "--connect-timeout", "20000"]
    command += ["-b", "40K", "-l", str(IPERF_PIECE_OCTETS), "-n", str(IPERF_OCTETS)]
    stream = json.loads(place.until_done(where, resolver, *command))["end"]
    assert stream["sum_sent"]["bytes"] == IPERF_OCTETS
    assert stream["sum_received"]["bytes"] >= IPERF_OCTETS // 2, "it ends without waiting for what is under way"
    datagrams = json.loads(place.until_done(where, resolver, *command, "-u"))["end"]["sum"]
    assert datagrams["bytes"] == IPERF_OCTETS
    assert 0 < datagrams["packets"] <= IPERF_OCTETS // IPERF_PIECE_OCTETS
    assert datagrams["lost_packets"] <= datagrams["packets"] // 2, "datagrams are not said twice, but most come"


def test_nothing_for_contacts_leaves_while_the_box_runs_is_killed_is_off_and_starts(intercepted: Place) -> None:
    place = intercepted
    names = [f"n{number}.privacy" for number in range(NAMES)]
    by_tcp = [0]

    def look(part: int) -> None:
        for where in (place.host, place.device):
            where.run(partial(look_up, names, WIRED_IN, ("A", "AAAA")))
            by_tcp[0] += where.run(partial(look_up_by_tcp, names[part::40], WIRED_IN))
            where.run(partial(reach, "198.18.3.4", 0.5))
            where.run(partial(send, "198.18.3.4"))

    with resolver_by_tcp(place.internet, WIRED_IN), heard(place.router, "lan") as frames:
        look(0)
        place.network.stop_node(place.box, signal.SIGKILL)
        look(1)
        wait_until(lambda: "No box runs" in _status(place), "the helper's notice", 10)
        assert place.host.run(lambda: reach("198.18.3.4")) == 111
        look(2)
        place.network.start_node(place.box)
        look(3)
        place.network.wait_ready(120)
    assert virtual(frames) == []
    assert by_tcp[0] == 4 * 2 * NAMES // 40, "the resolver was not reached by TCP, so nothing could be heard"
    wait_until(lambda: bool(told(place.box)["interception"]["on"]), "the box's notice of the helper", 30)
    leave_dummies(place.network)
    assert place.fetch(place.device, WIRED_IN, f"http://{CALLEE}.privacy/") == PAGE


def phones(place: Place, where: Namespace, address: str) -> tuple[Baresip, BuiltinPhone]:
    """Return a phone that has an account with a provider and none with the box, and the contact's phone."""
    tones = [write_tone(place.directory / f"{name}.wav", tone_hz, 30) for name, tone_hz in ((CALLER, CALLER_HZ), (CALLEE, CALLEE_HZ))]
    account = Login(PROVIDER, 5_060, USER_ELSEWHERE, Secret(b"not the box's"))
    caller = PhoneSetup("caller", account, address, 5_062, 6_000, tones[0], place=where)
    callee = PhoneSetup("callee", place.network.login(CALLEE), "127.0.0.1", 5_600, 6_100, tones[1], place=place.there)
    return Baresip(caller, place.directory / f"caller-{address}"), BuiltinPhone(callee, place.directory / f"callee-{address}")


def test_a_phone_of_another_provider_calls_a_contact_and_the_provider_hears_nothing_of_it(intercepted: Place) -> None:
    place = intercepted
    caller, callee = phones(place, place.device, DEVICE)
    with heard(place.router, "lan") as frames, heard(place.there, "lo") as theirs, caller, callee:
        callee.wait_for("registered")
        for number, who_hangs_up in enumerate((caller, callee), 1):
            caller.dial(f"sip:{CALLEE}@{CALLEE}.privacy")
            callee.wait_for("incoming", 30, number)
            caller.wait_for("ringing", count=number)
            callee.answer()
            caller.wait_for("connected", count=number)
            callee.wait_for("connected", count=number)
            time.sleep(TALK_S)
            who_hangs_up.hang_up()
            caller.wait_for("ended", count=number)
            callee.wait_for("ended", count=number)
        caller.dial(f"sip:{CALLEE}.privacy@{PROVIDER}")  # as a phone completes what was typed
        callee.wait_for("incoming", 30, 3)
        caller.wait_for("ringing", count=3)
        caller.hang_up()
        callee.wait_for("ended", count=3)
        caller.wait_for("ended", count=3)
        caller.dial(f"sip:*43.privacy@{PROVIDER}")
        caller.wait_for("ended", count=4)
        assert caller.status == 403, "the house's own numbers are for its own phones"
    assert_heard(caller, CALLEE_HZ, CALLER_HZ, TALK_S - 1)
    assert_heard(callee, CALLER_HZ, CALLEE_HZ, TALK_S - 1)
    assert [frame for frame in frames if b"REGISTER sip:" + PROVIDER.encode() in frame], "the phone's own registration did not leave"
    assert [frame for frame in frames if b"privacy" in frame.lower() or b"INVITE sip:" in frame] == []
    # What tells the phone, its provider or its address comes nowhere near the contact's phone.
    assert [frame for frame in theirs if b"INVITE sip:" in frame], "the contact's phone was not heard"
    assert [frame for frame in theirs if any(each.encode() in frame for each in (PROVIDER, USER_ELSEWHERE, DEVICE))] == []
    sip = told(place.box)["sip"]
    assert (sip["calls"], sip.get("bugs", 0)) == (0, 0)


@pytest.mark.long
def test_a_phone_of_this_machine_that_is_registered_elsewhere_calls_a_contact(intercepted: Place) -> None:
    place = intercepted
    caller, callee = phones(place, place.host, INSIDE)
    with heard(place.router, "lan") as frames, caller, callee:
        callee.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        callee.wait_for("incoming", 30)
        callee.answer()
        caller.wait_for("connected")
        time.sleep(TALK_S)
        caller.hang_up()
        callee.wait_for("ended")
        caller.wait_for("ended")
    assert_heard(caller, CALLEE_HZ, CALLER_HZ, TALK_S - 1)
    assert_heard(callee, CALLER_HZ, CALLEE_HZ, TALK_S - 1)
    assert [frame for frame in frames if b"privacy" in frame.lower()] == []


def _status(place: Place) -> str:
    command = ["-m", "voicebox", "intercept", "status", "--home", str(place.box.home)]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=60).stdout
