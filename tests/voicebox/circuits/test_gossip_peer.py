"""Gossip over real connections: a list passes between two nodes; whoever is no member, or no relay of the list, is told nothing. [io]"""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.gossip import without
from voicebox.circuits.descriptor import Descriptor, RelayAddress, Role, VerifiedDescriptor
from voicebox.circuits.gossip import Asking, Gossip
from voicebox.circuits.gossip_messages import HELLO_NUMBER_OCTETS, PAGE_OCTETS, PROOF_OCTETS, hello, proof
from voicebox.circuits.gossip_peer import Gossiping, GossipListener, ask, connect
from voicebox.circuits.gossip_rounds import MAX_CLIENTS_OF_ONE, Rounds, Times
from voicebox.circuits.network import VerifiedNetwork, new_network
from voicebox.circuits.relay import RelayKeys
from voicebox.circuits.relay_state import create_relay, load_relay_keys
from voicebox.circuits.terms import NetworkTerms
from voicebox.circuits.voucher import vouch
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HandshakeError, HostError

pytestmark = pytest.mark.system

TIMES = Times(36, is_relay=True)


@dataclass(frozen=True)
class Town:
    """Two relays, where they listen, and the keys of the first, which answers."""

    network: VerifiedNetwork
    relays: list[VerifiedDescriptor]
    keys: RelayKeys

    @property
    def answering(self) -> Descriptor:
        return self.relays[0].descriptor

    def node(self, *left_out: int) -> Gossip:
        return Gossip(without(self.network, *(self.relays[at].descriptor.relay_id for at in left_out)), time.time(), TIMES.settled_s)


@pytest.fixture
def town(tmp_path: Path) -> Town:
    now, key = dt.datetime.now(dt.UTC).replace(microsecond=0), Ed25519PrivateKey.generate()
    terms = NetworkTerms(0, 36, bytes(32), distinct_operators=True, distinct_prefixes=True, threshold=1, keys=(key.public_key().public_bytes_raw(),))
    relays = []
    for number, role in enumerate(Role):
        with socket.create_server(("127.0.0.1", 0)) as free:
            address = RelayAddress("127.0.0.1", free.getsockname()[1])
        store = StateDirectory(tmp_path / role.value)
        store.create()
        relay = create_relay(store, role, f"op{number}", 10, (address,), now)
        relays.append(relay.with_vouchers([vouch(terms.network_id, relay.descriptor.vouched, now, now + dt.timedelta(days=9), key)]))
    return Town(new_network(terms, relays), relays, load_relay_keys(StateDirectory(tmp_path / "guard"))[1])


@asynccontextmanager
async def listening(town: Town, gossip: Gossip) -> AsyncIterator[GossipListener]:
    listener = GossipListener(gossip, TIMES, town.keys)
    listener.start("127.0.0.1", town.answering.addresses[0].port)
    try:
        yield listener
    finally:
        await listener.stop()


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)


async def wait_for(counters: Mapping[str, int], name: str, count: int = 1) -> None:
    await until(lambda: counters.get(name, 0) >= count)


