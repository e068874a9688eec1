"""Texts to contacts and from them: over calls that ring nobody, taken by the box, and told so whatever its phones do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.voicebox.b2bua.loopback import LoopLeg
from tests.voicebox.b2bua.scripted import Box, Phone, final, statuses
from tests.voicebox.b2bua.test_texts import PLAIN, write
from voicebox.b2bua.contact_texts import FORGOTTEN_S, IDLE_S, KEPT_S, MAX_KEPT_OF_CONTACT, MAX_LINES, TRY_AGAIN_S
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Offer, Refusal, Refuse, Ringing, Taken, Text
from voicebox.dialplan.model import NoAnswer, RingPhones

BOB = "sip:bob.privacy"


def box_with_phone(*, registered: bool = True) -> tuple[Box, Phone]:
    box = Box()
    phone = Phone(box, "alice")
    if registered:
        assert phone.register("Expires: 3600").status == 200
    return box, phone


def contact_writes(box: Box) -> LoopLeg:
    """Let the contact's box begin a line; return its end."""
    leg = box.far.call("me", Offer(()), box.far_heard.append)
    box.settle()
    assert isinstance(leg, LoopLeg)
    return leg


def says(box: Box, leg: LoopLeg, event: CallEvent) -> None:
    leg.send(event)
    box.settle()


def totals(box: Box) -> tuple[int, int]:
    found = box.board.totals()
    return found["lines_of_texts"], found["texts_kept"]


# ------------------------------------------------------------------------------------------------------------- to a contact


def test_a_text_is_said_when_the_contacts_box_is_there_and_the_phone_is_told_when_it_is_taken() -> None:
    box, phone = box_with_phone()
    text = "hej på dig".encode()
    assert statuses(write(phone, BOB, text, f"{PLAIN};charset=UTF-8\r\nSubject: planted")) == []
    assert (box.offers, box.far_heard) == ([Offer(())], [])
    box.far_says(Ringing())
    assert box.far_heard == [Text(text)], "the text, and nothing of the phone"
    assert statuses(phone.inbox)[-1] == 401
    box.far_says(Taken())
    assert final(phone.inbox).status == 202
    assert box.media.ports == []


def test_a_conversation_is_one_call_that_ends_as_unanswered_ones_do() -> None:
    box, phone = box_with_phone()
    write(phone, BOB, b"one")
    box.far_says(Ringing())
    box.far_says(Taken())
    phone.call_id = "second"
    write(phone, BOB, b"two")
    box.far_says(Text(b"three"))
    assert box.far_heard == [Text(b"one"), Text(b"two"), Taken()]
    assert phone.last_request("MESSAGE").body == b"three"
    phone.answer(phone.last_request("MESSAGE"), 200)
    box.far_says(Taken())
    assert len(box.offers) == 1
    box.advance(IDLE_S[0] - 0.1)
    assert totals(box) == (1, 0)
    box.advance(IDLE_S[1])
    assert box.far_heard[-1] == End()
    assert totals(box) == (0, 0)


@pytest.mark.parametrize("refusal", [Refuse(Refusal.UNREACHABLE), Refuse(Refusal.BUSY), End()])
def test_a_contact_that_is_off_or_full_has_not_got_it_and_the_phone_is_told_why(refusal: CallEvent) -> None:
    box, phone = box_with_phone()
    for number in (1, 2):
        phone.call_id = f"text-{number}"
        write(phone, BOB, b"hello")
    if refusal != Refuse(Refusal.UNREACHABLE):
        box.far_says(Ringing())
    box.far_says(refusal)
    told = [message for message in phone.inbox if 480 in statuses([message])]
    assert len(told) == 2
    assert all("has not got the text" in (message.headers.get("warning") or "") for message in told)
    assert totals(box) == (0, 0)


def test_nobody_of_that_name_and_too_many() -> None:
    box, phone = box_with_phone()
    assert statuses(write(phone, "sip:ghost.privacy", b"x")) == [480]
    assert statuses(write(phone, BOB, b"", PLAIN)) == [413]
    assert statuses(write(phone, BOB, b"\xff")) == [415]
    assert box.offers == []


@pytest.mark.parametrize("event", [Taken(), Answer(Codec.PCMA), Digit(1, 100), Ringing()])
def test_what_does_not_belong_on_a_line_ends_it(event: CallEvent) -> None:
    box, phone = box_with_phone()
    write(phone, BOB, b"hello")
    box.far_says(Ringing())
    box.far_says(Taken())
    box.far_says(event)
    assert (box.far_heard[-1] == End()) is (event != Ringing()), "that it rings may be said again"
    assert totals(box)[0] == (event == Ringing())


def test_a_call_takes_the_circuit_of_a_line_on_which_nothing_is_under_way() -> None:
    box, phone = box_with_phone()
    write(phone, BOB, b"hello")
    box.far_says(Ringing())
    box.far_says(Taken())
    phone.call_id = "call"
    phone.invite()
    assert End() in box.far_heard
    assert len(box.offers) == 2
    assert totals(box) == (0, 0)


