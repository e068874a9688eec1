"""Voicemail: the machine that answers a contact whom nobody answered, and the one that plays messages to a phone of the house. Pure: takes `now`.

    Machine   Answer -> the greeting and a tone -> the caller is heard, MAX_MESSAGE_S at most -> End; what is shorter than LEAST_S is none
    Player    Answer -> each message behind a tone, the oldest first -> End.   Keys: 1 again, 3 the next, 7 delete, * the end

Both speak G.711 alone, which every phone has; a caller without it is not answered. A message is PCMA, 160 octets a slot. While a machine answers, circuits, cells and
events are those of any call. NOT here: where messages are kept (contacts/voicemail.py), the light at phones (message_waiting.py), which calls (switchboard.py).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from voicebox.b2bua.announcement import Announcement
from voicebox.b2bua.context import DialogUser, LegContext, LegTimer
from voicebox.b2bua.events import Answer, CallEvent, Codec, Digit, End, Offer, Refusal, Refuse
from voicebox.b2bua.g711 import FRAME_OCTETS, SILENCE, a_law_of, mu_law_of
from voicebox.b2bua.ports import MachinePort, MediaPort
from voicebox.errors import VoiceboxError

MAX_MESSAGE_S = 120
LEAST_S = 1.0
SLOTS_S = 50
PAUSE_S = 0.3
_AGAIN, _NEXT, _DELETE, _STOP = 1, 3, 7, 10
"""RFC 4733 codes of the keys."""
G711 = (Codec.PCMA, Codec.PCMU)
Tell = Callable[[CallEvent, float], None]


class Message(Protocol):
    """One message, without its sound. mailbox: as in dialplan/model.py."""

    @property
    def reference(self) -> str: ...
    @property
    def mailbox(self) -> str: ...
    @property
    def heard(self) -> bool: ...


class KeptMessages(Protocol):
    """Where messages are kept, those of all mailboxes. Methods that read or write raise VoiceboxError where the disk does not let them."""

    def has_room(self, mailbox: str, petname: str) -> bool:
        """Say whether a contact may leave one more."""

    def keep(self, mailbox: str, petname: str, sound: bytes) -> None:
        """Keep a message, PCMA."""

    def messages(self) -> Sequence[Message]:
        """Return what there is, the oldest first."""

    def sound(self, reference: str) -> bytes:
        """Return a message, PCMA; empty where it is gone."""

    def mark_heard(self, reference: str) -> None: ...
    def remove(self, reference: str) -> None: ...


class Machine:
    """The party that answers a contact. kept(sound, now): a message, PCMA, once the call is over. Call begin() once tell may be called."""

    dialog: DialogUser | None = None
    user = ""

    def __init__(self, context: LegContext, tell: Tell, greeting: Announcement, kept: Callable[[bytes, float], None]) -> None:
        self._context, self._tell, self._greeting, self._kept = context, tell, greeting, kept
        self._codec = Codec.PCMA
        self._is_listening = self._over = False
        self._entries = bytearray()
        self.port: MachinePort | None = None

    def begin(self, offer: Offer, now: float) -> None:
        """Answer a caller, or say that nobody does: it has no codec of ours. Raises HostError where the engine has no port."""
        codec = self._greeting.codec_for(offer)
        if codec is None:
            self._tell(Refuse(Refusal.NO_ANSWER), now)
            return
        self._codec, self.port = codec, self._context.media.machine()
        self._tell(Answer(codec), now)
        if self._over:
            return  # the call had ended meanwhile
        self._greeting.play(self.port, codec)
        self._context.timers.set((self, LegTimer.SPOKEN), now + self._greeting.seconds + PAUSE_S)

    def connect(self, port: MediaPort, codec: Codec) -> None:
        """Nothing: only circuits are answered, and they take our port."""

    def handle(self, event: CallEvent, now: float) -> None:
        """Take that the caller has hung up."""
        if isinstance(event, End):
            self._finish(now)

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Listen from now on, or end the call: it is long enough."""
        if self._is_listening:
            self._finish(now)
            self._tell(End(), now)
        elif self.port is not None:
            self._is_listening = True
            self.port.tape(MAX_MESSAGE_S * SLOTS_S, self._entries.extend)
            self._context.timers.set((self, LegTimer.SPOKEN), now + MAX_MESSAGE_S)

    def _finish(self, now: float) -> None:
        if self._over:
            return
        self._over = True
        self._context.timers.cancel((self, LegTimer.SPOKEN))
        if self.port is not None:
            self.port.close()
        sound = sound_of(bytes(self._entries), self._codec)
        if len(sound) >= LEAST_S * SLOTS_S * FRAME_OCTETS:
            self._kept(sound, now)


