"""Links between two engines over real sockets, with a wire between them that records, loses, replays and floods.

What is recorded is what went over the wire, not what an engine says of itself. Spec: PROTOCOL.md §2.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import hashlib
import random
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field, replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.networks import make_relay
from voicebox.circuits.descriptor import Role
from voicebox.circuits.reach import hello, parse_cookie, parse_reached, serialise_reach
from voicebox.config.model import Endpoint
from voicebox.dataplane import EngineFailed, Event, LinkDown, LinkFailed, LinkUp, LiveDataPlane
from voicebox.errors import HostError, LocalError
from voicebox.reaching import look

pytestmark = pytest.mark.alone

CELL_DATAGRAM = 278
LOCAL = "127.0.0.1"


@dataclass(frozen=True)
class Identity:
    """A link key with its self-signed certificate."""

    certificate: bytes
    key: bytes
    pin: bytes


def make_identity() -> Identity:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "link")])
    now = dt.datetime.now(dt.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(days=1))
    spki = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    der, pkcs8 = serialization.Encoding.DER, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(der, pkcs8, serialization.NoEncryption())
    return Identity(builder.sign(key, hashes.SHA256()).public_bytes(der), secret, hashlib.sha256(spki).digest())


@dataclass
class Node:
    """An engine and what it told."""

    plane: LiveDataPlane
    events: list[Event] = field(default_factory=list)

    async def told(self, kind: type[Event], seconds: float = 5.0) -> Event:
        """Wait for the first event of this kind and take it out."""
        ends = time.monotonic() + seconds
        while time.monotonic() < ends:
            for event in self.events:
                assert not isinstance(event, EngineFailed)
                if isinstance(event, kind):
                    self.events.remove(event)
                    return event
            await asyncio.sleep(0.005)
        raise AssertionError(f"no {kind.__name__}; told {self.events}, {self.plane.counters()}")


class Side(asyncio.DatagramProtocol):
    """One socket of the wire."""

    def __init__(self, take: Callable[[bytes, tuple[str, int]], None]) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._take(data, addr)


class Wire:
    """Carries datagrams between one dialling node and a listener. forward: towards the listener."""

    def __init__(self, listener_port: int) -> None:
        self._listener = (LOCAL, listener_port)
        self._dialler: tuple[str, int] | None = None
        self.forward: list[bytes] = []
        self.backward: list[bytes] = []
        self.passes: Callable[[bytes, bool], bool] = lambda _datagram, _forward: True

    async def open(self) -> int:
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(lambda: Side(self._from_dialler), local_addr=(LOCAL, 0))
        self._far, _ = await loop.create_datagram_endpoint(lambda: Side(self._from_listener), local_addr=(LOCAL, 0))
        return int(self._near.get_extra_info("sockname")[1])

    def _from_dialler(self, datagram: bytes, sender: tuple[str, int]) -> None:
        self._dialler = sender
        self.forward.append(datagram)
        if self.passes(datagram, True):
            self.inject(datagram)

    def _from_listener(self, datagram: bytes, _sender: tuple[str, int]) -> None:
        self.backward.append(datagram)
        if self._dialler is not None and self.passes(datagram, False):
            self._near.sendto(datagram, self._dialler)

    def inject(self, datagram: bytes) -> None:
        """Send to the listener as if it came from the dialling node."""
        self._far.sendto(datagram, self._listener)

    async def change_port(self) -> None:
        """Be a router that gives its flow another port, and knows the former one no more."""
        former = self._far
        self._far, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: Side(self._from_listener), local_addr=(LOCAL, 0))
        former.close()

    def close(self) -> None:
        self._near.close()
        self._far.close()


def first_cell(datagrams: list[bytes]) -> int:
    """Place of the first cell: handshake datagrams of 278 octets do not occur with these certificates and this key exchange."""
    lengths = [len(datagram) for datagram in datagrams]
    assert CELL_DATAGRAM in lengths, lengths
    return lengths.index(CELL_DATAGRAM)


@pytest.fixture
async def make_node() -> AsyncIterator[Callable[..., Node]]:
    """Make nodes that end with the test."""
    nodes: list[Node] = []

    def make(link_idle_us: int = 60_000_000) -> Node:
        node = Node(LiveDataPlane(born_unix_us=0, realtime=False, link_idle_us=link_idle_us))
        node.plane.start()
        node.plane.attach(node.events.append)
        nodes.append(node)
        return node

    yield make
    for node in nodes:
        node.plane.detach()
        node.plane.stop()


@pytest.fixture
async def make_wire() -> AsyncIterator[Callable[[int], Wire]]:
    wires: list[Wire] = []

    def make(listener_port: int) -> Wire:
        wires.append(Wire(listener_port))
        return wires[-1]

    yield make
    for wire in wires:
        wire.close()


MakeNode = Callable[..., Node]
MakeWire = Callable[[int], Wire]


async def test_an_access_link_carries_cells_of_one_length_at_fifty_a_second(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, box, identity = make_node(), make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    link = box.plane.connect(LOCAL, await wire.open(), identity.pin)
    assert await box.told(LinkUp) == LinkUp(link, incoming=False, peer_pin=identity.pin)
    up = await guard.told(LinkUp)
    assert isinstance(up, LinkUp)
    assert up.incoming
    assert (up.peer_pin, up.certificate) == (None, None), "a box shows no certificate"
    await asyncio.sleep(0.2)
    before = len(wire.forward), len(wire.backward)
    await asyncio.sleep(2)
    for way, count in zip((wire.forward, wire.backward), before, strict=True):
        assert 97 <= len(way) - count <= 103
        assert {len(datagram) for datagram in way[first_cell(way) :]} == {CELL_DATAGRAM}
    assert len(wire.forward[0]) == len(wire.backward[0]) == 64, "hello and cookie have one length"


async def test_handshakes_survive_loss_and_end_with_the_first_cell(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, identity = make_node(), make_identity()
    port = guard.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    lost = 0

    def losing(seed: int) -> Callable[[bytes, bool], bool]:
        """Return a wire's loss. Each way has dice of its own, so that what it loses does not hang on the timing of other wires."""
        dice = {forward: random.Random(f"{seed} {forward}") for forward in (True, False)}

        def passes(datagram: bytes, forward: bool) -> bool:
            nonlocal lost
            through = len(datagram) == CELL_DATAGRAM or dice[forward].random() >= 0.2
            lost += not through
            return through

        return passes

    wires = []
    for number in range(8):
        wire = make_wire(port)
        wire.passes = losing(number)
        wires.append(wire)
        make_node().plane.connect(LOCAL, await wire.open(), identity.pin)
    for _ in wires:
        await guard.told(LinkUp, 10)
    await asyncio.sleep(0.5)
    assert lost > 0, "the test is void without loss"
    for wire in wires:
        for way in (wire.forward, wire.backward):
            assert {len(datagram) for datagram in way[first_cell(way) :]} == {CELL_DATAGRAM}


