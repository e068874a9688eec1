"""A contact whom nobody answers leaves a message, and a phone of the house plays it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.voicebox.b2bua.loopback import LoopLeg, PlainPort
from tests.voicebox.b2bua.scripted import SDP_OPUS, Box, Phone, statuses
from voicebox.b2bua.announcement import recording
from voicebox.b2bua.events import Answer, Codec, End, Refusal, Refuse, Ringing
from voicebox.b2bua.g711 import a_law_of
from voicebox.b2bua.voicemail import G711, LEAST_S, MAX_MESSAGE_S, PAUSE_S, SLOTS_S
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.voicemail import MessageFiles
from voicebox.dialplan.model import EVERYBODYS, MAX_RING_S, NoAnswer, RingPhones, VoicemailBox
from voicebox.errors import HostError
from voicebox.sip.message import SipRequest

RING_S = 20
GREETING_S = recording("greeting", G711).seconds
TONE = recording("tone", G711)
FRAME = bytes(range(160))


class House:
    """A box that takes messages, and alice's phone."""

    def __init__(self, folder: Path, *, takes: bool = True) -> None:
        self.box = Box()
        self.mailboxes: dict[str, frozenset[str]] = {}
        """Those of a phone; of one that is not here everybody's."""
        store = StateDirectory(folder / "box")
        store.create()
        self.messages = MessageFiles(store, lambda: dt.date(2026, 3, 10))
        if takes:
            self.box.board.use_messages(self.messages, lambda user: self.mailboxes.get(user, frozenset({EVERYBODYS})), self.box.now)
        self.box.plan["*97"] = VoicemailBox()
        self.box.incoming = RingPhones((("alice",),), timeout_s=RING_S, mailbox=EVERYBODYS)
        self.alice = Phone(self.box, "alice")
        assert self.alice.register("Expires: 3600").status == 200

    @property
    def machine(self) -> PlainPort:
        """The port of the machine that answered last."""
        return next(port for port in reversed(self.box.media.ports) if port.remote is None and port.announced)

    def tapes(self) -> list[tuple[int, Callable[[bytes], object]]]:
        """How many slots the machine is to keep, and whom it tells; nothing before it does."""
        return [self.machine.taped] if self.machine.taped is not None else []

    def answered(self, *codecs: Codec) -> LoopLeg:
        """Let a contact call until a machine answers."""
        leg = self.box.far_calls(*codecs)
        self.alice.answer(self.alice.last_request("INVITE"), 180)
        self.box.advance(RING_S + 0.1)
        return leg

    def leave(self, slots: int = 150, frame: bytes = FRAME, *codecs: Codec) -> None:
        """Let a contact leave a message of so many slots."""
        leg = self.answered(*codecs)
        self.box.advance(GREETING_S + PAUSE_S + 0.1)
        assert self.machine.taped is not None
        self.machine.taped[1]((bytes([len(frame)]) + frame) * slots)
        leg.send(End())
        self.box.settle()

    def listens(self) -> PlainPort:
        """Let alice's phone dial the mailbox; return its port."""
        self.alice.call_id = f"listen-{len(self.alice.inbox)}"
        answer = self.alice.invite("sip:*97@voicebox", self.alice.sdp())[-1]
        assert statuses([answer]) == [200]
        self.alice.ack(answer)  # type: ignore[arg-type]  # its status says that it is a response
        return self.box.media.ports[-1]

    def presses(self, port: PlainPort, code: int) -> None:
        assert port.listener is not None
        port.listener(code, 100)
        self.box.settle()

    def seconds(self, message: int) -> float:
        """How long one message plays, with its tone."""
        return TONE.seconds + len(self.messages.sound(self.messages.messages()[message].reference)) / 8_000 + PAUSE_S


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


# -------------------------------------------------------------------------------------------------------------- the machine


