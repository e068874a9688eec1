"""Say what a dial plan does with one call, and why: every rule down to the one that decides, with what of it does not fit. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from voicebox.dialplan.hours import DAYS
from voicebox.dialplan.match import choose_incoming, choose_outgoing, incoming, misfit, named, shut_out
from voicebox.dialplan.model import EVERYBODYS, Caller, Callers, DialPlan, EmergencyCall, House, IncomingRule, Ring, Silence
from voicebox.dialplan.read_tests import described


def explain_outgoing(plan: DialPlan, dialled: str, house: House) -> Iterator[str]:
    """Yield lines about something dialled."""
    act, chosen = choose_outgoing(plan, dialled, house)
    if isinstance(act, EmergencyCall) and chosen is None:
        yield "an emergency number: refused before any rule"
        return
    for rule in plan.outgoing[:chosen]:
        yield from (f"line {rule.line}: no, `{pattern.text}`: {misfit(plan, pattern, dialled)}" for pattern in rule.patterns)
    yield "no rule matches: refuse: 404" if chosen is None else f"line {plan.outgoing[chosen].line}: yes, {described(act)}"


def explain_incoming(plan: DialPlan, caller: Caller, house: House, at: dt.datetime) -> Iterator[str]:
    """Yield lines about somebody who calls at a moment."""
    if shut_out(house, caller):
        yield "blocked or unknown: dropped before any rule"
        return
    act, chosen = choose_incoming(plan, caller, house, at)
    rules = plan.incoming or ()
    yield from (f"line {rule.line}: no, {_misfit(rule, caller, at)}" for rule in rules[:chosen])
    if chosen is not None:
        yield f"line {rules[chosen].line}: yes, {described(rules[chosen].do)}"
    elif plan.incoming is None:
        yield "there is no `incoming`: ring: all"
    else:
        yield "no rule matches: no-answer"
    if isinstance(act, Silence) and (isinstance(rules[chosen].do, Ring) if chosen is not None else plan.incoming is None):
        yield f"but {'nobody is to be disturbed' if house.dnd else 'these are quiet hours'}: no-answer"
    if plan.mailboxes:
        mailbox = incoming(plan, caller, house, at).mailbox
        whose = "nobody" if mailbox is None else "everybody" if mailbox == EVERYBODYS else f"extension {mailbox}"
        yield f"where nobody answers, a message is taken for {whose}"


def _misfit(rule: IncomingRule, caller: Caller, at: dt.datetime) -> str:
    if not named(rule, caller) or rule.hours is None:
        return f"it is about {', '.join(other.value if isinstance(other, Callers) else other for other in rule.callers)}"
    local = at.astimezone(rule.hours.zone)
    return f"it is {DAYS[local.weekday()]} {local:%H:%M} in {rule.hours.zone.key}"
