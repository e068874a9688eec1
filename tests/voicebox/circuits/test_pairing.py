"""Pairing by words between boxes in virtual time: over a junction's splice, with wrong words, used, burned and expired ones, and with somebody between."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeCircuit, FakeWorld
from tests.support.networks import make_network
from tests.voicebox.circuits.test_calls import OFFER, all_free
from tests.voicebox.circuits.test_dummies import meet as full_handshake
from tests.voicebox.circuits.test_dummies import seen_outside, told_to_engine
from voicebox.b2bua.events import Answer, Codec, End, Ringing
from voicebox.circuits import meeting_call
from voicebox.circuits import pairing as pairing_module
from voicebox.circuits.call_record import RecordType
from voicebox.circuits.call_state import State
from voicebox.circuits.dummies import LONGEST, Script
from voicebox.circuits.guest import Guest
from voicebox.circuits.invitation_file import INVITATIONS_FILE
from voicebox.circuits.meeting import Outcome
from voicebox.circuits.pairing import KEPT_US, MAX_INVITATIONS, MAX_MEETINGS, MAX_WRONG
from voicebox.contacts.store import StateDirectory
from voicebox.errors import HostError, UsageError
from voicebox.sensitive import Secret

SMALL = make_network()
NUMBER, OTHER_NUMBER = "11" * 32, "22" * 32
"""What numbers of invitations give, which takes the slow hash."""
WORDS, WRONG = "kettle rocket violin", "kettle rocket walnut"
REST = Script(30_000)
HOUR_S = 3600


@pytest.fixture(autouse=True)
def _rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw no lengths."""
    monkeypatch.setattr(pairing_module, "draw_answered", lambda _rng, _scale: REST)


def boxes(counts: tuple[int, int] = (2, 2), epoch_s: int = 3600) -> tuple[FakeWorld, Box, Box]:
    """Return a world with alice and bob, who do not know each other."""
    world = FakeWorld(SMALL if epoch_s == 3600 else make_network(epoch_s=epoch_s), 5_000_000)
    alice, bob = Box(world, "alice", counts[0], 1), Box(world, "bob", counts[1], 2)
    for box in (alice, bob):
        box.start()
    run(world, [alice, bob], 8)
    return world, alice, bob


def invite(box: Box, number: str = NUMBER, words: str = WORDS, petname: str = "", for_s: int = HOUR_S) -> int:
    """Make an invitation, good for an hour; where a petname is given, whoever comes is added. Return its place."""
    asked = {"secret": number, "password": words, "for_s": str(for_s), "petname": petname, "sure": bool(petname)}
    return int(box.pairing.answers["invite"](asked)["place"])


def accept(box: Box, number: str = NUMBER, words: str = WORDS, inviter: str = "") -> None:
    box.pairing.answers["accept"]({"secret": number, "password": words, "inviter": inviter})


def outcome(box: Box) -> str:
    return str(box.pairing.answers["accepted"]({})["outcome"])


def row(box: Box) -> dict[str, Any]:
    """Return what is told of the one invitation."""
    (found,) = box.pairing.answers["invited"]({})["invitations"]
    return dict(found)


def met(world: FakeWorld, alice: Box, bob: Box) -> None:
    """Let bob accept what alice invites to, until both have the other's card."""
    accept(bob)
    run(world, [alice, bob], 3)
    assert (outcome(bob), row(alice)["state"]) == ("met", "came")


@pytest.mark.parametrize("counts", [(2, 2), (1, 1), (1, 2), (2, 1), (8, 2)])
def test_two_who_share_words_become_contacts_and_call_each_other(counts: tuple[int, int]) -> None:
    world, alice, bob = boxes(counts)
    invite(alice)
    run(world, [alice, bob], 2)
    accept(bob, inviter=alice.identity.contact_id.hex())
    run(world, [alice, bob], 3)
    came, accepted = row(alice), bob.pairing.answers["accepted"]({})
    assert (came["state"], came["claims"], accepted["outcome"], accepted["claims"]) == ("came", "bob", "met", "alice")
    alice.add_contact("robert", came["card"])
    bob.add_contact("alice", accepted["card"])
    run(world, [alice, bob], 3)
    assert alice.book.get("robert") is not None
    leg = bob.calls.call("alice", OFFER, bob.listener)
    run(world, [alice, bob], 3)
    assert [petname for petname, _, _ in alice.rung] == ["robert"]
    alice.rung[0][2].send(Answer(Codec.OPUS))
    run(world, [alice, bob], 1)
    assert bob.events == [Answer(Codec.OPUS)]
    leg.send(End())
    run(world, [alice, bob], 5)
    assert all_free(alice, bob)