def sound_of(entries: bytes, codec: Codec) -> bytes:
    """Return a tape's entries (`length u8 | frame` for each slot) as PCMA, with silence where there was no frame."""
    sound, place = bytearray(), 0
    while place < len(entries):
        frame = entries[place + 1 : place + 1 + entries[place]]
        place += 1 + entries[place]
        sound += (frame if codec is Codec.PCMA else a_law_of(frame)) if len(frame) == FRAME_OCTETS else SILENCE[Codec.PCMA]
    return bytes(sound)


class Player:
    """The party that plays messages to a phone. references: which, in their order; changed(now): one was heard or removed. Call begin() once tell may be called."""

    port: MediaPort | None = None
    dialog: DialogUser | None = None
    user = ""

    def __init__(
        self,
        context: LegContext,
        tell: Tell,
        messages: KeptMessages,
        references: Iterable[str],
        between: Announcement,
        none: Announcement,
        changed: Callable[[float], None],
    ) -> None:
        self._context, self._tell, self._messages = context, tell, messages
        self._between, self._none, self._changed = between, none, changed
        self._phone: MediaPort | None = None
        self._codec = Codec.PCMA
        self._left = list(references)
        self._playing = ""

    def begin(self, offer: Offer, now: float) -> None:
        """Answer a phone and play the first message."""
        codec = self._none.codec_for(offer)
        if codec is None:
            self._tell(Refuse(Refusal.NO_COMMON_CODEC), now)
            return
        self._codec = codec
        self._tell(Answer(codec), now)
        if self._left:
            self._play_next(now)
        else:
            self._say(self._none.frames[codec], now)

    def connect(self, port: MediaPort, codec: Codec) -> None:  # noqa: ARG002  # the shape of every Party
        """Take the phone's port."""
        self._phone = port

    def handle(self, event: CallEvent, now: float) -> None:
        """Take what the phone did."""
        match event:
            case End():
                self._context.timers.cancel((self, LegTimer.SPOKEN))
            case Digit(code) if code == _STOP:
                self._end(now)
            case Digit(code) if self._playing and code in {_AGAIN, _NEXT, _DELETE}:
                if code == _AGAIN:
                    self._left.insert(0, self._playing)
                elif code == _DELETE:
                    with contextlib.suppress(VoiceboxError):
                        self._messages.remove(self._playing)
                    self._changed(now)
                self._play_next(now)
            case _:
                pass

    def timer_due(self, timer: LegTimer, now: float) -> None:  # noqa: ARG002  # the shape of every TimerOwner
        """Take that a message was heard to its end."""
        if self._playing:
            with contextlib.suppress(VoiceboxError):  # it is played again next time
                self._messages.mark_heard(self._playing)
            self._changed(now)
        self._play_next(now)

    def _play_next(self, now: float) -> None:
        self._playing = self._left.pop(0) if self._left else ""
        if not self._playing:
            self._end(now)
            return
        sound = b""
        with contextlib.suppress(VoiceboxError):  # the tone alone: the message is damaged
            sound = self._messages.sound(self._playing)
        self._say(self._between.frames[self._codec] + (sound if self._codec is Codec.PCMA else mu_law_of(sound)), now)

    def _say(self, frames: bytes, now: float) -> None:
        if self._phone is not None:
            self._phone.play(self._codec, FRAME_OCTETS, frames)
        self._context.timers.set((self, LegTimer.SPOKEN), now + len(frames) / FRAME_OCTETS / SLOTS_S + PAUSE_S)

    def _end(self, now: float) -> None:
        self._context.timers.cancel((self, LegTimer.SPOKEN))
        self._tell(End(), now)
