"""Streams of running boxes: curl through SOCKS, HTTP CONNECT, a forward and by name, from a contact's service, also beside a call; over TLS; who is not allowed; over a restart. [io]"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from dnslib import RCODE, DNSRecord

from tests.support.embedded import CALLEE, CALLER, leave_dummies, told, wait_until
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.speech import make_speech
from voicebox.errors import HostError

pytestmark = pytest.mark.system

PLAN = Plan(first_port=47_400, prefix="127.0.81")
OCTETS = 100_000
SOCKS, FORWARD, PROXY = "127.0.81.200:1080", "127.0.81.200:8022", "127.0.81.200:8118"
FAST_FORWARD, UNLIKE_FORWARD = "127.0.81.200:8023", "127.0.81.200:8024"
FAST_PORT = 81
ENDS_FORWARD, ENDS_PORT, FAST_ENDS_FORWARD, FAST_ENDS_PORT = "127.0.81.200:8025", 82, "127.0.81.200:8026", 83
IDLERS = 50
MANY_OCTETS = 10_000_000
BREAK = b"!"
ON_THE_WAY = 512
"""Fast cells of a round trip on the loopback."""
UDP_FORWARD, TLS_FORWARD = "127.0.81.200:8053", "127.0.81.200:8443"
NAMES = "127.0.81.200", 5354
BY_NAME = 8080
"""A port that ordinary users may take."""


def _many() -> bytes:
    return hashlib.shake_128(b"many").digest(MANY_OCTETS)


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Serve a file of 100 kB, and a short one; yield the port and the digest of the long one."""
    folder = tmp_path_factory.mktemp("page")
    octets = b"".join(hashlib.sha256(bytes([place % 256, place // 256])).digest() for place in range(OCTETS // 32))
    (folder / "file").write_bytes(octets)
    (folder / "short").write_bytes(b"hello")
    (folder / "many").write_bytes(_many())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server, serving(server):
        yield server.server_address[1], hashlib.sha256(octets).hexdigest()


class _Ends(socketserver.StreamRequestHandler):
    """Reads until the other side has ended, and then answers; or breaks the connection off, where that is asked for."""

    def handle(self) -> None:
        first = self.rfile.read(1)
        if first == BREAK:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            os.close(self.connection.detach())  # with that option: by a reset
            return
        self.wfile.write(hashlib.sha256(first + self.rfile.read()).digest())


@pytest.fixture(scope="module")
def ends() -> Iterator[int]:
    """Serve that; yield the port."""
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Ends) as server:
        server.daemon_threads = True
        with serving(server):
            yield server.server_address[1]


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, page: tuple[int, str], ends: int) -> Iterator[EmbeddedNetwork]:
    network = EmbeddedNetwork(tmp_path_factory.mktemp("streams"), PLAN)
    network.set_up()
    caller, callee = network.boxes[CALLER].home, network.boxes[CALLEE].home
    settings = caller / "box.yaml"
    wanted = {"socks: none": f'socks: "{SOCKS}"', "http_proxy: none": f'http_proxy: "{PROXY}"', "listen: [none]": f'listen: ["{NAMES[0]}:{NAMES[1]}"]'}
    text = settings.read_text()
    for before, after in wanted.items():
        assert before in text
        text = text.replace(before, after)
    settings.write_text(text)
    network.voicebox("service", "add", "page", "--to", f"127.0.0.1:{page[0]}", "--port", str(BY_NAME), "--allow", CALLER, home=callee)
    network.voicebox("service", "add", "web", "--to", f"127.0.0.1:{page[0]}", "--port", "80", "--allow", CALLER, home=callee)
    network.voicebox("service", "add", "bulk", "--to", f"127.0.0.1:{page[0]}", "--port", str(FAST_PORT), "--allow", CALLER, "--fast", "--yes", home=callee)
    network.voicebox("service", "add", "ends", "--to", f"127.0.0.1:{ends}", "--port", str(ENDS_PORT), "--allow", CALLER, home=callee)
    network.voicebox(
        "service", "add", "fast-ends", "--to", f"127.0.0.1:{ends}", "--port", str(FAST_ENDS_PORT), "--allow", CALLER, "--fast", "--yes", home=callee
    )
    network.voicebox("forward", "add", ENDS_FORWARD, f"{CALLEE}.privacy:{ENDS_PORT}", home=caller)
    network.voicebox("forward", "add", FORWARD, f"{CALLEE}.privacy:80", home=caller)
    network.voicebox("forward", "add", FAST_FORWARD, f"{CALLEE}.privacy:{FAST_PORT}", "--fast", "--yes", home=caller)
    network.voicebox("forward", "add", UNLIKE_FORWARD, f"{CALLEE}.privacy:80", "--fast", "--yes", home=caller)
    try:
        network.start()
        network.wait_ready(120)
        leave_dummies(network)
        yield network
    finally:
        network.stop()


def curl(*arguments: str, timeout_s: float = 90) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["curl", "-sS", "--max-time", str(timeout_s), *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=False)


def by_socks(url: str, *more: str) -> subprocess.CompletedProcess[bytes]:
    return curl("--proxy", f"socks5h://{SOCKS}", *more, url)


def assert_no_faults(network: EmbeddedNetwork) -> None:
    for name in (CALLER, CALLEE):
        engine = told(network.boxes[name])["engine"]
        assert (engine["streams_broken"], engine["bad_command"], engine["panics"]) == (0, 0, 0)


def test_a_file_comes_through_socks_and_is_whole(network: EmbeddedNetwork, page: tuple[int, str]) -> None:
    done = by_socks(f"http://{CALLEE}.privacy/file")
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).hexdigest() == page[1]
    assert_no_faults(network)


def test_a_forward_leads_to_the_same(network: EmbeddedNetwork, page: tuple[int, str]) -> None:
    done = curl("--noproxy", "*", f"http://{FORWARD}/file")
    assert (hashlib.sha256(done.stdout).hexdigest(), done.stderr) == (page[1], b"")


@contextlib.contextmanager
def phones(network: EmbeddedNetwork, directory: Path) -> Iterator[tuple[PhoneDriver, PhoneDriver]]:
    """Yield two registered phones that speak Opus; the callee's answers by itself."""

    def make(name: str, speaker: int) -> PhoneDriver:
        sip, rtp = network.plan.phone_sip(name), network.plan.phone_rtp_port(name)
        play = make_speech(directory / f"{name}.wav", speaker, 60, "opus")
        setup = PhoneSetup(name, network.login(name), sip.address, sip.port, rtp_port=rtp, play=play, codec="opus", ring_s=0.2)
        return phone_for(setup, directory / name)

    with make(CALLER, 0) as caller, make(CALLEE, 1) as callee:
        for phone in (caller, callee):
            phone.wait_for("registered")
        yield caller, callee


def test_a_file_goes_on_beside_a_call_of_the_same_two_and_ends_none(network: EmbeddedNetwork, page: tuple[int, str], tmp_path: Path) -> None:
    leave_dummies(network)
    asked = ["curl", "-sS", "--max-time", "90", "--proxy", f"socks5h://{SOCKS}", f"http://{CALLEE}.privacy/file"]
    with phones(network, tmp_path) as (caller, callee), subprocess.Popen(asked, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as fetching:
        wait_until(lambda: told(network.boxes[CALLER])["streams"]["lines"] == 1, "a call for streams", 30)
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected")
        streams = [told(network.boxes[name])["streams"] for name in (CALLER, CALLEE)]
        assert [(each["lines"], each["beside"]) for each in streams] == [(0, 1), (0, 1)], "over before they talk"
        came, _ = fetching.communicate(timeout=120)
        assert hashlib.sha256(came).hexdigest() == page[1]
        assert told(network.boxes[CALLER])["streams"]["beside"] == 1
        assert "ended" not in caller.events + callee.events
        caller.hang_up()
        callee.wait_for("ended")
    wait_until(lambda: told(network.boxes[CALLER])["streams"]["beside"] == 0, "the end of the call", 10)
    assert by_socks(f"http://{CALLEE}.privacy/short").stdout == b"hello"
    assert_no_faults(network)


def test_ten_megabytes_come_whole_and_soon_by_a_fast_forward(network: EmbeddedNetwork) -> None:
    """Unseen, they would take more than eight minutes."""
    done = curl("--noproxy", "*", "-w", "%{stderr}%{time_total}", f"http://{FAST_FORWARD}/many", timeout_s=60)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(_many()).digest()
    engine = told(network.boxes[CALLEE])["engine"]
    assert engine["fast_out"] >= MANY_OCTETS / 212
    for name in (CALLER, CALLEE):
        engine = told(network.boxes[name])["engine"]
        assert (engine["streams_broken"], engine["fast_not_opened"], engine["panics"]) == (0, 0, 0)
        assert engine["fast_unasked"] < ON_THE_WAY, "what was on the way when a call ended"


def connected(forward: str) -> socket.socket:
    host, _, port = forward.partition(":")
    return socket.create_connection((host, int(port)), 60)


@pytest.fixture
def fast_ends(network: EmbeddedNetwork) -> Iterator[str]:
    """Have one more fast forward for a while."""
    home = network.boxes[CALLER].home
    network.voicebox("forward", "add", FAST_ENDS_FORWARD, f"{CALLEE}.privacy:{FAST_ENDS_PORT}", "--fast", "--yes", home=home)
    yield FAST_ENDS_FORWARD
    network.voicebox("forward", "remove", FAST_ENDS_FORWARD, home=home)


def test_a_side_that_has_ended_still_hears_and_a_reset_is_one_at_the_other_end(network: EmbeddedNetwork) -> None:
    end_and_break(network, ENDS_FORWARD)


def test_that_is_so_of_fast_streams_too(network: EmbeddedNetwork, fast_ends: str) -> None:
    end_and_break(network, fast_ends)


def end_and_break(network: EmbeddedNetwork, forward: str) -> None:
    said = hashlib.shake_128(b"ends").digest(20_000)
    with connected(forward) as program:
        program.sendall(said)
        program.shutdown(socket.SHUT_WR)
        assert program.makefile("rb").read() == hashlib.sha256(said).digest()
    with connected(forward) as program:
        program.sendall(BREAK)
        with pytest.raises(ConnectionResetError):
            program.recv(1)
    assert_no_faults(network)


def test_connections_that_say_nothing_stop_nobody_and_are_gone_with_their_program(network: EmbeddedNetwork) -> None:
    def open_now() -> tuple[int, ...]:
        return tuple(told(network.boxes[name])["engine"]["streams"] for name in (CALLER, CALLEE))

    before = open_now()
    with contextlib.ExitStack() as idlers:
        silent = [idlers.enter_context(connected(ENDS_FORWARD)) for _ in range(IDLERS)]
        done = by_socks(f"http://{CALLEE}.privacy/short")
        assert done.stdout == b"hello", done.stderr
        with connected(ENDS_FORWARD) as program:
            program.sendall(b"x")
            program.shutdown(socket.SHUT_WR)
            assert program.makefile("rb").read() == hashlib.sha256(b"x").digest()
        for program in silent[::2]:  # half of them break off, the others end
            program.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wait_until(lambda: all(now <= then for now, then in zip(open_now(), before, strict=True)), "the end of all of them", 60)


def test_where_only_one_side_says_fast_nothing_passes_and_it_is_said(network: EmbeddedNetwork) -> None:
    before = told(network.boxes[CALLER])["streams"]
    assert curl("--noproxy", "*", f"http://{UNLIKE_FORWARD}/short").stdout == b""
    assert by_socks(f"http://{CALLEE}.privacy:{FAST_PORT}/short").stdout == b""
    streams = told(network.boxes[CALLER])["streams"]
    assert [streams[name] - before.get(name, 0) for name in ("fast_refused", "fast_only")] == [1, 1]
    said = network.voicebox("status", home=network.boxes[CALLER].home)
    assert all(words in said for words in ("2 of your services and forwards", "the contact's service is not", "by a way that is not"))


@pytest.mark.parametrize("way", [("-x", f"http://{PROXY}"), ("-p", "-x", f"http://tor:x@{PROXY}")], ids=["get", "connect"])
def test_an_http_proxy_leads_to_the_same_and_says_what_is_wrong(network: EmbeddedNetwork, way: tuple[str, ...]) -> None:
    assert curl(*way, f"http://nas.{CALLEE}.privacy/short").stdout == b"hello"
    done = curl("--fail-with-body" if len(way) == 2 else "-sS", *way, "http://example.org/")
    assert done.returncode in {22, 56}
    if len(way) == 2:
        assert b"not to the internet" in done.stdout


def address_of(name: str, kind: str) -> list[str]:
    """Ask the box for a name, as a resolver does; return the addresses."""
    return [str(record.rdata) for record in DNSRecord.parse(DNSRecord.question(name, kind).send(*NAMES, timeout=10)).rr]


def test_a_program_finds_a_contact_by_name_without_knowing_of_any_proxy(network: EmbeddedNetwork) -> None:
    name = f"{CALLEE}.privacy"
    address = address_of(name, "A")[0]
    assert (address.startswith(("127.192.", "127.193.")), address_of(name, "AAAA")) == (True, [])
    # Not in names.ports: the contact's box says that there is something.
    with_port = ("--noproxy", "*", "--resolve", f"{name}:{BY_NAME}:{address}", f"http://{name}:{BY_NAME}/short")
    wait_until(lambda: curl(*with_port).returncode == 0, "what the contact offers", 30)
    done = curl(*with_port)
    assert (done.stdout, done.stderr) == (b"hello", b"")
    assert told(network.boxes[CALLER])["names"]["places"] == 1
    answer = DNSRecord.parse(DNSRecord.question("example.org").send(*NAMES, tcp=True, timeout=10))
    assert (answer.header.rcode, answer.rr) == (RCODE.REFUSED, [])


@pytest.fixture(scope="module")
def echo(network: EmbeddedNetwork) -> Iterator[None]:
    """Offer what gives datagrams back, with an octet more, and have a forward that leads there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))

        def work() -> None:
            with contextlib.suppress(OSError):
                while True:
                    octets, sender = service.recvfrom(10_000)
                    service.sendto(octets + b"!", sender)

        threading.Thread(target=work, daemon=True).start()
        to = f"127.0.0.1:{service.getsockname()[1]}"
        network.voicebox("service", "add", "echo", "--to", to, "--port", "53", "--udp", "--allow", CALLER, home=network.boxes[CALLEE].home)
        network.voicebox("forward", "add", UDP_FORWARD, f"{CALLEE}.privacy:53", "--udp", home=network.boxes[CALLER].home)
        yield


def exchanged(program: socket.socket, sent: bytes, *, header: bytes = b"") -> bytes:
    """Send a datagram until an answer to it comes, for they may be lost as others may; return the answer."""
    program.settimeout(2)
    for _ in range(20):
        program.send(header + sent)
        with contextlib.suppress(TimeoutError):
            while (came := program.recv(10_000)) != header + sent + b"!":
                pass
            return came.removeprefix(header)
    raise AssertionError("no answer")


@pytest.mark.usefixtures("echo")
def test_datagrams_through_a_forward_each_program_its_own(network: EmbeddedNetwork) -> None:
    host, port = UDP_FORWARD.split(":")
    before = told(network.boxes[CALLER])["streams"].get("associations_opened", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        for program, sent in ((one, b"a question"), (other, bytes(range(256)) * 12), (one, b"x" * 1_400), (other, b"")):
            program.connect((host, int(port)))
            assert exchanged(program, sent) == sent + b"!"
    assert told(network.boxes[CALLER])["streams"]["associations_opened"] - before == 2


@pytest.mark.usefixtures("echo")
def test_datagrams_through_socks_by_name_and_nowhere_else(network: EmbeddedNetwork) -> None:
    host, port = SOCKS.split(":")
    with socket.create_connection((host, int(port)), 10) as control, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        control.sendall(b"\x05\x01\x00" + b"\x05\x03\x00\x01" + bytes(6))
        reply = b""
        while len(reply) < 12:
            reply += control.recv(12)
        assert reply[:6] == b"\x05\x00\x05\x00\x00\x01"
        program.connect((socket.inet_ntoa(reply[6:10]), int.from_bytes(reply[10:])))
        host_name = f"{CALLEE}.privacy".encode()
        header = b"\x00\x00\x00\x03" + bytes([len(host_name)]) + host_name
        program.send(b"\x00\x00\x00\x01\x7f\x00\x00\x01\x00\x35nowhere")
        query = bytes(DNSRecord.question("a.like.request").pack())
        assert exchanged(program, query, header=header + b"\x00\x35") == query + b"!"
        assert exchanged(program, b"z" * 2_000, header=header + b"\x00\x35") == b"z" * 2_000 + b"!"
    refused = told(network.boxes[CALLER])["streams"]["datagrams_refused"]
    assert refused == 1
    for name in (CALLER, CALLEE):
        engine = told(network.boxes[name])["engine"]
        assert (engine["streams_broken"], engine["panics"]) == (0, 0)


def test_a_contact_says_what_it_offers(network: EmbeddedNetwork) -> None:
    told_of = network.voicebox("service", "list", CALLEE, home=network.boxes[CALLER].home).splitlines()
    assert {f"web: port 80 of {CALLEE}", f"page: port {BY_NAME} of {CALLEE}"} <= set(told_of)
    with pytest.raises(HostError, match="no contact"):
        network.voicebox("service", "list", "dave", home=network.boxes[CALLER].home)
    assert network.voicebox("service", "list", CALLER, home=network.boxes[CALLEE].home) == f"{CALLER} offers you nothing.\n"


def test_what_is_nobodys_and_what_is_not_offered_is_refused(network: EmbeddedNetwork) -> None:
    for url in (f"http://{CALLEE}.privacy:81/", "http://dave.privacy/", "http://example.org/", "http://127.0.0.1/"):
        done = by_socks(url)
        assert done.returncode in {7, 97}, (url, done)
        assert done.stdout == b""


@pytest.fixture(scope="module")
def authority(network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the file of what programs at the caller's are to trust."""
    file = str(tmp_path_factory.mktemp("authority") / "contacts.pem")
    assert ".privacy" in network.voicebox("cert", "ca", file, home=network.boxes[CALLER].home)
    return file


@contextlib.contextmanager
def over_tls(network: EmbeddedNetwork, name: str, port: int, folder: Path) -> Iterator[None]:
    """Serve a short page over TLS at the callee's, with the certificate that her box issued, and offer it."""
    home = network.boxes[CALLEE].home
    network.voicebox("cert", "issue", name, home=home)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "certs" / f"{name}.pem")
    (folder / "short").write_bytes(b"hello")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=folder)) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        to = f"127.0.0.1:{server.server_address[1]}"
        with serving(server):
            network.voicebox("service", "add", name, "--to", to, "--port", str(port), "--allow", CALLER, "--tls", home=home)
            try:
                yield
            finally:
                network.voicebox("service", "remove", name, home=home)


