"""Read a dial plan: all problems at once, each with its place; the plan's own tests are run at every load. [io: load_plan]

    version: 1
    emergency: { numbers: ["112"], do: refuse }
    speed_dials: { "12": bob }
    outgoing:  [ { dial: PATTERN or [PATTERN, ...], do: { call: TEXT } | { contact: NUMBER } | { refuse: STATUS } } ]   first match wins
    tests:     [ { dial: TEXT, expect: refuse | { call: PETNAME } | { contact: NUMBER } } ]

NOT here: patterns (model.py), matching (match.py).
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from voicebox.dialplan.match import failed_tests, is_emergency
from voicebox.dialplan.model import Action, DialPlan, PlanTest, Rule, compile_pattern
from voicebox.errors import FileProblem
from voicebox.positions import ConfigProblem, PositionedFile, did_you_mean

DEFAULT_PLAN = Path(__file__).with_name("default.yaml")
MAX_RULES = 1000
MAX_FILE_OCTETS = 1 << 18
_EMERGENCY = re.compile(r"[0-9]{2,8}\Z")
_SPEED_DIAL = re.compile(r"[0-9*#]{1,16}\Z")
_PETNAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")


def parse_plan(text: str, file: str) -> DialPlan:
    """Read a plan. Raises ProblemsFound."""
    source = PositionedFile(text, file)
    top = source.mapping(source.root, "", ("version", "emergency", "speed_dials", "outgoing", "tests"))
    if not source.problems and ("version" not in top or source.text(top["version"], "version") != "1"):
        source.problem(top.get("version", source.root), "version", "should be 1", "Write `version: 1` at the top.")
    emergency = _emergency(source, top.get("emergency"))
    speed_dials = _speed_dials(source, top.get("speed_dials"))
    rules = _rules(source, top.get("outgoing"))
    tests = _tests(source, top.get("tests"))
    plan = DialPlan(emergency, speed_dials, rules, tests)
    _check_emergency(source, plan, top.get("speed_dials"))
    _check_reachable(source, plan, file)
    source.raise_problems()
    failed_tests(plan, lambda line, what: source.problems.append(ConfigProblem(file, line, 1, "tests", what, "Change the rule or the test.")))
    source.raise_problems()
    return plan


def load_plan(path: Path) -> DialPlan:
    """Read a plan's file. Raises FileProblem, ProblemsFound."""
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_FILE_OCTETS + 1)
    except OSError as error:
        raise FileProblem(str(path), 0, f"the dial plan cannot be read ({error.strerror})", "`voicebox init` puts one there.") from None
    if len(octets) > MAX_FILE_OCTETS:
        raise FileProblem(str(path), 0, f"a dial plan has at most {MAX_FILE_OCTETS} octets", "Is this a dial plan? `dialplan` in box.yaml names it.")
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError:
        raise FileProblem(str(path), 0, "the dial plan is not UTF-8 text", "Is this a dial plan? `dialplan` in box.yaml names it.") from None
    return parse_plan(text, str(path))


def _emergency(source: PositionedFile, node: yaml.Node | None) -> frozenset[str]:
    values = source.mapping(node, "emergency", ("numbers", "do"))
    if "numbers" not in values or (source.text(values["do"], "emergency.do") if "do" in values else "") != "refuse":
        source.problem(node or source.root, "emergency", "must say which numbers are refused", 'Write `emergency: { numbers: ["112"], do: refuse }`.')
        return frozenset()
    numbers = set()
    for item in source.sequence(values["numbers"], "emergency.numbers"):
        number = source.text(item, "emergency.numbers") or ""
        if _EMERGENCY.match(number):
            numbers.add(number)
        else:
            source.problem(item, "emergency.numbers", "an emergency number has 2 to 8 digits")
    return frozenset(numbers)


def _speed_dials(source: PositionedFile, node: yaml.Node | None) -> dict[str, str]:
    found = {}
    for number, value in source.mapping(node, "speed_dials").items():
        petname = (source.text(value, f"speed_dials.{number}") or "").lower()
        if not _SPEED_DIAL.match(number):
            source.problem(value, f"speed_dials.{number}", "a speed dial is made of digits, * and #")
        elif not _PETNAME.match(petname):
            source.problem(value, f"speed_dials.{number}", "should be the petname of a contact")
        else:
            found[number] = petname
    return found


