"""Transfers between the phones of the house. The box carries them out itself: no other phone hears of a REFER. Pure: takes `now`.

 1. Blind: Refer-To names a phone, an extension or a group. Its phones ring; who answers takes over the transferor's side of the call.
 2. Attended: Refer-To has Replaces, which names another call of the same phone. The other people of the two calls are connected.
The transferor hears by NOTIFY how it goes, and BYE at the end; where a blind transfer fails, its call goes on. It may also hang up at once.

 3. Into the conference: Refer-To names it. Whoever is at the other end of the call, a contact too, is a party of it from then on (conference.py).

A call with a contact is not transferred to anybody else, nobody is transferred to a contact, and a call over the trunk stays where it is, so that nobody is heard there
who did not dial it: 403, and nothing leaves the box.
Spec: RFC 3515, RFC 3891 (as a parameter of Refer-To only), RFC 5589 §6, §7. Departure: the transferee is not asked, its side of the call just stays.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from urllib.parse import unquote

from voicebox.b2bua.call import Call, CallState, Party, Seat, Side
from voicebox.b2bua.conference import Conference, ConferenceParty
from voicebox.b2bua.context import DialogUser, LegContext
from voicebox.b2bua.elsewhere import ELSEWHERE
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Refuse, Ringing
from voicebox.b2bua.fork import PhoneFork, Turn
from voicebox.b2bua.leg import STATUS_OF
from voicebox.b2bua.trunk import TrunkParty
from voicebox.errors import HostError, SipError
from voicebox.sip.dialog import DialogKey
from voicebox.sip.headers import parse_name_addr, parse_params
from voicebox.sip.message import SipRequest
from voicebox.sip.uri import SipUri, param, parse_uri

CANCELLED = 487
UNAVAILABLE = 503


class Transfers:
    """What phones ask for with REFER.

    calls: all there are. turns(uri, dialog, now): whose phones ring for a Refer-To, and when; raises SipError where it leads to no phone of the house.
    conference: the one that a Refer-To means where is_conference(uri, dialog) says so. shown(user): the From value of a call from a phone of that account.
    """

    def __init__(
        self,
        context: LegContext,
        calls: Iterable[Call],
        turns: Callable[[SipUri, DialogUser, float], tuple[Turn, ...]],
        conference: Conference,
        is_conference: Callable[[SipUri, DialogUser], bool],
        shown: Callable[[str], str],
    ) -> None:
        self._context, self._calls, self._turns, self._shown = context, calls, turns, shown
        self._conference, self._is_conference = conference, is_conference
        context.refer = self.refer

    def refer(self, dialog: DialogUser, request: SipRequest, now: float) -> Callable[[float], None]:
        """Check a REFER inside a call and return what carries it out. Raises SipError to refuse."""
        call, side = self._place_of(dialog)
        other, codec = call.parties.get(side.other), call.codec
        if other is None or codec is None or isinstance(other, ConferenceParty | TrunkParty):
            raise SipError(403, "there is nobody to transfer")
        if call.parties[side].user == ELSEWHERE.user:
            raise SipError(403, "a phone that is registered elsewhere transfers nobody")
        if call.taking is not None:
            raise SipError(491, "a transfer is under way")
        texts = request.headers.all("refer-to")
        if len(texts) != 1:
            raise SipError(400, "a REFER has one Refer-To")
        target = parse_uri(parse_name_addr(texts[0]).uri)
        replaced = _replaced_dialog(target)
        if replaced is None and self._is_conference(target, dialog):
            is_phone = other.dialog is not None
            return lambda when: self._into_conference(dialog, (call, side), codec, when, is_phone=is_phone)
        if other.dialog is None:
            raise SipError(403, "only calls between phones of the house are transferred")
        if replaced is not None:
            return self._attended(dialog, call, side, replaced)
        blind = BlindTransfer(self._context, call, side, dialog)
        turns, shown, offer = self._turns(target, dialog, now), self._shown(other.user), Offer((codec,))
        return lambda when: blind.start(turns, shown, offer, when)

    def _into_conference(self, dialog: DialogUser, place: tuple[Call, Side], codec: Codec, now: float, *, is_phone: bool) -> None:
        """Let whoever is at the other end become a party of the conference. is_phone: it is a phone of the house."""
        call, side = place
        try:
            party = self._conference.admit(codec, now, is_phone=is_phone)
        except (SipError, HostError) as error:
            dialog.notify(error.status if isinstance(error, SipError) else UNAVAILABLE, now, over=True)
            return
        dialog.notify(200, now, over=True)
        _hand_over(call, side, party, party.seat, now)

    def _place_of(self, dialog: DialogUser) -> tuple[Call, Side]:
        for call in self._calls:
            for side, party in call.parties.items():
                if party.dialog is dialog and call.state is CallState.TALKING:
                    return call, side
        raise SipError(481, "no call to transfer")

    def _attended(self, dialog: DialogUser, call: Call, side: Side, replaced: DialogKey) -> Callable[[float], None]:
        second_dialog = self._context.dialogs.get(replaced)
        if second_dialog is None or second_dialog is dialog:
            raise SipError(481, "no such call to replace")
        if second_dialog.dialog.flow.remote_address != dialog.dialog.flow.remote_address:
            raise SipError(403, "another phone's call")
        second, second_side = self._place_of(second_dialog)
        taker = second.parties.get(second_side.other)
        if taker is None or taker.dialog is None or second is call or second.taking is not None:
            raise SipError(403, "only calls between phones of the house are transferred")
        if second.codec is not call.codec:
            raise SipError(488, "the two calls have no codec in common")
        return lambda now: _connect_others(dialog, (call, side), (second, second_side.other), now)


def _connect_others(dialog: DialogUser, place: tuple[Call, Side], taker_place: tuple[Call, Side], now: float) -> None:
    (call, side), (second, taker_side) = place, taker_place
    dialog.notify(200, now, over=True)
    taker, seat = second.rise(taker_side, now)
    _hand_over(call, side, taker, seat, now)


def _hand_over(call: Call, side: Side, taker: Party, seat: Seat, now: float) -> None:
    """Give a side to the taker, and hang up at the transferor if it is still there."""
    transferor = call.parties.get(side)
    call.take_over(side, taker, seat)
    if transferor is not None:
        transferor.handle(End(), now)


class BlindTransfer:
    """One blind transfer under way. dialog: the transferor's."""

    def __init__(self, context: LegContext, call: Call, side: Side, dialog: DialogUser) -> None:
        self.side = side
        self._call, self._dialog = call, dialog
        self._seat = Seat(self._told)
        self._fork = PhoneFork(context, self._seat.tell)

    def start(self, turns: tuple[Turn, ...], caller: str, offer: Offer, now: float) -> None:
        """Ring the phones; caller: the From value, made of who is transferred."""
        self._call.taking = self
        self._dialog.notify(100, now)
        self._fork.start(turns, caller, offer, now)

    def give_up(self, now: float) -> None:
        """Take that who is to be transferred hung up."""
        self._seat.listener = None
        self._fork.handle(End(), now)
        self._dialog.notify(CANCELLED, now, over=True)

    def leave_out(self, users: Container[str], now: float) -> None:
        """Ring phones of these accounts no more."""
        self._fork.leave_out(users, now)

    def _told(self, event: CallEvent, now: float) -> None:
        match event:
            case Ringing():
                self._dialog.notify(180, now)
            case Answer():
                self._call.taking = None
                self._dialog.notify(200, now, over=True)
                _hand_over(self._call, self.side, self._fork, self._seat, now)
            case Refuse(why):
                self._call.taking = None
                self._dialog.notify(STATUS_OF[why], now, over=True)
                if self.side not in self._call.parties:
                    self._call.hang_up(now)  # the transferor has left: there is nobody to go back to
            case _:
                pass  # early media is heard once somebody answers


def _replaced_dialog(uri: SipUri) -> DialogKey | None:
    """Return the dialog that a Refer-To's Replaces names, as the box keys it; None where there is no Replaces. Spec: RFC 3891 §6.1."""
    for line in (uri.headers or "").split("&"):
        name, _, value = line.partition("=")
        if name.lower() == "replaces":
            call_id, semicolon, rest = unquote(value).partition(";")
            params = parse_params(semicolon + rest)
            # The far end of the phone's dialog is the box, so the to-tag is the box's.
            return call_id.strip(), param(params, "to-tag") or "", param(params, "from-tag") or ""
    return None
