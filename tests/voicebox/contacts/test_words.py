"""Number and words of an invitation: as they are typed, and what they stand for."""

from __future__ import annotations

import hashlib
from itertools import combinations

import pytest

from voicebox.contacts.code import WORDS
from voicebox.contacts.words import COST, EXAMPLE, LEAST_LETTERS, InvitationWords, draw_words, parse_words
from voicebox.errors import UsageError

WORDS_OF_EXAMPLE = InvitationWords(482915, (WORDS.index("kettle"), WORDS.index("rocket"), WORDS.index("violin")))


def test_words_are_read_as_they_are_written() -> None:
    assert parse_words(EXAMPLE) == WORDS_OF_EXAMPLE
    assert WORDS_OF_EXAMPLE.text() == EXAMPLE
    for _ in range(50):
        words = draw_words()
        assert parse_words(words.text()) == words


@pytest.mark.parametrize("typed", ["482915 kettle rocket violin", " 482915-KETTLE rocket-Violin\n", "482915 ket roc vio"])
def test_how_people_type_them(typed: str) -> None:
    assert parse_words(typed) == WORDS_OF_EXAMPLE


def test_three_letters_tell_every_word() -> None:
    assert not [pair for pair in combinations(WORDS, 2) if pair[0][:LEAST_LETTERS] == pair[1][:LEAST_LETTERS]]


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        ("", "6 digits"),
        ("kettle rocket violin", "6 digits"),
        ("48291 kettle rocket violin", "6 digits"),
        ("4829150 kettle rocket violin", "6 digits"),
        ("\u0664\u0668\u0662\u0669\u0661\u0665 kettle rocket violin", "6 digits"),
        ("482915 kettle rocket", "6 digits"),
        ("482915 kettle rocket violin zebra", "6 digits"),
        ("482915 kettle rocked violin", "Word 2"),
        ("482915 kettle rocket vi", "Word 3"),
        ("482915 kettles rocket violin", "Word 1"),
        ("482915 " + "kettle " * 100, "6 digits"),
    ],
)
def test_what_is_no_invitation_is_said_so(typed: str, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        parse_words(typed)


def test_words_are_drawn_from_all_there_are() -> None:
    drawn = [draw_words() for _ in range(2_000)]
    assert {place for words in drawn for place in words.choice} == set(range(len(WORDS)))
    assert len({words.number for words in drawn}) > 1_900


def test_what_the_number_stands_for_depends_on_number_and_network_alone_and_is_slow() -> None:
    secret = WORDS_OF_EXAMPLE.meeting_secret(bytes(32))
    again = hashlib.scrypt(b"482915", salt=b"voicebox/1 meeting" + bytes(32), n=2**COST, r=8, p=1, maxmem=1 << 28, dklen=32)
    assert secret.reveal() == again
    assert InvitationWords(482915, (1, 2, 3)).meeting_secret(bytes(32)) == secret
    assert WORDS_OF_EXAMPLE.meeting_secret(b"\1" + bytes(31)) != secret
    assert WORDS_OF_EXAMPLE.password().reveal() == b"kettle rocket violin"


def test_nothing_of_it_is_printed() -> None:
    assert "482915" not in repr(WORDS_OF_EXAMPLE)
    with pytest.raises(ValueError, match="out of range"):
        InvitationWords(10**6, (0, 0, 0))
