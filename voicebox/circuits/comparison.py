"""One code that both people of a call see, by which they know that nobody stands between their boxes.

The caller's box commits itself to a nonce, the callee's says its own, the caller's opens; so neither of the two, nor anybody between them, can
choose a nonce by the code that it leads to. Each step waits for its user: both have asked for the code. There is one in a call.

    caller   NEW --want--> COMMITTED --nonce--> SHOWN
    callee   NEW --commit--> ASKED --want--> ANSWERED --open--> SHOWN
             NEW --want--> WAITING --commit--> ANSWERED

NOT here: what the code looks like (contacts/code.py), the channel (call.py). Pure; the nonce may be handed in by tests.
Spec: PROTOCOL.md §9.7, which names the constructions that this is.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from enum import Enum, auto

from voicebox.circuits.call_record import RecordType
from voicebox.circuits.kdf import HASH_OCTETS, sha256
from voicebox.contacts.code import Code, code_of
from voicebox.errors import RemoteError

NONCE_OCTETS = 32


class Stage(Enum):
    """See the module's text."""

    NEW = auto()
    WAITING = auto()
    ASKED = auto()
    COMMITTED = auto()
    ANSWERED = auto()
    SHOWN = auto()


class Comparison:
    """What one box does. binding: C of the call (PROTOCOL.md §8.4); say: puts a message on the channel. code: what the user is to see, once it is known."""

    def __init__(self, binding: bytes, say: Callable[[bytes], None], *, is_caller: bool, nonce: bytes | None = None) -> None:
        self._binding, self._say, self._is_caller = binding, say, is_caller
        self._nonce = nonce or secrets.token_bytes(NONCE_OCTETS)
        self._commitment = b""
        self.stage = Stage.NEW
        self.code: Code | None = None

    def want(self) -> None:
        """Take that our user asks for the code; again is no harm."""
        match self.stage, self._is_caller:
            case Stage.NEW, True:
                self._speak(RecordType.COMMIT, _commitment(self._binding, self._nonce), Stage.COMMITTED)
            case Stage.NEW, False:
                self.stage = Stage.WAITING
            case Stage.ASKED, _:
                self._speak(RecordType.NONCE, self._nonce, Stage.ANSWERED)
            case _:
                pass

    def message(self, message: bytes) -> None:
        """Take a message of the other box. Raises RemoteError where it is not the next one, or opens something else than what was committed to."""
        kind, payload = message[0], message[1:]
        if len(payload) != HASH_OCTETS:
            raise RemoteError("a message of a comparison has the wrong length")
        match kind, self.stage, self._is_caller:
            case RecordType.COMMIT, (Stage.NEW | Stage.WAITING), False:
                self._commitment = payload
                if self.stage is Stage.WAITING:
                    self._speak(RecordType.NONCE, self._nonce, Stage.ANSWERED)
                else:
                    self.stage = Stage.ASKED
            case RecordType.NONCE, Stage.COMMITTED, True:
                self._speak(RecordType.OPEN, self._nonce, Stage.SHOWN)
                self._show(self._nonce, payload)
            case RecordType.OPEN, Stage.ANSWERED, False:
                if not hmac.compare_digest(_commitment(self._binding, payload), self._commitment):
                    raise RemoteError("what was opened is not what was committed to")
                self.stage = Stage.SHOWN
                self._show(payload, self._nonce)
            case _:
                raise RemoteError("a message of a comparison at the wrong time")

    def _speak(self, kind: RecordType, payload: bytes, stage: Stage) -> None:
        self.stage = stage
        self._say(bytes([kind]) + payload)

    def _show(self, callers: bytes, callees: bytes) -> None:
        self.code = code_of(sha256(b"voicebox/1 verify code", self._binding, callers, callees))


def _commitment(binding: bytes, nonce: bytes) -> bytes:
    return sha256(b"voicebox/1 verify commit", binding, nonce)
