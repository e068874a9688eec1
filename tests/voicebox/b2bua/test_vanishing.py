"""Phones that vanish in every state of a call, by silence and by a broken connection: whoever is left is told, and nothing is left of the call. In virtual time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.voicebox.b2bua.house import House
from tests.voicebox.b2bua.scripted import Phone, statuses
from voicebox.b2bua.context import CallSettings
from voicebox.sip.flow import Transport
from voicebox.sip.message import SipResponse

SETTINGS = CallSettings()
LIMIT_S = 32.0
LONGEST_S = SETTINGS.ring_limit_s + SETTINGS.check_interval_s + 4 * LIMIT_S
"""Until a silent phone has been asked whether it is there, and all that was said to it has been given up."""


class Left:
    """A phone that is still there: it answers what it is asked, and acknowledges what it is answered."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone
        self._seen = len(phone.inbox)
        self.told: list[str] = []
        """BYE, CANCEL, and final statuses of its INVITE: how it learns that the call is over."""

    def turn(self) -> None:
        while self._seen < len(self.phone.inbox):
            message = self.phone.inbox[self._seen]
            self._seen += 1
            if isinstance(message, SipResponse):
                if message.cseq.method == "INVITE" and message.status >= 200:
                    self.told.append(str(message.status))
                    self.phone.call_id = message.call_id
                    if message.status < 300:
                        self.phone.ack(message)
                    else:
                        to = message.headers.get("to") or ""
                        self.phone.send(self.phone.text("ACK", "sip:x@voicebox", to=to, cseq=message.cseq.number, branch=message.via.branch))
            elif message.method in {"BYE", "OPTIONS", "CANCEL"}:
                self.phone.answer(message, 200)
                if message.method != "OPTIONS":
                    self.told.append(message.method)
                if message.method == "CANCEL":
                    self.phone.answer(self.phone.last_request("INVITE"), 487)


Scene = Callable[[House], Phone]
"""Bring a house to a state of a call between alice and carol, and return who is left of the two; the other says nothing any more."""


def _caller_before_its_password(house: House) -> Phone:
    house.alice.send(house.alice.text("INVITE", "sip:carol@voicebox", body=house.alice.sdp()))
    return house.carol


def _caller_before_ringing(house: House) -> Phone:
    house.alice.invite("sip:carol@voicebox")
    house.carol.answer(house.carol.last_request("INVITE"), 100)
    return house.carol


def _caller_while_it_rings(house: House) -> Phone:
    house.rings(house.alice, house.carol)
    return house.carol


def _caller_before_its_ack(house: House) -> Phone:
    _, invite = house.rings(house.alice, house.carol)
    house.carol.answer(invite, 200, house.carol.sdp())
    return house.carol


def _caller_before_its_answer(house: House) -> Phone:
    house.alice.call_id = "late"
    house.alice.invite("sip:carol@voicebox", "")
    invite = house.carol.last_request("INVITE")
    house.carol.answer(invite, 200, house.carol.sdp())
    return house.carol


def _caller_while_they_talk(house: House) -> Phone:
    house.talk(house.alice, house.carol)
    return house.carol


def _caller_on_hold(house: House) -> Phone:
    house.talk(house.alice, house.carol).as_caller("INVITE", body=house.alice.sdp(direction="sendonly"))
    return house.carol


def _caller_before_the_ack_of_a_hold(house: House) -> Phone:
    talk = house.talk(house.alice, house.carol)
    house.box.advance(1)
    talk.as_caller("INVITE", body=house.alice.sdp(direction="inactive"))
    return house.carol


def _callee_at_once(house: House) -> Phone:
    house.alice.invite("sip:carol@voicebox")
    return house.alice


def _callee_after_100(house: House) -> Phone:
    house.alice.invite("sip:carol@voicebox")
    house.carol.answer(house.carol.last_request("INVITE"), 100)
    return house.alice


def _callee_while_it_rings(house: House) -> Phone:
    house.rings(house.alice, house.carol)
    return house.alice


