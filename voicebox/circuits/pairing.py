"""The invitations of a box, and the meeting to which it goes itself: what `voicebox invite`, `invited` and `accept` ask the running box for.

An invitation waits in its box, which has to run, and lies in a file, with what came of it, so that a restart changes nothing. It is good once, until its time is over, and for MAX_WRONG wrong words; who has the
right words hears which of these it was, all others hear that theirs are wrong, or nothing. A spent one is remembered for KEPT_US for that.

    WAITING --the words--> CAME --the user said yes or no--> ADDED or gone
            --three wrong words, or too many meetings--> BURNED
            --time--> EXPIRED

NOT here: what is said (meeting.py), the splice (calls.py), the words (contacts/words.py), what the file looks like (invitation_file.py). Pure: takes the clock, and where files are. Spec: PROTOCOL.md §8.8.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum, unique
from itertools import count
from pathlib import Path
from typing import Any, Protocol

from voicebox.circuits.dummies import Rng, Script, draw_answered, scale_of
from voicebox.circuits.guest import SECRET_OCTETS, Guest
from voicebox.circuits.invitation_file import INVITATIONS_FILE, KeptInvitation, parse_invitations, serialise_invitations
from voicebox.circuits.meeting import AccepterMeeting, InviterMeeting, Meeting, Outcome, Shown, Word
from voicebox.circuits.pair_book import PairBook
from voicebox.contacts.contact import checked_petname
from voicebox.errors import HostError, UsageError, VoiceboxError
from voicebox.sensitive import Secret

MAX_WRONG = 3
MAX_MEETINGS = 16
"""Splices that one invitation may lead to: whoever knows the number alone can make no more of them."""
MAX_INVITATIONS = 7
"""With the meeting to which the box goes itself as many guests as a circuit's tokens have places beside those of contacts (PROTOCOL.md §8.2)."""
MAX_FOR_S = 7 * 86_400
KEPT_US = 86_400_000_000
MAX_PASSWORD_OCTETS = 64


@unique
class State(StrEnum):
    """What became of an invitation; the value is the word on the control socket."""

    WAITING = "waiting"
    CAME = "came"
    ADDED = "added"
    BURNED = "burned"
    EXPIRED = "expired"


class Calls(Protocol):
    """What a pairing needs of the calls of a box (calls.py)."""

    on_guest: Callable[[str], Meeting | None]

    def meet(self, name: str, meeting: Meeting, rest: Script) -> None: ...
    def guests_changed(self, now_us: int) -> None: ...


class Files(Protocol):
    """Where a box keeps what is secret (contacts/store.py)."""

    def path(self, name: str) -> Path: ...
    def exists(self, name: str) -> bool: ...
    def read(self, name: str) -> bytes: ...
    def write(self, name: str, octets: bytes) -> None: ...
    def remove(self, name: str) -> None: ...


@dataclass(eq=False, slots=True)
class _Invitation:
    """One invitation; what a meeting asks of it (meeting.py Invited). petname, sure: add who comes under it, without asking.

    on_came, on_wrong: somebody did, somebody tried; on_welcome: the words were used.
    """

    place: int
    secret: Secret
    password: Secret
    until_us: int
    petname: str = field(repr=False)
    sure: bool
    clock: Callable[[], int]
    on_came: Callable[[_Invitation], None]
    on_wrong: Callable[[_Invitation], None]
    on_welcome: Callable[[], None]
    wrong_tries: int = 0
    meetings: int = 0
    card: str = field(default="", repr=False)
    """Of whoever used the words, and the name that it claims."""
    claims: str = field(default="", repr=False)
    here: bool = False
    settled: bool = False

    @property
    def name(self) -> str:
        """Return its name in the pair book, which no petname can be."""
        return f"guest of invitation {self.place}"

    @property
    def state(self) -> State:
        if self.settled:
            return State.ADDED
        if self.here:
            return State.CAME
        if self.wrong_tries >= MAX_WRONG or self.meetings >= MAX_MEETINGS:
            return State.BURNED
        return State.EXPIRED if self.clock() >= self.until_us else State.WAITING

    def may_try(self) -> bool:
        return self.wrong_tries < MAX_WRONG

    def wrong(self) -> None:
        self.wrong_tries += 1
        self.on_wrong(self)

    def welcome(self, shown: Shown) -> Word:
        if self.card:
            return Word.USED
        if self.clock() >= self.until_us:
            return Word.EXPIRED
        self.card, self.claims = shown.text, shown.card.authority.claimed_name
        self.on_welcome()
        return Word.WELCOME

    def came(self) -> None:
        self.here = True
        self.on_came(self)

    def kept(self) -> KeptInvitation:
        secret, words, tried = self.secret.reveal().hex(), self.password.reveal().decode(), (self.wrong_tries, self.meetings)
        return KeptInvitation(self.place, secret, words, self.until_us, self.petname, self.sure, *tried, self.card, self.claims, self.settled)


