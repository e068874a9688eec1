"""What the two boxes of a call say to each other of their own accord: the code that both people compare, that one of them runs twice, which junctions they know,
and what was revoked.

No phone hears of it. In a dummy nothing of this is said: whether it was joined is not for its caller to know. NOT here: call events (call_record.py), the
further circuits of a call (call.py). Pure. Spec: PROTOCOL.md §9.7, §9.8, §8.9, §10.9.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from voicebox.circuits.agreement import LIST_OCTETS, Agreement
from voicebox.circuits.call_record import COMPARISON_TYPES, RecordType
from voicebox.circuits.comparison import Comparison
from voicebox.circuits.copies import COPY_OCTETS, Copies
from voicebox.circuits.pair import FullBinding
from voicebox.circuits.revocations import Revocations
from voicebox.errors import RemoteError


@dataclass(frozen=True, slots=True)
class Words:
    """What a box has to say in all its calls, and has heard there. agreement: where it says which junctions it knows; revocations: where it says what was revoked."""

    copies: Copies = field(default_factory=Copies)
    agreement: Agreement | None = None
    revocations: Revocations | None = None


class Between:
    """One box's side of one open call. say: puts a message on the channel. binding: C, by which both boxes know the call.

    now_us: of the clock of message(), where nothing long is before us on the channel: then the round trip is known once the other box has answered.
    """

    def __init__(self, binding: FullBinding, say: Callable[[bytes], None], words: Words, *, is_caller: bool, now_us: int | None = None) -> None:
        self.binding = binding.digest()
        self.comparison = Comparison(self.binding, say, is_caller=is_caller)
        self._contact_id = binding.callee_id if is_caller else binding.caller_id
        self._say, self._words = say, words
        self._told = self._heard_revoked = False
        self._said_us = now_us
        self.round_trip_us: int | None = None
        """From our first words to what the other box says to them, with its wait for a slot and ours."""
        say(bytes([RecordType.COPY]) + words.copies.own)

    def message(self, message: bytes, now_us: int) -> None:
        """Take a message of BETWEEN_TYPES. Raises RemoteError where it is not one for now."""
        kind, payload = message[0], message[1:]
        if kind in COMPARISON_TYPES:
            self.comparison.message(message)
        elif kind == RecordType.COPY and len(payload) == COPY_OCTETS:
            if self._words.copies.heard(self._contact_id, payload, now_us):
                self._say(bytes([RecordType.DOUBLED]))
            self._tell()
        elif kind == RecordType.DOUBLED and not payload:
            self._words.copies.told(now_us)
        elif kind == RecordType.LIST and len(payload) == LIST_OCTETS:
            if self.round_trip_us is None and self._said_us is not None:
                self.round_trip_us = now_us - self._said_us  # it is said at once to our Copy
            if self._words.agreement is not None:
                self._words.agreement.heard(self._contact_id, payload, now_us)
        elif kind == RecordType.REVOKED and not self._heard_revoked:
            self._heard_revoked = True
            if self._words.revocations is not None:
                self._say(bytes([RecordType.KNOWN]) + self._words.revocations.heard(self._contact_id, payload))
        elif kind == RecordType.KNOWN and self._told:
            if self._words.revocations is not None:
                self._words.revocations.known(self._contact_id, payload)
        else:
            raise RemoteError("the other box says what it cannot")

    def _tell(self) -> None:
        """Say once what the other box should know, when it has spoken: in front of what people do at the beginning it would delay that."""
        if self._told:
            return
        self._told = True
        if self._words.agreement is not None:
            self._say(bytes([RecordType.LIST]) + self._words.agreement.own())
        revoked = self._words.revocations.to_say(self._contact_id) if self._words.revocations is not None else None
        if revoked is not None:
            self._say(bytes([RecordType.REVOKED]) + revoked)