# ----------------------------------------------------------------------------------------------------------- from a contact


def test_a_text_of_a_contact_reaches_a_phone_under_the_petname() -> None:
    box, phone = box_with_phone()
    leg = contact_writes(box)
    assert box.far_heard == [Ringing()]
    assert phone.requests("INVITE") == []
    says(box, leg, Text(b"yo"))
    got = phone.last_request("MESSAGE")
    assert (got.body, got.from_.uri) == (b"yo", "sip:bob@bob.privacy")
    assert box.far_heard == [Ringing(), Taken()], "before the phone has said anything"
    phone.answer(got, 200)
    assert totals(box) == (1, 0)
    says(box, leg, End())
    assert totals(box) == (0, 0)


def quiet() -> Box:
    box, _ = box_with_phone()
    box.incoming = NoAnswer(5)
    return box


@pytest.mark.parametrize("house", [lambda: box_with_phone()[0], lambda: box_with_phone(registered=False)[0], quiet])
def test_a_contact_cannot_tell_by_a_text_whether_somebody_is_at_home(house: Callable[[], Box]) -> None:
    box = house()
    leg = contact_writes(box)
    says(box, leg, Text(b"are you there?"))
    box.advance(40)
    assert box.far_heard == [Ringing(), Taken()]


def test_texts_are_kept_in_order_until_a_phone_takes_them() -> None:
    box, phone = box_with_phone(registered=False)
    leg = contact_writes(box)
    for number in range(3):
        says(box, leg, Text(b"%d" % number))
    assert totals(box) == (1, 3)
    phone.authorised("REGISTER", "sip:voicebox", "Expires: 3600", to="<sip:alice@voicebox>")
    assert 200 in statuses(phone.inbox)
    for number in range(3):
        assert phone.last_request("MESSAGE").body == b"%d" % number
        phone.answer(phone.last_request("MESSAGE"), 200)
    assert totals(box)[1] == 0
    box.advance(60)
    assert len({message.call_id for message in phone.requests("MESSAGE")}) == 3


def test_a_phone_that_has_no_time_is_asked_again_and_one_that_shows_no_texts_is_not() -> None:
    box, phone = box_with_phone()
    leg = contact_writes(box)
    says(box, leg, Text(b"one"))
    phone.answer(phone.last_request("MESSAGE"), 503)
    assert totals(box)[1] == 1
    box.advance(TRY_AGAIN_S + 1)
    assert len({message.call_id for message in phone.requests("MESSAGE")}) == 2
    phone.answer(phone.last_request("MESSAGE"), 415)
    assert totals(box)[1] == 0


def test_quiet_hours_keep_texts_for_later() -> None:
    box = quiet()
    leg = contact_writes(box)
    says(box, leg, Text(b"good night"))
    assert totals(box)[1] == 1
    box.incoming = RingPhones((("alice",),))
    box.advance(TRY_AGAIN_S + 1)
    phone = next(phone for phone in box.phones.values() if phone.user == "alice")
    assert phone.last_request("MESSAGE").body == b"good night"


def test_what_is_kept_is_bounded_and_forgotten_in_the_end() -> None:
    box, _ = box_with_phone(registered=False)
    leg = contact_writes(box)
    for number in range(MAX_KEPT_OF_CONTACT + 1):
        says(box, leg, Text(b"%d" % number))
    assert box.far_heard[-1] == Refuse(Refusal.BUSY)
    assert box.far_heard.count(Taken()) == MAX_KEPT_OF_CONTACT
    assert totals(box) == (0, MAX_KEPT_OF_CONTACT)
    box.advance(KEPT_S + 60)
    assert totals(box) == (0, 0)
    assert box.board.next_timer() is None, "nothing is tried any more"


def test_lines_are_bounded_and_one_that_is_left_open_ends() -> None:
    box, _ = box_with_phone()
    for _ in range(MAX_LINES + 1):
        contact_writes(box)
    assert box.far_heard.count(Ringing()) == MAX_LINES
    assert box.far_heard[-1] == Refuse(Refusal.BUSY)
    box.advance(FORGOTTEN_S + 1)
    assert box.far_heard.count(End()) == MAX_LINES
    assert totals(box)[0] == 0


def test_when_the_box_stops_phones_are_told_that_their_texts_were_not_taken() -> None:
    box, phone = box_with_phone()
    write(phone, BOB, b"hello")
    box.far_says(Ringing())
    box.board.hang_up_all(box.now)
    box.settle()
    assert final(phone.inbox).status == 480
    assert box.far_heard[-1] == End()


