"""The words of a dial plan's file: what load.py and its parts take, and what dialplans/schema.json tells editors. A test holds the two together."""

from __future__ import annotations

PLAN = ("version", "settings", "emergency", "extensions", "groups", "speed_dials", "outgoing", "incoming", "tests")
SETTINGS = ("tz", "quiet", "call_log", "voicemail")
EMERGENCY = ("numbers", "do")
EXTENSION = ("name", "phones", "voicemail")
GROUP = ("name", "ring", "strategy", "timeout")
OUTGOING_RULE = ("dial", "do", "unknown")
INCOMING_RULE = ("from", "when", "do")
WHEN = ("hours", "days", "tz")
OUTGOING_RING = ("ring", "timeout", "then")
INCOMING_RING = ("ring", "timeout", "then", "ignore_dnd")
OUTGOING_TEST = ("dial", "expect")
INCOMING_TEST = ("from", "at", "dnd", "expect")

CALL_LOGS = ("none", "missed")
OUTGOING_WORDS = ("conference", "echo", "far-echo", "local", "voicemail-box")
OUTGOING_ACTS = ("call", "contact", "far-echo", "refuse", "trunk", "ring")
INCOMING_WORDS = ("drop", "no-answer")
INCOMING_ACTS = ("ring",)

NOT_BUILT = {
    "probe": "Leave the rule out.",
    "contact-request": "Write `refuse`, or `drop` for callers: exchange cards instead.",
    "share_name": "Leave it out: no name is sent with a call.",
}
"""What other systems have, and people may write, with what to write until it is built."""
ELSEWHERE = {
    "suffix": "`suffix` stands in box.yaml.",
    "voicemail": "Write `voicemail: true` under `settings`, or at an extension: it is for all contacts whom nobody answers there.",
}