async def assert_silent(server: Gossip, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """See that a server says no octet, and drops who wrote to it."""
    async with asyncio.timeout(20):
        try:
            heard = await reader.read(100)
        except ConnectionError:
            heard = b""
    assert heard == b""
    writer.close()
    await wait_for(server.counters, "gossip_clients_dropped")


def any_certificate() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


@pytest.mark.parametrize(("client_lacks", "server_lacks"), [((1,), ()), ((), (1,)), ((), ())], ids=["client lacks", "server lacks", "same"])
async def test_after_a_round_both_have_the_list(town: Town, client_lacks: tuple[int, ...], server_lacks: tuple[int, ...]) -> None:
    client, server, taken, rounds = town.node(*client_lacks), town.node(*server_lacks), list[str](), Rounds(TIMES)
    client.on_changed, server.on_changed = lambda: taken.append("client"), lambda: taken.append("server")
    async with listening(town, server):
        await ask(client, town.answering, 0, "127.0.0.1", rounds, tell_news=True)
        await until(lambda: server.network == town.network)
    assert client.network == town.network
    assert taken == ["client"] * bool(client_lacks) + ["server"] * bool(server_lacks)
    told = rounds.told(time.time(), [])
    assert (told["asked"], told["lacking"], told["broke_word"], told["clock_off_s"]) == (1, 0, 0, 0)


async def test_another_key_than_the_descriptors_is_told_nothing(town: Town) -> None:
    server, other = town.node(), bytes(32)
    async with listening(town, server) as listener:
        listener._pin = other  # it knows the descriptor that it does not belong to
        with pytest.raises(HandshakeError):
            await ask(town.node(), replace(town.answering, link_pin=other), 0, "0.0.0.0", Rounds(TIMES), tell_news=True)
        await wait_for(server.counters, "gossip_clients_dropped")
    assert not server.counters["gossip_answered"]


@pytest.mark.parametrize(
    "said", [bytes(PROOF_OCTETS), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(99), b"", None], ids=["wrong", "http", "cut", "other network"]
)
async def test_a_stranger_gets_no_octet(town: Town, said: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.gossip_peer.PROOF_S", 2.0)
    server = town.node()
    async with listening(town, server):
        reader, writer = await connect(town.answering, 0, "127.0.0.1", any_certificate())
        if said is None:
            said = proof(bytes(32), writer.get_extra_info("ssl_object").get_channel_binding("tls-unique"))
        writer.write(said)
        await assert_silent(server, reader, writer)


@pytest.mark.parametrize("said", ["clienthello", "http", "another pin", "cut"])
async def test_who_does_not_have_the_descriptor_hears_nothing_not_even_tls(town: Town, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.gossip_peer.PROOF_S", 2.0)
    server, number = town.node(), bytes(HELLO_NUMBER_OCTETS)
    sent = {
        "clienthello": b"\x16\x03\x01\x02\x00" + bytes(512),
        "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + bytes(99),
        "another pin": hello(bytes(32), number),
        "cut": hello(town.answering.link_pin, number)[:-1],
    }[said]
    async with listening(town, server):
        reader, writer = await asyncio.open_connection("127.0.0.1", town.answering.addresses[0].port)
        writer.write(sent)
        await assert_silent(server, reader, writer)


async def test_a_proof_is_good_on_its_own_connection_only(town: Town) -> None:
    server = town.node()
    bindings = []
    async with listening(town, server):
        for _ in range(2):
            _, writer = await connect(town.answering, 0, "127.0.0.1", any_certificate())
            bindings.append(writer.get_extra_info("ssl_object").get_channel_binding("tls-unique"))
            if len(bindings) == 2:
                writer.write(proof(town.network.network_id, bindings[0]))
                await wait_for(server.counters, "gossip_clients_dropped")
            writer.transport.abort()
    assert len(set(bindings)) == 2
    assert not server.counters["gossip_answered"]


async def test_one_address_has_so_many_connections_and_silence_holds_none_for_long(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voicebox.circuits.gossip_peer.PROOF_S", 0.5)
    server = town.node()
    async with listening(town, server):
        silent = [await asyncio.open_connection("127.0.0.1", town.answering.addresses[0].port) for _ in range(MAX_CLIENTS_OF_ONE + 1)]
        await wait_for(server.counters, "gossip_held_back")
        await wait_for(server.counters, "gossip_clients_dropped", MAX_CLIENTS_OF_ONE)
        for _, writer in silent:
            writer.close()
        await ask(town.node(), town.answering, 0, "127.0.0.1", Rounds(TIMES), tell_news=False)


async def test_a_relay_that_is_off_costs_a_failure_and_is_asked_again(town: Town) -> None:
    client, taken = town.node(1), list[int]()
    client.on_changed = lambda: taken.append(1)
    gossiping = Gossiping(client, Times(1, is_relay=True), _Soonest(), lambda: [town.answering], "127.0.0.1")
    gossiping.start()
    await wait_for(gossiping.rounds.counters, "gossip_failed")  # nobody listens
    async with listening(town, town.node()):
        await wait_for(gossiping.rounds.counters, "gossip_rounds")
        await gossiping.stop()
    assert client.network == town.network
    assert taken == [1]
    assert gossiping.rounds.told(time.time(), [])["unreachable"] == 0


class _Soonest:
    """Draws the least."""

    def random(self) -> float:
        return 0.0

    def uniform(self, low: float, _high: float, /) -> float:
        return low


async def test_a_port_that_is_taken_is_told(town: Town) -> None:
    async with listening(town, town.node()):
        with pytest.raises(HostError, match="over TCP"):
            GossipListener(town.node(), TIMES, town.keys).start("127.0.0.1", town.answering.addresses[0].port)


def test_what_is_sent_where_nothing_is_new_is_a_page_each_way(town: Town) -> None:
    assert len(Asking(town.node()).summary()) < PAGE_OCTETS


async def test_a_peer_is_asked_over_its_uplink_or_not_at_all(town: Town) -> None:
    async with listening(town, town.node()):
        asking, rounds = town.node(), Rounds(TIMES)
        for uplink in ("lo", None):
            await ask(asking, town.answering, 0, "0.0.0.0", rounds, tell_news=False, uplink=uplink)
        with pytest.raises(OSError):
            await ask(asking, town.answering, 0, "0.0.0.0", rounds, tell_news=False, uplink="nowhere0")
