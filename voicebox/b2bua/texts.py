"""SIP MESSAGE between the phones of the house: made anew for each phone, and answered once one of them has it. Pure: takes `now`.

Only plain text passes, nothing about typing or reading. Nothing is kept: a text to a house whose phones are all off is refused.
NOT here: whose phones are meant, and who may send (switchboard.py). Texts to contacts are not carried.
Spec: RFC 3428.
"""

from __future__ import annotations

import re

from voicebox.b2bua.context import LegContext
from voicebox.b2bua.registrar import Binding
from voicebox.errors import SipError
from voicebox.sip.message import SipRequest, SipResponse
from voicebox.sip.transaction import OutgoingRequest, Transaction

MAX_TEXT_OCTETS = 1_300
"""RFC 3428 §8: a whole datagram of that."""
MAX_UNDER_WAY = 32
_PLAIN = re.compile(r"\s*text/plain\s*(?:;\s*charset\s*=\s*\"?(?:utf-8|us-ascii)\"?\s*)?", re.IGNORECASE)
_TYPE = ("content-type", "text/plain;charset=UTF-8")


class Texts:
    """All texts under way."""

    def __init__(self, context: LegContext) -> None:
        self._context = context
        self._under_way: set[_Text] = set()

    def __len__(self) -> int:
        return len(self._under_way)

    def send(self, transaction: Transaction, request: SipRequest, bindings: list[Binding], sender: str, now: float) -> None:
        """Hand a text to phones; sender: the From value. Raises SipError: 415 no plain text, 413 too long, 480 no phone there, 503 too many."""
        if not _PLAIN.fullmatch(request.headers.get("content-type") or ""):
            raise SipError(415, "only plain text is passed on")
        if len(request.body) > MAX_TEXT_OCTETS:
            raise SipError(413, "text too long")
        try:
            request.body.decode()
        except UnicodeDecodeError:
            raise SipError(415, "a text is UTF-8") from None
        if not bindings:
            raise SipError(480, "no phone is there")
        if len(self._under_way) >= MAX_UNDER_WAY:
            raise SipError(503, "too many texts under way")
        text = _Text(self._context, transaction, self._under_way)
        self._under_way.add(text)
        for binding in bindings[: self._context.settings.max_forks]:
            text.send(binding, sender, request.body, now)


class _Text:
    """One text: done when a phone took it, or none did."""

    def __init__(self, context: LegContext, transaction: Transaction, under_way: set[_Text]) -> None:
        self._context, self._transaction, self._under_way = context, transaction, under_way
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
            extra = (("accept", "text/plain"),) if status == 415 else ()
            self._context.layer.respond(self._transaction, status, now, self._context.identifiers.tag(), extra)
