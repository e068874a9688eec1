"""Ask a dial plan: the first rule that matches decides. Emergency numbers are refused before any rule is looked at. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container

from voicebox.dialplan.model import Action, DialPlan, Route

EMERGENCY_STATUS = 503
NOT_FOUND = 404
MAX_DIALLED = 128
_SEPARATORS = str.maketrans("", "", "-. ()/")


def route(plan: DialPlan, dialled: str, contacts: Container[str] | None, suffixes: tuple[str, ...] = ("privacy",)) -> Route:
    """Return what a dialled text means. dialled: without its suffix or with it; contacts: the petnames there are, None to take any.

    A rule with a suffix matches with and without it, since the box knows its suffixes before the plan is asked.
    """
    text = dialled.lower()
    if is_emergency(plan, text):
        return Route(Action.REFUSE, status=EMERGENCY_STATUS, emergency=True)
    if not text or len(text) > MAX_DIALLED:
        return Route(Action.REFUSE, status=NOT_FOUND)
    spellings = (text, *(f"{text}.{suffix}" for suffix in suffixes))
    for index, rule in enumerate(plan.rules):
        for pattern in rule.patterns:
            for spelling in spellings:
                found = pattern.fullmatch(spelling)
                if found is None or not _contact_is_there(found.groupdict().get("contact"), contacts):
                    continue
                target = rule.target
                for name, value in found.groupdict().items():
                    target = target.replace(f"{{{name}}}", value)
                return _decided(plan, index, target)
    return Route(Action.REFUSE, status=NOT_FOUND)


def is_emergency(plan: DialPlan, dialled: str) -> bool:
    """Return whether a number is an emergency number, however it is written."""
    number = dialled.translate(_SEPARATORS).removeprefix("+")
    return number in plan.emergency


def _contact_is_there(contact: str | None, contacts: Container[str] | None) -> bool:
    return contact is None or contacts is None or contact in contacts


def _decided(plan: DialPlan, index: int, target: str) -> Route:
    rule = plan.rules[index]
    match rule.action:
        case Action.REFUSE:
            return Route(Action.REFUSE, status=rule.status, rule=index)
        case Action.CALL:
            return Route(Action.CALL, target, rule=index)
        case Action.CONTACT:
            petname = plan.speed_dials.get(target)
            return Route(Action.CALL, petname, rule=index) if petname else Route(Action.REFUSE, target, status=NOT_FOUND, rule=index)


def failed_tests(plan: DialPlan, say: Callable[[int, str], None]) -> None:
    """Run the plan's own tests; say(line, what) for each that fails."""
    for test in plan.tests:
        found = route(plan, test.dialled, None)
        rule = None if found.rule is None else plan.rules[found.rule]
        if test.action is Action.REFUSE:
            right = found.action is Action.REFUSE
        elif test.action is Action.CONTACT:
            right = rule is not None and rule.action is Action.CONTACT and found.target in {test.target, plan.speed_dials.get(test.target)}
        else:
            right = found.action is Action.CALL and found.target == test.target
        if not right:
            by = "no rule" if rule is None else f"the rule of line {rule.line}"
            say(test.line, f"this test fails: {by} decides, with `{found.action.value}`")