def _rules(source: PositionedFile, node: yaml.Node | None) -> tuple[Rule, ...]:
    items = source.sequence(node, "outgoing")
    if not items and not source.problems:
        source.problem(
            source.root, "outgoing", "has no rule, so that nothing could be dialled", 'Write at least `- { dial: "<contact>", do: { call: "{contact}" } }`.'
        )
    if len(items) > MAX_RULES:
        source.problem(node, "outgoing", f"has more than {MAX_RULES} rules")
    rules = [_rule(source, item, f"outgoing[{index}]") for index, item in enumerate(items[:MAX_RULES])]
    return tuple(rule for rule in rules if rule is not None)


def _rule(source: PositionedFile, node: yaml.Node, path: str) -> Rule | None:
    values = source.mapping(node, path, ("dial", "do"))
    if "dial" not in values or "do" not in values:
        source.problem(node, path, "a rule has `dial` and `do`")
        return None
    dial = values["dial"]
    nodes = list(dial.value) if isinstance(dial, yaml.SequenceNode) else [dial]
    patterns, texts = [], []
    for item in nodes:
        text = source.text(item, f"{path}.dial")
        try:
            patterns.append(compile_pattern(text or ""))
            texts.append(text or "")
        except ValueError as error:
            source.problem(item, f"{path}.dial", str(error))
    decided = _action(source, values["do"], f"{path}.do")
    if decided is None or not patterns:
        return None
    action, target = decided
    wanted = set(re.findall(r"\{([a-z]+)\}", target))
    if any(not wanted <= set(pattern.groupindex) for pattern in patterns):
        source.problem(values["do"], f"{path}.do", "names something that the pattern does not catch", "Each {word} needs a <word> in `dial`.")
    status = int(target) if action is Action.REFUSE else 0
    return Rule(tuple(patterns), tuple(texts), action, target, status, node.start_mark.line + 1)


def _action(source: PositionedFile, node: yaml.Node, path: str) -> tuple[Action, str] | None:
    values = source.mapping(node, path)
    if len(values) != 1:
        source.problem(node, path, "should be one of { call: ... }, { contact: ... }, { refuse: STATUS }")
        return None
    ((name, value),) = values.items()
    known = [action.value for action in Action]
    if name not in known:
        source.problem(node, f"{path}.{name}", "unknown", did_you_mean(name, known))
        return None
    target = source.text(value, f"{path}.{name}")
    if target is None:
        return None
    if name == "refuse" and not re.fullmatch(r"[4-6][0-9][0-9]", target):
        source.problem(value, f"{path}.{name}", "should be a SIP status from 400 to 699")
        return None
    return Action(name), target


def _tests(source: PositionedFile, node: yaml.Node | None) -> tuple[PlanTest, ...]:
    found = []
    for index, item in enumerate(source.sequence(node, "tests")):
        path = f"tests[{index}]"
        values = source.mapping(item, path, ("dial", "expect"))
        dialled = source.text(values["dial"], f"{path}.dial") if "dial" in values else None
        if dialled is None or "expect" not in values:
            source.problem(item, path, "a test has `dial` and `expect`")
            continue
        expect = values["expect"]
        if isinstance(expect, yaml.ScalarNode) and expect.value == "refuse":
            found.append(PlanTest(dialled, Action.REFUSE, "", item.start_mark.line + 1))
        elif (decided := _action(source, expect, f"{path}.expect")) is not None:
            found.append(PlanTest(dialled, *decided, item.start_mark.line + 1))
    return tuple(found)


def _check_emergency(source: PositionedFile, plan: DialPlan, node: yaml.Node | None) -> None:
    for number in plan.speed_dials:
        if is_emergency(plan, number):
            source.problem(node, f"speed_dials.{number}", "is an emergency number", "Take another number.")


def _check_reachable(source: PositionedFile, plan: DialPlan, file: str) -> None:
    """A rule behind one that takes everything, or the same pattern again, is a mistake."""
    seen: dict[str, int] = {}
    everything = 0
    for rule in plan.rules:
        earlier = everything or (max(seen[text] for text in rule.texts) if all(text in seen for text in rule.texts) else 0)
        if earlier:
            hint = "Put it higher, or delete it."
            source.problems.append(ConfigProblem(file, rule.line, 1, "outgoing", f"is never reached: line {earlier} takes all of it", hint))
        seen |= {text: rule.line for text in rule.texts if text not in seen}
        if "." in rule.texts or "!" in rule.texts:
            everything = everything or rule.line
