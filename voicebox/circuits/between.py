"""What the two boxes of a call say to each other of their own accord: the code that both people compare, and that one of them runs twice.

No phone hears of it. In a dummy nothing of this is said: whether it was joined is not for its caller to know. NOT here: call events (call_record.py), the
further circuits of a call (call.py). Pure. Spec: PROTOCOL.md §9.7, §9.8.
"""

from __future__ import annotations

from collections.abc import Callable

from voicebox.circuits.call_record import COMPARISON_TYPES, RecordType
from voicebox.circuits.comparison import Comparison
from voicebox.circuits.copies import COPY_OCTETS, Copies
from voicebox.circuits.pair import FullBinding
from voicebox.errors import RemoteError


class Between:
    """One box's side of one open call. say: puts a message on the channel. binding: C, by which both boxes know the call."""

    def __init__(self, binding: FullBinding, say: Callable[[bytes], None], copies: Copies, *, is_caller: bool) -> None:
        self.binding = binding.digest()
        self.comparison = Comparison(self.binding, say, is_caller=is_caller)
        self._contact_id = binding.callee_id if is_caller else binding.caller_id
        self._say, self._copies = say, copies
        say(bytes([RecordType.COPY]) + copies.own)

    def message(self, message: bytes, now_us: int) -> None:
        """Take a message of BETWEEN_TYPES. Raises RemoteError where it is not one for now."""
        kind, payload = message[0], message[1:]
        if kind in COMPARISON_TYPES:
            self.comparison.message(message)
        elif kind == RecordType.COPY and len(payload) == COPY_OCTETS:
            if self._copies.heard(self._contact_id, payload, now_us):
                self._say(bytes([RecordType.DOUBLED]))
        elif kind == RecordType.DOUBLED and not payload:
            self._copies.told(now_us)
        else:
            raise RemoteError("the other box says what it cannot")
