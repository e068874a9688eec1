"""Records and questions: what is written is read, and nothing else; who has no key makes none."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.circuits.record import (
    POST_OCTETS,
    RECORD_OCTETS,
    Letter,
    PlaceKeys,
    Post,
    Record,
    last_epoch_of,
    parse_post,
    parse_record,
    place_keys,
    seal_record,
)
from voicebox.circuits.record_question import NOTHING, QUESTION_OCTETS, Answer, Get, Put, best, parse_answer, parse_question
from voicebox.errors import HandshakeError, RemoteError
from voicebox.sensitive import Secret

NETWORK, WRITER, READER = b"n" * 32, b"w" * 32, b"r" * 32
SECRET = Secret(b"s" * 32)
KEYS = place_keys(SECRET, 7, WRITER, READER)
POST = Post(5, (Letter(8, "hej på dig".encode()), Letter(9, b"two", perhaps_there=True)))


def record(sequence: int = 3, keys: PlaceKeys = KEYS) -> Record:
    return seal_record(NETWORK, keys, sequence, POST)


def test_a_record_is_one_size_and_opens_for_the_pair_alone() -> None:
    octets = record().serialise()
    assert len(octets) == RECORD_OCTETS == len(seal_record(NETWORK, KEYS, 1, Post()).serialise())
    assert parse_record(NETWORK, octets).open(KEYS) == POST
    assert POST.letters[0].text not in octets
    others = [place_keys(Secret(b"t" * 32), 7, WRITER, READER), place_keys(SECRET, 8, WRITER, READER), place_keys(SECRET, 7, READER, WRITER)]
    assert len({keys.place for keys in (KEYS, *others)}) == 4, "no place tells of another"
    for keys in others:
        with pytest.raises(HandshakeError):
            parse_record(NETWORK, octets).open(keys)
    with pytest.raises(HandshakeError, match="does not open"):
        parse_record(NETWORK, octets).open(replace(KEYS, sealing=Secret(bytes(32))))


def test_any_changed_octet_of_a_record_makes_it_none() -> None:
    octets, chance = record().serialise(), random.Random(1)
    for at in {*range(48), *range(RECORD_OCTETS - 64, RECORD_OCTETS), *chance.sample(range(RECORD_OCTETS), 100)}:
        with pytest.raises(HandshakeError):
            parse_record(NETWORK, octets[:at] + bytes([octets[at] ^ 1 << chance.randrange(8)]) + octets[at + 1 :])
    for wrong in (b"", octets[:-1], octets + b"\0", bytes(RECORD_OCTETS)):
        with pytest.raises(HandshakeError):
            parse_record(NETWORK, wrong)
    with pytest.raises(HandshakeError):
        parse_record(b"m" * 32, octets)


def test_the_secret_of_a_place_is_had_by_hashing_forward_until_nobody_keeps_its_records() -> None:
    assert last_epoch_of(7) == 24 * 9, "a record of period 7 lives until period 9 begins"


@given(st.lists(st.tuples(st.integers(1, 2**63), st.binary(min_size=1, max_size=1300).filter(bool), st.booleans()), max_size=30), st.integers(0, 2**63))
def test_posts_come_back_as_far_as_they_find_room(rows: list[tuple[int, bytes, bool]], heard: int) -> None:
    letters = tuple(Letter(number, text.hex()[:1300].encode(), flag) for number, text, flag in sorted({row[0]: row for row in rows}.values()))
    octets = Post(heard, letters).serialise()
    assert len(octets) == POST_OCTETS
    found = parse_post(octets)
    assert found.heard == heard
    assert found.letters == letters[: len(found.letters)]
    assert bool(found.letters) == bool(letters)
    assert found.serialise() == octets


@given(st.binary(max_size=60), st.integers(0, POST_OCTETS))
def test_any_octets_are_a_post_that_would_be_written_so_or_none(octets: bytes, cut: int) -> None:
    base = POST.serialise()
    for given_octets in (octets, octets.ljust(POST_OCTETS, b"\0"), base[:cut] + octets.ljust(POST_OCTETS - cut, b"\0")[: POST_OCTETS - cut]):
        try:
            found = parse_post(given_octets)
        except RemoteError:
            continue
        assert found.serialise() == given_octets


def test_questions_and_answers_are_of_one_size_and_come_back() -> None:
    put, get = Put(record()), Get(KEYS.place, 7)
    for question in (put, get):
        assert len(question.serialise()) == QUESTION_OCTETS
        assert parse_question(NETWORK, question.serialise()) == question
    for answer in (Answer(0), Answer(8, record())):
        assert parse_answer(NETWORK, get, answer.serialise()) == answer
    assert parse_answer(NETWORK, put, NOTHING) == Answer(0)


@pytest.mark.parametrize(
    "octets",
    [b"", bytes(QUESTION_OCTETS), b"\x03" + bytes(QUESTION_OCTETS - 1), Get(KEYS.place, 7).serialise()[:-1] + b"\x01", b"\x01" + bytes(QUESTION_OCTETS - 1)],
    ids=["empty", "nothing", "unknown", "more", "no record"],
)
def test_what_is_no_question_is_refused(octets: bytes) -> None:
    with pytest.raises(RemoteError):
        parse_question(NETWORK, octets)


@given(st.binary(min_size=QUESTION_OCTETS, max_size=QUESTION_OCTETS))
def test_noise_is_never_a_question_or_an_answer_with_a_record(octets: bytes) -> None:
    for read in (lambda: parse_question(NETWORK, octets), lambda: parse_answer(NETWORK, Get(KEYS.place, 7), octets)):
        try:
            found = read()
        except RemoteError:
            continue
        assert isinstance(found, Get) or found == Answer(octets[0])


def test_of_what_holders_answer_the_latest_counts_and_one_about_another_place_is_refused() -> None:
    latest = record(9)
    assert best([Answer(1, record(3)), Answer(1, latest), Answer(1)]) == Answer(3, latest)
    assert best([]) == Answer(0)
    other = seal_record(NETWORK, place_keys(SECRET, 8, WRITER, READER), 1, POST)
    with pytest.raises(HandshakeError, match="another place"):
        parse_answer(NETWORK, Get(KEYS.place, 7), Answer(1, other).serialise())
