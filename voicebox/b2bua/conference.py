"""The conference of a house: parties of whom each hears all others, mixed in the box. Pure: takes `now`.

    a phone dials it             Answer -> its sound is mixed -> End
    a phone transfers a call     whoever is at the other end of that call becomes a party, a phone of the house or a contact; the phone that transferred is out of the call

Each party's call is a call as any other, which has this conference at its other side: a contact's circuits, cells and events are as before, and nothing says that there are
others, who or how many. Phones of the house hear a tone when somebody comes in. It is over for everybody when the last phone of the house leaves, so that no two contacts talk
through a house in which nobody listens; and where contacts wait for its first phone for too long. NOT here: the mixing (voicebox/mixing.py), who may dial it (the dial plan).
Spec: RFC 4353 §3 in spirit, RFC 5589 §6 (transfers). Departures: no conference events (RFC 4575), so that nobody is told of anybody; one conference for a house.
"""

from __future__ import annotations

from voicebox.b2bua.call import Call, Seat, Side
from voicebox.b2bua.context import DialogUser, LegContext, LegTimer
from voicebox.b2bua.events import Answer, CallEvent, Codec, End, Offer, Refusal, Refuse
from voicebox.b2bua.ports import MediaPort, Mixer
from voicebox.b2bua.voicemail import G711
from voicebox.errors import HostError, SipError

MAX_PARTIES = 6
ALONE_S = 60.0
"""So long contacts wait for the first phone of the house."""


class ConferenceParty:
    """What stands at the other side of one party's call. port: the mixer's for this party, in the call's codec."""

    dialog: DialogUser | None = None
    user = ""

    def __init__(self, conference: Conference, seat: Seat, port: MediaPort, *, is_phone: bool) -> None:
        self._conference, self.seat, self.port, self.is_phone = conference, seat, port, is_phone

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Let the party at a phone's port be heard, and hear."""
        port.join(self.port, codec)

    def handle(self, event: CallEvent, now: float) -> None:
        """Take that the party has left; whatever else it does is its own."""
        if isinstance(event, End):
            self._conference.left(self, now)


class Conference:
    """The one of a house. It lives from its first party to its last."""

    def __init__(self, context: LegContext) -> None:
        self._context = context
        self._parties: list[ConferenceParty] = []
        self._mixer: Mixer | None = None

    def __len__(self) -> int:
        return len(self._parties)

    def answer(self, call: Call, offer: Offer, now: float) -> None:
        """Take in the phone that dialled it, or refuse."""
        codec = next((codec for codec in G711 if codec in offer.codecs), offer.codecs[0])
        try:
            party = self.admit(codec, now, is_phone=True)
        except SipError:
            call.tell(Side.CALLEE, Refuse(Refusal.BUSY), now)
            return
        except HostError:
            call.tell(Side.CALLEE, Refuse(Refusal.NO_COMMON_CODEC if codec not in G711 else Refusal.UNREACHABLE), now)
            return
        call.sit(Side.CALLEE, party, party.seat)
        party.seat.tell(Answer(codec), now)

    def admit(self, codec: Codec, now: float, *, is_phone: bool) -> ConferenceParty:
        """Make a party for a call that speaks a codec. is_phone: of the house. Raises SipError(486) where it is full, HostError where the machine lacks something."""
        if len(self._parties) >= MAX_PARTIES:
            raise SipError(486, "the conference is full")
        if self._mixer is None:
            self._mixer = self._context.media.mixer()
        try:
            party = ConferenceParty(self, Seat(), self._mixer.seat(codec, hears_tone=is_phone), is_phone=is_phone)
        except HostError:
            self._close_if_empty()
            raise
        self._parties.append(party)
        if is_phone:
            self._context.timers.cancel((self, LegTimer.ALONE))
        elif not self._has_phone:
            self._context.timers.set((self, LegTimer.ALONE), now + ALONE_S)
        return party

    @property
    def _has_phone(self) -> bool:
        return any(party.is_phone for party in self._parties)

    def left(self, party: ConferenceParty, now: float) -> None:
        """Take that a party's call is over."""
        if party not in self._parties:
            return
        self._forget(party)
        if party.is_phone and not self._has_phone:
            self._end(now)

    def timer_due(self, timer: LegTimer, now: float) -> None:
        """Take that no phone of the house came."""
        if timer is LegTimer.ALONE and not self._has_phone:
            self._end(now)

    def _end(self, now: float) -> None:
        """Hang up at everybody."""
        for party in list(self._parties):
            if party in self._parties:
                self._forget(party)
                party.seat.tell(End(), now)

    def _forget(self, party: ConferenceParty) -> None:
        self._parties.remove(party)
        if self._mixer is not None:
            self._mixer.leave(party.port)
        self._close_if_empty()

    def _close_if_empty(self) -> None:
        if not self._parties and self._mixer is not None:
            self._context.timers.cancel((self, LegTimer.ALONE))
            self._mixer.close()
            self._mixer = None