def repeats(datagrams: list[bytes], octets: int = 6) -> int:
    """Return how many strings of so many octets are in more than one datagram."""
    seen: set[bytes] = set()
    found = 0
    for datagram in datagrams:
        its = {datagram[at : at + octets] for at in range(len(datagram) - octets + 1)}
        found += len(its & seen)
        seen |= its
    return found


async def test_a_link_goes_on_from_another_port_and_nothing_repeats_that_would_say_which_it_is(make_node: MakeNode, make_wire: MakeWire) -> None:
    """The control: what a connection id of DTLS would be, four octets that each datagram has."""
    guard, box, identity = make_node(), make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    link = box.plane.connect(LOCAL, await wire.open(), identity.pin)
    await box.told(LinkUp)
    await guard.told(LinkUp)
    await asyncio.sleep(0.3)
    before = first_cell(wire.forward)
    await wire.change_port()
    await asyncio.sleep(0.5)
    sent, came = guard.plane.counters(), len(wire.backward)
    await asyncio.sleep(0.5)
    assert sent["ports_changed"] == 1
    assert guard.plane.counters()["link_cells_in"] >= sent["link_cells_in"] + 20
    assert len(wire.backward) >= came + 20, "and back to the new port"
    assert not box.events + guard.events, f"link {link} is neither down nor a new one"
    cells = wire.forward[before:]
    assert repeats(cells) == 0
    assert repeats([datagram[:2] + b"kept" + datagram[2:] for datagram in cells], 4) >= len(cells) - 1