def _callee_with_early_sound(house: House) -> Phone:
    house.alice.invite("sip:carol@voicebox")
    house.carol.answer(house.carol.last_request("INVITE"), 183, house.carol.sdp())
    return house.alice


def _callee_while_they_talk(house: House) -> Phone:
    house.talk(house.alice, house.carol)
    return house.alice


def _callee_on_hold(house: House) -> Phone:
    house.talk(house.alice, house.carol).as_callee("INVITE", body=house.carol.sdp(direction="sendonly"))
    return house.alice


def _callee_that_was_cancelled(house: House) -> Phone:
    house.rings(house.alice, house.carol)
    invite = house.alice.branches
    house.alice.send(
        house.alice.text("CANCEL", "sip:carol@voicebox", cseq=house.alice.cseq, branch=f"z9hG4bKplantedalice{house.alice.flow.number}x{invite}", contact=False)
    )
    return house.alice


def _callee_that_was_hung_up_on(house: House) -> Phone:
    assert house.talk(house.alice, house.carol).as_caller("BYE").status == 200
    return house.alice


def _caller_that_was_hung_up_on(house: House) -> Phone:
    assert house.talk(house.alice, house.carol).as_callee("BYE").status == 200
    return house.carol


def _callee_of_a_transfer(house: House) -> Phone:
    """Carol is sent on to dave, who never answers; she is left with alice's music, then with nobody."""
    house.talk(house.alice, house.carol).as_caller("REFER", "Refer-To: <sip:dave@voicebox>")
    return house.carol


SCENES: dict[str, Scene] = {
    name.strip("_").replace("_", " "): scene for name, scene in list(globals().items()) if name.startswith(("_caller_", "_callee_")) and callable(scene)
}


def assert_nothing_left(house: House) -> None:
    board = house.box.board
    assert (board.calls, house.box.media.open_ports(), board.totals()["transactions"], len(board._context.dialogs)) == (0, 0, 0, 0)
    assert board.totals().get("bugs", 0) == 0


@pytest.mark.parametrize("scene", SCENES)
def test_who_vanishes_in_silence_leaves_nothing_and_the_other_is_told(scene: str) -> None:
    house = House()
    left = Left(SCENES[scene](house))
    was_in = any(message.cseq.method == "INVITE" for message in left.phone.inbox)
    for _ in range(round(LONGEST_S)):
        left.turn()
        house.box.advance(1)
    left.turn()
    house.box.advance(LIMIT_S)
    assert_nothing_left(house)
    if was_in and "hung up on" not in scene:
        assert left.told, "it was in a call, and never heard of its end"
    print(f"\n{scene}: {left.told}, {len(house.box.octets)} messages")


@pytest.mark.parametrize("scene", [scene for scene in SCENES if "before its password" not in scene])
def test_whose_connection_breaks_leaves_nothing_either(scene: str) -> None:
    house = House()
    for phone in house.phones:  # the same phones, over connections
        phone.register("Expires: 0")
        del house.box.phones[phone.flow]
        phone.flow = replace(phone.flow, transport=Transport.TCP)
        house.box.phones[phone.flow] = phone
        phone.register("Expires: 3600")
    left = Left(SCENES[scene](house))
    gone = house.carol if left.phone is house.alice else house.alice
    house.box.board.flow_closed(gone.flow, house.box.now)
    house.box.settle()
    for _ in range(round(LONGEST_S)):
        left.turn()
        house.box.advance(1)
    left.turn()
    house.box.advance(LIMIT_S)
    assert_nothing_left(house)
    assert not any(binding.user == gone.user for binding in house.box.board.registrar.bindings(house.box.now))


def test_a_house_is_served_after_all_of_them() -> None:
    """One after the other in one house: what one leaves does not stand in the way of the next."""
    house = House()
    for scene in SCENES.values():
        left = Left(scene(house))
        for _ in range(round(LONGEST_S)):
            left.turn()
            house.box.advance(1)
        for phone in house.phones:
            phone.register("Expires: 3600")
    talk = house.talk(house.alice, house.carol)
    assert talk.as_caller("BYE").status == 200
    assert statuses(house.alice.inbox)[-1] == 200
