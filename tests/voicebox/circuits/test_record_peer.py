"""Questions between relays over real connections: a junction leaves and finds records at a holder; whoever is no junction, or says nonsense, is told nothing. [io]"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from voicebox.circuits.descriptor import RelayAddress, Role
from voicebox.circuits.gossip import Gossip
from voicebox.circuits.gossip_peer import GossipListener
from voicebox.circuits.gossip_rounds import Times
from voicebox.circuits.network import VerifiedNetwork, new_network
from voicebox.circuits.record import Post, place_keys, seal_record
from voicebox.circuits.record_holder import Holder
from voicebox.circuits.record_peer import BURST, Questions, RecordsServer, Station
from voicebox.circuits.record_question import NOTHING, QUESTION_OCTETS, Answer, Get, Put, parse_answer
from voicebox.circuits.relay_state import create_relay, load_relay_keys
from voicebox.circuits.terms import NetworkTerms
from voicebox.circuits.voucher import vouch
from voicebox.contacts.store import StateDirectory
from voicebox.sensitive import Secret

pytestmark = pytest.mark.system

TIMES = Times(3_600, is_relay=True)


@dataclass
class Town:
    """Three guards that hold records, and a junction. said: what it answered its boxes."""

    network: VerifiedNetwork
    stations: list[Station]
    holders: list[Holder]
    questions: Questions
    said: list[tuple[int, int, int, bytes]]
    asked: int = 1_000

    async def ask(self, octets: bytes, circuit: int = 7) -> bytes:
        """Ask as a box does; return the answer."""
        self.asked += 1
        self.questions.ask(1, circuit, self.asked, octets)
        end = time.monotonic() + 20
        while not (found := [told for told in self.said if told[2] == self.asked]):
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
        ((link, where, _, answer),) = found
        assert (link, where, len(answer)) == (1, circuit, QUESTION_OCTETS)
        return answer


def make_station(tmp_path: Path, at: int, terms: NetworkTerms, key: Ed25519PrivateKey, networks: list[VerifiedNetwork]) -> tuple[Station, object]:
    now, store = dt.datetime.now(dt.UTC).replace(microsecond=0), StateDirectory(tmp_path / str(at))
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = RelayAddress("127.0.0.1", free.getsockname()[1])
    store.create()
    relay = create_relay(store, Role.JUNCTION if at == 3 else Role.GUARD, f"op{at}", 10, (address,), now)
    vouched = relay.with_vouchers([vouch(terms.network_id, relay.descriptor.vouched, now, now + dt.timedelta(days=9), key)])
    keys = load_relay_keys(store)[1]
    return Station(vouched.descriptor, keys, lambda: networks[0], lambda: time.time_ns() // 1_000, "127.0.0.1"), vouched


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    key, networks = Ed25519PrivateKey.generate(), list[VerifiedNetwork]()
    terms = NetworkTerms(0, 3_600, bytes(32), distinct_operators=True, distinct_prefixes=True, threshold=1, keys=(key.public_key().public_bytes_raw(),))
    made = [make_station(tmp_path, at, terms, key, networks) for at in range(4)]
    networks.append(new_network(terms, [vouched for _, vouched in made]))  # type: ignore[misc] # verified descriptors
    stations = [station for station, _ in made]
    holders = [Holder(networks[0].network_id, Counter()) for _ in stations]
    said: list[tuple[int, int, int, bytes]] = []
    async with contextlib.AsyncExitStack() as stack:
        for station, holder in zip(stations[:3], holders, strict=False):
            listener = GossipListener(Gossip(networks[0], time.time(), TIMES.settled_s), TIMES, station.keys)
            listener.serve_records = RecordsServer(station, holder).serve
            listener.start("127.0.0.1", station.own.addresses[0].port)
            stack.push_async_callback(listener.stop)
        questions = Questions(stations[3], holders[3], Counter(), lambda *told: said.append(told))
        stack.push_async_callback(questions.stop)
        yield Town(networks[0], stations, holders, questions, said)


def put(town: Town, sequence: int, number: int = 1) -> Put:
    period = town.network.epoch_at(town.stations[0].now_us()) // 24
    keys = place_keys(Secret(number.to_bytes(32, "big")), period, b"w" * 32, b"r" * 32)
    return Put(seal_record(town.network.network_id, keys, sequence, Post(sequence)))


async def test_a_record_that_is_left_at_all_holders_is_found_and_the_latest_of_them_counts(town: Town) -> None:
    first, second = put(town, 1), put(town, 2)
    get = Get(first.place, first.period)
    assert parse_answer(town.network.network_id, get, await town.ask(get.serialise())) == Answer(4)
    for each in (first, second):
        assert await town.ask(each.serialise()) == Answer(4).serialise(), "three over connections, and the junction itself"
    assert await town.ask(first.serialise()) == Answer(0).serialise(), "rolled back"
    assert [len(holder) for holder in town.holders] == [1, 1, 1, 1]
    assert parse_answer(town.network.network_id, get, await town.ask(get.serialise())) == Answer(4, second.record)


async def test_many_questions_at_once_are_answered_each_over_one_connection(town: Town) -> None:
    puts = [put(town, 1, number) for number in range(1, 15)]
    for circuit, each in enumerate(puts):
        town.questions.ask(1, circuit, 3, each.serialise())
    end = time.monotonic() + 20
    while len(town.said) < len(puts):
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
    assert {answer[3][0] for answer in town.said} == {4}
    assert len(town.holders[1]) == len(puts)


@pytest.mark.parametrize("octets", [b"", bytes(QUESTION_OCTETS), b"\x01" + b"\x05" * (QUESTION_OCTETS - 1)])
async def test_what_is_no_question_is_answered_with_nothing(town: Town, octets: bytes) -> None:
    assert await town.ask(octets) == NOTHING
    assert town.questions.counters == {"questions": 1, "questions_refused": 1}


async def test_a_circuit_asks_so_much_and_no_more_and_another_one_still_may(town: Town) -> None:
    get = Get(bytes(32), put(town, 1).period).serialise()
    for _ in range(int(BURST) + 3):
        town.questions.ask(1, 7, 3, get)
    assert town.said == [(1, 7, 3, NOTHING)] * 3
    assert (await town.ask(get, circuit=8))[0] > 0
    town.questions.forget(1, 7)
    assert (await town.ask(get))[0] > 0


async def test_a_question_about_another_time_asks_nobody(town: Town) -> None:
    period = put(town, 1).period
    assert [(await town.ask(Get(bytes(32), each).serialise()))[0] for each in (period - 2, period - 1, period + 1, period + 2)] == [0, 4, 4, 0]


async def test_who_is_no_junction_is_told_nothing(town: Town) -> None:
    guard = Questions(town.stations[0], town.holders[0], Counter(), lambda *_told: None)
    answer = await guard.of_holders(put(town, 1))
    assert answer == Answer(1), "it keeps it itself; the others do not let it in"
    assert [len(holder) for holder in town.holders] == [1, 0, 0, 0]
    await guard.stop()


async def test_a_holder_that_is_off_costs_no_answer(town: Town) -> None:
    off = town.network.relay(town.stations[1].own.relay_id)
    assert off is not None
    with socket.create_server(("127.0.0.1", 0)) as other:  # accepts, and says nothing
        moved = off.addresses
        object.__setattr__(off, "addresses", (RelayAddress("127.0.0.1", other.getsockname()[1]),))
        began = time.monotonic()
        assert (await town.ask(put(town, 1).serialise()))[0] == 3
        assert time.monotonic() - began < 3, "it is not waited for as long as it likes"
        object.__setattr__(off, "addresses", moved)
