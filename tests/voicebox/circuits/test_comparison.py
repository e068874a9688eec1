"""Commit, then reveal: both see one code, and nobody between them can make two codes one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from tests.voicebox.circuits.test_calls import OFFER, finish_first_call
from voicebox.b2bua.events import Answer, Codec, End, Refuse
from voicebox.circuits.call_record import COMPARISON_TYPES, RecordType
from voicebox.circuits.comparison import Comparison, Stage
from voicebox.circuits.dummies import Script
from voicebox.errors import RemoteError, UsageError

SMALL = make_network()
BINDING = b"C" * 32
Said = list[bytes]


def pair() -> tuple[Comparison, Comparison, Said, Said]:
    """Return caller's and callee's side, and what each said."""
    callers: Said = []
    callees: Said = []
    return Comparison(BINDING, callers.append, is_caller=True), Comparison(BINDING, callees.append, is_caller=False), callers, callees


def pass_on(caller: Comparison, callee: Comparison, callers: Said, callees: Said) -> None:
    while callers or callees:
        if callers:
            callee.message(callers.pop(0))
        if callees:
            caller.message(callees.pop(0))


@pytest.mark.parametrize("caller_first", [True, False])
def test_both_see_one_code_whoever_asks_first(caller_first: bool) -> None:
    caller, callee, callers, callees = pair()
    for side in (caller, callee) if caller_first else (callee, caller):
        assert caller.code is callee.code is None
        side.want()
        side.want()
        pass_on(caller, callee, callers, callees)
    assert caller.code is not None
    assert caller.code == callee.code
    caller.want()
    callee.want()
    assert (callers, callees) == ([], []), "there is one code in a call"


def test_nothing_is_opened_before_the_other_is_bound() -> None:
    """What a stranger between would need: the callee's nonce before its own commitment, or the caller's before its own nonce."""
    caller, callee, callers, callees = pair()
    callee.want()
    assert callees == []
    caller.want()
    (commitment,) = callers
    assert commitment[0] == RecordType.COMMIT
    assert caller.code is None
    callee.message(commitment)
    assert [message[0] for message in callees] == [RecordType.NONCE]
    assert callee.code is None
    caller.message(callees[0])
    assert [message[0] for message in callers] == [RecordType.COMMIT, RecordType.OPEN]
    assert callers[1][1:] not in commitment


def test_another_call_with_the_same_nonces_has_another_code() -> None:
    codes = set()
    for binding in (BINDING, b"D" * 32):
        callers: Said = []
        callees: Said = []
        caller = Comparison(binding, callers.append, is_caller=True, nonce=b"a" * 32)
        callee = Comparison(binding, callees.append, is_caller=False, nonce=b"b" * 32)
        caller.want()
        callee.want()
        pass_on(caller, callee, callers, callees)
        assert caller.code is not None
        codes.add(caller.code.digits)
    assert len(codes) == 2


@pytest.mark.parametrize("change", [lambda opened: bytes([opened[0] ^ 1]) + opened[1:], lambda opened: opened[:-1] + bytes([opened[-1] ^ 0x80])])
def test_what_was_not_committed_to_is_refused(change: Callable[[bytes], bytes]) -> None:
    caller, callee, callers, callees = pair()
    callee.want()
    caller.want()
    callee.message(callers[0])
    caller.message(callees[0])
    with pytest.raises(RemoteError, match="committed"):
        callee.message(callers[1][:1] + change(callers[1][1:]))
    assert callee.code is None


def at(stage: Stage, *, is_caller: bool) -> Comparison | None:
    """Bring a side to a stage; None where it has no such stage."""
    caller, callee, callers, callees = pair()
    if is_caller:
        if stage in {Stage.COMMITTED, Stage.SHOWN}:
            caller.want()
        if stage is Stage.SHOWN:
            caller.message(bytes([RecordType.NONCE]) + bytes(32))
        return caller if caller.stage is stage else None
    if stage in {Stage.WAITING, Stage.ANSWERED, Stage.SHOWN}:
        callee.want()
    if stage in {Stage.ASKED, Stage.ANSWERED, Stage.SHOWN}:
        caller.want()
        callee.message(callers[0])
    if stage is Stage.SHOWN:
        caller.message(callees[0])
        callee.message(callers[1])
    return callee if callee.stage is stage else None


ALLOWED = {
    (False, Stage.NEW, RecordType.COMMIT),
    (False, Stage.WAITING, RecordType.COMMIT),
    (True, Stage.COMMITTED, RecordType.NONCE),
    (False, Stage.ANSWERED, RecordType.OPEN),
}


EVERY = [(is_caller, stage, kind) for is_caller in (True, False) for stage in Stage for kind in sorted(COMPARISON_TYPES)]


@pytest.mark.parametrize(("is_caller", "stage", "kind"), [case for case in EVERY if case not in ALLOWED])
def test_every_other_message_ends_the_call(is_caller: bool, stage: Stage, kind: RecordType) -> None:
    side = at(stage, is_caller=is_caller)
    if side is None:
        side = at(Stage.SHOWN, is_caller=is_caller)
        assert side is not None
    with pytest.raises(RemoteError, match="wrong time"):
        side.message(bytes([kind]) + bytes(32))


@pytest.mark.parametrize("length", [0, 31, 33, 8000])
def test_messages_of_another_length_end_the_call(length: int) -> None:
    side = at(Stage.NEW, is_caller=False)
    assert side is not None
    with pytest.raises(RemoteError, match="length"):
        side.message(bytes([RecordType.COMMIT]) + bytes(length))


# ------------------------------------------------------------------------------------------------------- inside a call


def in_a_call(world: FakeWorld, alice: Box, bob: Box) -> None:
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    bob.rung[0][2].send(Answer(Codec.OPUS))
    run(world, [alice, bob], 1)


@pytest.mark.parametrize("met", [True, False])
def test_code_of_a_call(met: bool) -> None:
    world, alice, bob = two_boxes(SMALL)
    if met:
        finish_first_call(world, alice, bob)
    in_a_call(world, alice, bob)
    assert bob.calls.compare("alice") is None
    run(world, [alice, bob], 1)
    assert bob.calls.compare("alice") is None, "the caller's user did not ask yet"
    assert alice.calls.compare("bob") is None
    run(world, [alice, bob], 1)
    code = alice.calls.compare("bob")
    assert code is not None
    assert code == bob.calls.compare("alice")
    assert (alice.events, bob.events) == ([Answer(Codec.OPUS)], []), "phones are told nothing of it"
    bob.rung[0][2].send(End())
    run(world, [alice, bob], 4)
    with pytest.raises(UsageError, match="in no call"):
        alice.calls.compare("bob")


def test_next_call_has_another_code() -> None:
    world, alice, bob = two_boxes(SMALL)
    codes = set()
    for _ in range(2):
        in_a_call(world, alice, bob)
        alice.calls.compare("bob")
        bob.calls.compare("alice")
        run(world, [alice, bob], 1)
        code = alice.calls.compare("bob")
        assert code is not None
        codes.add(code.digits)
        bob.rung.pop()[2].send(End())
        run(world, [alice, bob], 4)
    assert len(codes) == 2


def test_a_commitment_under_way_when_the_call_is_ended_breaks_nothing() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    in_a_call(world, alice, bob)
    bob.rung[0][2].send(End())
    alice.calls.compare("bob")
    run(world, [alice, bob], 4)
    assert alice.events == [Answer(Codec.OPUS), End()]
    assert bob.calls.counters["call_broken"] == 0


def test_a_dummy_has_no_code() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    alice.calls.begin_dummy("bob", Script(30_000), world.now_us)
    run(world, [alice, bob], 2)
    for box, petname in ((alice, "bob"), (bob, "alice")):
        assert box.calls.dummies(world.now_us)[0] == 1
        with pytest.raises(UsageError, match="in no call"):
            box.calls.compare(petname)


def test_somebody_who_swapped_the_cards_is_seen_by_the_codes() -> None:
    """Mallory gave each of the two a card of her own as the other's, and stands between them: one call with each, all that is said passed on."""
    world = FakeWorld(SMALL, 5_000_000)
    alice, bob, mallory = Box(world, "alice", 2, 1), Box(world, "bob", 2, 2), Box(world, "mallory", 8, 3)
    alice.knows(mallory)
    bob.knows(mallory)
    mallory.knows(alice)
    mallory.knows(bob)
    boxes = [alice, bob, mallory]
    for box in boxes:
        box.start()
    run(world, boxes, 8)
    alice.calls.call("mallory", OFFER, alice.listener)
    run(world, boxes, 2)
    mallory.calls.call("bob", OFFER, mallory.listener)
    run(world, boxes, 2)
    for box in (mallory, bob):
        box.rung[0][2].send(Answer(Codec.OPUS))
    run(world, boxes, 1)
    assert not any(isinstance(event, Refuse | End) for box in boxes for event in box.events)
    for box, petname in ((alice, "mallory"), (bob, "mallory"), (mallory, "alice"), (mallory, "bob")):
        box.calls.compare(petname)
    run(world, boxes, 1)
    seen = [alice.calls.compare("mallory"), mallory.calls.compare("alice"), mallory.calls.compare("bob"), bob.calls.compare("mallory")]
    assert None not in seen
    assert seen[0] == seen[1]
    assert seen[2] == seen[3]
    assert seen[0] != seen[3], "the two who talk see different codes"
