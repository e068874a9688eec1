"""THREATS.md names a test for each attack, and every test it names exists."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_TEST = {"by construction", "none"}
"""What may stand in the place of a test: no code path exists, or nothing is built yet."""


def rows() -> list[list[str]]:
    """Return the table of attacks: number, attack, what is done, test, what is left."""
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in (ROOT / "THREATS.md").read_text("utf-8").splitlines() if re.match(r"\| \d+ \|", line)]
    assert all(len(row) == 5 for row in cells), [row[0] for row in cells if len(row) != 5]
    return cells


def named(text: str) -> list[tuple[str, str]]:
    """Return (file, test) of every test that a cell names."""
    return re.findall(r"`((?:tests|relay)/[\w./]+)::(\w+)`", text)


def test_attacks_are_numbered_and_say_what_is_left() -> None:
    table = rows()
    numbers = [int(row[0]) for row in table]
    assert numbers == sorted(set(numbers)), "each once, in their order; a number that was left out or given up is nobody's"
    assert len(table) > 25
    assert [row[0] for row in table if not all(row)] == []


def test_every_attack_names_a_test_or_says_that_there_is_none() -> None:
    assert [row[0] for row in rows() if row[3] not in NO_TEST and not named(row[3])] == []


def test_every_test_that_is_named_exists() -> None:
    missing = []
    for row in rows():
        for file, test in named(row[3]):
            path = ROOT / file
            if not path.is_file() or not re.search(rf"^ *(?:async )?(?:def|fn) {test}\(", path.read_text("utf-8"), re.MULTILINE):
                missing.append((row[0], f"{file}::{test}"))
    assert missing == []


def test_nothing_else_is_named_as_a_test() -> None:
    """A path without a test's name could hide that the test is gone."""
    assert [(row[0], path) for row in rows() for path in re.findall(r"`((?:tests|relay)/[^`]*)`", row[3]) if "::" not in path] == []
