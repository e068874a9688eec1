"""What is wrong with a dial plan though each of its lines is right: rules that are never reached. Pure."""

from __future__ import annotations

from collections.abc import Callable

from voicebox.dialplan.match import named
from voicebox.dialplan.model import DialPlan, IncomingRule
from voicebox.dialplan.pattern import Pattern, compile_pattern, hidden

Say = Callable[[int, str, str, str], None]
"""Take a problem: line, part, what, hint."""


def check_reachable(plan: DialPlan, say: Say) -> None:
    """Find the rules behind others that take all of what they would."""
    emergency = [compile_pattern(number) for number in sorted(plan.emergency)]
    earlier: list[tuple[Pattern, int]] = []
    for rule in plan.outgoing:
        if all(hidden(pattern, emergency) for pattern in rule.patterns):
            say(rule.line, "outgoing", "is never reached: emergency numbers are refused before any rule", "Take another number.")
            continue
        above = [pattern for pattern, _ in earlier]
        if all(hidden(pattern, above) for pattern in rule.patterns):
            say(rule.line, "outgoing", f"is never reached: {_who(rule.patterns, earlier)}", "Put it higher, or delete it.")
        earlier += [(pattern, rule.line) for pattern in rule.patterns]
    for index, late in enumerate(plan.incoming or ()):
        line = _hidden_by(late, (plan.incoming or ())[:index])
        if line is not None:
            say(late.line, "incoming", f"is never reached: line {line} takes all of it", "Put it higher, or delete it.")


def _who(patterns: tuple[Pattern, ...], earlier: list[tuple[Pattern, int]]) -> str:
    for line in dict.fromkeys(line for _, line in earlier):
        alone = [pattern for pattern, other in earlier if other == line]
        if all(hidden(pattern, alone) for pattern in patterns):
            return f"line {line} takes all of it"
    return "the lines above take all of it together"


def _hidden_by(rule: IncomingRule, above: tuple[IncomingRule, ...]) -> int | None:
    """Return the line of the last rule above that is needed to hide this one; None where it is reached."""
    last = 0
    for caller in rule.callers:
        about = [other for other in above if named(other, caller)]
        always = next((other for other in about if other.hours is None), None)
        if always is None and rule.hours is not None and rule.hours.within([other.hours for other in about if other.hours is not None]):
            always = about[-1]
        if always is None:
            return None
        last = max(last, always.line)
    return last
