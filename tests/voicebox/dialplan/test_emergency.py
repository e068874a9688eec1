"""Emergency numbers, as people and phones write them; and what only looks like one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.dialplan.emergency import is_emergency

NUMBERS = frozenset({"112", "911", "000", "15", "1414"})


@pytest.mark.parametrize(
    "dialled",
    [
        *("112", "911", "000", "15", "1414"),
        *("1-1-2", "1 1 2", "(112)", "1.1.2", "1/1/2", "1_1_2", " 112 ", "112\u00a0", "1\u20111\u20112", "1\u200b12"),
        *("+112", "+41112", "+41 112", "+1911", "+1-911", "0041112", "00112", "00 1 911", "+358112"),
        *("0112", "9112", "9-911", "0,112", "015"),
        *("112#", "*31#112", "#31#112", "*31#+41112", "112;phone-context=example", "112,,1"),
        *("١١٢", "\uff11\uff11\uff12", "¹¹²", "१४१४"),
    ],
)
def test_emergency_numbers_are_seen(dialled: str) -> None:
    assert is_emergency(NUMBERS, dialled)


@pytest.mark.parametrize(
    "dialled", ["", "1", "11", "1122", "2112", "7112", "*43", "*112", "112*1", "bob112", "bob", "0041441234515", "+41441234112", "+", "#", "abc;112", "1a12"]
)
def test_other_numbers_are_not(dialled: str) -> None:
    assert not is_emergency(NUMBERS, dialled)


@given(
    st.sampled_from(sorted(NUMBERS)),
    st.sampled_from(["", "+", "00", "+41", "0041", "0", "9", "*31#"]),
    st.text("-. ()/_\u00a0\u2011\u200b:'", max_size=20),
    st.randoms(),
)
def test_whatever_stands_between_the_digits(number: str, before: str, between: str, rng: random.Random) -> None:
    letters = list(before + number)
    for letter in between:
        letters.insert(rng.randrange(len(before), len(letters) + 1), letter)
    assert is_emergency(NUMBERS, "".join(letters))
