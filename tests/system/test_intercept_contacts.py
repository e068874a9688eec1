"""Interception with running boxes: curl on the box's host, and on a device of its LAN that asks a resolver of its own, reach a contact's page as they are. [io]

Relays on an internet of this machine's own, each box in a house behind a router. Alice's machine is the router of a LAN too; what leaves it towards the world is heard.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, leave_dummies, running, told, wait_until
from tests.support.houses import House, Internet
from tests.support.interception import heard, helper_of, look_up, query, reach, virtual
from tools.lab.namespaces import Namespace, wait_carries
from voicebox.demo.network import EmbeddedNetwork, Node, Plan

pytestmark = pytest.mark.system

DEVICE, GATEWAY, WIRED_IN = "192.168.9.9", "192.168.9.1", "8.8.8.8"
NAMES = 1_000
PAGE = b"hello from a contact\n"
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
    directory: Path

    @property
    def box(self) -> Node:
        return self.network.boxes[CALLER]

    def voicebox(self, *arguments: str) -> str:
        return self.host.run(lambda: self.network.voicebox(*arguments, home=self.box.home))

    def curl(self, where: Namespace, resolver: str, url: str) -> subprocess.CompletedProcess[bytes]:
        """Run curl as it is, on a machine with one resolver."""
        settings = self.directory / f"resolv.{resolver}"
        settings.write_text(f"nameserver {resolver}\noptions timeout:2 attempts:2\n")
        inside = f'mount --bind {settings} /etc/resolv.conf && exec "$@"'
        command = [*where.wrapper, "unshare", "-m", "sh", "-c", inside, "sh", "curl", "-sS", "--noproxy", "*", "--max-time", "30", url]
        return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)

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
    house.inside.run(lambda: Path("/proc/sys/net/ipv4/ip_forward").write_text("1"))
    wait_carries(device, "eth0")
    return device


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("intercept")
    network = EmbeddedNetwork(directory / "network", PLAN)
    with contextlib.ExitStack() as stack:
        internet = stack.enter_context(Internet([PLAN.relay_address(name).address for name in network.relays]))
        stack.enter_context(network)
        houses = {name: internet.house() for name in network.boxes}
        for node in network.relays.values():
            node.wrapper = internet.namespace.wrapper
        network.set_up()
        for name, node in network.boxes.items():
            node.wrapper = houses[name].inside.wrapper
            settings = node.home / "box.yaml"
            text = settings.read_text().replace("link_address: 127.0.0.1", "link_address: 0.0.0.0")
            assert "listen: [none]" in text
            settings.write_text(text.replace("listen: [none]", 'listen: ["127.0.0.1:53"]'))
        device = with_a_device(houses[CALLER])
        stack.callback(device.close)
        server = houses[CALLEE].inside.run(lambda: http.server.ThreadingHTTPServer(("127.0.0.1", 8_080), _Page))
        stack.callback(server.server_close)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        stack.callback(server.shutdown)
        network.voicebox("service", "add", "web", "--to", "127.0.0.1:8080", "--port", "80", "--allow", CALLER, home=network.boxes[CALLEE].home)
        stack.enter_context(running(network))
        leave_dummies(network)
        place = Place(network, houses[CALLER].inside, houses[CALLER]._router, device, directory)
        yield place


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
        assert [frame for frame in frames if query("example.org")[2:] in frame], "an ordinary question of the device did not leave as it was"
        assert virtual(frames) == []
        place.voicebox("intercept", "off")
    assert place.rules() == before


def test_nothing_for_contacts_leaves_while_the_box_runs_is_killed_is_off_and_starts(intercepted: Place) -> None:
    place, quarter = intercepted, NAMES // 4
    names = [f"n{number}.privacy" for number in range(NAMES)]

    def look(part: int) -> None:
        some = names[part * quarter : (part + 1) * quarter]
        place.host.run(partial(look_up, some, WIRED_IN))
        place.device.run(partial(look_up, some, WIRED_IN))
        place.host.run(partial(reach, "198.18.3.4", 0.5))
        place.device.run(partial(reach, "198.18.3.4", 0.5))

    with heard(place.router, "lan") as frames:
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
    wait_until(lambda: bool(told(place.box)["interception"]["on"]), "the box's notice of the helper", 30)
    leave_dummies(place.network)
    assert place.fetch(place.device, WIRED_IN, f"http://{CALLEE}.privacy/") == PAGE


def _status(place: Place) -> str:
    command = ["-m", "voicebox", "intercept", "status", "--home", str(place.box.home)]
    return subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False, timeout=60).stdout
