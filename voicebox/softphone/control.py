"""What a program tells the built-in softphone on standard input, and hears on standard output: one JSON object a line. Pure.

Commands: {"command": "dial", "uri": URI}, {"command": "answer"}, {"command": "decline", "status": 486}, {"command": "hang_up"},
{"command": "hold"}, {"command": "resume"}, {"command": "digits", "digits": "12#"}, {"command": "quit"}.
Events: {"event": NAME, ...}, the names in EVENTS. No event carries an address, a name or a number of the other side.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from voicebox.errors import UsageError

MAX_LINE_OCTETS = 4096
MAX_URI_CHARACTERS = 512
MAX_DIGITS = 64
DIGITS = frozenset("0123456789*#ABCD")

EVENTS = {
    "ready": "the phone listens",
    "registered": "the box has taken the registration; expires_s",
    "unregistered": "the box has not; status",
    "incoming": "a call rings here",
    "calling": "our call is on its way",
    "ringing": "the other side rings",
    "early": "the other side sends sound before it answers",
    "connected": "the call stands",
    "media": "sound flows; codec, clock_rate_hz",
    "held": "no sound flows",
    "ended": "the call is over; status",
    "digit": "the other side pressed a key; digit",
    "recorded": "a recording is complete; file",
    "problem": "a command could not be carried out; why",
}


class Verb(Enum):
    """What can be asked of the phone."""

    DIAL = "dial"
    ANSWER = "answer"
    DECLINE = "decline"
    HANG_UP = "hang_up"
    HOLD = "hold"
    RESUME = "resume"
    DIGITS = "digits"
    QUIT = "quit"


@dataclass(frozen=True, slots=True)
class Command:
    """One command. argument: the URI to dial or the digits; status: the SIP status to decline with."""

    verb: Verb
    argument: str = ""
    status: int = 486


def sip_uri(text: str) -> str:
    """Return what the user dialled as a SIP URI: `bob.privacy` becomes `sip:bob.privacy`. Raises UsageError."""
    uri = text if text.lower().startswith(("sip:", "sips:")) else f"sip:{text}"
    if not text or len(uri) > MAX_URI_CHARACTERS or any(not 0x21 <= ord(letter) <= 0x7E or letter in '<>"' for letter in uri):
        raise UsageError("this cannot be dialled; give a SIP address such as sip:bob.privacy")
    return uri


def parse_command(line: bytes) -> Command:
    """Return the command in a line. Raises UsageError, whose text does not repeat the line."""
    if len(line) > MAX_LINE_OCTETS:
        raise UsageError("the line is too long")
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        raise UsageError("the line is not JSON") from None
    if not isinstance(fields, dict):
        raise UsageError("the line is not a JSON object")
    try:
        verb = Verb(fields.get("command"))
    except ValueError:
        raise UsageError("the command is unknown") from None
    if verb is Verb.DIAL:
        return Command(verb, sip_uri(_text(fields, "uri")))
    if verb is Verb.DIGITS:
        digits = _text(fields, "digits").upper()
        if not 0 < len(digits) <= MAX_DIGITS or not DIGITS.issuperset(digits):
            raise UsageError("digits are 0 to 9, *, # and A to D")
        return Command(verb, digits)
    status = fields.get("status", 486)
    if not isinstance(status, int) or not 400 <= status <= 699:  # RFC 3261 §7.2: what refuses a request
        raise UsageError("the status of a refusal is 400 to 699")
    return Command(verb, status=status)


def _text(fields: dict[str, object], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str):
        raise UsageError(f"`{name}` is missing")
    return value


def serialise_event(event: str, **fields: str | float) -> str:
    """Return an event as a line without its end."""
    assert event in EVENTS
    return json.dumps({"event": event, **fields}, separators=(",", ":"))


class LineBuffer:
    """Octets in, whole lines out. What is longer than MAX_LINE_OCTETS is cut off and comes out as one line that no command fits."""

    def __init__(self) -> None:
        self._rest = b""
        self._skipping = False

    def receive(self, octets: bytes) -> list[bytes]:
        """Take what was read and return the lines that it completes, without their ends; empty lines are left out."""
        *lines, self._rest = (self._rest + octets).split(b"\n")
        if self._skipping and lines:
            self._skipping = False
            lines = lines[1:]
        if self._skipping:
            self._rest = b""
        elif len(self._rest) > MAX_LINE_OCTETS:
            lines.append(self._rest[: MAX_LINE_OCTETS + 1])
            self._rest, self._skipping = b"", True
        return [line for line in lines if line.strip()]
