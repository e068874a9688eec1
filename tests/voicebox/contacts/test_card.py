"""Cards: what is read is what was made, and no single character may change."""

from __future__ import annotations

import datetime as dt
import string
from random import Random

import pytest

from voicebox.contacts.card import BEGIN, END, parse_card, serialise_card
from voicebox.contacts.identity import new_identity
from voicebox.errors import FileProblem

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ANN = new_identity("Ann", NOW)
CARD = serialise_card(ANN)


def problem(text: str) -> FileProblem:
    with pytest.raises(FileProblem) as caught:
        parse_card(text, NOW, "mine.card")
    return caught.value


def test_card_is_read_back() -> None:
    card = parse_card(CARD, NOW, "mine.card")
    assert card.contact_id == ANN.contact_id
    assert card.static_key == ANN.static_key.public_key().public_bytes_raw()
    assert max(len(line) for line in CARD.splitlines()) <= 65


def test_card_is_read_from_mail() -> None:
    card = parse_card("Hello,\r\nmy card:\r\n\r\n" + CARD.replace("\n", "\r\n") + "\r\nbye\r\n", NOW, "mail.txt")
    assert card.contact_id == ANN.contact_id


def test_any_one_character_changed_is_refused_with_its_line() -> None:
    rng = Random(1)
    letters = string.ascii_letters + string.digits + "+/= -"
    last = CARD.index(END) + len(END)
    for at in range(last):
        if CARD[at] == "\n":
            changed = CARD[:at] + CARD[at + 1 :]
        else:
            changed = CARD[:at] + rng.choice([letter for letter in letters if letter != CARD[at]]) + CARD[at + 1 :]
        found = problem(changed)
        line = CARD[:at].count("\n") + 1
        assert str(found).startswith(f"mine.card:{found.line}: ")
        assert found.hint
        if BEGIN in changed and END in changed and CARD[at] != "\n":
            assert found.line == line, f"character {at}"


def test_lines_out_of_order_are_refused() -> None:
    lines = CARD.split("\n")
    lines[2], lines[3] = lines[3], lines[2]
    assert problem("\n".join(lines)).line == 3


def test_missing_line_is_refused() -> None:
    lines = CARD.split("\n")
    assert "changed or is out of place" in str(problem("\n".join(lines[:4] + lines[5:])))


@pytest.mark.parametrize(
    ("text", "words"), [("", "there is no line"), ("x" * 20_000, "far longer"), (f"{BEGIN}\n{END}\n", "too short"), (BEGIN, "there is no line '-----END")]
)
def test_what_is_no_card_is_said_so(text: str, words: str) -> None:
    assert words in str(problem(text))


def test_expired_authority_is_refused() -> None:
    with pytest.raises(FileProblem, match="expired"):
        parse_card(CARD, NOW + dt.timedelta(days=21 * 365), "mine.card")
