"""The list of missed calls: a petname and a day, for seven days, and nothing else."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from voicebox.contacts.missed import KEPT_DAYS, MAX_MISSED, MISSED_FILE, MissedCalls, parse_missed
from voicebox.contacts.store import StateDirectory
from voicebox.errors import FileProblem
from voicebox.sensitive import Secret

TODAY = dt.date(2026, 3, 10)


def days_ago(days: int) -> dt.date:
    return TODAY - dt.timedelta(days)


def test_a_day_has_each_contact_once_and_after_seven_days_nothing_is_left() -> None:
    calls = MissedCalls()
    for petname, days in (("bob", 0), ("bob", 0), ("ann", 0), ("bob", 6), ("carl", 7), ("dora", -1)):
        calls.note(petname, days_ago(days))
    assert calls.entries(TODAY) == [(TODAY, "ann"), (TODAY, "bob"), (days_ago(6), "bob")]
    assert calls.serialise(TODAY).splitlines() == ["2026-03-04 bob", "2026-03-10 ann", "2026-03-10 bob"]
    assert calls.entries(TODAY + dt.timedelta(KEPT_DAYS)) == []


def test_what_was_written_is_read_again() -> None:
    calls = MissedCalls([(days_ago(1), "bob"), (TODAY, "ann-2")])
    assert parse_missed(calls.serialise(TODAY), "missed").entries(TODAY) == calls.entries(TODAY)
    assert parse_missed("", "missed").entries(TODAY) == []


@pytest.mark.parametrize("line", ["bob", "2026-03-10", "2026-13-10 bob", "2026-03-10 Bob", "2026-03-10 bob 12:00", "2026-03-10  bob", " "])
def test_a_damaged_file_is_told_with_its_line(line: str) -> None:
    with pytest.raises(FileProblem, match="missed:2: this is no missed call"):
        parse_missed(f"2026-03-10 bob\n{line}\n", "missed")


def test_it_is_bounded() -> None:
    calls = MissedCalls()
    for number in range(MAX_MISSED + 5):
        calls.note(f"a{number:04}", TODAY)
    assert len(calls.entries(TODAY)) == MAX_MISSED
    with pytest.raises(FileProblem):
        parse_missed("2026-03-10 bob\n" * (MAX_MISSED + 1), "missed")


def test_contacts_that_are_renamed_or_removed() -> None:
    calls = MissedCalls([(TODAY, "bob"), (days_ago(1), "bob"), (TODAY, "ann")])
    calls.renamed("bob", "robert")
    assert {petname for _, petname in calls.entries(TODAY)} == {"ann", "robert"}
    calls.renamed("robert", None)
    assert calls.entries(TODAY) == [(TODAY, "ann")]
    calls.clear()
    assert calls.entries(TODAY) == []


def test_a_sealed_directory_seals_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    monkeypatch.setenv("VOICEBOX_PASSPHRASE_FILE", str(passphrase))
    store = StateDirectory(tmp_path / "box")
    store.create()
    store.write(MISSED_FILE, MissedCalls([(TODAY, "bob")]).serialise(TODAY).encode())
    store.seal(Secret(b"correct horse battery"))
    assert b"bob" not in (tmp_path / "box" / MISSED_FILE).read_bytes()
    assert store.load_missed().entries(TODAY) == [(TODAY, "bob")]
    store.remove(MISSED_FILE)
    assert store.load_missed().entries(TODAY) == []
