"""What relays learn of records, and from the times of questions: nothing that links who writes to who reads, or tells of calls and texts."""

from __future__ import annotations

from random import Random

from tests.support.boxes import Box
from tests.support.fake_engine import FakeWorld
from tests.support.networks import SmallNetwork, make_network
from tests.support.records import Holders, MemoryMail, Watched, begin_records, holding
from voicebox.b2bua.events import Codec, End, Offer
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits.record import PlaceKeys, Post, place_keys, seal_record
from voicebox.circuits.record_question import Answer, Get, Put, parse_answer
from voicebox.circuits.record_ring import ring_of
from voicebox.sensitive import Secret


def town(small: SmallNetwork, seed: int = 1, start_us: int = 5_000_000) -> tuple[FakeWorld, Box, Box, Holders, list[MemoryMail]]:
    """Return two boxes whose circuits stand, and the holders of their network."""
    world = FakeWorld(small, start_us)
    alice, bob = Box(world, "alice", 2, seed), Box(world, "bob", 2, seed + 1)
    alice.knows(bob)
    bob.knows(alice)
    for box in (alice, bob):
        box.start()
    let(world, [alice, bob], 10)
    holders = holding(world, 19_000)
    return world, alice, bob, holders, [begin_records(box) for box in (alice, bob)]


def let(world: FakeWorld, boxes: list[Box], seconds: float) -> None:
    """Let time pass, without steps."""

    def next_timer() -> int:
        times = [box.standing.next_timer() for box in boxes] + [box.records.next_timer() for box in boxes if box.records is not None]
        times += [at for box in boxes if (at := box.calls.next_timer()) is not None]
        return min(times)

    def timers(now_us: int) -> None:
        for box in boxes:
            box.timers(now_us)

    world.run_events(world.now_us + int(seconds * 1e6), next_timer, timers)


def test_a_text_for_a_box_that_is_off_is_found_within_two_turns_of_its_start() -> None:
    world, alice, bob, _, mails = town(make_network(10, 2))
    bob.records = None
    mails[0].write(bob.identity.contact_id, 1, b"call me")
    let(world, [alice, bob], 3_600)
    assert bob.identity.contact_id in mails[0].letters
    late = begin_records(bob)
    let(world, [alice, bob], 2 * 45 * 64)
    assert [letter.text for letter in late.came[alice.identity.contact_id]] == [b"call me"]


def test_during_a_hundred_looks_and_twenty_calls_nothing_at_relays_links_reader_to_writer() -> None:
    world, alice, bob, holders, mails = town(make_network(10, 2))
    for number in range(1, 4):
        mails[0].write(bob.identity.contact_id, number, b"planted words")
    calls = 0
    while calls < 20 or min(len(mail.looks) for mail in mails) < 2 or sum(map(len, holders.seen.values())) < 100 * 8:
        let(world, [alice, bob], 200)
        leg = alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
        let(world, [alice, bob], 8)
        leg.send(End())
        let(world, [alice, bob], 8)
        calls += 1
    told = [(junction, question) for seen in holders.seen.values() for junction, question in seen]
    junctions = {relay.descriptor.relay_id for relay in world.small.relays if relay.descriptor.role.value == "junction"}
    assert {junction for junction, _ in told} <= junctions, "nobody but junctions is known to a holder"
    assert {len(question) for _, question in told} == {2_016}
    secrets = [b"planted words", *(end for box in (alice, bob) for end in _of(box)), *(_number(circuit.number) for circuit in world.circuits)]
    memory = b"".join(question for _, question in told) + b"".join(octets for holder in holders.of.values() for octets in holder.changed_shards().values())
    assert [secret for secret in secrets if secret in memory] == []
    written = {question[1:33] for _, question in told if question[0] == 1}
    read = {question[1:33] for _, question in told if question[0] == 2}
    assert len(written) > 60
    assert len(written & read) <= 4, "of two contacts: one place each way, in one period or two; no place has anybody's name"
    assert len(written ^ read) > 100


def _of(box: Box) -> list[bytes]:
    return [box.identity.contact_id, box.identity.box_certificate, box.identity.static_key.public_key().public_bytes_raw()]