async def test_another_key_than_the_pinned_one_is_not_even_answered(make_node: MakeNode, make_wire: MakeWire) -> None:
    """What becomes of a listener of another key that answers all the same: relay/dtls/tests/link.rs."""
    guard, box, identity = make_node(), make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    link = box.plane.connect(LOCAL, await wire.open(), make_identity().pin)
    await asyncio.sleep(1.2)
    assert {len(datagram) for datagram in wire.forward} == {64}
    assert wire.backward == []
    assert guard.plane.counters()["drop_bad_hello"] >= 2
    assert guard.plane.counters()["links_coming"] == 0
    box.plane.disconnect(link)
    assert await box.told(LinkFailed) == LinkFailed(link)
    assert not guard.events


async def test_a_relay_link_shows_both_keys_and_lives_without_circuits(make_node: MakeNode) -> None:
    one, other, its, theirs = make_node(link_idle_us=2_500_000), make_node(link_idle_us=2_500_000), make_identity(), make_identity()
    port = one.plane.listen(LOCAL, 0, its.certificate, its.key)
    link = other.plane.connect(LOCAL, port, its.pin, theirs.certificate, theirs.key)
    assert await other.told(LinkUp) == LinkUp(link, incoming=False, peer_pin=its.pin)
    up = await one.told(LinkUp)
    assert isinstance(up, LinkUp)
    assert (up.peer_pin, up.certificate) == (theirs.pin, theirs.certificate), "as it was shown, with whatever it says beside the key"
    await asyncio.sleep(3.5)
    assert not one.events
    assert not other.events


