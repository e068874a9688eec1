"""SIP MESSAGE to the phones of the house: made anew for each phone, and answered once one of them has it. Pure: takes `now`.

Only plain text passes, nothing about typing or reading. Nothing is kept: a text of one phone to others that are all off is refused.
NOT here: whose phones are meant, and who may send (switchboard.py); texts to contacts and from them (contact_texts.py).
Spec: RFC 3428.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from voicebox.b2bua.context import LegContext
from voicebox.b2bua.events import MAX_TEXT_OCTETS
from voicebox.b2bua.registrar import Binding
from voicebox.errors import SipError
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.transaction import OutgoingRequest, Transaction

MAX_UNDER_WAY = 32
_PLAIN = re.compile(r"\s*text/plain\s*(?:;\s*charset\s*=\s*\"?(?:utf-8|us-ascii)\"?\s*)?", re.IGNORECASE)
_TYPE = ("content-type", "text/plain;charset=UTF-8")


Done = Callable[[int, float], None]
"""done(status, now): a phone took the text, 200; none can show it, 415; else 480."""


def checked_text(request: SipRequest) -> bytes:
    """Return the text of a phone's MESSAGE. Raises SipError: 415 no plain text, 413 too long or empty."""
    if not _PLAIN.fullmatch(request.headers.get("content-type") or ""):
        raise SipError(415, "only plain text is passed on")
    if not 0 < len(request.body) <= MAX_TEXT_OCTETS:
        raise SipError(413, "text too long, or none")
    try:
        request.body.decode()
    except UnicodeDecodeError:
        raise SipError(415, "a text is UTF-8") from None
    return request.body


class Texts:
    """All texts under way."""

    def __init__(self, context: LegContext) -> None:
        self._context = context
        self._under_way: set[_Text] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, transaction: Transaction, request: SipRequest, bindings: list[Binding], sender: str, now: float) -> None:
        """Hand a text to phones; sender: the From value. Raises SipError: 415 no plain text, 413 too long, 480 no phone there, 503 too many."""
        text = checked_text(request)
        if not bindings:
            raise SipError(480, "no phone is there")
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise SipError(503, "too many texts under way")

        def answer(status: int, when: float) -> None:
            extra = (("accept", "text/plain"),) if status == 415 else ()
            self._context.layer.respond(transaction, status, when, self._context.identifiers.tag(), extra)

        self._hand_on(text, bindings, sender, answer, now)

    def deliver(self, text: bytes, bindings: list[Binding], sender: str, done: Done, now: float) -> None:
        """Hand a contact's text to phones."""
        if not bindings or len(self._under_way) >= MAX_UNDER_WAY:
            done(480, now)
        else:
            self._hand_on(text, bindings, sender, done, now)

    def _hand_on(self, body: bytes, bindings: list[Binding], sender: str, done: Done, now: float) -> None:
        text = _Text(self._context, done, self._under_way)
        self._under_way.add(text)
        for binding in bindings[: self._context.settings.max_forks]:
            text.send(binding, sender, body, now)


class _Text:
    """One text: done when a phone took it, or none did."""

    def __init__(self, context: LegContext, done: Done, under_way: set[_Text]) -> None:
        self._context, self._done, self._under_way = context, done, under_way
        self._open = 0
        self._status = 480

    def send(self, binding: Binding, sender: str, body: bytes, now: float) -> None:
        """Send it to one phone."""
        identifiers = self._context.identifiers
        fields = (
            ("max-forwards", "70"),
            ("from", f"{sender};tag={identifiers.tag()}"),
            ("to", f"<{binding.uri}>"),
            ("call-id", identifiers.call_id()),
            ("cseq", "1 MESSAGE"),
            _TYPE,
        )
        self._open += 1
        self._context.layer.send_request(OutgoingRequest("MESSAGE", binding.uri, fields, body), binding.flow, self, now)

    def response_came(self, transaction: Transaction, response: SipResponse, now: float) -> None:  # noqa: ARG002  # the shape of every TransactionUser
        """Take a phone's answer; the first that takes the text counts."""
        if 200 <= response.status < 300:
            self._finish(200, now)
        elif response.status >= 300:
            if response.status in {415, 488}:
                self._status = 415
            self._refused(now)

    def no_response(self, transaction: Transaction, now: float) -> None:  # noqa: ARG002  # as above
        """Take that a phone does not answer."""
        self._refused(now)

    def _refused(self, now: float) -> None:
        self._open -= 1
        if self._open == 0:
            self._finish(self._status, now)

    def _finish(self, status: int, now: float) -> None:
        if self in self._under_way:
            self._under_way.discard(self)
            self._done(status, now)