class Pairing:
    """Contract: use(calls, ...) whenever the calls are made anew; answers is asked by the control socket.

    card: ours, as text. add(petname, card): makes a contact; raises VoiceboxError where that cannot be. epoch_us: the length of an epoch. Raises FileProblem where the invitations that were kept cannot be read.
    """

    def __init__(self, book: PairBook, card: str, add: Callable[[str, str], None], clock: Callable[[], int], rng: Rng, epoch_us: int, files: Files) -> None:
        self._book, self._card, self._add, self._clock, self._rng, self._files = book, card, add, clock, rng, files
        self._scale = scale_of(epoch_us)
        self._calls: Calls | None = None
        self._invitations: list[_Invitation] = []
        self._places = count(1)  # of invitations, and of meetings to which we go
        self._host = ""
        """The name of the guest to whom we go, or went last."""
        self._going = False
        self._outcome: tuple[Outcome, Shown | None] | None = None
        if files.exists(INVITATIONS_FILE):
            self._take_up(parse_invitations(files.read(INVITATIONS_FILE), str(files.path(INVITATIONS_FILE))))

    def _take_up(self, kept: list[KeptInvitation]) -> None:
        for each in kept[:MAX_INVITATIONS]:
            invitation = self._made(each.place, Secret(bytes.fromhex(each.secret)), Secret(each.password.encode()), each.until_us, each.petname, sure=each.sure)
            invitation.wrong_tries, invitation.meetings, invitation.settled = each.wrong_tries, each.meetings, each.settled
            invitation.card, invitation.claims = each.card, each.claims
            if not invitation.may_try():
                self._book.guests.pop(invitation.name, None)
        self._places = count(1 + max((each.place for each in kept), default=0))

    def _made(self, place: int, secret: Secret, password: Secret, until_us: int, petname: str, *, sure: bool) -> _Invitation:
        invitation = _Invitation(place, secret, password, until_us, petname, sure, self._clock, self._came, self._look, self._save)
        self._invitations.append(invitation)
        self._book.guests[invitation.name] = Guest(secret, invited=True)
        return invitation

    def _save(self) -> None:
        """Keep how things are: after a restart they are so again. Where the disk does not take it, they are as they were."""
        with contextlib.suppress(HostError):
            self._write()

    def _write(self) -> None:
        if self._invitations:
            self._files.write(INVITATIONS_FILE, serialise_invitations(invitation.kept() for invitation in self._invitations))
        else:
            self._files.remove(INVITATIONS_FILE)

    def use(self, calls: Calls) -> None:
        """Take the calls over whose circuits boxes meet. A meeting over former ones is no more; who was welcome at one may have our card, so the user is asked."""
        self._calls = calls
        calls.on_guest = self._meeting_of
        for invitation in self._invitations:
            invitation.here = bool(invitation.card)
        if self._going:
            self._told(Outcome.INTERRUPTED, None)

    def waiting(self) -> int:
        """Return how many invitations wait for somebody."""
        return sum(invitation.state is State.WAITING for invitation in self._invitations)

    @property
    def answers(self) -> Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]:
        """Return what can be asked on the control socket."""
        return {"invite": self._invite, "invited": self._invited, "accept": self._accept, "accepted": self._accepted}

    # ------------------------------------------------------------------------------------------------------------ inviting

    def _invite(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Make an invitation. secret: 64 digits, password, for_s, petname (may be empty), sure: as in `voicebox invite`. Raises UsageError."""
        secret, password = _octets(asked, "secret"), _password(asked)
        for_s, petname = str(asked.get("for_s")), str(asked.get("petname") or "")
        if not for_s.isascii() or not for_s.isdecimal() or not 0 < int(for_s) <= MAX_FOR_S:
            raise UsageError(f"An invitation is good for at most {MAX_FOR_S // 3600} hours.")
        if petname:
            petname = self._free(petname)
        self._make_room()
        sure = asked.get("sure") is True and bool(petname)
        until_us = self._clock() + 1_000_000 * int(for_s)
        invitation = self._made(next(self._places), Secret(secret), password, until_us, petname, sure=sure)
        try:
            self._write()
        except HostError:
            self._forget(invitation)
            raise
        self._changed()
        return {"place": invitation.place}

    def _invited(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell of all invitations, the newest last; settle: the place of one that is done with, added: whether who came is a contact now."""
        settle = asked.get("settle")
        if settle is not None:
            invitation = next((each for each in self._invitations if str(each.place) == str(settle)), None)
            if invitation is None:
                raise UsageError("There is no such invitation; `voicebox invited` prints all.")
            if asked.get("added") is True and invitation.here:
                invitation.settled = True
            else:
                self._forget(invitation)
                self._changed()
            self._write()
        return {"invitations": [_told(invitation, self._clock()) for invitation in self._invitations]}

    def _make_room(self) -> None:
        """Forget what is over for long, and where there are too many the oldest that is over. Raises UsageError where all wait."""
        now_us = self._clock()
        for invitation in [each for each in self._invitations if each.until_us + KEPT_US <= now_us]:
            self._forget(invitation)
        if len(self._invitations) >= MAX_INVITATIONS:
            over = next((each for each in self._invitations if each.state not in {State.WAITING, State.CAME}), None)
            if over is None:
                raise UsageError(f"{MAX_INVITATIONS} invitations are open. `voicebox invited` prints them, and `--withdraw` takes one back.")
            self._forget(over)

    def _forget(self, invitation: _Invitation) -> None:
        self._invitations.remove(invitation)
        self._book.guests.pop(invitation.name, None)
        invitation.until_us, invitation.sure = 0, False  # a meeting that is under way adds nobody any more

    def _meeting_of(self, name: str) -> Meeting | None:
        """Return our side of a meeting with whom knocks; None, which looks like a box that is off, where the invitation led to too many, or is over for long."""
        invitation = next((each for each in self._invitations if each.name == name), None)
        if invitation is None or invitation.meetings >= MAX_MEETINGS or invitation.until_us + KEPT_US <= self._clock():
            self._book.guests.pop(name, None)
            return None
        invitation.meetings += 1
        self._save()
        return InviterMeeting(invitation, self._card)

    def _look(self, invitation: _Invitation) -> None:
        """Take that wrong words were tried: who knocks after the last of them is a stranger."""
        if not invitation.may_try():
            self._book.guests.pop(invitation.name, None)
        self._save()

    def _came(self, invitation: _Invitation) -> None:
        """Somebody with the words has our card, and we have theirs: add them where the user has said so before; else the user is asked."""
        if not invitation.sure or not invitation.card:
            return
        try:
            self._add(self._free(invitation.petname), invitation.card)
        except VoiceboxError:
            return  # the petname is another's by now, or they are a contact already: the user is asked
        invitation.settled = True
        self._save()

    def _free(self, petname: str) -> str:
        """Return a petname that nobody has: a card under one that somebody has would be another card of theirs. Raises UsageError."""
        checked = checked_petname(petname)
        if any(contact.petname == checked for contact in self._book.contacts()):
            raise UsageError(f"There is a contact {checked} already. Take another petname.")
        return checked

    def _changed(self) -> None:
        if self._calls is not None:
            self._calls.guests_changed(self._clock())

    # ----------------------------------------------------------------------------------------------------------- accepting

    def _accept(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Go to a meeting. secret, password as in _invite; inviter: whose card it must be, 64 digits, or empty. Raises UsageError."""
        if self._going or self._calls is None:
            raise UsageError("This box goes to a meeting already; wait a moment.")
        secret, password = _octets(asked, "secret"), _password(asked)
        inviter_id = _octets(asked, "inviter") if asked.get("inviter") else None
        self._going, self._outcome = True, None
        self._book.guests.pop(self._host, None)
        self._host = f"guest to whom we go {next(self._places)}"
        self._book.guests[self._host] = Guest(Secret(secret), invited=False)
        self._calls.meet(self._host, AccepterMeeting(password, self._card, inviter_id, self._told), draw_answered(self._rng, self._scale))
        return {"started": True}

    def _told(self, outcome: Outcome, shown: Shown | None) -> None:
        self._going, self._outcome = False, (outcome, shown)

    def _accepted(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell what came of the last meeting; outcome is empty while that is not known. Raises UsageError where there was none: the box that went to it is no more."""
        if not self._going and self._outcome is None:
            raise UsageError("This box goes to no meeting: it was started anew meanwhile. Try again.")
        outcome, shown = self._outcome or ("", None)
        card, claims = (shown.text, shown.card.authority.claimed_name) if shown is not None else ("", "")
        return {"outcome": str(outcome), "card": card, "claims": claims}


def _told(invitation: _Invitation, now_us: int) -> dict[str, Any]:
    return {
        "place": invitation.place,
        "state": invitation.state.value,
        "wrong": invitation.wrong_tries,
        "petname": invitation.petname,
        "left_s": max(0, (invitation.until_us - now_us) // 1_000_000),
        "card": invitation.card if invitation.here else "",
        "claims": invitation.claims if invitation.here else "",
    }


def _octets(asked: Mapping[str, Any], key: str) -> bytes:
    try:
        octets = bytes.fromhex(str(asked.get(key)))
    except ValueError:
        octets = b""
    if len(octets) != SECRET_OCTETS:
        raise UsageError("This is no request for a meeting.")
    return octets


def _password(asked: Mapping[str, Any]) -> Secret:
    password = str(asked.get("password") or "").encode()
    if not 0 < len(password) <= MAX_PASSWORD_OCTETS:
        raise UsageError("This is no request for a meeting.")
    return Secret(password)
