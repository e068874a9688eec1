"""What a box and its process that speaks TLS say: read as it was written, and nothing else is read."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.errors import RemoteError
from voicebox.streams.tls_words import (
    MAX_FIRST_OCTETS,
    MAX_WORD_OCTETS,
    Begin,
    Ending,
    Good,
    Hello,
    Lead,
    Over,
    Refuse,
    Shown,
    Word,
    parse_word,
    serialise_word,
)

FLOWS, OCTETS, TEXT = st.integers(0, 2**40), st.binary(max_size=200), st.text(max_size=80)
WORDS = st.one_of(
    st.builds(Begin, FLOWS, OCTETS),
    st.builds(Lead, FLOWS, TEXT, OCTETS),
    st.builds(Good, FLOWS),
    st.builds(Refuse, FLOWS, st.integers(0, 255)),
    st.builds(Hello, FLOWS, st.none() | TEXT),
    st.builds(Shown, FLOWS, OCTETS),
    st.builds(Over, FLOWS, st.sampled_from(Ending)),
)


@given(WORDS)
def test_a_word_is_read_as_it_was_written(word: Word) -> None:
    assert parse_word(serialise_word(word)) == word


@given(WORDS, st.data())
def test_any_octets_are_a_word_or_refused(word: Word, data: st.DataObject) -> None:
    octets = bytearray(serialise_word(word))
    for at in data.draw(st.lists(st.integers(0, len(octets) - 1), max_size=4)):
        octets[at] = data.draw(st.integers(0, 255))
    with contextlib.suppress(RemoteError):
        parse_word(bytes(octets))
    with contextlib.suppress(RemoteError):
        parse_word(data.draw(OCTETS))


@pytest.mark.parametrize(
    "octets", [b"", b"7", b"{}", b"[" * 100_000, b'{"begin": 1}', b'{"begin": "1", "first": ""}', b'{"begin": 1, "first": "*"}', b'{"over": 1, "ending": "x"}']
)
def test_what_is_none_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_word(octets)


def test_the_longest_fits() -> None:
    assert len(serialise_word(Begin(2**40, bytes(MAX_FIRST_OCTETS)))) < MAX_WORD_OCTETS
    assert len(serialise_word(Shown(2**40, bytes(40_000)))) < MAX_WORD_OCTETS