def test_who_is_expected_is_added_without_being_asked_about() -> None:
    world, alice, bob = boxes()
    invite(alice, petname="robert")
    accept(bob)
    run(world, [alice, bob], 4)
    assert row(alice)["state"] == "added"
    contact = alice.book.get("robert")
    assert contact is not None
    assert contact.contact_id == bob.identity.contact_id
    bob.add_contact("alice", bob.pairing.answers["accepted"]({})["card"])
    run(world, [alice, bob], 3)
    alice.calls.call("robert", OFFER, alice.listener)
    run(world, [alice, bob], 3)
    assert [petname for petname, _, _ in bob.rung] == ["alice"], "the token of the new contact lies at the junctions"


def test_a_petname_that_is_taken_meanwhile_changes_no_contact() -> None:
    """A card for a petname that somebody has would be taken for another card of theirs, and would stop their calls."""
    world, alice, bob = boxes()
    invite(alice, petname="robert")
    carol = Box(world, "carol", 2, 3)
    carol.knows(carol)
    alice.add_contact("robert", carol.contacts[0].card_text)
    accept(bob)
    run(world, [alice, bob], 4)
    assert row(alice)["state"] == "came", "the user is asked"
    contact = alice.book.get("robert")
    assert contact is not None
    assert contact.contact_id == carol.identity.contact_id
    with pytest.raises(UsageError, match="robert already"):
        invite(alice, OTHER_NUMBER, petname="robert")


def test_words_are_good_once() -> None:
    world, alice, bob = boxes()
    invite(alice)
    met(world, alice, bob)
    run(world, [alice, bob], 6)
    carol = Box(world, "carol", 2, 3)
    carol.start()
    run(world, [alice, bob, carol], 8)
    for words, said in ((WRONG, "wrong"), (WORDS, "used")):
        accept(carol, words=words)
        run(world, [alice, bob, carol], 6)
        assert outcome(carol) == said
    came = row(alice)
    assert (came["state"], came["claims"]) == ("came", "bob")


def test_three_wrong_tries_burn_the_words_and_their_owner_is_told() -> None:
    world, alice, bob = boxes()
    invite(alice)
    for tries in range(1, MAX_WRONG + 1):
        accept(bob, words=WRONG)
        run(world, [alice, bob], 6)
        assert outcome(bob) == "wrong"
        assert row(alice)["wrong"] == tries
    assert row(alice)["state"] == "burned"
    assert alice.pairing.waiting() == 0
    accept(bob)
    run(world, [alice, bob], 12)
    assert outcome(bob) == "nobody", "the right ones too, and nobody answers"
    assert row(alice) == row(alice) | {"state": "burned", "wrong": MAX_WRONG, "card": ""}


def test_an_invitation_outlives_its_boxs_restart(tmp_path: Path) -> None:
    world, alice, bob = boxes()
    store = StateDirectory(tmp_path / "alice")
    store.create()
    alice.files = store
    alice.start_pairing()
    invite(alice)
    alice.start_pairing()
    assert row(alice)["state"] == "waiting"
    met(world, alice, bob)
    alice.start_pairing()
    assert row(alice) == row(alice) | {"state": "came", "claims": "bob"}, "the user is asked about who came"
    alice.add_contact("robert", row(alice)["card"])
    place = invite(alice, OTHER_NUMBER)
    assert place == 2, "no number is given twice"
    for settled in ({"settle": "1"}, {"settle": "2"}):
        alice.pairing.answers["invited"](settled)
    assert not store.exists(INVITATIONS_FILE)


def test_a_restart_gives_no_tries_back_and_makes_no_words_good_again() -> None:
    world, alice, bob = boxes()
    invite(alice)
    for _ in range(MAX_WRONG - 1):
        accept(bob, words=WRONG)
        run(world, [alice, bob], 6)
        alice.start_pairing()
    assert row(alice)["wrong"] == MAX_WRONG - 1
    met(world, alice, bob)
    run(world, [alice, bob], 6)
    alice.start_pairing()
    carol = Box(world, "carol", 2, 3)
    carol.start()
    run(world, [alice, bob, carol], 8)
    for words, said in ((WORDS, "used"), (WRONG, "wrong"), (WORDS, "nobody")):
        accept(carol, words=words)
        run(world, [alice, bob, carol], 12)
        assert outcome(carol) == said
        alice.start_pairing()
    assert row(alice)["wrong"] == MAX_WRONG


