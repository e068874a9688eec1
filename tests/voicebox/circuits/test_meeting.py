"""The two sides of a meeting, message by message: who shows what to whom, and that nothing else is taken."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tests.support.networks import NOW
from voicebox.circuits.call_record import MEETING_TYPES, RecordType
from voicebox.circuits.exchange import Exchange
from voicebox.circuits.meeting import AccepterMeeting, InviterMeeting, Outcome, Shown, Stage, Word
from voicebox.contacts.card import serialise_card
from voicebox.contacts.identity import new_identity
from voicebox.errors import RemoteError
from voicebox.sensitive import Secret

ANN, BOB = new_identity("Ann", NOW), new_identity("Bob", NOW)
ANNS_CARD, BOBS_CARD = serialise_card(ANN), serialise_card(BOB)
PASSWORD, BINDING = Secret(b"kettle rocket violin"), bytes(32)
KINDS = sorted(MEETING_TYPES)


@dataclass
class Invitation:
    """Ann's invitation, as her meeting sees it."""

    password: Secret = field(default_factory=lambda: PASSWORD)
    becomes: Word = Word.WELCOME
    open: bool = True
    log: list[str] = field(default_factory=list)

    def may_try(self) -> bool:
        return self.open

    def wrong(self) -> None:
        self.log.append("wrong")

    def welcome(self, shown: Shown) -> Word:
        self.log.append(f"{shown.card.authority.claimed_name} shows a card")
        return self.becomes

    def came(self) -> None:
        self.log.append("came")


class Meeting:
    """Bob, who accepts, and Ann, who invited; what they say waits until it is carried."""

    def __init__(self, words: Secret = PASSWORD, invitation: Invitation | None = None, inviter_id: bytes | None = None, binding: bytes = BINDING) -> None:
        self.invitation = invitation or Invitation()
        self.told: list[tuple[Outcome, Shown | None]] = []
        self.bob = AccepterMeeting(words, BOBS_CARD, inviter_id, lambda outcome, shown: self.told.append((outcome, shown)))
        self.ann = InviterMeeting(self.invitation, ANNS_CARD)
        self.to_ann: list[bytes] = []
        self.to_bob: list[bytes] = []
        self.bob.open(BINDING, self.to_ann.append)
        self.ann.open(binding, self.to_bob.append)

    def carry(self, steps: int = 10) -> None:
        """Carry so many messages; tell where something came of it, as a box does."""
        for _ in range(steps):
            if self.to_ann:
                self.ann.message(self.to_ann.pop(0), NOW)
            elif self.to_bob:
                self.bob.message(self.to_bob.pop(0), NOW)
        for side in (self.ann, self.bob):
            if side.outcome is not None:
                side.tell()


def test_both_cards_are_shown_to_who_has_the_words() -> None:
    meeting = Meeting(inviter_id=ANN.contact_id)
    meeting.carry()
    ((outcome, shown),) = meeting.told
    assert outcome is Outcome.MET
    assert shown is not None
    assert (shown.text, shown.card.contact_id) == (ANNS_CARD, ANN.contact_id)
    assert meeting.invitation.log == ["Bob shows a card", "came"]
    assert meeting.to_ann == meeting.to_bob == []


def test_wrong_words_show_nobody_anything() -> None:
    meeting = Meeting(Secret(b"kettle rocket walnut"))
    meeting.carry()
    assert meeting.told == [(Outcome.WRONG, None)]
    assert meeting.invitation.log == ["wrong"]
    assert meeting.ann.outcome is Outcome.WRONG


def test_words_that_are_burned_are_wrong_though_they_are_right() -> None:
    meeting = Meeting(invitation=Invitation(open=False))
    meeting.carry()
    assert meeting.told == [(Outcome.WRONG, None)]
    assert meeting.invitation.log == [], "not even tried"


@pytest.mark.parametrize(("becomes", "outcome"), [(Word.USED, Outcome.USED), (Word.EXPIRED, Outcome.EXPIRED)])
def test_who_has_the_words_hears_why_they_are_good_no_more_and_sees_no_card(becomes: Word, outcome: Outcome) -> None:
    meeting = Meeting(invitation=Invitation(becomes=becomes))
    meeting.carry(4)
    meeting.carry()
    assert meeting.told == [(outcome, None)]
    assert "came" not in meeting.invitation.log


