"""tests/vectors/*.json are what the model makes, and the model reads them as they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relay.model.cell import Carousel, Cell, Collector, Speech, fragments, parse_cell, parse_speech
from relay.model.end_to_end import NO_TWEAK, CounterWindow, Sound, parse_sound
from relay.model.layer import Hctr2
from tools import coarse_copy as coarse
from tools import make_vectors
from tools import streams_reference as reference

FOLDER = Path(__file__).parents[1] / "vectors"


def load(name: str) -> Any:
    """Read one file."""
    return json.loads((FOLDER / f"{name}.json").read_text())


@pytest.mark.parametrize("name", list(make_vectors.vectors()))
def test_files_are_what_the_model_makes(name: str) -> None:
    assert (FOLDER / name).read_text() == make_vectors.vectors()[name], "run python -m tools.make_vectors"


def test_cells() -> None:
    for each in load("cells")["valid"]:
        assert parse_cell(bytes.fromhex(each["cell"])) == Cell(each["circuit"], each["slot"], bytes.fromhex(each["body"]))
    assert [parse_cell(bytes.fromhex(each["cell"])) for each in load("cells")["invalid"]] == [None] * 5


def test_speech() -> None:
    for each in load("speech")["valid"]:
        expected = Speech(each["kind"], each["index"], each["count"], each["number"], bytes.fromhex(each["fragment"]))
        assert parse_speech(bytes.fromhex(each["body"])) == expected
    for each in load("speech")["invalid"]:
        assert parse_speech(bytes.fromhex(each["body"])) is None, each["why"]
    for each in load("speech")["messages"]:
        collector, payload = Collector(), bytes.fromhex(each["payload"])
        bodies = [bytes.fromhex(body) for body in each["bodies"]]
        assert Carousel(fragments(each["kind"], each["number"], payload)).bodies == bodies
        parsed = [parse_speech(body) for body in bodies]
        assert [collector.add(speech) for speech in parsed if speech is not None][-1] == payload


def test_layers() -> None:
    for path in load("layers")["paths"]:
        body, tweak = bytes.fromhex(path["body"]), path["slot"].to_bytes(4, "big")
        guard, junction = (Hctr2(bytes.fromhex(key)) for key in path["keys"])
        first, second = (bytes.fromhex(link) for link in path["links"])
        assert guard.decipher(tweak, first) == second
        assert junction.decipher(tweak, second) == body


def test_due_times() -> None:
    made = load("due_times")
    assert made["fixed_by_arrival"] == 51, "two come before the first number that counts, one is missing"
    assert [each["refusal"] for each in made["taken"]] == [None, "slot_twice", "slot_late", "slot_twice", None, "slot_ahead", None, None]
    earliest_us = min(at - 20_000 * slot for slot, at in made["arrivals"][2:52])
    for slot, due_us in made["due"]:
        assert 0 <= due_us - (earliest_us + 15_000 + 20_000 * slot) < 250
        assert due_us % 250 == 0


def test_clock() -> None:
    states = [[int(number) for number in state.split()] for state in load("clock")["states"]]
    for _, rate, model, beat, _ in states[-10:]:
        assert abs(rate - 2**16) < 2**16 / 10, "50 ppm are 1 us in a slot; the jitter leaves 5 ppm"
        assert abs(model - beat - 200 * 2**16) < 300 * 2**16, "the beat is 200 us ahead of where the guard had it"
    assert [round(jump, -2) for *_, jump in states if jump] == [7_000]


def test_splice() -> None:
    for case in load("splice")["cases"]:
        assert 0 <= case["leaves_us"] - case["given_due_us"] < 20_000
        assert case["given_due_us"] == case["giver_base_us"] + 20_000 * (case["next_slot"] - case["offset"])


def test_end_to_end() -> None:
    made = load("end_to_end")
    layer, window = Hctr2(bytes.fromhex(made["key"])), CounterWindow()
    for each in made["valid"]:
        body = layer.decipher(NO_TWEAK, bytes.fromhex(each["sealed"]))
        assert body == bytes.fromhex(each["body"])
        frame, second, third = (bytes.fromhex(each[name]) for name in ("frame", "second", "third"))
        assert parse_sound(body) == Sound(each["counter"], each["codec"], frame, second, each["flags"], third)
    for each in made["invalid"]:
        assert parse_sound(bytes.fromhex(each["body"])) is None, each["why"]
    assert [window.take(each["counter"]) for each in made["window"]] == [each["taken"] for each in made["window"]]
    assert [each["taken"] for each in made["window"]].count(False) == 4


def test_coarse() -> None:
    made = load("coarse")
    for each in made["valid"]:
        codec, frame, copy, heard = each["codec"], *(bytes.fromhex(each[name]) for name in ("frame", "copy", "heard"))
        assert (coarse.coarse_copy(codec, frame), coarse.frame_of_copy(codec, copy)) == (copy, heard)
        assert (len(frame), len(copy), len(heard)) == (160, coarse.COPY_OCTETS, 160)
    for each in made["invalid"]:
        assert coarse.frame_of_copy(2, bytes.fromhex(each["copy"])) is None, each["why"]


def test_streams() -> None:
    made = load("streams")
    for each in made["segments"]:
        piece = None if each["piece"] is None else (each["offset"], bytes.fromhex(each["piece"]))
        ranges = tuple((gap, length) for gap, length in each["ranges"])
        assert reference.parse_segment(bytes.fromhex(each["segment"])) == reference.Segment(
            each["heard"], each["next"], ranges, each["more"], piece, bytes.fromhex(each["fragments"])
        )
    for each in made["no_segments"]:
        assert reference.parse_segment(bytes.fromhex(each["segment"])) is None, each["why"]
    for each in made["frames"]:
        frames = reference.parse_frames(octets := bytes.fromhex(each["frame"]))
        assert frames is not None
        assert [(frame.kind, frame.yours, frame.stream) for frame in frames] == [(each["kind"], each["yours"], each["stream"])]
        assert (reference.serialise_frame(frames[0]), reference.parse_frames(octets[:-1])) == (octets, None)
    assert all(reference.parse_frames(bytes.fromhex(octets)) is None for octets in made["no_frames"])
    for each in made["fragments"]:
        fragment = reference.Fragment(**{name: each[name] for name in ("yours", "stream", "number", "place", "last")}, octets=bytes.fromhex(each["octets"]))
        assert (reference.serialise_fragment(fragment).hex(), reference.parse_fragments(bytes.fromhex(each["fragment"]))) == (each["fragment"], [fragment])
    for each in made["no_fragments"]:
        assert reference.parse_fragments(bytes.fromhex(each["fragment"])) is None, each["why"]


def test_the_samples_of_g711_are_those_of_the_standard() -> None:
    # ITU-T G.711 tables 1a and 2a, as 16 bits: the ends of the scale, the steps around zero, one inside.
    assert [coarse.expand(2, octet) for octet in (0xAA, 0x2A, 0xD5, 0x55, 0xD4, 0x80)] == [32_256, -32_256, 8, -8, 24, 5_504]
    assert [coarse.expand(3, octet) for octet in (0x80, 0x00, 0xFF, 0x7F, 0xFE, 0x8F)] == [32_124, -32_124, 0, 0, 8, 16_764]
    for codec, zeros in ((2, 0), (3, 1)):
        assert sum(coarse.compress(codec, coarse.expand(codec, octet)) != octet for octet in range(256)) == zeros
