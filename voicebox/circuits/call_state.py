"""The states of a call over a circuit, and its times. The flow is drawn in calls.py; call.py alone changes states. Spec: PROTOCOL.md §8.3, §8.4, §8.6."""

from __future__ import annotations

from enum import Enum, auto

KNOCK_US = 4_000_000
"""So long we knock at one junction: eight times what a knock and its answer take at 45 ms a link."""
WITHDRAWN_US = 1_000_000
"""So long an answer is waited for that may be under way to a caller who has given up."""
HANDSHAKE_US = 8_000_000
"""From the first valid cell to the last message of the full handshake."""
LINGER_US = 1_000_000
"""So long the callee's box waits for the caller's to answer its last event: the caller's is the first to part, whoever ended the call."""
PART_US = 400_000
"""So long the caller's last event, or the callee's answer to it, is repeated before its box parts: enough at 90 ms a way with a few losses."""
MAX_HELD = 16
"""Events of a phone that is answered before the keys are confirmed."""
WAIT_FREE_US = 3_000_000
WAIT_STEP_US = 50_000
"""A circuit whose call is just ending is waited for; whoever dials again at once should not be told that nobody can be reached."""
DUMMY_SLACK_US = 10_000_000
"""So much later than the longest there is a dummy is ended by the box that was knocked at, should the other have failed to."""


class State(Enum):
    """See calls.py."""

    NEW = auto()
    KNOCKING = auto()
    WITHDRAWN = auto()
    AWAIT_KEY = auto()
    AWAIT_SECOND = auto()
    JOINING = auto()
    AWAIT_FIRST = auto()
    OPEN = auto()
    CLOSING = auto()
    OVER = auto()
