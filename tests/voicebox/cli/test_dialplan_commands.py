"""The commands about dial plans, and do-not-disturb, as a user types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from voicebox.cli.main import main

PLAN = """version: 1
settings: { tz: Europe/Zurich, quiet: { hours: "22:00-07:00" } }
emergency: { numbers: ["112", "117"], do: refuse }
extensions: { "20": { name: kitchen, phones: [kitchen] } }
speed_dials: { "12": bob }
outgoing:
  - { dial: "*43", do: echo }
  - { dial: ["2X", "3X"], do: local }
  - { dial: "<local>", do: local }
  - { dial: "7<n:XX>", do: { contact: "{n}" } }
incoming:
  - { from: grandma, do: { ring: kitchen, ignore_dnd: true } }
  - { from: bob, when: { hours: "13:00-18:00" }, do: no-answer }
  - { from: bob, do: { ring: "20" } }
tests:
  - { dial: "112", expect: refuse }
  - { from: grandma, dnd: true, expect: { ring: kitchen } }
  - { from: bob, at: "sat 22:00", expect: no-answer }
"""


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str]]:
    """Return exit code, and the lines of output and errors."""
    code = main(arguments)
    captured = capsys.readouterr()
    return code, (captured.out + captured.err).splitlines()


@pytest.fixture
def home(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    """A box with a phone."""
    made = tmp_path / "box"
    assert main(["init", "--home", str(made)]) == 0
    assert main(["phone", "add", "desk", "--home", str(made)]) == 0
    capsys.readouterr()
    return made


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return path


def test_check(capsys: pytest.CaptureFixture[str], tmp_path: Path, home: Path, plan: Path) -> None:
    assert said(capsys, "dialplan", "check", str(plan)) == (0, [f"{plan}: good; 4 rules for what is dialled, 3 for callers, 3 tests passed"])
    assert said(capsys, "dialplan", "check", str(home / "dialplan.yaml"), "--home", str(home))[0] == 0
    wrong = f"voicebox: {plan}:4:47 extensions.20.phones: there is no phone `kitchen`. Known here: desk."
    assert said(capsys, "dialplan", "check", str(plan), "--home", str(home)) == (1, [wrong])
    missing = tmp_path / "none.yaml"
    code, lines = said(capsys, "dialplan", "check", str(missing))
    assert (code, lines) == (1, [f"voicebox: {missing}: the dial plan cannot be read (No such file or directory). `voicebox init` puts one there."])


def test_test(capsys: pytest.CaptureFixture[str], plan: Path) -> None:
    code, lines = said(capsys, "dialplan", "test", str(plan))
    assert code == 0
    assert lines == [
        "line 16: dial 112: refuse",
        "line 17: from grandma, mon 12:00, do not disturb: ring: kitchen",
        "line 18: from bob, sat 22:00: no-answer",
        "3 passed",
    ]
    plan.write_text(PLAN.replace('"sat 22:00", expect: no-answer', '"sat 22:00", expect: { ring: kitchen }'))
    hint = "Change the rule or the test; `voicebox dialplan explain` says what each rule does."
    wrong = f"voicebox: {plan}:18:1 tests: this test fails: the rule of line 14 decides, with `no-answer`. {hint}"
    assert said(capsys, "dialplan", "test", str(plan)) == (1, [wrong])


@pytest.mark.parametrize(
    ("asked", "lines"),
    [
        (
            ["712"],
            [
                "line 7: no, `*43`: `7` at place 1 does not fit",
                "line 8: no, `2X`: `7` at place 1 does not fit",
                "line 8: no, `3X`: `7` at place 1 does not fit",
                "line 9: no, `<local>`: no extension, group or phone has that number or name",
                "line 10: yes, contact: 12",
            ],
        ),
        (["20"], ["line 7: no, `*43`: `2` at place 1 does not fit", "line 8: yes, ring: 20"]),
        (["+41 117"], ["an emergency number: refused before any rule"]),
        (["--from", "grandma", "--at", "sat 23:10"], ["line 12: yes, ring: kitchen"]),
        (
            ["--from", "bob", "--at", "sat 23:10"],
            [
                "line 12: no, it is about grandma",
                "line 13: no, it is sat 23:10 in Europe/Zurich",
                "line 14: yes, ring: 20",
                "but these are quiet hours: no-answer",
            ],
        ),
        (["--from", "bob", "--at", "13:00"], ["line 12: no, it is about grandma", "line 13: yes, no-answer"]),
        (
            ["--from", "eve", "--at", "13:00"],
            ["line 12: no, it is about grandma", "line 13: no, it is about bob", "line 14: no, it is about bob", "no rule matches: no-answer"],
        ),
        (["--from", "unknown"], ["blocked or unknown: dropped before any rule"]),
    ],
)
def test_explain(capsys: pytest.CaptureFixture[str], plan: Path, asked: list[str], lines: list[str]) -> None:
    assert said(capsys, "dialplan", "explain", str(plan), *asked) == (0, lines)


def test_explain_knows_the_contacts_and_phones_of_a_box(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    def explained(*arguments: str) -> list[str]:
        code, lines = said(capsys, "dialplan", "explain", str(home / "dialplan.yaml"), *arguments)
        assert code == 0
        return [line.split(": ", 1)[1] for line in lines]

    assert explained("bob", "--home", str(home))[-2:] == ["no, `<contact>`: no contact has that petname", "yes, call: bob"]
    assert explained("desk", "--home", str(home))[-1] == "yes, ring: desk"
    assert explained("desk")[-1] == "yes, call: desk"
    assert explained("--from", "bob", "--home", str(home))[-1] == "yes, ring: all"
    said(capsys, "dnd", "on", "--home", str(home))
    assert explained("--from", "bob", "--home", str(home))[-1] == "no-answer", "behind: but nobody is to be disturbed"


def test_explain_wants_one_question(capsys: pytest.CaptureFixture[str], plan: Path) -> None:
    for wrong in ([], ["712", "--from", "bob"]):
        with pytest.raises(SystemExit):
            main(["dialplan", "explain", str(plan), *wrong])
    capsys.readouterr()
    assert said(capsys, "dialplan", "explain", str(plan), "--from", "bob", "--at", "noon") == (
        2,
        ["voicebox: --at should be a time, or a day and a time, for example sat 23:10."],
    )


def test_do_not_disturb(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert main(["phone", "add", "attic", "--home", str(home)]) == 0
    capsys.readouterr()
    for words, line in (
        (["show"], "Do not disturb is off."),
        (["on"], "Do not disturb is on."),
        (["on", "desk"], "Do not disturb is on. Phones that do not ring: desk."),
        (["on", "attic"], "Do not disturb is on. Phones that do not ring: attic, desk."),
        (["off"], "Do not disturb is off. Phones that do not ring: attic, desk."),
        (["off", "desk"], "Do not disturb is off. Phones that do not ring: attic."),
        (["off", "nobody"], "Do not disturb is off. Phones that do not ring: attic."),
        (["show"], "Do not disturb is off. Phones that do not ring: attic."),
    ):
        assert said(capsys, "dnd", *words, "--home", str(home)) == (0, [line])
    assert (home / "dnd.yaml").stat().st_mode & 0o777 == 0o600
    assert said(capsys, "dnd", "on", "nobody", "--home", str(home)) == (2, ["voicebox: There is no phone of that name; `voicebox phone add` makes one."])
    (home / "dnd.yaml").write_text("everybody: perhaps\n")
    assert said(capsys, "dnd", "show", "--home", str(home))[0] == 1