def test_a_contacts_certificate_is_checked_and_presented_here_under_the_name_that_was_asked(network: EmbeddedNetwork, authority: str, tmp_path: Path) -> None:
    network.voicebox("forward", "add", TLS_FORWARD, f"{CALLEE}.privacy:443", home=network.boxes[CALLER].home)

    def counted() -> dict[str, int]:
        return dict(told(network.boxes[CALLER])["streams"])

    before = counted()
    by_name, host = f"https://{CALLEE}.privacy/short", f"https://nas.{CALLEE}.privacy/short"
    ways = {
        "socks": ("--proxy", f"socks5h://{SOCKS}"),
        "connect": ("-x", f"http://{PROXY}"),
        "forward": ("--noproxy", "*", "--connect-to", f"::{TLS_FORWARD}"),
    }
    with over_tls(network, "nas", 443, tmp_path):
        for way in ways.values():
            for url in (by_name, host):
                done = curl("--cacert", authority, *way, url)
                assert (done.stdout, done.stderr) == (b"hello", b""), (way, url)
            done = curl("--cacert", authority, *way, f"https://tv.{CALLEE}.privacy/short")
            assert (done.returncode, done.stdout) == (35, b""), "its certificate is for nas"
            assert b"bad certificate" in done.stderr
        done = curl(*ways["socks"], host)
        assert done.returncode == 60, "who was not given the authority does not trust it"
        done = curl("--cacert", authority, *ways["forward"], "https://dave.privacy/short")
        assert (done.returncode, b"unrecognized name" in done.stderr) == (35, True)
    wait_until(lambda: counted()["tls"] == 0, "the end of all of them")
    kinds = ("tls_done", "tls_refused_other_name", "tls_refused_name", "tls_no_program")
    assert [counted().get(kind, 0) - before.get(kind, 0) for kind in kinds] == [6, 3, 1, 1]


