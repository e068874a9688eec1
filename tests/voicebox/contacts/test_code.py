"""The code that two people compare: digits and words of one value."""

from __future__ import annotations

import pytest

from voicebox.contacts.code import DIGITS, WORDS, Code, code_of


def test_each_pair_of_digits_has_a_word_of_its_own() -> None:
    assert len(WORDS) == 100
    assert len({word[:3] for word in WORDS}) == 100, "three letters tell"
    assert sorted(WORDS) == list(WORDS)
    assert all(word.isascii() and word.isalpha() and word.islower() and 4 <= len(word) <= 8 for word in WORDS)


def test_digits_and_words_say_the_same() -> None:
    code = Code("00019930")
    assert code.grouped() == "0001 9930"
    assert code.words() == f"{WORDS[0]} {WORDS[1]} {WORDS[99]} {WORDS[30]}"
    every = {Code(f"{number:02}" * 4).words() for number in range(100)}
    assert len(every) == 100


def test_code_of_a_digest_is_its_first_octets() -> None:
    assert code_of(bytes(32)).digits == "0" * DIGITS
    assert code_of((123_456_789).to_bytes(8, "big") + bytes(24)).digits == "23456789"


@pytest.mark.parametrize("digits", ["", "1234567", "123456789", "1234567x", "1234 678"])
def test_what_is_no_code(digits: str) -> None:
    with pytest.raises(ValueError):
        Code(digits)


def test_a_code_is_not_printed_by_accident() -> None:
    assert "1234" not in repr(Code("12345678"))
