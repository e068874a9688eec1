"""A wrong plan of each kind gives exactly this: file, line, what, and what to try."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.dialplan.load import load_dnd, load_plan, parse_plan
from voicebox.errors import FileProblem
from voicebox.positions import ProblemsFound

HEAD = 'version: 1\nemergency: { numbers: ["112", "144"], do: refuse }\n'
ANYBODY = 'outgoing:\n  - { dial: "<contact>", do: { call: "{contact}" } }\n'
PHONES = ("kitchen", "laptop")
TEST_HINT = "Change the rule or the test; `voicebox dialplan explain` says what each rule does."
TZ = "settings: { tz: Europe/Zurich }\n"


def problems(text: str, phones: tuple[str, ...] | None = PHONES) -> str:
    with pytest.raises(ProblemsFound) as caught:
        parse_plan(text, "plan.yaml", phones)
    return str(caught.value)


WHOLE = {
    "empty": (
        "",
        'plan.yaml version: should be 1. Write `version: 1` at the top.\nplan.yaml emergency: must say which numbers are refused. Write `emergency: { numbers: ["112"], do: refuse }`.',
    ),
    "another version": (HEAD.replace("1", "2", 1) + ANYBODY, "plan.yaml:1:10 version: should be 1. Write `version: 1` at the top."),
    "not YAML": ("a: [", "plan.yaml:1:5: expected the node content, but found '<stream end>'. Look at the indentation and quotes of this line."),
    "too many brackets": (
        HEAD + "outgoing: " + "[" * 100_000,
        "plan.yaml:3:1: brackets or indentation go too deep. Nothing here needs more than a few levels.",
    ),
    "too deep": ("- " * 3000, "plan.yaml:1:1: brackets or indentation go too deep. Nothing here needs more than a few levels."),
    "unknown part": (HEAD + ANYBODY + "outgoin: []\n", "plan.yaml:5:1 outgoin: unknown. Did you mean `outgoing`?"),
    "part given twice": (HEAD + ANYBODY + ANYBODY, "plan.yaml:5:1 outgoing: given twice. Delete one of the two."),
    "wrong type": (HEAD + "outgoing: all\n", "plan.yaml:3:11 outgoing: here should be a list. Write `- item`, one a line, or [item, item]."),
    "wrong type of a part": (HEAD + ANYBODY + "settings: [a]\n", "plan.yaml:5:11 settings: here should be keys with values. Write `key: value`, one a line."),
    "nothing to dial": (
        HEAD,
        'plan.yaml:1:1 outgoing: has no rule, so that nothing could be dialled. Write at least `- { dial: "<contact>", do: { call: "{contact}" } }`.',
    ),
    "setting elsewhere": (HEAD + ANYBODY + "settings: { suffix: privacy }\n", "plan.yaml:5:13 settings.suffix: is not set here. `suffix` stands in box.yaml."),
    "setting not built": (
        HEAD + ANYBODY + "settings: { call_log: mised }\n",
        "plan.yaml:5:23 settings.call_log: unknown. Did you mean `missed`?",
    ),
}
EMERGENCY = {
    "none": (
        "version: 1\n" + ANYBODY,
        'plan.yaml:1:1 emergency: must say which numbers are refused. Write `emergency: { numbers: ["112"], do: refuse }`.',
    ),
    "not refused": (
        HEAD.replace("refuse", "call") + ANYBODY,
        'plan.yaml:2:12 emergency: must say which numbers are refused. Write `emergency: { numbers: ["112"], do: refuse }`.',
    ),
    "empty": (
        "version: 1\nemergency: { numbers: [], do: refuse }\n" + ANYBODY,
        'plan.yaml:2:23 emergency.numbers: is empty. Write `emergency: { numbers: ["112"], do: refuse }`.',
    ),
    "no number": (
        HEAD.replace('"112"', '"one"') + ANYBODY,
        "plan.yaml:2:24 emergency.numbers: an emergency number has 2 to 8 digits. Write the digits alone, for example 112.",
    ),
    "extension equal to one": (
        HEAD + ANYBODY + "extensions: { 144: { phones: [kitchen] } }\n",
        "plan.yaml:5:20 extensions.144: is an emergency number. Take another number.",
    ),
    "extension that begins one": (
        HEAD + ANYBODY + "extensions: { 11: { phones: [kitchen] } }\n",
        "plan.yaml:5:19 extensions.11: is how the emergency number 112 begins. Take another number.",
    ),
    "extension that looks like one": (
        HEAD + ANYBODY + "extensions: { 9112: { phones: [kitchen] } }\n",
        "plan.yaml:5:21 extensions.9112: is an emergency number behind a 0 or 9, or abroad. Take another number.",
    ),
    "group that begins one": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] } }\ngroups: { 14: { ring: [20] } }\n",
        "plan.yaml:6:15 groups.14: is how the emergency number 144 begins. Take another number.",
    ),
    "speed dial": (HEAD + ANYBODY + "speed_dials: { 112: bob }\n", "plan.yaml:5:21 speed_dials.112: is an emergency number. Take another number."),
    "rule": (
        HEAD + 'outgoing:\n  - { dial: "112", do: { call: bob } }\n  - { dial: x, do: { call: bob } }\n',
        "plan.yaml:4:1 outgoing: is never reached: emergency numbers are refused before any rule. Take another number.",
    ),
}
PLACES = {
    "no number": (
        HEAD + ANYBODY + "extensions: { a: { phones: [kitchen] } }\n",
        'plan.yaml:5:18 extensions.a: should be a number of 1 to 8 digits. Write it in quotes, for example "20".',
    ),
    "no phone": (HEAD + ANYBODY + "extensions: { 20: { name: a } }\n", "plan.yaml:5:19 extensions.20: has no phone. Write `phones: [NAME]`."),
    "missing phone": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kichen] } }\n",
        "plan.yaml:5:30 extensions.20.phones: there is no phone `kichen`. Did you mean `kitchen`?",
    ),
    "name taken": (
        HEAD + ANYBODY + "extensions:\n  20: { name: a, phones: [kitchen] }\n  21: { name: a, phones: [laptop] }\n",
        "plan.yaml:7:7 extensions.21.name: `a` is the name of another already. Take another name.",
    ),
    "name of a group taken": (
        HEAD + ANYBODY + "extensions: { 20: { name: a, phones: [kitchen] } }\ngroups: { 30: { name: a, ring: [20] } }\n",
        "plan.yaml:6:15 groups.30.name: `a` is the name of another already. Take another name.",
    ),
    "number taken": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] } }\ngroups: { 20: { ring: [20] } }\n",
        "plan.yaml:6:15 groups.20: is an extension already. Take another number.",
    ),
    "wrong name": (
        HEAD + ANYBODY + "extensions: { 20: { name: 7, phones: [kitchen] } }\n",
        "plan.yaml:5:27 extensions.20.name: should be a name of small letters, digits and hyphens that begins with a letter. Write for example kitchen.",
    ),
    "name of all": (
        HEAD + ANYBODY + "extensions: { 20: { name: all, phones: [kitchen] } }\n",
        "plan.yaml:5:27 extensions.20.name: `all` means every phone. Take another name.",
    ),
    "voicemail": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen], voicemail: on } }\n",
        "plan.yaml:5:51 extensions.20.voicemail: should be true or false. Write one of the two, without quotes.",
    ),
    "group that rings nobody": (HEAD + ANYBODY + "groups: { 30: { name: a } }\n", 'plan.yaml:5:15 groups.30: rings nobody. Write `ring: ["20", "21"]`.'),
    "group of somebody unknown": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] } }\ngroups: { 30: { ring: [20, 21] } }\n",
        "plan.yaml:6:28 groups.30.ring: there is no extension or group `21`. Known here: 20, 30.",
    ),
    "group loop": (
        HEAD + ANYBODY + "groups:\n  30: { ring: [31] }\n  31: { ring: [32] }\n  32: { ring: [30] }\n",
        "plan.yaml:8:16 groups.32.ring: goes round in a circle: 30, which rings 31, which rings 32, which rings 30. Take one of them out.",
    ),
    "group in itself": (
        HEAD + ANYBODY + "groups:\n  30: { name: a, ring: [a] }\n",
        "plan.yaml:6:25 groups.30.ring: goes round in a circle: 30, which rings 30. Take one of them out.",
    ),
    "strategy": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] } }\ngroups: { 30: { ring: [20], strategy: in_order } }\n",
        "plan.yaml:6:39 groups.30.strategy: should be one of all, in order, random. Did you mean `in order`?",
    ),
    "timeout": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] } }\ngroups: { 30: { ring: [20], timeout: 25 } }\n",
        "plan.yaml:6:38 groups.30.timeout: should be 1s to 90s. Write seconds with an s, for example 25s.",
    ),
    "rings for too long": (
        HEAD + ANYBODY + "extensions: { 20: { phones: [kitchen] }, 21: { phones: [laptop] } }\ngroups: { 30: { ring: [20, 21], strategy: random } }\n",
        "plan.yaml:6:15 groups.30: rings for 120 s in all, and a call rings for 90 s at most. Make the timeout shorter.",
    ),
    "speed dial": (HEAD + ANYBODY + "speed_dials: { a: bob }\n", "plan.yaml:5:19 speed_dials.a: a speed dial is made of digits, * and #. Take another number."),
    "speed dial to nobody": (
        HEAD + ANYBODY + 'speed_dials: { 1: "b b" }\n',
        "plan.yaml:5:19 speed_dials.1: should be the petname of a contact. `voicebox contact list` prints them.",
    ),
}
OUTGOING = {
    "unknown key": (
        "{ dail: x, do: { refuse: 404 } }",
        'plan.yaml:4:5 outgoing[0]: a rule has `dial` and `do`. Write `{ dial: "20", do: local }`.\nplan.yaml:4:7 outgoing[0].dail: unknown. Did you mean `dial`?',
    ),
    "wrong pattern": (
        "{ dial: A, do: { refuse: 404 } }",
        "plan.yaml:4:13 outgoing[0].dial: holds `A`, which cannot stand there; write X, Z or N for digits, small letters for themselves. A pattern is for example 2X, 7<n:XX> or <contact>.",
    ),
    "another suffix": (
        '{ dial: "<name>.home", do: { refuse: 404 } }',
        "plan.yaml:4:13 outgoing[0].dial: ends in no suffix of this box, which has privacy and privacy.alt. A pattern is for example 2X, 7<n:XX> or <contact>.",
    ),
    "wrong status": (
        "{ dial: a, do: { refuse: 200 } }",
        "plan.yaml:4:30 outgoing[0].do.refuse: should be a SIP status from 400 to 699. 404 says that there is no such number.",
    ),
    "unknown act": ("{ dial: a, do: { cal: bob } }", "plan.yaml:4:22 outgoing[0].do.cal: unknown. Did you mean `call`?"),
    "unknown word": ("{ dial: a, do: refuse }", "plan.yaml:4:20 outgoing[0].do: `refuse` says what, too. Write `{ refuse: ... }`."),
    "two acts": (
        "{ dial: a, do: { call: bob, refuse: 404 } }",
        "plan.yaml:4:20 outgoing[0].do: should be one of { call: ... }, { contact: ... }, { far-echo: ... }, { refuse: ... }, { trunk: ... }, { ring: ... }. Write exactly one of them.",
    ),
    "timeout of a call": ("{ dial: a, do: { call: bob, timeout: 5s } }", "plan.yaml:4:20 outgoing[0].do.timeout: does not go with `call`. Leave it out."),
    "no petname": (
        '{ dial: a, do: { call: "b b" } }',
        "plan.yaml:4:28 outgoing[0].do.call: should be the petname of a contact. `voicebox contact list` prints them; {contact} is the one dialled.",
    ),
    "word not caught": (
        '{ dial: "XX", do: { call: "{name}" } }',
        "plan.yaml:4:23 outgoing[0].do: names something that the pattern does not catch. Each {word} needs a <word> in `dial`.",
    ),
    "unknown place": (
        "{ dial: a, do: { ring: kichen } }",
        "plan.yaml:4:28 outgoing[0].do.ring: there is no extension, group or phone `kichen`. Did you mean `kitchen`?",
    ),
    "rings for too long": (
        "{ dial: a, do: { ring: kitchen, timeout: 60s, then: laptop } }",
        "plan.yaml:4:28 outgoing[0].do: rings for 120 s in all, and a call rings for 90 s at most. Make the timeout shorter.",
    ),
    "probe": ('{ dial: "*68", do: { probe: last-contact } }', "plan.yaml:4:26 outgoing[0].do.probe: `probe` is not built yet. Leave the rule out."),
    "trunk": (
        '{ dial: "00<n:.>", do: { trunk: "sip{n}" } }',
        'plan.yaml:4:37 outgoing[0].do.trunk: should be a telephone number. Write `{ dial: "0<n:.>", do: { trunk: "{n}" } }`: digits, and what the pattern caught.',
    ),
    "then voicemail": (
        "{ dial: a, do: { ring: kitchen, then: voicemail } }",
        "plan.yaml:4:43 outgoing[0].do.then: is not set here. Write `voicemail: true` under `settings`, or at an extension: it is for all contacts whom nobody answers there.",
    ),
    "unknown contact": (
        '{ dial: "<name>", do: { call: "{name}" }, unknown: contact-request }',
        "plan.yaml:4:56 outgoing[0].unknown: `contact-request` is not built yet. Write `refuse`, or `drop` for callers: exchange cards instead.",
    ),
    "never reached": (
        '{ dial: ".", do: { refuse: 404 } }\n  - { dial: x, do: { refuse: 404 } }',
        "plan.yaml:5:1 outgoing: is never reached: line 4 takes all of it. Put it higher, or delete it.",
    ),
    "never reached behind two": (
        '{ dial: "ZX", do: { refuse: 404 } }\n  - { dial: "0X", do: { refuse: 404 } }\n  - { dial: "XX", do: { refuse: 404 } }',
        "plan.yaml:6:1 outgoing: is never reached: the lines above take all of it together. Put it higher, or delete it.",
    ),
}
INCOMING = {
    "no caller": ("{ do: drop }", "plan.yaml:6:5 incoming[0]: a rule has `from` and `do`. Write `{ from: contacts, do: { ring: all } }`."),
    "wrong caller": (
        '{ from: "b b", do: no-answer }',
        "plan.yaml:6:13 incoming[0].from: should be a petname. Write a petname, or one of blocked, unknown, contacts.",
    ),
    "blocked rings": (
        "{ from: blocked, do: { ring: all } }",
        "plan.yaml:6:26 incoming[0].do: callers that are blocked never ring here. Write `do: drop`, always.",
    ),
    "unknown at night": (
        "{ from: [unknown, bob], when: { days: sat }, do: drop }",
        "plan.yaml:6:54 incoming[0].do: callers that are unknown never ring here. Write `do: drop`, always.",
    ),
    "request": (
        "{ from: unknown, do: contact-request }",
        "plan.yaml:6:26 incoming[0].do: `contact-request` is not built yet. Write `refuse`, or `drop` for callers: exchange cards instead.",
    ),
    "contact dropped": ("{ from: bob, do: drop }", "plan.yaml:6:22 incoming[0].do: contacts are not dropped. Write `no-answer`, or block the contact."),
    "voicemail": (
        "{ from: bob, do: voicemail }",
        "plan.yaml:6:22 incoming[0].do: is not set here. Write `voicemail: true` under `settings`, or at an extension: it is for all contacts whom nobody answers there.",
    ),
    "no hours": (
        "{ from: bob, when: { tz: UTC }, do: no-answer }",
        'plan.yaml:6:24 incoming[0].when: should say hours or days. Write for example { hours: "22:00-07:00", tz: Europe/Berlin }.',
    ),
    "wrong hours": (
        '{ from: bob, when: { hours: "7-8" }, do: no-answer }',
        'plan.yaml:6:33 incoming[0].when.hours: should be two times, for example 22:00-07:00. Write for example "22:00-07:00"; leave hours out for whole days.',
    ),
    "wrong days": (
        "{ from: bob, when: { days: monday }, do: no-answer }",
        "plan.yaml:6:32 incoming[0].when.days: should be one of mon, tue, wed, thu, fri, sat, sun, or two of them as in mon-fri. Write for example mon-fri, or [sat, sun].",
    ),
    "wrong zone": (
        "{ from: bob, when: { days: sat, tz: Europe/Nowhere }, do: no-answer }",
        "plan.yaml:6:41 incoming[0].when.tz: is no time zone that this machine knows. Write one as in Europe/Berlin; they come with the package tzdata.",
    ),
    "wrong switch": (
        "{ from: bob, do: { ring: all, ignore_dnd: on } }",
        "plan.yaml:6:47 incoming[0].do.ignore_dnd: should be true or false. Write one of the two, without quotes.",
    ),
    "never reached": (
        "{ from: contacts, do: no-answer }\n  - { from: bob, do: { ring: all } }",
        "plan.yaml:7:1 incoming: is never reached: line 6 takes all of it. Put it higher, or delete it.",
    ),
    "hours never reached": (
        '{ from: contacts, when: { hours: "20:00-08:00" }, do: no-answer }\n  - { from: bob, when: { hours: "22:00-07:00", days: sat }, do: { ring: all } }',
        "plan.yaml:7:1 incoming: is never reached: line 6 takes all of it. Put it higher, or delete it.",
    ),
}
TESTS = {
    "no question": ("{ expect: refuse }", 'plan.yaml:6:5 tests[0]: a test has `dial` or `from`, and `expect`. Write `{ dial: "112", expect: refuse }`.'),
    "both questions": ("{ dial: a, from: bob, expect: drop }", "plan.yaml:6:7 tests[0].dial: unknown. Known here: at, dnd, expect, from."),
    "wrong time": (
        "{ from: bob, at: noon, expect: drop }",
        "plan.yaml:6:22 tests[0].at: should be a time, or a day and a time, for example sat 23:10. Write 23:10, which is on a Monday, or sat 23:10.",
    ),
    "emergency": ("{ dial: 112, expect: { call: bob } }", f"plan.yaml:6:1 tests: this test fails: no rule decides, with `refuse`. {TEST_HINT}"),
    "another contact": (
        "{ dial: bob, expect: { call: eve } }",
        f"plan.yaml:6:1 tests: this test fails: the rule of line 4 decides, with `call: bob`. {TEST_HINT}",
    ),
    "no rule": ('{ dial: "*1", expect: echo }', f"plan.yaml:6:1 tests: this test fails: no rule decides, with `refuse: 404`. {TEST_HINT}"),
    "everything rings": ("{ from: bob, expect: no-answer }", f"plan.yaml:6:1 tests: this test fails: no rule decides, with `ring: all`. {TEST_HINT}"),
}
CASES = {
    **{f"plan, {name}": case for name, case in WHOLE.items()},
    **{f"emergency, {name}": case for name, case in EMERGENCY.items()},
    **{f"places, {name}": case for name, case in PLACES.items()},
    **{f"outgoing, {name}": (HEAD + "outgoing:\n  - " + rule + "\n", said) for name, (rule, said) in OUTGOING.items()},
    **{
        f"incoming, {name}": (HEAD.replace("version: 1\n", "version: 1\n" + TZ) + "outgoing: [{ dial: x, do: echo }]\nincoming:\n  - " + rule + "\n", said)
        for name, (rule, said) in INCOMING.items()
    },
    **{f"tests, {name}": (HEAD + ANYBODY + "tests:\n  - " + test + "\n", said) for name, (test, said) in TESTS.items()},
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_plan_gives_exactly_this(name: str) -> None:
    text, said = CASES[name]
    assert problems(text) == said


def test_hours_want_a_zone() -> None:
    rule = 'incoming:\n  - { from: bob, when: { hours: "22:00-07:00" }, do: no-answer }\n'
    assert problems(HEAD + ANYBODY + rule) == "plan.yaml:6:24 incoming[0].when: has no time zone. Add `tz: Europe/Berlin` here, or once under settings."


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    said = problems(HEAD + "extensions: { 20: { phones: [a, b] } }\noutgoing:\n  - { dial: A, do: { refuse: 1 } }\n")
    assert [line.split(" ", 1)[0] for line in said.splitlines()] == ["plan.yaml:3:30", "plan.yaml:3:33", "plan.yaml:5:13", "plan.yaml:5:30"]


def test_bounds() -> None:
    rule = '  - { dial: "<contact>", do: { call: "{contact}" } }\n'
    assert "has more than 200 items" in problems(HEAD + "outgoing:\n" + rule * 201)
    many = "[" + ", ".join(f'"{number}"' for number in range(1000, 1400)) + "]"
    assert "has more than 500 patterns" in problems(HEAD + f"outgoing:\n  - {{ dial: {many}, do: echo }}\n  - {{ dial: {many}, do: echo }}\n")
    assert "has more than 1000 items" in problems(HEAD + ANYBODY + "tests:\n" + "  - { dial: bob, expect: { call: bob } }\n" * 1001)
    assert "has more than 100 numbers" in problems(
        HEAD + ANYBODY + "extensions:\n" + "".join(f"  {number}: {{ phones: [kitchen] }}\n" for number in range(2000, 2101))
    )
    assert "has more than 32 items" in problems(HEAD + ANYBODY + f"extensions: {{ 20: {{ phones: [{'kitchen, ' * 33}] }} }}\n")
    assert "longer than" in problems("#" * 300_000)


def test_groups_that_ring_each_other_many_times_over_are_read_at_once() -> None:
    """Without remembering which are done this would take 32 to the 60th steps."""
    groups = "".join(f"  {number}: {{ ring: [{', '.join([str(number + 1)] * 32)}] }}\n" for number in range(3000, 3060))
    assert "there is no extension or group `3060`" in problems(HEAD + ANYBODY + "groups:\n" + groups)


def test_without_a_box_any_phone_is_taken() -> None:
    plan = parse_plan(HEAD + ANYBODY + "extensions: { 20: { phones: [anything] } }\nincoming: [{ from: bob, do: { ring: phone } }]\n", "plan.yaml")
    assert plan.places["20"].members == (("anything",),)
    assert "no extension, group or phone `21`" in problems(HEAD + ANYBODY + "incoming: [{ from: bob, do: { ring: 21 } }]\n", None)


def test_files_that_are_no_plan(tmp_path: Path) -> None:
    with pytest.raises(FileProblem, match="cannot be read"):
        load_plan(tmp_path / "none.yaml")
    (tmp_path / "big.yaml").write_bytes(b"#" * (1 << 19))
    with pytest.raises(FileProblem, match="octets"):
        load_plan(tmp_path / "big.yaml")
    (tmp_path / "junk.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(FileProblem, match="UTF-8"):
        load_plan(tmp_path / "junk.yaml")


@pytest.mark.parametrize(("text", "words"), [("everybody: on\n", "true or false"), ("phones: desk\n", "list"), ("nobody: 1\n", "unknown")])
def test_wrong_do_not_disturb(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "dnd.yaml").write_text(text)
    with pytest.raises(ProblemsFound, match=words):
        load_dnd(tmp_path)