def test_a_service_that_is_removed_is_offered_no_more_and_another_one_is(network: EmbeddedNetwork, page: tuple[int, str]) -> None:
    callee = network.boxes[CALLEE].home
    network.voicebox("service", "add", "more", "--to", f"127.0.0.1:{page[0]}", "--port", "8000", "--allow", CALLER, home=callee)
    assert by_socks(f"http://{CALLEE}.privacy:8000/short").stdout == b"hello"
    network.voicebox("service", "remove", "more", home=callee)
    assert by_socks(f"http://{CALLEE}.privacy:8000/short").returncode in {7, 97}
    assert "more" not in network.voicebox("service", "list", home=callee)


def test_after_a_restart_of_the_contacts_box_streams_begin_anew_and_what_was_revoked_is_refused(
    network: EmbeddedNetwork, authority: str, tmp_path: Path
) -> None:
    url, callee = f"https://vault.{CALLEE}.privacy:8444/short", network.boxes[CALLEE]
    with over_tls(network, "vault", 8444, tmp_path):
        assert by_socks(url, "--cacert", authority).stdout == b"hello"
        network.voicebox("cert", "revoke", "vault", home=callee.home)
        network.stop_node(callee)
        network.start_node(callee)
        network.wait_ready(120)
        wait_until(lambda: told(network.boxes[CALLER])["streams"]["lines"] == 0, "the end of the line to the box that was stopped", 30)
        assert by_socks(f"http://{CALLEE}.privacy/short").stdout == b"hello"
        wait_until(lambda: b"certificate revoked" in by_socks(url, "--cacert", authority).stderr, "what the contact's box says of it", 60)
        assert by_socks(url, "--cacert", authority).stdout == b""
