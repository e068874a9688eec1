"""Read the rules of a dial plan: what phones dial, and who calls. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeVar

import yaml

from voicebox.dialplan.keys import INCOMING_ACTS, INCOMING_RING, INCOMING_RULE, INCOMING_WORDS, OUTGOING_ACTS, OUTGOING_RING, OUTGOING_RULE, OUTGOING_WORDS
from voicebox.dialplan.match import TRUNK_NUMBER
from voicebox.dialplan.model import (
    ALL_PHONES,
    DEFAULT_RING_S,
    MAX_RING_S,
    Call,
    Caller,
    Callers,
    CallTrunk,
    EchoAt,
    EchoTest,
    IncomingAct,
    IncomingRule,
    JoinConference,
    Local,
    OutgoingAct,
    OutgoingRule,
    Place,
    RefuseCall,
    Ring,
    Silence,
    SpeedDial,
    VoicemailBox,
)
from voicebox.dialplan.pattern import Pattern, compile_pattern
from voicebox.dialplan.read import NUMBER, PETNAME, Reading
from voicebox.positions import did_you_mean

MAX_RULES = 200
MAX_PATTERNS = 500
"""Of all rules together."""
MAX_CALLERS = 60
Act = TypeVar("Act")
_STATUS = re.compile(r"[4-6][0-9][0-9]\Z")
_WORD = re.compile(r"\{([a-z]+)\}")
LEAST_RULE = 'Write at least `- { dial: "<contact>", do: { call: "{contact}" } }`.'


def read_outgoing(reading: Reading, node: yaml.Node | None, places: dict[str, Place]) -> tuple[OutgoingRule, ...]:
    """Return the rules about what is dialled; there must be some."""
    items = reading.items(node, "outgoing", MAX_RULES)
    if not items and not reading.source.problems:
        reading.source.problem(node or reading.source.root, "outgoing", "has no rule, so that nothing could be dialled", LEAST_RULE)
    rules: list[OutgoingRule] = []
    for index, item in enumerate(items):
        rule = _outgoing_rule(reading, item, f"outgoing[{index}]", places)
        if rule is not None:
            rules.append(rule)
        if sum(len(rule.patterns) for rule in rules) > MAX_PATTERNS:
            reading.source.problem(item, "outgoing", f"has more than {MAX_PATTERNS} patterns", "Make it shorter.")
            return ()
    return tuple(rules)


def _outgoing_rule(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place]) -> OutgoingRule | None:
    values = reading.mapping(node, path, OUTGOING_RULE)
    if "dial" not in values or "do" not in values:
        reading.source.problem(node, path, "a rule has `dial` and `do`", 'Write `{ dial: "20", do: local }`.')
        return None
    if "unknown" in values and (text := reading.source.text(values["unknown"], f"{path}.unknown")) not in {None, "refuse"}:
        reading.not_taken(values["unknown"], f"{path}.unknown", str(text), ("refuse",))
    patterns = [
        reading.parsed(item, f"{path}.dial", lambda text: compile_pattern(text, reading.suffixes), "A pattern is for example 2X, 7<n:XX> or <contact>.")
        for item in reading.one_or_many(values["dial"], f"{path}.dial", MAX_PATTERNS)
    ]
    act = read_outgoing_act(reading, values["do"], f"{path}.do", places)
    fine = tuple(pattern for pattern in patterns if pattern is not None)
    if act is None or not fine:
        return None
    _check_words(reading, values["do"], f"{path}.do", act, fine)
    return OutgoingRule(fine, act, node.start_mark.line + 1)


def _check_words(reading: Reading, node: yaml.Node, path: str, act: OutgoingAct, patterns: tuple[Pattern, ...]) -> None:
    match act:
        case Call(target) | SpeedDial(target) | EchoAt(target) | CallTrunk(target) | Ring(target):
            wanted = set(_WORD.findall(target))
        case _:
            return
    if any(not wanted <= set(pattern.expression.groupindex) for pattern in patterns):
        reading.source.problem(node, path, "names something that the pattern does not catch", "Each {word} needs a <word> in `dial`.")


def read_outgoing_act(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place], *, expected: bool = False) -> OutgoingAct | None:
    """Return what a rule does. expected: by a test, where nothing is left to be filled in."""
    if isinstance(node, yaml.ScalarNode):
        match node.value:
            case "conference":
                return JoinConference()
            case "echo":
                return EchoTest()
            case "far-echo":
                return EchoAt()
            case "voicemail-box":
                return VoicemailBox()
            case "local" if not expected:
                return Local()
        _no_word(reading, node, path, node.value, OUTGOING_ACTS, OUTGOING_WORDS)
        return None
    values = reading.mapping(node, path, (*OUTGOING_ACTS, *OUTGOING_RING[1:]))
    name = _one_act(reading, node, path, values, OUTGOING_ACTS, OUTGOING_RING)
    text = reading.source.text(values[name], f"{path}.{name}") if name is not None else None
    if name is None or text is None:
        return None
    match name:
        case "call":
            return _target(reading, values[name], f"{path}.{name}", text, Call)
        case "contact":
            return SpeedDial(text)
        case "far-echo":
            return _target(reading, values[name], f"{path}.{name}", text, EchoAt)
        case "trunk":
            if not TRUNK_NUMBER.fullmatch(_WORD.sub("0", text)):
                hint = 'Write `{ dial: "0<n:.>", do: { trunk: "{n}" } }`: digits, and what the pattern caught.'
                reading.source.problem(values[name], f"{path}.{name}", "should be a telephone number", hint)
                return None
            return CallTrunk(text)
        case "refuse":
            if not _STATUS.match(text):
                reading.source.problem(values[name], f"{path}.{name}", "should be a SIP status from 400 to 699", "404 says that there is no such number.")
                return None
            return RefuseCall(int(text))
        case _:
            return _ring(reading, values, path, places, expected=expected)


def _no_word(reading: Reading, node: yaml.Node, path: str, word: str, acts: tuple[str, ...], words: tuple[str, ...]) -> None:
    if word in acts:
        reading.source.problem(node, path, f"`{word}` says what, too", f"Write `{{ {word}: ... }}`.")
    else:
        reading.not_taken(node, path, word, (*acts, *words))


def _target(reading: Reading, node: yaml.Node, path: str, text: str, make: Callable[[str], Act]) -> Act | None:
    if not PETNAME.match(_WORD.sub("x", text.lower())):
        reading.source.problem(node, path, "should be the petname of a contact", "`voicebox contact list` prints them; {contact} is the one dialled.")
        return None
    return make(text.lower())


def _one_act(reading: Reading, node: yaml.Node, path: str, values: dict[str, yaml.Node], acts: tuple[str, ...], beside_ring: tuple[str, ...]) -> str | None:
    """Return the one thing that is to be done."""
    found = [name for name in values if name in acts]
    if len(found) != 1:
        if not reading.source.problems:
            forms = ", ".join(f"{{ {name}: ... }}" for name in acts)
            reading.source.problem(node, path, f"should be one of {forms}", "Write exactly one of them.")
        return None
    stray = [name for name in values if name != found[0] and (found[0] != "ring" or name not in beside_ring)]
    if stray:
        reading.source.problem(node, f"{path}.{stray[0]}", f"does not go with `{found[0]}`", "Leave it out.")
        return None
    return found[0]


def _ring(reading: Reading, values: dict[str, yaml.Node], path: str, places: dict[str, Place], *, expected: bool) -> Ring | None:
    place = _place(reading, values["ring"], f"{path}.ring", places)
    timeout_s = reading.timeout(values["timeout"], f"{path}.timeout") if "timeout" in values else None
    then = _place(reading, values["then"], f"{path}.then", places) if "then" in values else None
    ignore_dnd = reading.switch(values["ignore_dnd"], f"{path}.ignore_dnd") if "ignore_dnd" in values else False
    if place is None:
        return None
    total_s = _rings_for(places.get(place), timeout_s) + (_rings_for(places.get(then), None) if then is not None else 0)
    if total_s > MAX_RING_S and not expected:
        what = f"rings for {total_s} s in all, and a call rings for {MAX_RING_S} s at most"
        reading.source.problem(values["ring"], path, what, "Make the timeout shorter.")
    return Ring(place, timeout_s, then, ignore_dnd)


def _rings_for(place: Place | None, timeout_s: int | None) -> int:
    if place is None:
        return timeout_s or DEFAULT_RING_S
    return place.strategy.total_s(len(place.members), timeout_s or place.timeout_s)


def _place(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place]) -> str | None:
    """Return the number or name of something that can be rung: an extension, a group, a phone, `all`, or a {word}."""
    text = reading.source.text(node, path)
    if text is None or text in places or text == ALL_PHONES or _WORD.search(text):
        return text
    if text == "voicemail":
        reading.not_taken(node, path, text, ())
        return None
    if text in reading.phones if reading.phones is not None else not NUMBER.match(text):
        return text
    reading.source.problem(node, path, f"there is no extension, group or phone `{text}`", did_you_mean(text, [*places, *(reading.phones or ()), ALL_PHONES]))
    return None


# ------------------------------------------------------------------------------------------------------------- incoming


def read_incoming(reading: Reading, node: yaml.Node | None, places: dict[str, Place]) -> tuple[IncomingRule, ...] | None:
    """Return the rules about callers; None where there is no such part."""
    if node is None:
        return None
    rules = (_incoming_rule(reading, item, f"incoming[{index}]", places) for index, item in enumerate(reading.items(node, "incoming", MAX_RULES)))
    return tuple(rule for rule in rules if rule is not None)


def _incoming_rule(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place]) -> IncomingRule | None:
    values = reading.mapping(node, path, INCOMING_RULE)
    if "from" not in values or "do" not in values:
        reading.source.problem(node, path, "a rule has `from` and `do`", "Write `{ from: contacts, do: { ring: all } }`.")
        return None
    callers = [read_caller(reading, item, f"{path}.from") for item in reading.one_or_many(values["from"], f"{path}.from", MAX_CALLERS)]
    hours = reading.hours(values["when"], f"{path}.when") if "when" in values else None
    act = read_incoming_act(reading, values["do"], f"{path}.do", places)
    fine = tuple(caller for caller in callers if caller is not None)
    if act is None or not fine:
        return None
    strangers = {Callers.BLOCKED, Callers.UNKNOWN} & set(fine)
    if strangers and (not isinstance(values["do"], yaml.ScalarNode) or values["do"].value != "drop" or hours is not None):
        who = " and ".join(sorted(caller.value for caller in strangers))
        reading.source.problem(values["do"], f"{path}.do", f"callers that are {who} never ring here", "Write `do: drop`, always.")
    elif not strangers and isinstance(values["do"], yaml.ScalarNode) and values["do"].value == "drop":
        reading.source.problem(values["do"], f"{path}.do", "contacts are not dropped", "Write `no-answer`, or block the contact.")
    return IncomingRule(fine, hours, act, node.start_mark.line + 1)


def read_caller(reading: Reading, node: yaml.Node, path: str) -> Caller | None:
    """Return a petname, or callers together."""
    hint = f"Write a petname, or one of {', '.join(caller.value for caller in Callers)}."
    text = reading.shaped(node, path, PETNAME, "should be a petname", hint)
    return next((caller for caller in Callers if caller.value == text), text)


def read_incoming_act(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place], *, expected: bool = False) -> IncomingAct | None:
    """Return what a rule does. expected: by a test, which need not say for how long."""
    if isinstance(node, yaml.ScalarNode):
        if node.value in INCOMING_WORDS:
            return Silence()
        _no_word(reading, node, path, node.value, INCOMING_ACTS, INCOMING_WORDS)
        return None
    values = reading.mapping(node, path, INCOMING_RING)
    if _one_act(reading, node, path, values, INCOMING_ACTS, INCOMING_RING) is None:
        return None
    return _ring(reading, values, path, places, expected=expected)
