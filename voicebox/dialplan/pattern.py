"""Patterns of what is dialled: one expression that catches words, and one automaton that says what does not fit and which patterns hide another. Pure.

X 0-9, Z 1-9, N 2-9, [4-6*] one of these, `.` the rest, at least one, `!` the rest or nothing, <name> one name,
<contact> the petname of a contact, <local> an extension, a group or a phone, <n:XX> what fits XX; all else stands for itself
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

LABELS = ("name", "contact", "local")
MAX_PATTERN_LENGTH = 64
_PARTS = re.compile(r"<(?P<name>[a-z]+)(?::(?P<inner>[^<>]+))?>|\[(?P<set>[0-9*#-]+)\]|(?P<one>[XZN.!])|(?P<literal>[a-z0-9*#+-])")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DIGITS = {"X": "0123456789", "Z": "123456789", "N": "23456789"}
_OTHER = "\0"
"""Stands for every letter that no pattern names."""
_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
_ANY = _LETTERS | frozenset("*#+-." + _OTHER)
_MAX_STATES = 500


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern. label: the kind of name in it, if any; steps: from each node, letter to next nodes; end: the node where all has fitted."""

    text: str
    expression: re.Pattern[str] = field(repr=False)
    label: str | None
    steps: tuple[dict[str, tuple[int, ...]], ...] = field(repr=False, compare=False)
    end: int

    @property
    def conditional(self) -> bool:
        """Return whether the contacts and phones that there are decide what fits."""
        return self.label in {"contact", "local"}

    def misfit(self, text: str) -> str:
        """Say why a text does not fit. Contract: it does not."""
        nodes = {0}
        for place, letter in enumerate(text, 1):
            nodes = {after for node in nodes for after in self.steps[node].get(letter if letter in _ANY else _OTHER, ())}
            if not nodes:
                return f"`{letter}` at place {place} does not fit"
        return "more should follow"


class _Build:
    """Node by node. `open` is the one where what comes next begins."""

    def __init__(self) -> None:
        self.steps: list[dict[str, tuple[int, ...]]] = [{}]
        self.open = 0

    def _edge(self, start: int, letters: Iterable[str], end: int) -> None:
        for letter in letters:
            self.steps[start][letter] = (*self.steps[start].get(letter, ()), end)

    def one_of(self, letters: Iterable[str]) -> None:
        self.steps.append({})
        self._edge(self.open, letters, len(self.steps) - 1)
        self.open = len(self.steps) - 1

    def rest(self) -> None:
        self._edge(self.open, _ANY, self.open)

    def label(self) -> None:
        self.one_of(_LETTERS)
        self.steps.append({})
        letter, hyphen = self.open, len(self.steps) - 1
        self._edge(letter, _LETTERS, letter)
        self._edge(letter, "-", hyphen)
        self._edge(hyphen, "-", hyphen)
        self._edge(hyphen, _LETTERS, letter)


def compile_pattern(text: str, suffixes: tuple[str, ...] = ()) -> Pattern:
    """Compile a pattern. suffixes: of names; one at the end is taken off, as it is from what is dialled. Raises ValueError with what is wrong."""
    if not 0 < len(text) <= MAX_PATTERN_LENGTH:
        raise ValueError(f"has 1 to {MAX_PATTERN_LENGTH} characters")
    body = without_suffix(text, suffixes)
    if not body or re.search(r"<[a-z]+>\.", body):
        raise ValueError(f"ends in no suffix of this box, which has {' and '.join(suffixes) or 'none'}")
    build, expression, position, seen = _Build(), "", 0, set[str]()
    while position < len(body):
        found = _PARTS.match(body, position)
        if found is None:
            raise ValueError(f"holds `{body[position]}`, which cannot stand there; write X, Z or N for digits, small letters for themselves")
        position = found.end()
        if (found["one"] in {".", "!"} or (found["inner"] or "")[-1:] in {".", "!"}) and position < len(body):
            raise ValueError("holds `.` or `!` before its end; they stand for all that follows")
        if found["name"]:
            if found["name"] in seen or (found["inner"] is None and seen & set(LABELS)):
                raise ValueError(f"holds <{found['name']}> where another stands already")
            seen.add(found["name"])
        expression += _part(build, found)
    label = next((name for name in LABELS if name in seen), None)
    return Pattern(text, re.compile(expression, re.DOTALL), label, tuple(build.steps), build.open)


def without_suffix(text: str, suffixes: tuple[str, ...]) -> str:
    """Return a name without the suffix that it ends in, if it ends in one."""
    for suffix in suffixes:
        if text.endswith(f".{suffix}"):
            return text[: -len(suffix) - 1]
    return text


def _part(build: _Build, found: re.Match[str]) -> str:
    name, inner = found["name"], found["inner"]
    if name is None:
        return _letter(build, found[0])
    if inner is None:
        if name not in LABELS:
            raise ValueError(f"holds <{name}>, which is not known; write <name>, <contact>, <local>, or <{name}:XX> for digits")
        build.label()
        return f"(?P<{name}>{_LABEL})"
    if name in LABELS or not re.fullmatch(r"[XZN0-9]*[XZN0-9.!]", inner):
        raise ValueError(f"holds <{name}:...> with something else than X, Z, N and digits")
    return f"(?P<{name}>{''.join(_letter(build, letter) for letter in inner)})"


def _letter(build: _Build, text: str) -> str:
    if text == "!":
        build.rest()
        return ".*"
    if text == ".":
        build.one_of(_ANY)
        build.rest()
        return ".+"
    letters = _DIGITS.get(text, text) if text[0] != "[" else _set(text[1:-1])
    build.one_of(letters)
    return f"[{re.escape(letters)}]"


def _set(text: str) -> str:
    """Return the letters of a set: single ones, and spans of digits."""
    letters, rest = "", text
    while rest:
        span = re.match(r"([0-9])-([0-9])", rest)
        if span is not None and span[1] > span[2]:
            raise ValueError(f"holds [{text}], which runs backwards")
        letters += "".join(str(digit) for digit in range(int(span[1]), int(span[2]) + 1)) if span is not None else rest[0]
        rest = rest[span.end() if span is not None else 1 :]
    return letters


def hidden(later: Pattern, earlier: list[Pattern]) -> bool:
    """Return whether everything that fits a pattern fits one of the earlier ones too. False where finding out would take too long."""
    if any(pattern.text == later.text for pattern in earlier):
        return True
    judges = [pattern for pattern in earlier if not pattern.conditional]
    start = (frozenset({0}), frozenset((index, 0) for index in range(len(judges))))
    seen, waiting = {start}, [start]
    while waiting:
        nodes, others = waiting.pop()
        if later.end in nodes and not any(node == judges[index].end for index, node in others):
            return False
        for letter in {letter for node in nodes for letter in later.steps[node]}:
            after = frozenset(target for node in nodes for target in later.steps[node].get(letter, ()))
            beside = frozenset((index, target) for index, node in others for target in judges[index].steps[node].get(letter, ()))
            if not beside or len(seen) > _MAX_STATES:
                return False  # from every node an end can be reached
            if (after, beside) not in seen:
                seen.add((after, beside))
                waiting.append((after, beside))
    return True
