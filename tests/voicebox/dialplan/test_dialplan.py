"""Dial plans: patterns, first match, emergency numbers, problems with their lines, the plan's own tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.dialplan.load import DEFAULT_PLAN, load_plan, parse_plan
from voicebox.dialplan.match import route
from voicebox.dialplan.model import Action, Route, compile_pattern
from voicebox.errors import FileProblem
from voicebox.positions import ProblemsFound

HEAD = 'version: 1\nemergency: { numbers: ["112"], do: refuse }\n'
ANYBODY = '  - { dial: "<contact>", do: { call: "{contact}" } }\n'
PLANS = sorted((Path(__file__).parents[3] / "dialplans").glob("*.yaml"))


def problems(text: str) -> str:
    with pytest.raises(ProblemsFound) as caught:
        parse_plan(text, "plan.yaml")
    return str(caught.value)


@pytest.mark.parametrize("path", [*PLANS, DEFAULT_PLAN], ids=lambda path: path.name)
def test_every_shipped_plan_loads(path: Path) -> None:
    assert load_plan(path).rules


def test_the_default_among_the_examples_is_the_one_that_init_writes() -> None:
    """It stands twice because only what is below voicebox/ goes into a wheel; a symbolic link does not survive every way of copying a tree."""
    (among_the_examples,) = (path for path in PLANS if path.name == "default.yaml")
    assert among_the_examples.read_bytes() == DEFAULT_PLAN.read_bytes()


def test_default_plan_routes() -> None:
    plan = load_plan(DEFAULT_PLAN)
    contacts = {"bob", "carol-2"}
    assert route(plan, "bob", contacts).target == "bob"
    assert route(plan, "Bob", contacts).target == "bob"
    assert route(plan, "carol-2.privacy", contacts).target == "carol-2"
    assert route(plan, "712", contacts).status == 404
    for number in ("112", "+112", "1-1-2", "911", "1 1 2", "(112)"):
        assert route(plan, number, contacts) == Route(Action.REFUSE, status=503, emergency=True)
    for number in ("0041441234567", "*97", "bob@example.org", "", "x" * 200):
        found = route(plan, number, contacts)
        assert found.action is Action.REFUSE or found.target not in contacts


def test_unknown_contact_falls_through_to_later_rules() -> None:
    plan = parse_plan(HEAD + "outgoing:\n" + ANYBODY + '  - { dial: "<name>", do: { refuse: 486 } }\n', "plan.yaml")
    assert route(plan, "bob", {"bob"}).target == "bob"
    assert route(plan, "eve", {"bob"}).status == 486


def test_speed_dials_call_their_contact() -> None:
    plan = parse_plan(HEAD + 'speed_dials: { "12": bob }\noutgoing:\n  - { dial: "7<n:XX>", do: { contact: "{n}" } }\n', "plan.yaml")
    assert route(plan, "712", {"bob"}).target == "bob"
    assert route(plan, "713", {"bob"}).status == 404


@pytest.mark.parametrize(
    ("pattern", "matches", "misses"),
    [
        ("X[0-9]X", ["012", "999"], ["12", "1234", "12a"]),
        ("ZX", ["10"], ["01"]),
        ("NX", ["20"], ["10"]),
        ("[4-6*]1", ["41", "*1"], ["31"]),
        ("00.", ["001", "00123456"], ["00", "01"]),
        ("00!", ["00", "001"], ["0"]),
        ("*43", ["*43"], ["43"]),
        ("bob", ["bob"], ["bo", "bobb"]),
        ("<name>.privacy", ["bob.privacy"], ["bob", "bob.private", "bobxprivacy", "a b.privacy"]),
        ("7<n:ZX>", ["710"], ["701"]),
    ],
)
def test_patterns(pattern: str, matches: list[str], misses: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert [text for text in matches if not compiled.fullmatch(text)] == []
    assert [text for text in misses if compiled.fullmatch(text)] == []


@pytest.mark.parametrize(
    "pattern", ["", "x" * 65, "A", "1.2", "!1", "<who>", "<n:ab>", "<n:.1>", "<name><name>", "<name", "[a]", "[", "a b", "<name>.", "<name>.X"]
)
def test_wrong_patterns_are_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "should be 1"),
        (HEAD.replace("1", "2", 1), "should be 1"),
        (HEAD, "outgoing: has no rule"),
        ("version: 1\noutgoing:\n" + ANYBODY, "which numbers are refused"),
        (HEAD.replace("refuse", "call"), "which numbers are refused"),
        (HEAD.replace('"112"', '"one"') + "outgoing:\n" + ANYBODY, "2 to 8 digits"),
        (HEAD + 'speed_dials: { "112": bob }\noutgoing:\n' + ANYBODY, "is an emergency number"),
        (HEAD + 'speed_dials: { "a": bob }\noutgoing:\n' + ANYBODY, "made of digits"),
        (HEAD + 'speed_dials: { "1": "b b" }\noutgoing:\n' + ANYBODY, "petname"),
        (HEAD + "outgoing:\n  - { dail: x, do: { refuse: 404 } }\n", "plan.yaml:4:7 outgoing[0].dail: unknown. Did you mean `dial`?"),
        (HEAD + "outgoing:\n  - { dial: A, do: { refuse: 404 } }\n", "plan.yaml:4:13"),
        (HEAD + "outgoing:\n  - { dial: a, do: { refuse: 200 } }\n", "400 to 699"),
        (HEAD + "outgoing:\n  - { dial: a, do: { cal: bob } }\n", "Did you mean `call`?"),
        (HEAD + "outgoing:\n  - { dial: a, do: refuse }\n", "keys with values"),
        (HEAD + 'outgoing:\n  - { dial: "XX", do: { call: "{name}" } }\n', "does not catch"),
        (HEAD + 'outgoing:\n  - { dial: ".", do: { refuse: 404 } }\n' + ANYBODY, "never reached: line 4"),
        (HEAD + "outgoing:\n" + ANYBODY + ANYBODY, "plan.yaml:5:1 outgoing: is never reached: line 4"),
        (HEAD + "outgoing:\n" + ANYBODY + "tests:\n  - { dial: 112, expect: { call: bob } }\n", "plan.yaml:6:1 tests: this test fails"),
        (HEAD + "outgoing:\n" + ANYBODY + "tests:\n  - { dial: bob, expect: { call: eve } }\n", "this test fails: the rule of line 4 decides"),
        (HEAD + "outgoing:\n" + ANYBODY + "tests:\n  - { dial: bob }\n", "has `dial` and `expect`"),
        ("a: [", "plan.yaml:1:"),
    ],
)
def test_problems_are_told_with_their_places(text: str, words: str) -> None:
    assert words in problems(text)


def test_yaml_makes_no_numbers_of_what_is_dialled() -> None:
    plan = parse_plan(HEAD + 'outgoing:\n  - { dial: 012, do: { refuse: 486 } }\n  - { dial: "on", do: { refuse: 487 } }\n', "plan.yaml")
    assert route(plan, "012", set()).status == 486
    assert route(plan, "10", set()).status == 404
    assert route(plan, "on", set()).status == 487


def test_missing_plan_is_a_file_problem(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * (1 << 19))
    with pytest.raises(FileProblem, match="octets"):
        load_plan(tmp_path / "big.yaml")