def test_an_invitation_that_cannot_be_kept_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    _, alice, _ = boxes()

    def refuse(name: str, octets: bytes) -> None:
        raise HostError("full")

    monkeypatch.setattr(alice.files, "write", refuse)
    with pytest.raises(HostError, match="full"):
        invite(alice)
    assert alice.pairing.answers["invited"]({}) == {"invitations": []}
    assert not alice.book.guests


def test_tries_at_the_same_time_are_counted_together() -> None:
    """Whoever goes to several meetings at once, over circuits of several boxes, has no more tries."""
    world, alice, bob = boxes((8, 2))
    invite(alice)
    others = [Box(world, f"box {seed}", 1, seed) for seed in range(3, 8)]
    for box in others:
        box.start()
    run(world, [alice, bob, *others], 8)
    for box in others:
        accept(box, words=WRONG)
    run(world, [alice, bob, *others], 8)
    assert row(alice)["wrong"] <= MAX_WRONG
    assert {outcome(box) for box in others} <= {"wrong", "nobody"}


def test_words_expire_and_are_forgotten_a_day_later() -> None:
    world, alice, bob = boxes()
    invite(alice, for_s=10)
    run(world, [alice, bob], 11)
    assert row(alice)["state"] == "expired"
    accept(bob)
    run(world, [alice, bob], 45)
    assert outcome(bob) == "expired"
    world.now_us += KEPT_US
    invite(alice, OTHER_NUMBER)
    assert row(alice)["state"] == "waiting"


def test_whoever_comes_long_after_the_time_is_over_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing_module, "KEPT_US", 5_000_000)
    world, alice, bob = boxes()
    invite(alice, for_s=10)
    run(world, [alice, bob], 16)
    accept(bob)
    run(world, [alice, bob], 12)
    assert outcome(bob) == "nobody", "though the box made no other invitation since"


@pytest.mark.parametrize("why", ["another number", "withdrawn", "off"])
def test_where_nobody_is_invited_nobody_answers(why: str) -> None:
    world, alice, bob = boxes()
    place = invite(alice)
    if why == "withdrawn":
        assert alice.pairing.answers["invited"]({"settle": str(place)})["invitations"] == []
    elif why == "off":
        alice.standing.close()
    accept(bob, OTHER_NUMBER if why == "another number" else NUMBER)
    run(world, [alice, bob], 12)
    assert outcome(bob) == "nobody"
    assert all_free(bob)


def run_until(world: FakeWorld, alice: Box, bob: Box, reached: Callable[[], bool]) -> None:
    """Let time pass until something is so."""
    for _ in range(200):
        if reached():
            return
        run(world, [alice, bob], 0.02)
    raise AssertionError("it never was")


@pytest.mark.parametrize("welcomed", [False, True])
def test_an_invitation_that_is_taken_back_while_somebody_comes_adds_nobody(welcomed: bool) -> None:
    world, alice, bob = boxes()
    place = invite(alice, petname="robert")
    (invitation,) = alice.pairing._invitations
    accept(bob)
    run_until(world, alice, bob, lambda: bool(invitation.card) if welcomed else invitation.meetings > 0)
    assert row(alice)["state"] == "waiting"
    alice.pairing.answers["invited"]({"settle": str(place)})
    run(world, [alice, bob], 6)
    assert alice.book.get("robert") is None


def test_a_meeting_waits_for_whom_it_is_until_their_box_runs() -> None:
    """Both have to run at once; an invitation may be made before its friend has a box, and be left at the circuits of later epochs."""
    world, alice, bob = boxes(epoch_s=60)
    invite(alice)
    run(world, [alice, bob], 130)
    assert alice.standing.epoch >= 2
    met(world, alice, bob)


def mallory_between(world: FakeWorld, alice: Box, bob: Box) -> Box:
    """Return a box that knows the number, as a junction may that has hashed all, and invites in alice's place: bob's knock comes to it alone."""
    mallory = Box(world, "mallory", 2, 3)
    mallory.start()
    run(world, [alice, bob, mallory], 8)
    invite(mallory, words=WRONG)
    run(world, [alice, bob, mallory], 2)
    mine = {token for circuit in mallory.standing.present() for token in mallory.plane.circuit(circuit.link).tokens}
    for circuit in world.circuits:
        if circuit.box is alice.plane:
            circuit.tokens = [token for token in circuit.tokens if token not in mine]
    return mallory