def test_a_contact_whom_nobody_answers_hears_the_greeting_and_leaves_a_message(house: House) -> None:
    leg = house.answered()
    assert house.box.far_heard == [Ringing(), Answer(Codec.PCMA)]
    assert house.box.network.legs[-1].bound == (house.machine, Codec.PCMA)
    assert house.machine.announced == (Codec.PCMA, round(GREETING_S * 50))
    assert house.tapes() == [], "nothing is kept before the tone"
    house.box.advance(GREETING_S + PAUSE_S + 0.1)
    ((slots, listener),) = house.tapes()
    assert slots == MAX_MESSAGE_S * SLOTS_S
    listener((bytes([160]) + FRAME) * 100 + b"\0" + (bytes([160]) + FRAME) * 49)
    leg.send(End())
    house.box.settle()
    message = house.messages.messages()[0]
    assert (message.petname, message.seconds) == ("bob", 3)
    sound = house.messages.sound(message.reference)
    assert sound[: 160 * 100] == FRAME * 100
    assert sound[160 * 100 : 160 * 101] == b"\xd5" * 160, "silence where nothing came"
    assert house.machine.closed
    assert house.box.board.calls == 0


def test_mu_law_is_kept_as_a_law(house: House) -> None:
    house.leave(100, FRAME, Codec.PCMU)
    assert house.messages.sound(house.messages.messages()[0].reference) == a_law_of(FRAME) * 100


def test_who_says_nothing_leaves_nothing_and_a_long_message_ends(house: House) -> None:
    house.leave(round(LEAST_S * SLOTS_S) - 1)
    assert house.messages.messages() == []
    house.box.far_heard.clear()
    house.answered()
    house.box.advance(GREETING_S + MAX_MESSAGE_S + 1)
    assert house.box.far_heard[-1] == End()
    assert (house.messages.messages(), house.box.board.calls, house.box.media.open_ports()) == ([], 0, 0)


def test_who_hangs_up_in_the_greeting_leaves_nothing(house: House) -> None:
    house.answered().send(End())
    house.box.settle()
    house.box.advance(GREETING_S + MAX_MESSAGE_S)
    assert (house.messages.messages(), house.box.board.calls, house.box.media.open_ports()) == ([], 0, 0)


def nobody_picks_up(house: House) -> None:
    house.box.far_calls()
    house.alice.answer(house.alice.last_request("INVITE"), 180)


def not_to_be_disturbed(house: House) -> None:
    house.box.incoming = NoAnswer(RING_S, EVERYBODYS)
    house.box.far_calls()


def nobody_registered(house: House) -> None:
    house.alice.register("Expires: 0")
    house.box.far_calls()


def wants_no_calls(house: House) -> None:
    house.box.far_calls()
    house.alice.answer(house.alice.last_request("INVITE"), 486)


@pytest.mark.parametrize("cause", [nobody_picks_up, not_to_be_disturbed, nobody_registered, wants_no_calls])
def test_a_machine_answers_alike_and_after_the_same_time_whatever_the_cause(house: House, cause: Callable[[House], None]) -> None:
    cause(house)
    house.box.advance(RING_S - 0.1)
    assert house.box.far_heard == [Ringing()]
    house.box.advance(0.2)
    assert house.box.far_heard == [Ringing(), Answer(Codec.PCMA)]


def test_who_cannot_be_answered_is_told_that_nobody_does(house: House, tmp_path: Path) -> None:
    house.answered(Codec.OPUS)
    assert house.box.far_heard == [Ringing(), Refuse(Refusal.NO_ANSWER)]
    full = House(tmp_path / "full")
    while full.messages.has_room(EVERYBODYS, "bob"):
        full.messages.keep(EVERYBODYS, "bob", b"\xd5" * 8_000)
    full.answered()
    off = House(tmp_path / "off", takes=False)
    off.answered()
    assert full.box.far_heard == off.box.far_heard == [Ringing(), Refuse(Refusal.NO_ANSWER)]


def test_a_machine_answers_after_the_longest_ringing_too(house: House) -> None:
    house.box.incoming = RingPhones((("alice",),), timeout_s=MAX_RING_S, mailbox=EVERYBODYS)
    house.box.far_calls()
    house.alice.answer(house.alice.last_request("INVITE"), 180)
    house.box.advance(MAX_RING_S - 0.1)
    assert house.box.far_heard == [Ringing()]
    house.box.advance(0.2)
    assert house.box.far_heard == [Ringing(), Answer(Codec.PCMA)]


def test_a_mailbox_that_is_full_or_none_takes_nothing_and_others_do(house: House) -> None:
    while house.messages.has_room("21", "bob"):
        house.messages.keep("21", "bob", b"\xd5" * 8_000)
    for mailbox in ("21", None):
        house.box.incoming = RingPhones((("alice",),), timeout_s=RING_S, mailbox=mailbox)
        house.answered()
    house.box.incoming = NoAnswer(RING_S, "22")
    house.box.far_calls()
    house.box.advance(RING_S + 0.1)
    refused, taken = [Ringing(), Refuse(Refusal.NO_ANSWER)], [Ringing(), Answer(Codec.PCMA)]
    assert house.box.far_heard == [*refused, *refused, *taken]


