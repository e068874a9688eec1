"""Read the tests that stand in a dial plan, and run them. Pure."""

from __future__ import annotations

from collections.abc import Callable

import yaml

from voicebox.dialplan.hours import parse_at
from voicebox.dialplan.keys import INCOMING_TEST, OUTGOING_TEST
from voicebox.dialplan.match import choose_incoming, choose_outgoing, place_of
from voicebox.dialplan.model import (
    Call,
    CallTrunk,
    DialPlan,
    EchoAt,
    EchoTest,
    EmergencyCall,
    House,
    IncomingAct,
    JoinConference,
    Local,
    OutgoingAct,
    Place,
    PlanTest,
    RefuseCall,
    Ring,
    Silence,
    SpeedDial,
    VoicemailBox,
)
from voicebox.dialplan.read import Reading
from voicebox.dialplan.read_rules import read_caller, read_incoming_act, read_outgoing_act

MAX_TESTS = 1000
NOON = "12:00"


def read_tests(reading: Reading, node: yaml.Node | None, places: dict[str, Place]) -> tuple[PlanTest, ...]:
    """Return the tests."""
    found = (_test(reading, item, f"tests[{index}]", places) for index, item in enumerate(reading.items(node, "tests", MAX_TESTS)))
    return tuple(test for test in found if test is not None)


def _test(reading: Reading, node: yaml.Node, path: str, places: dict[str, Place]) -> PlanTest | None:
    asked = {key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)} if isinstance(node, yaml.MappingNode) else set[str]()
    values = reading.mapping(node, path, INCOMING_TEST if "from" in asked else OUTGOING_TEST)
    if "expect" not in values or not {"dial", "from"} & set(values):
        reading.source.problem(node, path, "a test has `dial` or `from`, and `expect`", 'Write `{ dial: "112", expect: refuse }`.')
        return None
    expect, line = values["expect"], node.start_mark.line + 1
    noon = parse_at(NOON, reading.zone_of_tests)
    if "dial" in values:
        dialled = reading.source.text(values["dial"], f"{path}.dial")
        if isinstance(expect, yaml.ScalarNode) and expect.value == "refuse":
            return PlanTest(dialled, None, noon, dnd=False, expect=None, line=line)
        outgoing = read_outgoing_act(reading, expect, f"{path}.expect", places, expected=True)
        return None if dialled is None or outgoing is None else PlanTest(dialled, None, noon, dnd=False, expect=outgoing, line=line)
    caller = read_caller(reading, values["from"], f"{path}.from")
    hint = "Write 23:10, which is on a Monday, or sat 23:10."
    at = reading.parsed(values["at"], f"{path}.at", lambda text: parse_at(text, reading.zone_of_tests), hint) if "at" in values else noon
    dnd = reading.switch(values["dnd"], f"{path}.dnd") if "dnd" in values else False
    incoming = read_incoming_act(reading, expect, f"{path}.expect", places, expected=True)
    return None if caller is None or incoming is None or at is None else PlanTest(None, caller, at, dnd, incoming, line)


def failed_tests(plan: DialPlan, phones: tuple[str, ...], say: Callable[[int, str], None]) -> None:
    """Run the plan's own tests, with any contact; say(line, what) for each that fails."""
    for test in plan.tests:
        house = House(phones=phones, dnd=test.dnd)
        act: OutgoingAct | IncomingAct
        if test.dialled is not None:
            act, rule = choose_outgoing(plan, test.dialled, house)
            right = refuses(plan, act) if test.expect is None else same(plan, house, act, test.expect)
            by = f"the rule of line {plan.outgoing[rule].line}" if rule is not None else "no rule"
        else:
            assert test.caller is not None
            act, rule = choose_incoming(plan, test.caller, house, test.at)
            right = test.expect is not None and same(plan, house, act, test.expect)
            by = f"the rule of line {plan.incoming[rule].line}" if rule is not None and plan.incoming is not None else "no rule"
        if not right:
            say(test.line, f"this test fails: {by} decides, with `{described(act)}`")


def refuses(plan: DialPlan, act: OutgoingAct) -> bool:
    """Return whether an act comes to a refusal whatever contacts there are."""
    return isinstance(act, RefuseCall | EmergencyCall | Local) or (isinstance(act, SpeedDial) and act.number not in plan.speed_dials)


def same(plan: DialPlan, house: House, act: OutgoingAct | IncomingAct, expected: OutgoingAct | IncomingAct) -> bool:
    """Return whether an act is what a test expects: a place by number or name, a contact by speed dial or petname."""
    if isinstance(act, Ring) and isinstance(expected, Ring):
        rings = _number(plan, house, act.place) == _number(plan, house, expected.place)
        then = expected.then is None or (act.then is not None and _number(plan, house, act.then) == _number(plan, house, expected.then))
        return rings and then and expected.timeout_s in {None, act.timeout_s}
    if isinstance(act, SpeedDial) and isinstance(expected, Call):
        return plan.speed_dials.get(act.number) == expected.petname
    if isinstance(act, EchoAt) and isinstance(expected, EchoAt):
        return plan.speed_dials.get(act.target, act.target) == plan.speed_dials.get(expected.target, expected.target)
    return act == expected


def _number(plan: DialPlan, house: House, place: str) -> str:
    found = place_of(plan, place, house)
    return found.number if found is not None else place


def described(act: OutgoingAct | IncomingAct) -> str:
    """Return an act as it is written in a plan."""
    match act:
        case Call(petname):
            return f"call: {petname}"
        case SpeedDial(number):
            return f"contact: {number}"
        case Ring(place):
            return f"ring: {place}"
        case CallTrunk(number):
            return f"trunk: {number}"
        case RefuseCall(status):
            return f"refuse: {status}"
        case EmergencyCall():
            return "refuse"
        case EchoTest():
            return "echo"
        case EchoAt(target):
            return f"far-echo: {target}" if target else "far-echo"
        case JoinConference():
            return "conference"
        case VoicemailBox():
            return "voicemail-box"
        case Local():
            return "local"
        case Silence():
            return "no-answer"