def test_somebody_who_stands_between_has_one_guess_at_each_and_gets_no_card() -> None:
    world, alice, bob = boxes()
    invite(alice)
    mallory = mallory_between(world, alice, bob)
    accept(bob)
    run(world, [alice, bob, mallory], 45)
    assert outcome(bob) == "wrong"
    assert row(mallory) | {"state": "waiting", "wrong": 1, "card": ""} == row(mallory)
    assert (row(alice)["state"], row(alice)["wrong"]) == ("waiting", 0)


def test_who_has_the_words_but_is_another_than_the_qr_code_says_is_refused() -> None:
    world, alice, bob = boxes()
    invite(alice)
    accept(bob, inviter="33" * 32)
    run(world, [alice, bob], 4)
    assert outcome(bob) == "other"


class Silent:
    """A meeting at which nothing is said."""

    outcome: Outcome | None = None

    def open(self, binding: bytes, say: Callable[[bytes], None]) -> None:
        """Say nothing."""

    def message(self, message: bytes, date: dt.datetime) -> None:
        raise AssertionError("the inviter waits for the accepter")

    def tell(self) -> None:
        """Tell nobody."""


def test_whoever_knows_the_number_alone_takes_circuits_of_the_box_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting_call, "MEETING_US", 2_000_000)
    world, alice, bob = boxes((1, 1))
    invite(alice)
    run(world, [alice, bob], 2)
    seen = Splices(world)
    bob.book.guests["guest"] = Guest(Secret(bytes.fromhex(NUMBER)), invited=False)
    for _ in range(MAX_MEETINGS + 2):
        bob.calls.meet("guest", Silent(), REST)
        run(world, [alice, bob], 8)
        assert all_free(alice, bob)
    assert (seen.count, row(alice)["state"]) == (MAX_MEETINGS, "burned")


def test_that_there_is_room_for_a_spare_ends_no_meeting_whose_words_were_said_meanwhile() -> None:
    world, alice, bob = boxes()
    invite(alice)
    met(world, alice, bob)
    (rest,) = bob.calls._calls
    assert rest.is_dummy
    rest.message(bytes([RecordType.ROOM]), world.now_us)
    assert rest.state is State.OPEN


class Splices:
    """Counts what a junction splices."""

    def __init__(self, world: FakeWorld) -> None:
        self.count = 0
        world.tap = self._tap

    def _tap(self, what: str, _circuit: FakeCircuit, _payload: bytes) -> None:
        self.count += what == "splice"


def test_a_box_goes_to_one_meeting_at_a_time_and_open_invitations_are_bounded() -> None:
    world, alice, bob = boxes()
    accept(bob)
    with pytest.raises(UsageError, match="already"):
        accept(bob)
    for place in range(MAX_INVITATIONS):
        invite(alice, f"{place:064}")
    with pytest.raises(UsageError, match="are open"):
        invite(alice, NUMBER)
    alice.pairing.answers["invited"]({"settle": "1"})
    invite(alice, NUMBER)
    run(world, [alice, bob], 3)
    for circuit in alice.standing.present():
        assert set(alice.book.tokens(circuit.path.junction.relay_id, circuit.epoch)) <= set(alice.plane.circuit(circuit.link).tokens)


def test_a_meeting_whose_circuits_were_made_anew_is_told_of_and_another_may_begin() -> None:
    """A box whose date was set begins anew with its circuits and calls; invitations stay."""
    _, alice, bob = boxes()
    invite(alice)
    accept(bob)
    for box in (alice, bob):
        box.pairing.use(box.calls)
    assert outcome(bob) == "interrupted"
    assert alice.pairing.waiting() == 1
    accept(bob)
    assert outcome(bob) == "", "it is gone to"


def test_somebody_who_was_welcome_when_the_circuits_were_made_anew_is_asked_about() -> None:
    world, alice, bob = boxes()
    invite(alice)
    (invitation,) = alice.pairing._invitations
    accept(bob)
    run_until(world, alice, bob, lambda: bool(invitation.card))
    alice.pairing.use(alice.calls)
    assert (row(alice)["state"], row(alice)["claims"]) == ("came", "bob")


