"""Calls between two boxes in virtual time: the first and the next, refused ones, strangers, replays, lost circuits."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import make_network
from voicebox.b2bua.events import Answer, Codec, Digit, End, Hold, Offer, Progress, Refusal, Refuse, Resume, Ringing, Taken, Text
from voicebox.b2bua.ports import CircuitLeg
from voicebox.circuits import pair
from voicebox.circuits.call_state import MAX_HELD, State
from voicebox.circuits.calls import Calls
from voicebox.errors import HostError, UsageError

SMALL = make_network()
OFFER = Offer((Codec.OPUS, Codec.PCMA))


class Port:
    """A media port as far as a call knows it."""

    reference = 17
    rtp_port = 20_000

    def nothing(self, *arguments: Any, **named: Any) -> None:
        """Stand for what a call never uses."""

    set_remote = protect = set_packets = set_direction = on_digit = play_digit = join = play = close = nothing


def all_free(*boxes: Box) -> bool:
    return all(circuit.free and not box.plane.circuit(circuit.link).speaking for box in boxes for circuit in box.standing.present())


def finish_first_call(world: FakeWorld, alice: Box, bob: Box) -> None:
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 3)
    leg.send(End())
    run(world, [alice, bob], 4)
    assert all_free(alice, bob)
    for box in (alice, bob):
        box.events.clear()
        box.rung.clear()


def test_first_call_pairs_with_certificates_then_rings() -> None:
    world, alice, bob = two_boxes(SMALL)
    assert not alice.book.met("bob")
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert [(petname, offer) for petname, offer, _ in bob.rung] == [("alice", OFFER)]
    assert alice.book.met("bob")
    assert bob.book.met("alice")
    epoch = alice.standing.epoch
    assert alice.book.secrets_of("bob", epoch)[0].secret == bob.book.secrets_of("alice", epoch)[0].secret
    assert len(bob.book.secrets_of("alice", epoch)) == 1, "third came: the former secret is gone"
    theirs = bob.rung[0][2]
    theirs.send(Ringing())
    theirs.send(Answer(Codec.OPUS))
    leg.send(Digit(5, 100))
    leg.send(Hold())
    leg.send(Resume())
    run(world, [alice, bob], 1)
    assert alice.events == [Ringing(), Answer(Codec.OPUS)]
    assert bob.events == [Digit(5, 100), Hold(), Resume()]
    theirs.send(End())
    run(world, [alice, bob], 3)
    assert alice.events[-1] == End()
    assert (alice.calls.active(), bob.calls.active()) == (0, 0)
    assert all_free(alice, bob)


def test_a_call_that_carries_texts_alone_is_a_call_to_the_circuits() -> None:
    world, alice, bob = two_boxes(SMALL)
    for first in (True, False):
        leg = alice.calls.call("bob", Offer(()), alice.listener)
        leg.send(Text(b"too soon: nobody is there yet"))
        run(world, [alice, bob], 2)
        assert bob.rung[-1][:2] == ("alice", Offer(())), first
        theirs = bob.rung[-1][2]
        theirs.send(Ringing())
        run(world, [alice, bob], 1)
        leg.send(Text(b"hej"))
        run(world, [alice, bob], 1)
        theirs.send(Taken())
        theirs.send(Text(b"x" * 1_300))
        run(world, [alice, bob], 1)
        assert (bob.events, alice.events) == ([Text(b"hej")], [Ringing(), Taken(), Text(b"x" * 1_300)])
        leg.send(End())
        run(world, [alice, bob], 4)
        assert all_free(alice, bob)
        bob.events.clear()
        alice.events.clear()


def test_second_call_needs_no_full_handshake_and_uses_other_keys() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    saved = len(bob.saved)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert len(bob.rung) == 1
    assert len(bob.saved) == saved
    sending = [circuit for circuit in world.circuits if circuit.speaking]
    assert len(sending) == len({circuit.send_key for circuit in sending}) == 4, "two splices, each with keys of its own"
    for circuit in sending:
        assert circuit.mate is not None
        assert circuit.send_key in circuit.mate.receive_keys
        assert sum(circuit.send_key in other.receive_keys for other in sending) == 1


def test_callee_can_call_back() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 1)
    assert [petname for petname, _, _ in alice.rung] == ["bob"]


def test_home_and_dsl_meet_at_the_first_junction() -> None:
    for counts in ((2, 1), (1, 2), (1, 1)):
        world, alice, bob = two_boxes(SMALL, counts=counts)
        alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 2)
        assert len(bob.rung) == 1, counts


def test_boxes_with_and_without_a_middle_call_each_other() -> None:
    world = FakeWorld(make_network(guards=6), 5_000_000)
    alice, bob = Box(world, "alice", 2, 1), Box(world, "bob", 2, 2)
    alice.middle = True
    for box, other in ((alice, bob), (bob, alice)):
        box.knows(other)
        box.start()
    run(world, [alice, bob], 12)
    finish_first_call(world, alice, bob)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 2)
    assert [petname for petname, _, _ in alice.rung] == ["bob"]
    assert [len(box.plane.circuit(box.standing.present()[0].link).owner_keys) for box in (alice, bob)] == [3, 2]


def test_second_junction_is_tried_where_the_first_does_not_answer() -> None:
    world, alice, bob = two_boxes(SMALL)
    first = bob.standing.present()[0]
    world.mute.add(first.path.guard.relay_id)
    bob.standing.lost(first.link, world.now_us)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 7)
    assert len(bob.rung) == 1
    assert alice.events == []


def test_sound_is_bound_to_the_calls_circuit() -> None:
    world, alice, bob = two_boxes(SMALL)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    leg.bind(Port(), Codec.OPUS)
    bound = [circuit.bound for circuit in world.circuits if circuit.box is alice.plane and circuit.bound]
    assert bound == [(17, 1), (17, 1)], "of both its circuits"
    leg.send(End())
    run(world, [alice, bob], 3)
    assert [circuit.bound for circuit in world.circuits if circuit.bound] == []


def test_stranger_is_never_rung_for_and_gets_the_answer_of_a_box_that_is_off() -> None:
    world, alice, bob = two_boxes(SMALL, mutual=False)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 12)
    stranger = list(alice.events_at_us), list(alice.events)
    assert bob.rung == []
    assert stranger[1] == [Refuse(Refusal.UNREACHABLE)]
    world, alice, bob = two_boxes(SMALL)
    bob.standing.close()
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice], 12)
    assert (alice.events_at_us, alice.events) == stranger, "at the same time, to the millisecond"


def test_unknown_name_is_a_usage_error() -> None:
    _, alice, _ = two_boxes(SMALL)
    with pytest.raises(UsageError):
        alice.calls.call("carol", OFFER, alice.listener)


def test_no_circuit_is_unreachable_after_the_leg_was_handed_out() -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.standing.close()
    alice.calls.call("bob", OFFER, alice.listener)
    assert alice.events == []
    run(world, [alice, bob], 0.1)
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]


def test_caller_who_gives_up_while_knocking_leaves_nothing() -> None:
    world, alice, bob = two_boxes(SMALL)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    leg.send(End())
    run(world, [alice, bob], 6)
    assert bob.rung == []
    assert alice.events == []
    assert world.knocks == {}
    assert all_free(alice, bob)


def test_caller_who_gives_up_during_pairing_still_ends_the_ringing() -> None:
    world, alice, bob = two_boxes(SMALL)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    while not bob.rung:
        run(world, [alice, bob], 0.02)
    assert alice.calls._calls[0].state is State.AWAIT_SECOND
    leg.send(End())
    run(world, [alice, bob], 3)
    assert bob.events == [End()]
    assert all_free(alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 9)
    assert len(bob.rung) == 2, "the former secret still opens the door, and the full handshake is made again"
    assert alice.book.met("bob")


@pytest.mark.parametrize("why", [Refusal.BUSY, Refusal.DECLINED, Refusal.NO_ANSWER, Refusal.NO_COMMON_CODEC])
def test_refusals_pass_and_free_the_circuits(why: Refusal) -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    bob.rung[0][2].send(Refuse(why))
    run(world, [alice, bob], 3)
    assert alice.events == [Refuse(why)]
    assert all_free(alice, bob)


def test_lost_circuit_ends_the_call_at_once_where_there_is_no_other() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 2))
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    used = alice.calls._calls[0].circuits.first
    assert used is not None
    alice.standing.lost(used.link, world.now_us)
    assert alice.events == [End()]
    theirs = bob.calls._calls[0].circuits.first
    assert theirs is not None
    bob.calls.silent(theirs.link, world.now_us)
    assert bob.events == [End()]


def test_both_call_each_other_and_one_call_comes_about() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    alice.calls.call("bob", OFFER, alice.listener)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 6)
    assert len(alice.rung) + len(bob.rung) == 1
    assert sorted(alice.events + bob.events, key=str) == [Refuse(Refusal.BUSY)]


def test_two_calls_at_once_over_two_circuits() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 1)
    bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 2)
    assert len(bob.rung) == len(alice.rung) == 1
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 0.1)
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]


def knock_payload(world: FakeWorld, alice: Box) -> bytes:
    saying = next(circuit.saying for circuit in world.circuits if circuit.box is alice.plane and circuit.saying and circuit.saying[0] == 26)
    return saying[1] + bytes(8)


def test_replayed_knock_is_not_taken_again() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    payload = knock_payload(world, alice)
    run(world, [alice, bob], 1)
    leg.send(End())
    run(world, [alice, bob], 3)
    assert len(bob.rung) == 1
    link = bob.standing.present()[0].link
    before = bob.calls.counters["knock_refused"]
    bob.calls.knocked(link, payload, world.now_us)
    assert bob.calls.counters["knock_refused"] == before + 1
    assert len(bob.rung) == 1
    assert bob.calls.active() == 0


@pytest.mark.parametrize("bit", [0, 128 + 5, 256 + 200, 8 * 216 - 1])
def test_changed_knock_is_counted_and_nothing_else(bit: int) -> None:
    world, alice, bob = two_boxes(SMALL)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    changed = bytearray(knock_payload(world, alice))
    leg.send(End())
    changed[bit // 8] ^= 1 << (bit % 8)
    bob.calls.knocked(bob.standing.present()[0].link, bytes(changed), world.now_us)
    bob.calls.knocked(bob.standing.present()[0].link, bytes(changed[:100]), world.now_us)
    bob.calls.knocked(999, bytes(changed), world.now_us)
    assert bob.calls.counters["knock_refused"] == 2
    assert bob.calls.active() == 0


@pytest.mark.parametrize("message", [b"", b"\x02abc", b"\x03" + bytes(1500), b"\x04" + bytes(32), b"\x10\x01\x01", b"\xff", b"\x01" + bytes(32)])
def test_wrong_messages_end_the_call(message: bytes) -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    circuit = bob.calls._calls[0].circuits.first
    assert circuit is not None
    bob.calls.message(circuit.link, message, world.now_us)
    assert bob.calls.counters["call_broken"] == 1
    assert bob.events == [End()]
    run(world, [alice, bob], 1)
    assert bob.calls.active() == 0


def test_contact_with_an_expired_box_certificate_does_not_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    world, alice, bob = two_boxes(SMALL)
    later = world.small.network.terms.born_unix_us + 366 * 86_400 * 1_000_000
    monkeypatch.setattr(bob.calls, "_setting", _with_birth(bob.calls, later))
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 15)
    assert bob.rung == []
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]
    assert not bob.book.met("alice")


def _with_birth(calls: Calls, born_unix_us: int) -> object:
    from dataclasses import replace  # noqa: PLC0415 - used here only

    return replace(calls._setting, born_unix_us=born_unix_us)


def test_calls_go_on_over_epochs_and_secrets_move_forward() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    finish_first_call(world, alice, bob)
    secret = alice.book.get("bob")
    run(world, [alice, bob], 180)
    for box in (alice, bob):
        box.calls.handle_timer(world.now_us)
    moved = alice.book.get("bob")
    assert secret is not None
    assert moved is not None
    assert moved.pair is not None
    assert secret.pair is not None
    assert moved.pair.epoch >= 2
    assert moved.pair.secret != secret.pair.secret
    assert alice.saved[-1] == moved
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 1)
    assert len(bob.rung) == 1


def test_call_in_progress_outlives_its_epoch() -> None:
    world, alice, bob = two_boxes(make_network(epoch_s=60))
    leg = alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 150)
    assert alice.events == []
    leg.send(Hold())
    run(world, [alice, bob], 1)
    assert bob.events == [Hold()]
    leg.send(End())
    run(world, [alice, bob], 3)
    assert bob.events[-1] == End()
    run(world, [alice, bob], 40)
    assert len(alice.plane.links()) == 2


def before_keys(world: FakeWorld, alice: Box, bob: Box) -> tuple[CircuitLeg, CircuitLeg]:
    """Let alice's call ring at bob's phone whose box has no proof yet that she has the keys; return both legs."""
    finish_first_call(world, alice, bob)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    while not bob.rung:
        run(world, [alice, bob], 0.01)
    assert bob.calls._calls[0].state is State.JOINING
    return leg, bob.rung[0][2]


def test_fresh_knock_rings_before_the_keys_are_confirmed_and_ringing_is_all_that_is_said_till_then() -> None:
    world, alice, bob = two_boxes(SMALL)
    leg, theirs = before_keys(world, alice, bob)
    link = bob.standing.present()[0].link
    answer_key = bob.plane.circuit(link).send_key
    theirs.send(Ringing())
    theirs.send(Progress(Codec.PCMA))
    theirs.bind(Port(), Codec.PCMA)
    theirs.send(Answer(Codec.PCMA))
    said = list(bob.plane.circuit(link).messages)
    assert [message[:1] for message in said] == [b"\x01", b"\x11"], "the key, and that it rings"
    assert bob.plane.circuit(link).bound is None, "no sound under a key that is older than the call"
    while not alice.events:
        run(world, [alice, bob], 0.01)
    assert bob.plane.circuit(link).send_key == answer_key
    run(world, [alice, bob], 1)
    assert bob.plane.circuit(link).send_key != answer_key
    assert alice.events == [Ringing(), Progress(Codec.PCMA), Answer(Codec.PCMA)]
    assert bob.plane.circuit(link).bound == (17, Codec.PCMA)
    leg.send(Digit(1, 100))
    run(world, [alice, bob], 1)
    assert bob.events == [Digit(1, 100)]


@pytest.mark.parametrize("event", [Refuse(Refusal.DECLINED), End()])
def test_phone_that_declines_before_the_keys_are_confirmed_is_heard(event: End | Refuse) -> None:
    world, alice, bob = two_boxes(SMALL)
    _, theirs = before_keys(world, alice, bob)
    theirs.send(event)
    theirs.send(Answer(Codec.PCMA))
    run(world, [alice, bob], 3)
    assert alice.events == [event]
    assert bob.events == []
    assert all_free(alice, bob)


def test_phone_stops_ringing_where_nothing_confirms_the_keys() -> None:
    world, alice, bob = two_boxes(SMALL)
    leg, theirs = before_keys(world, alice, bob)
    began_us = world.now_us
    leg.send(End())
    theirs.send(Ringing())
    for number in range(2 * MAX_HELD):
        theirs.send(Answer(Codec.PCMA) if number == 0 else Digit(1, 100))
    assert len(bob.calls._calls[0]._held) == MAX_HELD
    run(world, [alice, bob], 6)
    assert bob.events == [End()]
    assert bob.events_at_us[0] - began_us < 4_100_000
    assert all_free(alice, bob)


def late_knock(world: FakeWorld, alice: Box, bob: Box) -> tuple[CircuitLeg, bytes]:
    """Let alice knock, and keep the knock from bob as a junction could."""
    finish_first_call(world, alice, bob)
    for circuit in bob.standing.present():
        bob.plane.circuit(circuit.link).tokens = []
    leg = alice.calls.call("bob", OFFER, alice.listener)
    return leg, knock_payload(world, alice)


@pytest.mark.parametrize(("wait_s", "rings"), [(0.5, 1), (4.9, 1), (5.1, 0), (600, 0)])
def test_knock_that_was_held_back_does_not_ring(wait_s: float, rings: int) -> None:
    """Held back for longer than its caller waits, it makes the box answer, as any knock does; but no phone."""
    world, alice, bob = two_boxes(SMALL)
    leg, payload = late_knock(world, alice, bob)
    run(world, [alice, bob], 0.2)
    leg.send(End())
    run(world, [alice, bob], wait_s - 0.2)
    bob.calls.knocked(bob.standing.present()[0].link, payload, world.now_us)
    assert bob.calls.active() == 1
    run(world, [alice, bob], 6)
    assert len(bob.rung) == rings
    assert bob.calls.active() == 0


@pytest.mark.parametrize(("after_s", "rings"), [(0.5, 0), (1.5, 1)])
def test_box_that_began_anew_is_not_made_to_ring_by_a_knock_from_before(after_s: float, rings: int) -> None:
    """It forgot the knocks it had; so it waits for confirmed keys unless the knock was surely made since."""
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    began_us = world.now_us
    run(world, [alice, bob], after_s)
    leg = alice.calls.call("bob", OFFER, alice.listener)
    payload = knock_payload(world, alice)
    leg.send(End())
    fresh = Calls(bob.calls._setting, lambda: None, lambda: False)
    fresh._began_us = began_us
    fresh.on_call(bob._rings)
    fresh.use(bob.standing)
    for circuit in bob.standing.present():
        fresh.make_tokens(circuit.path, circuit.epoch)
    fresh.knocked(bob.standing.present()[0].link, payload, world.now_us)
    assert len(bob.rung) == rings
    assert fresh.active() == 1


@pytest.mark.parametrize(("apart_s", "rings"), [(-0.9, 1), (0.9, 1), (1.1, 0), (-5.1, 0)])
def test_knock_of_a_box_whose_clock_is_wrong_rings_when_the_keys_are_confirmed(apart_s: float, rings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    monkeypatch.setattr(pair, "seal_knock", partial(_seal_later, pair.seal_knock, int(apart_s * 50)))
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.calls.active():
        run(world, [alice, bob], 0.01)
    assert len(bob.rung) == rings
    run(world, [alice, bob], 1)
    assert len(bob.rung) == 1


def _seal_later(seal: Callable[..., pair.SentKnock], slots: int, *given: Any, **named: Any) -> pair.SentKnock:
    return seal(*given[:4], given[4] + slots, **named)


def test_time_to_ring() -> None:
    """Virtual time with 60 ms from box to box: a call between people who met rings after one way."""
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    start_us = world.now_us
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.rung:
        run(world, [alice, bob], 0.01)
    assert world.now_us - start_us < 100_000


@pytest.mark.parametrize("caller_ends", [True, False])
def test_dialling_again_at_once_works(caller_ends: bool) -> None:
    """Found with two real phones: with every circuit still saying its last words, the next call was refused."""
    world, alice, bob = two_boxes(SMALL)
    for count in range(1, 6):
        leg = alice.calls.call("bob", OFFER, alice.listener)
        while len(bob.rung) < count:
            run(world, [alice, bob], 0.1)
            assert not alice.events, f"call {count} was refused"
        (leg if caller_ends else bob.rung[-1][2]).send(End())
        run(world, [alice, bob], 0.2)
        alice.events.clear()


def test_ends_from_both_sides_free_the_circuits_quickly() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    for both in (False, True):
        leg = alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 1)
        leg.send(End())
        if both:
            bob.rung[-1][2].send(End())
        run(world, [alice, bob], 0.8)
        assert all_free(alice, bob)


def test_contact_added_while_the_box_runs_can_call_at_once() -> None:
    world, alice, bob = two_boxes(SMALL, mutual=False)
    bob.knows(alice)
    bob.book.add(bob.contacts[-1])
    bob.standing.renew_tokens(world.now_us)
    run(world, [alice, bob], 1)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert [petname for petname, _, _ in bob.rung] == ["alice"]


def test_call_that_nobody_here_can_take_is_not_answered() -> None:
    world, alice, bob = two_boxes(SMALL)

    def no_ports(_petname: str, _offer: Offer, _leg: object) -> None:
        raise HostError("no port is free")

    bob.calls.on_call(no_ports)  # type: ignore[arg-type]  # it never returns
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 2)
    assert alice.events == [Refuse(Refusal.NO_ANSWER)]
    assert all_free(alice, bob)


def test_removed_contact_is_a_stranger() -> None:
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    bob.book.remove("alice")
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 12)
    assert bob.rung == []
    assert bob.calls.counters["knock_refused"] > 0, "the tokens left before still let the knock through; nobody answers it"
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]


def test_contact_removed_in_the_first_call_ends_it() -> None:
    world, alice, bob = two_boxes(SMALL)
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.calls.active():
        run(world, [alice, bob], 0.02)
    bob.book.remove("alice")
    run(world, [alice, bob], 12)
    assert bob.rung == []
    assert bob.calls.active() == 0
    assert alice.events == [Refuse(Refusal.UNREACHABLE)]


def test_contact_removed_while_we_knock_or_they_join() -> None:
    """Its phone rang for a moment, because the knock was good when it came."""
    world, alice, bob = two_boxes(SMALL)
    finish_first_call(world, alice, bob)
    alice.calls.call("bob", OFFER, alice.listener)
    while not bob.calls.active():
        run(world, [alice, bob], 0.02)
    bob.book.remove("alice")
    alice.book.remove("bob")
    run(world, [alice, bob], 12)
    assert len(bob.rung) == 1
    assert bob.events == [End()]
    assert bob.calls.active() == 0
    assert alice.events == [End()], "after 10 s without a valid cell"
    assert all_free(alice, bob)
