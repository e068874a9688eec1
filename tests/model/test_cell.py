"""Cells, fragments and messages: inverses, and any other input is refused (PROTOCOL.md §3)."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.model.cell import (
    BODY_OCTETS,
    PAYLOAD_OCTETS,
    Carousel,
    Cell,
    Collector,
    DroppedError,
    Kind,
    Speech,
    fragments,
    is_speech,
    parse_cell,
    parse_speech,
    serialise_cell,
    serialise_speech,
)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(min_size=248, max_size=248))
def test_a_cell_is_read_as_it_was_written(circuit: int, slot: int, body: bytes) -> None:
    cell = Cell(circuit, slot, body)
    assert parse_cell(serialise_cell(cell)) == cell


@pytest.mark.parametrize("length", [0, 255, 257])
def test_another_length_is_no_cell(length: int) -> None:
    assert parse_cell(bytes(length)) is None


@given(st.sampled_from(Kind), st.integers(0, 2**16 - 1), st.randoms())
def test_a_message_survives_cutting_repeating_and_any_order(kind: Kind, number: int, chance: random.Random) -> None:
    payload = bytes(chance.randrange(256) for _ in range(PAYLOAD_OCTETS[kind]))
    carousel = Carousel(fragments(kind, number, payload))
    said = [carousel.next_body() for _ in range(2 * len(carousel.bodies))]
    assert carousel.said == 2 * len(carousel.bodies)
    assert all(is_speech(body) and len(body) == BODY_OCTETS for body in said)
    chance.shuffle(said)
    collector, got = Collector(), []
    for body in said:
        speech = parse_speech(body)
        assert speech is not None
        whole = collector.add(speech)
        got += [whole] if whole is not None else []
    assert got == [payload]


@pytest.mark.fuzz
def test_any_body_is_refused_or_read_and_written_back_the_same(fuzz_inputs: int) -> None:
    chance, read = random.Random(8), 0
    for _ in range(fuzz_inputs):
        head = bytes([chance.randrange(32), chance.randrange(4), chance.randrange(5), chance.random() < 0.1]) + chance.randbytes(2)
        length = chance.choice((0, 1, 16, 223, 224, 225, chance.randrange(2**16)))
        fragment = chance.randbytes(min(length, 224)) if chance.random() < 0.8 else chance.randbytes(224)
        body = bytes(16) + head + length.to_bytes(2, "big") + fragment + bytes(224 - len(fragment))
        speech = parse_speech(body)
        if speech is not None:
            read += 1
            assert serialise_speech(speech) == body
    print(f"cells and fragments: {fuzz_inputs} inputs, {read} read")
    assert 0.01 * fuzz_inputs < read < 0.5 * fuzz_inputs


def test_a_later_number_begins_anew_and_a_sooner_one_is_stale() -> None:
    collector = Collector()
    first, second = ([spoken(body) for body in fragments(Kind.CREATED, number, bytes(1184))] for number in (2**16 - 1, 0))
    assert collector.add(first[0]) is None
    assert collector.add(second[0]) is None
    with pytest.raises(DroppedError, match="speech_stale"):
        collector.add(first[1])
    assert [collector.add(speech) for speech in second[1:]] == [None] * 4 + [bytes(1184)]


def spoken(body: bytes) -> Speech:
    speech = parse_speech(body)
    assert speech is not None
    return speech


@pytest.mark.parametrize("other", [Speech(Kind.REFUSED, 0, 6, 5, bytes(224)), Speech(Kind.CREATED, 0, 3, 5, bytes(224))])
def test_one_number_is_one_message(other: Speech) -> None:
    collector = Collector()
    collector.add(Speech(Kind.CREATED, 1, 6, 5, bytes(224)))
    with pytest.raises(DroppedError, match="speech_malformed"):
        collector.add(other)


@pytest.mark.parametrize("length", [0, 64, 1183, 1185, 16 * 224])
def test_a_message_of_another_length_than_its_kind_has_leaves_nothing_behind(length: int) -> None:
    collector = Collector()
    *before, last = (spoken(body) for body in fragments(Kind.CREATED, 5, bytes(length)))
    assert [collector.add(speech) for speech in before] == [None] * len(before)
    with pytest.raises(DroppedError, match="speech_malformed"):
        collector.add(last)
    assert [collector.add(spoken(body)) for body in fragments(Kind.CREATED, 5, bytes(1184))] == [None] * 5 + [bytes(1184)]