def test_a_box_that_was_started_anew_does_not_let_anybody_wait_for_a_meeting() -> None:
    _, alice, _ = boxes()
    with pytest.raises(UsageError, match="started anew"):
        outcome(alice)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"secret": "11" * 31, "password": WORDS, "for_s": "60"},
        {"secret": "zz" * 32, "password": WORDS, "for_s": "60"},
        {"secret": NUMBER, "password": "", "for_s": "60"},
        {"secret": NUMBER, "password": "x" * 65, "for_s": "60"},
        {"secret": NUMBER, "password": WORDS, "for_s": "0"},
        {"secret": NUMBER, "password": WORDS, "for_s": "-1"},
        {"secret": NUMBER, "password": WORDS, "for_s": "604801"},
        {"secret": NUMBER, "password": WORDS, "for_s": "60", "petname": "not a petname!"},
    ],
)
def test_requests_that_are_none_change_nothing(asked: dict[str, Any]) -> None:
    _, alice, _ = boxes()
    with pytest.raises(UsageError):
        alice.pairing.answers["invite"](asked)
    assert alice.pairing.answers["invited"]({})["invitations"] == []
    with pytest.raises(UsageError):
        alice.pairing.answers["invited"]({"settle": "99"})


# ------------------------------------------------------------------------------------------------- what others see of it


def test_a_meeting_is_a_call_in_all_that_leaves_the_boxes() -> None:
    """A dummy is one too: test_dummies.py. The token of a guest lies among those of contacts."""
    seen, lasted_us = [], 0
    for meeting in (True, False):
        world, alice, bob = two_boxes(SMALL)
        full_handshake(world, alice, bob)
        if meeting:
            invite(alice)
            run(world, [alice, bob], 3)
        told = [told_to_engine(box) for box in (bob, alice)]
        since_us = world.now_us
        if meeting:
            accept(bob)
            run(world, [alice, bob], 45)
            assert outcome(bob) == "met"
            lasted_us = next(at_us for name, at_us, shapes in told[0] if name == "say" and shapes[1] == 29) - since_us - 400_000
            assert lasted_us > REST.length_us
        else:
            leg = bob.calls.call("alice", OFFER, bob.listener)
            run(world, [alice, bob], 1)
            alice.rung[0][2].send(Ringing())
            alice.rung[0][2].send(Answer(Codec.PCMA))
            run(world, [alice, bob], lasted_us / 1e6 - 1)
            leg.send(End())
            run(world, [alice, bob], 45 - lasted_us / 1e6)
        assert alice.calls._calls == bob.calls._calls == []
        seen.append([seen_outside(each, since_us) for each in told])
    for one, other in zip(*seen, strict=True):
        assert [(name, shapes) for name, _, shapes in one] == [(name, shapes) for name, _, shapes in other]
        assert max(abs(left - right) for (_, left, _), (_, right, _) in zip(one, other, strict=True)) <= 30_000, "to the step of this clock"
        assert len(one) >= 4


def test_a_meeting_gives_way_to_a_call_at_any_time() -> None:
    for after_s in (0.3, 1.5, 10):
        world, alice, bob = two_boxes(SMALL, counts=(1, 1))
        full_handshake(world, alice, bob)
        invite(alice)
        run(world, [alice, bob], 3)
        accept(bob)
        run(world, [alice, bob], after_s)
        alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 6)
        assert [petname for petname, _, _ in bob.rung] == ["alice"], after_s
        assert outcome(bob) in {"met", "interrupted", "nobody"}


def test_a_dummy_does_not_end_a_meeting_whose_words_are_not_said() -> None:
    world, alice, bob = two_boxes(SMALL, counts=(1, 1))
    full_handshake(world, alice, bob)
    invite(alice)
    run(world, [alice, bob], 3)
    accept(bob)
    run(world, [alice, bob], 0.2)
    alice.calls.begin_dummy("bob", LONGEST, world.now_us)
    run(world, [alice, bob], 4)
    assert outcome(bob) == "met"


def test_a_meeting_does_not_count_as_a_call_and_tells_no_copy() -> None:
    world, alice, bob = boxes()
    invite(alice)
    accept(bob)
    run(world, [alice, bob], 1.5)
    assert (alice.calls.active(), bob.calls.active()) == (0, 0)
    run(world, [alice, bob], 2)
    assert alice.calls.dummies(world.now_us)[0] == 1, "its rest is a dummy"
    assert not alice.rung + bob.rung
    assert not alice.calls.has_copy(world.now_us)