async def test_without_a_good_cookie_there_is_no_state_and_no_answer(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, identity = make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    await wire.open()
    dice = random.Random(1)
    for _ in range(200):
        wire.inject(b"\x03" + dice.randbytes(20) + b"\x16\xfe\xfd" + dice.randbytes(100))
        wire.inject(b"\x16\xfe\xfd" + dice.randbytes(100))
        wire.inject(b"\x01" + bytes(62))
        wire.inject(b"\x01" + bytes(63) if dice.random() < 0.5 else hello(dice.randbytes(32), dice.randbytes(31)))
        wire.inject(b"\x09" + dice.randbytes(300))
        wire.inject(b"\xff")
        await asyncio.sleep(0)
    await asyncio.sleep(0.3)
    totals = guard.plane.counters()
    assert (totals["links"], totals["links_coming"]) == (0, 0)
    assert totals["drop_bad_cookie"] == 200
    assert totals["drop_unknown_address"] == 200
    assert totals["drop_bad_hello"] == 400
    assert totals["drop_unknown_kind"] == 400
    assert not wire.backward
    wire.inject(hello(identity.pin, dice.randbytes(31)))
    await asyncio.sleep(0.2)
    assert [(datagram[0], len(datagram)) for datagram in wire.backward] == [(2, 64)], "who knows the pin is answered"


async def test_relays_tell_whether_a_port_is_reached_and_only_its_own_address(make_node: MakeNode) -> None:
    nodes, identities = [make_node() for _ in range(3)], [make_identity() for _ in range(3)]
    ports = [node.plane.listen(LOCAL, 0, each.certificate, each.key) for node, each in zip(nodes, identities, strict=True)]
    relays = [
        replace(make_relay(Role.GUARD, f"op{at}", port).descriptor, link_pin=each.pin) for at, (port, each) in enumerate(zip(ports, identities, strict=True))
    ]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((LOCAL, 0))
        listen = Endpoint(LOCAL, free.getsockname()[1])
        assert await look(relays, listen) is None, "the port is taken"
    began = time.monotonic()
    assert await look(relays, listen) == LOCAL
    assert time.monotonic() - began < 1
    assert [node.plane.counters()["reaches_answered"] for node in nodes] == [1, 1, 1]
    strangers = [replace(relay, link_pin=bytes(32)) for relay in relays]
    assert await look([relays[0], *strangers[1:]], listen) is None, "one of three is not enough, and two say nothing to who does not know their pins"
    assert [node.plane.counters()["reaches_answered"] for node in nodes] == [2, 1, 1]
    assert [node.plane.counters()["cookies_given"] for node in nodes] == [2, 1, 1]
    assert await look(relays, Endpoint("::1", listen.port)) is None, "nobody of that family to ask"


async def test_a_relay_does_not_let_itself_be_made_to_send_much(make_node: MakeNode) -> None:
    node, identity = make_node(), make_identity()
    port = node.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for each in (asking, asked):
            each.bind((LOCAL, 0))
            each.settimeout(2)
        asking.sendto(hello(identity.pin, bytes(31)), (LOCAL, port))
        cookie = parse_cookie(asking.recv(2_000))
        assert cookie is not None
        for number in range(500):
            asking.sendto(serialise_reach(cookie, asked.getsockname()[1], number.to_bytes(16, "big")), (LOCAL, port))
        assert parse_reached(asked.recv(2_000)) == (bytes(16), LOCAL)
        ends = time.monotonic() + 10
        while (totals := node.plane.counters())["reaches_answered"] + totals["drop_bad_reach"] < 500:
            assert time.monotonic() < ends, totals
            await asyncio.sleep(0.05)
    assert totals["reaches_answered"] < 250, "20 at once, and 20 a second"


def begin_handshakes(stack: contextlib.ExitStack, port: int, pin: bytes, addresses: Iterable[str]) -> None:
    """Begin a handshake from each address that nobody will finish."""
    dice = random.Random(3)
    for address in addresses:
        each = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        each.settimeout(2)
        each.bind((address, 0))
        each.connect((LOCAL, port))
        each.send(hello(pin, bytes(31)))
        cookie = each.recv(64)[1:21]
        each.send(b"\x03" + cookie + b"\x16\xfe\xfd" + dice.randbytes(100))


async def test_one_address_cannot_take_all_the_room_for_handshakes(make_node: MakeNode) -> None:
    guard, box, identity = make_node(), make_node(), make_identity()
    port = guard.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    with contextlib.ExitStack() as stack:
        begin_handshakes(stack, port, identity.pin, ["127.7.7.7"] * 150)
        await asyncio.sleep(0.3)
        assert 32 <= guard.plane.counters()["links_coming"] <= 64
        begin_handshakes(stack, port, identity.pin, [f"127.7.7.{number}" for number in range(10, 160)])
        await asyncio.sleep(1.2)
        assert 64 <= guard.plane.counters()["links_coming"] <= 128
        box.plane.bind("127.7.8.1")
        box.plane.connect(LOCAL, port, identity.pin)
        await box.told(LinkUp)


async def test_handshakes_that_nobody_finishes_are_discarded_early_and_are_gone_after_ten_seconds(make_node: MakeNode) -> None:
    guard, box, identity = make_node(), make_node(), make_identity()
    port = guard.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    with contextlib.ExitStack() as stack:
        begin_handshakes(stack, port, identity.pin, [f"127.{number // 200}.{number % 200}.1" for number in range(400)])
        await asyncio.sleep(0.3)
        totals = guard.plane.counters()
        assert totals["handshakes_discarded"] >= 20, "some are before there is no room"
        assert 100 <= totals["links_coming"] <= 256
        assert totals["links_coming"] + totals["handshakes_discarded"] + totals["handshakes_refused"] == 400
        await asyncio.sleep(10.5)
        assert guard.plane.counters()["links_coming"] == 0
        box.plane.connect(LOCAL, port, identity.pin)
        await box.told(LinkUp)


async def test_floods_and_replays_are_counted_and_the_cells_flow_on(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, box, identity = make_node(), make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    box.plane.connect(LOCAL, await wire.open(), identity.pin)
    await guard.told(LinkUp)
    await box.told(LinkUp)
    await asyncio.sleep(0.5)
    before = guard.plane.counters()
    replayed = wire.forward[first_cell(wire.forward) :][:20]
    dice = random.Random(2)
    sent = 0
    for _ in range(50):
        for cell in replayed:
            wire.inject(cell)
            wire.inject(bytes([47]) + dice.randbytes(277))
            wire.inject(bytes([47]) + dice.randbytes(dice.randrange(277)))
            wire.inject(b"\x01" + bytes(63))
            sent += 1
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5)
    totals = guard.plane.counters()
    assert totals["drop_invalid_record"] - before["drop_invalid_record"] == 2 * sent
    assert totals["drop_wrong_length"] - before["drop_wrong_length"] == sent
    assert totals["drop_hello_of_live_link"] == sent
    assert totals["link_cells_in"] - before["link_cells_in"] >= 40
    assert {len(datagram) for datagram in wire.backward[first_cell(wire.backward) :]} == {CELL_DATAGRAM}
    assert not guard.events
    assert not box.events


async def test_a_silent_link_is_taken_down_on_both_sides(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, box, identity = make_node(link_idle_us=1_000_000), make_node(link_idle_us=1_000_000), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    link = box.plane.connect(LOCAL, await wire.open(), identity.pin)
    await guard.told(LinkUp)
    await asyncio.sleep(1.5)
    assert not guard.events, "cells keep it up"
    wire.passes = lambda _datagram, _forward: False
    await guard.told(LinkDown)
    await box.told(LinkUp)
    assert await box.told(LinkDown) == LinkDown(link)
    await asyncio.sleep(0.1)
    count = len(wire.forward)
    await asyncio.sleep(0.5)
    assert len(wire.forward) == count, "it ends in silence"
    assert guard.plane.counters()["links"] == 0


async def test_a_peer_that_starts_anew_at_its_old_address_takes_its_own_place(make_node: MakeNode) -> None:
    guard, identity = make_node(), make_identity()
    port = guard.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    box = make_node()
    local = 40_000 + random.Random().randrange(10_000)
    assert box.plane.bind(LOCAL, local) == local
    box.plane.connect(LOCAL, port, identity.pin)
    former = await guard.told(LinkUp)
    assert isinstance(former, LinkUp)
    box.plane.stop()
    again = make_node()
    again.plane.bind(LOCAL, local)
    again.plane.connect(LOCAL, port, identity.pin)
    assert await guard.told(LinkDown) == LinkDown(former.link)
    later = await guard.told(LinkUp)
    assert isinstance(later, LinkUp)
    assert later.link != former.link
    assert guard.plane.counters()["links"] == 1


async def test_an_unanswered_dial_and_a_disconnected_one(make_node: MakeNode, make_wire: MakeWire) -> None:
    guard, box, identity = make_node(), make_node(), make_identity()
    wire = make_wire(guard.plane.listen(LOCAL, 0, identity.certificate, identity.key))
    near = await wire.open()
    wire.passes = lambda _datagram, _forward: False
    link = box.plane.connect(LOCAL, near, identity.pin)
    await asyncio.sleep(1.2)
    assert [len(datagram) for datagram in wire.forward] == [64] * 3, "a hello every 500 ms"
    box.plane.disconnect(link)
    assert await box.told(LinkFailed) == LinkFailed(link)
    wire.passes = lambda _datagram, _forward: True
    link = box.plane.connect(LOCAL, near, identity.pin)
    await box.told(LinkUp)
    box.plane.disconnect(link)
    assert await box.told(LinkDown) == LinkDown(link)
    count = len(wire.forward)
    await asyncio.sleep(0.3)
    assert len(wire.forward) == count


async def test_wrong_calls_are_told_clearly(make_node: MakeNode) -> None:
    node, identity, other = make_node(), make_identity(), make_identity()
    port = node.plane.listen(LOCAL, 0, identity.certificate, identity.key)
    with pytest.raises(HostError):
        node.plane.listen(LOCAL, port, identity.certificate, identity.key)
    with pytest.raises(HostError):
        node.plane.bind("192.0.2.1")
    for arguments in [
        (LOCAL, 0, identity.certificate, other.key),
        (LOCAL, 0, identity.certificate[1:], identity.key),
        (LOCAL, 0, identity.certificate, b""),
        ("localhost", 0, identity.certificate, identity.key),
    ]:
        with pytest.raises(LocalError) as raised:
            node.plane.listen(*arguments)
        assert "localhost" not in str(raised.value)
    with pytest.raises(LocalError):
        node.plane.connect(LOCAL, port, b"short")
    with pytest.raises(LocalError):
        node.plane.connect(LOCAL, port, identity.pin, identity.certificate)
    with pytest.raises(LocalError):
        node.plane.accept(1, 1, b"short", bytes(16), bytes(64), junction=False)
    with pytest.raises(LocalError):
        node.plane.start()
    node.plane.stop()
    node.plane.stop()
    with pytest.raises(LocalError):
        node.plane.disconnect(1)
