"""sipvicious, as it comes, at a box that runs: it finds no user, and guesses no password once the box has had enough. [io]

Its own controls: svmap sees that there is a box, and svcrack finds a password that stands among its first guesses. What each of its requests is answered, and the
work it takes: tests/voicebox/b2bua/test_scans.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.phones import free_port_block
from tests.system.test_local_calls import ADDRESS, PASSWORD, TONES_HZ, House

pytestmark = pytest.mark.interop

GUESSES = [f"guess-{number}" for number in range(12)]
TOOL_TIMEOUT_S = 60.0
FOUND_SOMETHING = 40
"""svcrack's exit code, and svwar's."""


@pytest.fixture
def house() -> Iterator[House]:
    with House() as made:
        yield made
        assert made.bugs == []


def scan(house: House, tool: str, *arguments: str) -> str:
    """Return what a tool of sipvicious says it found."""
    ports = ("-p", str(house.port), "-P", str(free_port_block(1)))
    command = [sys.executable, "-m", f"sipvicious.{tool}", *ports, *arguments, ADDRESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False)
    assert done.returncode in {0, FOUND_SOMETHING}, done.stderr
    return done.stdout


def listed(path: Path, lines: Sequence[str]) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_a_box_is_found_and_none_of_its_users(house: House, tmp_path: Path) -> None:
    assert str(house.port) in scan(house, "svmap")
    users = listed(tmp_path / "users", ["nobody", "100", *TONES_HZ])
    for method in ("REGISTER", "INVITE", "OPTIONS"):
        found = scan(house, "svwar", "-m", method, "-d", users, "--force", "--maximumtime", "2")
        assert not any(user in found for user in TONES_HZ), method


def test_a_password_is_not_found_by_guessing_on(house: House, tmp_path: Path) -> None:
    password = PASSWORD.reveal().decode()
    soon, late = listed(tmp_path / "soon", [GUESSES[0], password]), listed(tmp_path / "late", [*GUESSES, password])
    assert password in scan(house, "svcrack", "-u", "ann", "-d", soon, "--maximumtime", "2"), "so the tool finds what it may guess"
    assert password not in scan(house, "svcrack", "-u", "ann", "-d", late, "--maximumtime", "2")
