"""Cards: what is read is what was made, and no single character may change."""

from __future__ import annotations

import datetime as dt
import hashlib
import string

import pytest

from voicebox.contacts.card import BEGIN, END, only_card, parse_card, serialise_card
from voicebox.contacts.identity import new_identity
from voicebox.errors import FileProblem

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
ANN = new_identity("Ann", NOW)
CARD = serialise_card(ANN)
LETTERS = string.ascii_letters + string.digits + "+/= -"


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


def refused(changed: str, at: int) -> None:
    """See that a card with something changed at a character is refused, with the line where that is told from the frame."""
    found = problem(changed)
    assert str(found).startswith(f"mine.card:{found.line}: ")
    assert found.hint
    lines = changed.split("\n")
    if BEGIN in lines and END in lines and len(lines) == len(CARD.split("\n")):
        # The first line stands for the whole: one time in 65 536 the check digits fit, and the signature is what tells.
        assert found.line in {CARD[:at].count("\n") + 1, 1}, f"character {at}"


LAST = CARD.index(END) + len(END)


def test_any_one_character_changed_is_refused_with_its_line() -> None:
    for at in range(LAST):
        for letter in LETTERS:
            if letter != CARD[at]:
                refused(CARD[:at] + letter + CARD[at + 1 :], at)


def test_any_one_character_more_or_less_is_refused() -> None:
    for at in range(LAST):
        refused(CARD[:at] + CARD[at + 1 :], at)
        for letter in (CARD[at], "A", " "):
            refused(CARD[:at] + letter + CARD[at:], at)


def test_any_one_character_changed_is_refused_where_the_check_digits_are_made_to_fit() -> None:
    """Then it is the authority's signature that tells, over all that the card says."""
    lines = CARD.split("\n")
    for number, line in enumerate(lines[1:-2], 1):
        encoded = line.partition(" ")[0]
        for at, former in enumerate(encoded):
            letter = LETTERS[(LETTERS.index(former) + 1 + (number + at) % 63) % 64]  # another one in any case
            changed = encoded[:at] + letter + encoded[at + 1 :]
            digits = hashlib.sha256(f"{number} {changed}".encode()).hexdigest()[:4]
            problem("\n".join([*lines[:number], f"{changed} {digits}", *lines[number + 1 :]]))


def test_the_card_alone_is_kept_of_a_mail() -> None:
    assert only_card("  Hello,\r\n\r\n" + CARD.replace("\n", "\r\n") + "bye") == CARD


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