def test_a_card_of_somebody_else_than_the_qr_code_says_is_refused() -> None:
    meeting = Meeting(inviter_id=BOB.contact_id)
    meeting.carry()
    assert meeting.told == [(Outcome.OTHER, None)]


def test_somebody_between_them_who_has_not_the_words_is_refused_by_both() -> None:
    """They carry each message on, over two calls of their own: the number alone lets them come so far. C is another in each."""
    meeting = Meeting(binding=b"\1" * 32)
    meeting.carry()
    assert meeting.told == [(Outcome.WRONG, None)]
    assert meeting.invitation.log == ["wrong"]
    guessing = Meeting()
    mallory = Exchange(Secret(b"kettle rocket walnut"), BINDING, accepting=False)
    keys = mallory.finish(guessing.to_ann.pop(0)[1:])
    guessing.bob.message(bytes([RecordType.ELEMENT]) + mallory.element, NOW)
    guessing.bob.message(bytes([RecordType.SHOW]) + keys.show(Word.WELCOME, ANNS_CARD), NOW)
    guessing.bob.tell()
    assert guessing.told == [(Outcome.FALSE, None)]
    assert "came" not in guessing.invitation.log


@pytest.mark.parametrize("at", [0, 31, 32, 33, 500, 4143])
@pytest.mark.parametrize("to_ann", [True, False])
def test_a_card_that_was_changed_on_its_way_is_refused(to_ann: bool, at: int) -> None:
    meeting = Meeting()
    meeting.carry(2 if to_ann else 3)
    waiting = meeting.to_ann if to_ann else meeting.to_bob
    message = bytearray(waiting[0])
    message[1 + at] ^= 1
    waiting[0] = bytes(message)
    meeting.carry()
    assert meeting.told == [(Outcome.WRONG if to_ann else Outcome.FALSE, None)]
    assert ("wrong" in meeting.invitation.log) is to_ann


def test_who_shows_something_else_than_a_card_is_refused() -> None:
    for word, text in ((Word.WELCOME, "no card"), (Word.USED, BOBS_CARD), (7, BOBS_CARD)):
        meeting = Meeting()
        meeting.bob = AccepterMeeting(PASSWORD, text, None, lambda _outcome, _shown: None)
        meeting.to_ann.clear()
        meeting.bob.open(BINDING, meeting.to_ann.append)
        meeting.carry(2)
        assert meeting.bob._keys is not None
        with pytest.raises(RemoteError):
            meeting.ann.message(bytes([RecordType.SHOW]) + meeting.bob._keys.show(word, text), NOW)
        assert meeting.invitation.log == []


ACCEPTERS_NEXT = {1: {RecordType.ELEMENT}, 3: {RecordType.SHOW, RecordType.WRONG}, 5: set[RecordType]()}
INVITERS_NEXT = {0: {RecordType.ELEMENT}, 2: {RecordType.SHOW}, 4: {RecordType.SEEN}, 5: set[RecordType]()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("accepts", "carried"), [*((True, carried) for carried in ACCEPTERS_NEXT), *((False, carried) for carried in INVITERS_NEXT)])
def test_every_other_message_ends_the_meeting(accepts: bool, carried: int, kind: RecordType) -> None:
    """carried: how many messages came to their other side before."""
    meeting = Meeting()
    meeting.carry(carried)
    side = meeting.bob if accepts else meeting.ann
    if kind in (ACCEPTERS_NEXT if accepts else INVITERS_NEXT)[carried]:
        return  # the next one; the other tests say what comes of it
    with pytest.raises(RemoteError):
        side.message(bytes([kind]), NOW)


def test_what_is_told_where_the_splice_goes_too_soon() -> None:
    nobody = AccepterMeeting(PASSWORD, BOBS_CARD, None, lambda outcome, _shown: told.append(outcome))
    told: list[Outcome] = []
    nobody.tell()
    nobody.tell()
    assert told == [Outcome.NOBODY]
    meeting = Meeting()
    meeting.carry(2)
    meeting.bob.tell()
    meeting.ann.tell()
    assert [outcome for outcome, _ in meeting.told] == [Outcome.INTERRUPTED]
    assert meeting.invitation.log == []
    gone = Meeting()
    gone.carry(4)
    gone.to_ann.clear()
    assert gone.ann.stage is Stage.SHOWN
    gone.ann.tell()
    assert gone.invitation.log == ["Bob shows a card", "came"], "who has our card is told of though the last word was lost"