def test_a_disk_that_does_not_take_it_costs_the_message_alone(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(mailbox: str, petname: str, sound: bytes) -> None:
        raise HostError("full")

    monkeypatch.setattr(house.messages, "keep", refuse)
    house.leave()
    assert house.box.board.totals()["messages_lost"] == 1
    assert house.box.board.calls == 0


@pytest.mark.parametrize(("to", "expected"), [("robert", ["robert"]), (None, [])])
def test_a_message_is_of_who_the_caller_is_when_it_ends(house: House, to: str | None, expected: list[str]) -> None:
    leg = house.answered()
    house.box.advance(GREETING_S + PAUSE_S + 0.1)
    house.tapes()[0][1]((bytes([160]) + FRAME) * 100)
    house.box.board.contact_changed("bob", to)
    leg.send(End())
    house.box.settle()
    assert [message.petname for message in house.messages.messages()] == expected
    assert house.box.board.calls == 0


# --------------------------------------------------------------------------------------------------------------- listening


def test_a_phone_plays_the_messages_the_oldest_first(house: House) -> None:
    house.leave(100, b"\x11" * 160)
    house.leave(100, b"\x22" * 160)
    port = house.listens()
    assert port.frames == TONE.frames[Codec.PCMA] + b"\x11" * 16_000
    house.box.advance(house.seconds(0) + 0.1)
    assert port.frames == TONE.frames[Codec.PCMA] + b"\x22" * 16_000
    assert [message.heard for message in house.messages.messages()] == [True, False]
    house.box.advance(house.seconds(1) + 0.1)
    assert len(house.alice.requests("BYE")) == 1
    assert house.messages.count() == (0, 2)


def test_keys_play_again_skip_and_delete(house: House) -> None:
    for number in (0x11, 0x22, 0x33):
        house.leave(100, bytes([number]) * 160)
    port = house.listens()
    house.presses(port, 3)
    assert port.frames[-1] == 0x22
    house.presses(port, 1)
    assert port.frames[-1] == 0x22
    house.presses(port, 7)
    assert port.frames[-1] == 0x33
    assert [house.messages.sound(message.reference)[0] for message in house.messages.messages()] == [0x11, 0x33]
    house.presses(port, 5)
    assert port.frames[-1] == 0x33, "no key of the mailbox"
    house.presses(port, 10)
    assert len(house.alice.requests("BYE")) == 1
    assert house.messages.count() == (2, 0), "what was not heard to its end is new"


def test_without_messages_that_is_said(house: House) -> None:
    port = house.listens()
    assert port.frames == recording("no_messages", G711).frames[Codec.PCMA]
    house.box.advance(recording("no_messages", G711).seconds + PAUSE_S + 0.1)
    assert len(house.alice.requests("BYE")) == 1


def test_a_phone_plays_and_shows_what_is_in_its_mailboxes_alone(house: House) -> None:
    carol = Phone(house.box, "carol", 2)
    house.mailboxes = {"alice": frozenset({EVERYBODYS, "21"}), "carol": frozenset({EVERYBODYS, "22"})}
    for phone in (house.alice, carol):
        phone.call_id = f"light-{phone.user}"
        assert subscribe(phone)[-1] == 200
        take_all(phone)
    for mailbox, frame in (("21", b"\x21"), ("22", b"\x22"), (EVERYBODYS, b"\x33"), ("23", b"\x44")):
        house.box.incoming = RingPhones((("alice",),), timeout_s=RING_S, mailbox=mailbox)
        house.leave(100, frame * 160)
        take_all(house.alice)
        take_all(carol)
    assert summaries(house.alice)[-1] == summaries(carol)[-1] == ("active", "Voice-Message: 2/0")
    port = house.listens()
    for last in (0x21, 0x33):
        assert port.frames[-1] == last
        house.presses(port, 7)
        take_all(house.alice)
    assert len(house.alice.requests("BYE")) == 1, "there are no more of hers"
    assert summaries(house.alice)[-1] == ("active", "Voice-Message: 0/0")
    assert summaries(carol)[-1] == ("active", "Voice-Message: 1/0")
    assert [message.mailbox for message in house.messages.messages()] == ["22", "23"]


def test_who_may_not_listen(house: House, tmp_path: Path) -> None:
    assert statuses(house.alice.invite("sip:*97@voicebox", SDP_OPUS.replace("111 8", "111")))[-1] == 488
    off = House(tmp_path / "off", takes=False)
    assert statuses(off.alice.invite("sip:*97@voicebox", off.alice.sdp()))[-1] == 404
    assert off.box.offers == []


# --------------------------------------------------------------------------------------------------------------- the light


def subscribe(phone: Phone, extra: str = "Expires: 600", event: str = "message-summary") -> list[int]:
    return statuses(phone.authorised("SUBSCRIBE", "sip:alice@voicebox", f"Event: {event}\r\n{extra}"))


def summaries(phone: Phone) -> list[tuple[str, str]]:
    """Return state and body of what the phone was told."""
    told = phone.requests("NOTIFY")
    return [((notify.headers.get("subscription-state") or "").partition(";")[0], notify.body.decode().splitlines()[-1]) for notify in told]


def take_all(phone: Phone) -> None:
    for notify in phone.requests("NOTIFY"):
        phone.answer(notify, 200)


def test_a_phone_shows_how_many_messages_there_are(house: House) -> None:
    assert subscribe(house.alice)[-1] == 200
    assert summaries(house.alice) == [("active", "Voice-Message: 0/0")]
    house.leave()
    assert summaries(house.alice)[-1] == ("active", "Voice-Message: 1/0")
    house.listens()
    house.box.advance(house.seconds(0) + 1)
    assert summaries(house.alice)[-1] == ("active", "Voice-Message: 0/1")
    assert house.alice.requests("NOTIFY")[-1].body.startswith(b"Messages-Waiting: no\r\n")


def test_a_subscription_is_renewed_ended_and_forgotten(house: House) -> None:
    house.alice.call_id = "light"
    answer = house.alice.authorised("SUBSCRIBE", "sip:alice@voicebox", "Event: message-summary\r\nExpires: 100")
    response = next(message for message in answer if not isinstance(message, SipRequest))
    take_all(house.alice)
    house.box.advance(90)
    assert statuses(house.alice.inside("SUBSCRIBE", response, "Event: message-summary\r\nExpires: 100")) == [200]
    take_all(house.alice)
    house.box.advance(90)
    assert [state for state, _ in summaries(house.alice)] == ["active", "active"]
    assert statuses(house.alice.inside("SUBSCRIBE", response, "Event: message-summary\r\nExpires: 0")) == [200]
    assert summaries(house.alice)[-1][0] == "terminated"
    house.alice.call_id = "another"
    assert subscribe(house.alice, "Expires: 60")[-1] == 200
    take_all(house.alice)
    house.box.advance(61)
    assert summaries(house.alice)[-1][0] == "terminated"
    take_all(house.alice)
    told = len(summaries(house.alice))
    house.leave()
    assert len(summaries(house.alice)) == told


@pytest.mark.parametrize("refused", [True, False])
def test_a_phone_that_refuses_or_is_gone_is_told_no_more(house: House, refused: bool) -> None:
    subscribe(house.alice)
    if refused:
        house.alice.answer(house.alice.last_request("NOTIFY"), 481)
    else:
        house.box.advance(33)
    told = len(house.alice.requests("NOTIFY"))
    house.leave()
    assert len(house.alice.requests("NOTIFY")) == told


def test_what_is_not_subscribed_to(house: House, tmp_path: Path) -> None:
    assert subscribe(house.alice, event="presence")[-1] == 489
    assert subscribe(house.alice, "Expires: 5")[-1] == 423
    assert statuses(house.alice.send(house.alice.text("SUBSCRIBE", "sip:alice@voicebox", "Event: message-summary"))) == [401]
    off = House(tmp_path / "off", takes=False)
    assert statuses(off.alice.send(off.alice.text("SUBSCRIBE", "sip:alice@voicebox", "Event: message-summary"))) == [489]


def test_a_revoked_phone_is_told_for_the_last_time(house: House) -> None:
    subscribe(house.alice)
    take_all(house.alice)
    house.box.board.use_accounts([], house.box.now)
    house.box.settle()
    assert summaries(house.alice)[-1][0] == "terminated"
    assert house.alice.requests("NOTIFY")[-1].headers.get("subscription-state") == "terminated;reason=rejected"