def _number(circuit: int) -> bytes:
    return circuit.to_bytes(4, "big") if circuit > 2**24 else b"no number that is told from a count"


SMALL = make_network(10, 2)


def asked_at(*, busy: bool) -> list[list[int]]:
    """Return when two boxes asked in half an hour, idle, or with a call every few minutes and texts."""
    world, alice, bob, _, _ = town(SMALL, 5)
    watched = [Watched(box) for box in (alice, bob)]
    mails = [begin_records(box, its) for box, its in zip((alice, bob), watched, strict=True)]
    chance, calls = Random(5), 0
    while world.now_us < 1_800_000_000:
        let(world, [alice, bob], chance.uniform(40, 120))
        leg: CircuitLeg | None = None
        if busy:
            leg = alice.calls.call("bob", Offer((Codec.PCMA,)), alice.listener)
            mails[0].write(bob.identity.contact_id, world.now_us, b"hello")
            calls += 1
        let(world, [alice, bob], 20)
        if leg is not None:
            leg.send(End())
        let(world, [alice, bob], 5)
    assert not busy or calls > 10
    assert not busy or mails[0].letters[bob.identity.contact_id], "texts wait, too"
    return [[at_us for at_us in its.asked_us if at_us < 1_800_000_000] for its in watched]


def test_questions_are_asked_at_the_same_times_to_the_microsecond_whether_there_are_calls_and_texts_or_not() -> None:
    quiet, busy = asked_at(busy=False), asked_at(busy=True)
    assert min(map(len, quiet)) > 100, "two in 30 s"
    assert quiet == busy


def test_of_a_thousand_records_few_are_unreadable_when_half_of_the_holders_die_and_none_after_the_next_put() -> None:
    world = FakeWorld(make_network(120, 8), 5_000_000)
    holders, network = Holders(world), world.small.network
    keys = [place_keys(Secret(number.to_bytes(32, "big")), 0, b"w" * 32, b"r" * 32) for number in range(1_000)]
    leave(holders, network.network_id, keys, 1)
    assert unreadable(holders, network.network_id, keys) == 0
    holders.dead = set(Random(3).sample(sorted(holders.of), len(holders.of) // 2))
    lost = unreadable(holders, network.network_id, keys)
    print(f"of 1 000 records {lost} unreadable after half of the holders died")
    assert lost <= 10
    leave(holders, network.network_id, keys, 2)
    assert unreadable(holders, network.network_id, keys) == 0, "those of the other points have them now"


def leave(holders: Holders, network_id: bytes, keys: list[PlaceKeys], sequence: int) -> None:
    for each in keys:
        holders.answer(b"j" * 32, Put(seal_record(network_id, each, sequence, Post(sequence))).serialise())


def unreadable(holders: Holders, network_id: bytes, keys: list[PlaceKeys]) -> int:
    asked = [Get(each.place, 0) for each in keys]
    return sum(parse_answer(network_id, each, holders.answer(b"j" * 32, each.serialise())).record is None for each in asked)


def test_a_holder_that_lies_or_is_rolled_back_is_outvoted_by_one_that_does_not() -> None:
    world = FakeWorld(make_network(20, 2), 5_000_000)
    holders, network = Holders(world), world.small.network
    keys = place_keys(Secret(b"s" * 32), 0, b"w" * 32, b"r" * 32)
    old, new = (seal_record(network.network_id, keys, sequence, Post(sequence)) for sequence in (1, 2))
    for each in (old, new):
        holders.answer(b"j" * 32, Put(each).serialise())
    nearest = [relay.relay_id for relay in ring_of(network, 0, world.now_us).holders(keys.place)]
    for relay_id in nearest[:7]:
        holders.lies[relay_id] = lambda _answer: Answer(1, old)
    get = Get(keys.place, 0)
    assert parse_answer(network.network_id, get, holders.answer(b"j" * 32, get.serialise())).record == new
    for relay_id in nearest[:7]:
        holders.lies[relay_id] = lambda _answer: Answer(1)
    assert parse_answer(network.network_id, get, holders.answer(b"j" * 32, get.serialise())).record == new