def test_texts_follow_a_contacts_new_petname_and_go_with_who_is_removed() -> None:
    box, phone = box_with_phone(registered=False)
    leg = contact_writes(box)
    says(box, leg, Text(b"one"))
    box.board.contact_changed("bob", "robert")
    says(box, leg, Text(b"two"))
    phone.authorised("REGISTER", "sip:voicebox", "Expires: 3600", to="<sip:alice@voicebox>")
    for text in (b"one", b"two"):
        got = phone.last_request("MESSAGE")
        assert (got.body, got.from_.uri) == (text, "sip:robert@robert.privacy")
        phone.answer(got, 200)
    phone.register("Expires: 0")
    says(box, leg, Text(b"three"))
    assert totals(box) == (1, 1)
    box.board.contact_changed("robert", None)
    assert totals(box) == (1, 0), "the line ends with the circuits' call"


def test_a_contact_that_is_renamed_while_a_phone_has_its_text_is_handed_on_as_before() -> None:
    box, phone = box_with_phone()
    leg = contact_writes(box)
    says(box, leg, Text(b"one"))
    says(box, leg, Text(b"two"))
    box.board.contact_changed("bob", "robert")
    phone.answer(phone.last_request("MESSAGE"), 200)
    assert phone.last_request("MESSAGE").body == b"two"
    phone.answer(phone.last_request("MESSAGE"), 200)
    assert totals(box)[1] == 0


# -------------------------------------------------------------------------------------------------- where the contact's box is off


class Keeper:
    """Where texts wait; full where it takes nothing more."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, bytes, bool]] = []
        self.arrived: list[tuple[str, int]] = []
        self.full = False

    def keep(self, petname: str, text: bytes, *, perhaps_there: bool) -> bool:
        if not self.full:
            self.kept.append((petname, text, perhaps_there))
        return not self.full

    def came(self, petname: str, number: int) -> None:
        self.arrived.append((petname, number))


def keeping(*, registered: bool = True) -> tuple[Box, Phone, Keeper]:
    box, phone = box_with_phone(registered=registered)
    box.board.contact_texts.keeper = keeper = Keeper()
    return box, phone, keeper


def find(box: Box, number: int, text: bytes, *, perhaps_here: bool = False) -> bool:
    taken: list[bool] = []
    box.board.run(lambda now: taken.append(box.board.contact_texts.found("bob", number, text, now, perhaps_here=perhaps_here)), box.now)
    box.settle()
    return taken[0]


def test_a_text_to_a_box_that_is_off_waits_and_the_phone_is_told_when_it_is_kept() -> None:
    box, phone, keeper = keeping()
    write(phone, BOB, b"hello")
    assert keeper.kept == []
    box.far_says(Refuse(Refusal.UNREACHABLE))
    assert keeper.kept == [("bob", b"hello", False)]
    assert final(phone.inbox).status == 202
    keeper.full = True
    phone.call_id = "second"
    write(phone, BOB, b"more")
    box.far_says(Refuse(Refusal.UNREACHABLE))
    assert final(phone.inbox).status == 480


def test_a_text_that_was_said_and_not_taken_waits_as_one_that_may_be_there() -> None:
    box, phone, keeper = keeping()
    write(phone, BOB, b"hello")
    box.far_says(Ringing())
    assert box.far_heard == [Text(b"hello")]
    box.far_says(End())
    assert keeper.kept == [("bob", b"hello", True)]
    assert final(phone.inbox).status == 202


def test_texts_that_were_found_go_to_a_phone_one_after_the_other_and_have_come_when_it_took_them() -> None:
    box, phone, keeper = keeping()
    assert [find(box, number, text) for number, text in ((5, b"one"), (6, b"two"), (5, b"one"))] == [True] * 3
    assert phone.last_request("MESSAGE").body == b"one"
    assert keeper.arrived == []
    phone.answer(phone.last_request("MESSAGE"), 200)
    box.settle()
    assert phone.last_request("MESSAGE").body == b"two"
    phone.answer(phone.last_request("MESSAGE"), 200)
    box.settle()
    assert keeper.arrived == [("bob", 5), ("bob", 6)]
    assert totals(box) == (0, 0)


def test_a_text_that_came_over_a_line_is_not_delivered_once_more_when_it_is_found() -> None:
    box, phone, keeper = keeping()
    leg = contact_writes(box)
    says(box, leg, Text(b"hello"))
    phone.answer(phone.last_request("MESSAGE"), 200)
    box.settle()
    asked = sum(1 for message in phone.inbox if getattr(message, "method", "") == "MESSAGE")
    assert find(box, 5, b"hello", perhaps_here=True)
    assert keeper.arrived == [("bob", 5)]
    assert sum(1 for message in phone.inbox if getattr(message, "method", "") == "MESSAGE") == asked
    assert find(box, 6, b"hello"), "one of the same words that was never said over a line is another"
    assert sum(1 for message in phone.inbox if getattr(message, "method", "") == "MESSAGE") == asked + 1


def test_where_too_many_wait_for_phones_the_others_stay_at_the_relays() -> None:
    box, _, keeper = keeping(registered=False)
    assert [find(box, number, b"x") for number in range(1, MAX_KEPT_OF_CONTACT + 2)] == [True] * MAX_KEPT_OF_CONTACT + [False]
    assert keeper.arrived == []
