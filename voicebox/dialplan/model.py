"""A dial plan: what a dialled name or number means. Frozen; made by load.py, asked through match.py. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import Enum, unique

PATTERN_PARTS = re.compile(r"<(?P<name>[a-z]+)(?::(?P<inner>[^<>]+))?>|\[(?P<set>[0-9*#-]+)\]|(?P<one>[XZN.!])|(?P<literal>[a-z0-9*#+-])")
CAPTURES = {"name": r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?", "contact": r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"}
DIGITS = {"X": "[0-9]", "Z": "[1-9]", "N": "[2-9]", ".": ".+", "!": ".*"}
MAX_PATTERN_LENGTH = 64


@unique
class Action(Enum):
    """What a rule does."""

    CALL = "call"
    """Call the contact of that petname."""
    CONTACT = "contact"
    """Call the contact whose speed dial that is."""
    REFUSE = "refuse"
    """Refuse with a SIP status."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of `outgoing`. patterns: compiled; target: text with {captures}; status: for REFUSE; line: 1-based, of the file."""

    patterns: tuple[re.Pattern[str], ...] = field(repr=False)
    texts: tuple[str, ...]
    action: Action
    target: str
    status: int
    line: int


@dataclass(frozen=True, slots=True)
class PlanTest:
    """One line of `tests`."""

    dialled: str
    action: Action
    target: str
    line: int


@dataclass(frozen=True, slots=True)
class DialPlan:
    """A whole plan. emergency: numbers that are refused before any rule; speed_dials: number to petname."""

    emergency: frozenset[str]
    speed_dials: dict[str, str] = field(repr=False)
    rules: tuple[Rule, ...]
    tests: tuple[PlanTest, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """What a dialled text means. target: a petname for CALL; status: of the refusal; rule: index of the rule, None for emergency numbers."""

    action: Action
    target: str = field(default="", repr=False)
    status: int = 0
    rule: int | None = None
    emergency: bool = False


def compile_pattern(text: str) -> re.Pattern[str]:
    """Compile a pattern: X 0-9, Z 1-9, N 2-9, [..] one of, `.` the rest, `!` the rest or nothing, <name> and <contact> one label, <n:XX> digits kept
    as {n}, a suffix after <name>; all else stands for itself. Raises ValueError with what is wrong.
    """
    if not 0 < len(text) <= MAX_PATTERN_LENGTH:
        raise ValueError(f"a pattern has 1 to {MAX_PATTERN_LENGTH} characters")
    head, dot, suffix = text.partition(">.")
    body, tail = (head + ">", re.escape(f".{suffix}")) if dot else (text, "")
    if dot and not re.fullmatch(r"[a-z][a-z0-9.-]*", suffix):
        raise ValueError("after <name>. comes a suffix of names, for example privacy")
    expression, position, seen = "", 0, set()
    while position < len(body):
        found = PATTERN_PARTS.match(body, position)
        if found is None:
            raise ValueError(f"`{body[position]}` cannot stand here; write X, Z or N for digits, small letters for themselves")
        position = found.end()
        if found["one"] in {".", "!"} and position < len(body):
            raise ValueError(f"`{found['one']}` stands at the end only")
        if found["name"]:
            if found["name"] in seen:
                raise ValueError(f"<{found['name']}> stands twice")
            seen.add(found["name"])
        expression += _part(found)
    return re.compile(expression + tail, re.DOTALL)


def _part(found: re.Match[str]) -> str:
    if found["literal"]:
        return re.escape(found["literal"])
    if found["one"]:
        return DIGITS[found["one"]]
    if found["set"]:
        return f"[{found['set'].replace('#', chr(92) + '#')}]"
    name, inner = found["name"], found["inner"]
    if inner is None:
        if name not in CAPTURES:
            raise ValueError(f"<{name}> is not known; write <name>, <contact>, or <{name}:XX> for digits")
        return f"(?P<{name}>{CAPTURES[name]})"
    if not re.fullmatch(r"[XZN0-9.!]+", inner) or any(mark in inner[:-1] for mark in ".!"):
        raise ValueError(f"<{name}:...> holds X, Z, N and digits")
    return f"(?P<{name}>{''.join(DIGITS.get(letter, letter) for letter in inner)})"
