"""What a box tells of certificates that were revoked: its octets and its line, each there and back, and nothing else."""

from __future__ import annotations

import datetime as dt

import pytest

from voicebox.contacts.device_cert import Issued, revoke, told_revoked
from voicebox.contacts.revoked import MAX_TOLD, SERIAL_OCTETS, Revoked, parse_revoked, revoked_from_text
from voicebox.errors import RemoteError

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NOW_S = int(NOW.timestamp())
YEAR_S = 365 * 86_400
FULL = Revoked(2**62 - 1, (2**160 - 1,) * MAX_TOLD)


@pytest.mark.parametrize("told", [Revoked(0, (0,)), Revoked(NOW_S, (1, 2**159)), FULL], ids=["least", "two", "most"])
def test_octets_and_line_are_read_as_written(told: Revoked) -> None:
    assert parse_revoked(told.serialise()) == told
    assert revoked_from_text(told.text) == told


def test_the_octets_are_as_written_down() -> None:
    assert Revoked(258, (5,)).serialise().hex() == "000000000000010201" + "00" * 19 + "05"


@pytest.mark.parametrize(
    "octets",
    [
        b"",
        bytes(8),
        bytes(9),
        bytes(8) + b"\1",
        bytes(8) + b"\1" + bytes(19),
        bytes(8) + b"\1" + bytes(21),
        b"\x40" + FULL.serialise()[1:],
        bytes(8) + b"\xc9" + bytes(201 * 20),
    ],
    ids=["nothing", "sequence", "none", "short", "cut", "long", "sequence too great", "too many"],
)
def test_anything_else_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_revoked(octets)


@pytest.mark.parametrize("text", ["", "1", "1 ", "x 1", "1 g", "1  2", "1 2\n", "-1 2", "1 " + "f" * 41], ids=range(9))
def test_another_line_is_none(text: str) -> None:
    assert revoked_from_text(text) is None


def test_what_is_told_is_the_latest_that_still_run() -> None:
    entries = [Issued(number, f"d{number}", NOW_S, NOW_S + YEAR_S) for number in range(MAX_TOLD + 5)]
    assert told_revoked(entries, NOW) is None
    sequences, told = [], None
    for number in range(MAX_TOLD + 5):
        entries = revoke(entries, f"d{number}", NOW)
        told = told_revoked(entries, NOW)
        assert told is not None
        sequences.append(told.sequence)
    assert sequences == sorted(set(sequences)), "later each time, in one second too"
    assert told is not None
    assert told.serials == tuple(range(MAX_TOLD + 4, 4, -1))
    assert len(told.serialise()) == 9 + MAX_TOLD * SERIAL_OCTETS
    assert told_revoked(entries, NOW + dt.timedelta(days=366)) is None
