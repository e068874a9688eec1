"""Write tests/vectors/*.json from the model: cells, speech, layers, due times, splice, end-to-end bodies, streams; valid and invalid side by side.

Run `python -m tools.make_vectors` after a change of PROTOCOL.md; tests/model/test_vectors.py fails where files and model differ.
Octets are hexadecimal, times microseconds of network time.
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path

from relay.model.cell import PAYLOAD_OCTETS, Cell, Kind, Speech, fragments, serialise_cell, serialise_speech
from relay.model.clock import Clock
from relay.model.end_to_end import COPY, ENDS_MESSAGE, METERED, NO_TWEAK, OF_STREAMS, CounterWindow, Sound, serialise_sound
from relay.model.layer import Hctr2
from relay.model.randomness import SeededRandom
from relay.model.slots import SLOT_US, Due, Ring, Settling
from tools.coarse_copy import coarse_copy, compress, frame_of_copy
from tools.streams_reference import Fragment, Frame, Row, Segment, serialise_fragment, serialise_frame, serialise_segment

FOLDER = Path(__file__).resolve().parents[1] / "tests" / "vectors"
Entry = dict[str, object]


def cells(random: SeededRandom) -> Entry:
    """§3: layout of a cell."""
    made = [Cell(circuit, slot, random.octets(248)) for circuit, slot in ((0, 0), (1, 2**32 - 1), (random.u32(), random.u32()))]
    valid = [{"circuit": cell.circuit, "slot": cell.slot, "body": cell.body.hex(), "cell": serialise_cell(cell).hex()} for cell in made]
    return {"section": "3", "valid": valid, "invalid": [{"why": f"{length} octets", "cell": bytes(length).hex()} for length in (0, 8, 255, 257, 512)]}


def changed(body: bytes, place: int, octets: Sequence[int]) -> str:
    """Return a body with octets put in its place, as text."""
    return (body[:place] + bytes(octets) + body[place + len(octets) :]).hex()


def speech(random: SeededRandom) -> Entry:
    """§3.1: fragments, and messages cut into them."""
    made = [
        Speech(Kind.PHASE, 0, 1, 1, b""),
        Speech(Kind.SETTLED, 0, 1, 2**16 - 1, b"\x01\xf4"),
        Speech(Kind.CREATE, 0, 6, 1, random.octets(224)),
        Speech(Kind.CREATE, 5, 6, 1, random.octets(80)),
        Speech(Kind.TOKENS, 15, 16, 7, random.octets(224)),
    ]
    valid = [
        {
            "kind": each.kind,
            "index": each.index,
            "count": each.count,
            "number": each.number,
            "fragment": each.fragment.hex(),
            "body": serialise_speech(each).hex(),
        }
        for each in made
    ]
    short, last = serialise_speech(made[1]), serialise_speech(made[3])
    invalid = [
        ("count 0", changed(short, 18, [0])),
        ("count 17", changed(last, 18, [17])),
        ("index not below count", changed(short, 17, [1])),
        ("octet 19 is not zero", changed(short, 19, [1])),
        ("length over 224", changed(short, 22, struct.pack(">H", 225))),
        ("a fragment before the last is not full", changed(last, 17, [4])),
        ("an empty last fragment of several", changed(serialise_speech(Speech(Kind.CREATE, 5, 6, 1, b"")), 16, [Kind.CREATE])),
        ("octets after the length are not zero", changed(short, 247, [1])),
    ]
    messages = [
        (Kind.PHASE, 3, b""),
        (Kind.KNOCK, 4, random.octets(216)),
        (Kind.CREATE, 1, random.octets(PAYLOAD_OCTETS[Kind.CREATE])),
        (Kind.CREATED, 1, random.octets(PAYLOAD_OCTETS[Kind.CREATED])),
        (Kind.TOKENS, 2**16 - 1, random.octets(2_048)),
    ]
    return {
        "section": "3.1",
        "valid": valid,
        "invalid": [{"why": why, "body": body} for why, body in invalid],
        "messages": [
            {"kind": kind, "number": number, "payload": payload.hex(), "bodies": [body.hex() for body in fragments(kind, number, payload)]}
            for kind, number, payload in messages
        ],
    }


def layers(random: SeededRandom) -> Entry:
    """§4: a body inside the layers of guard and junction, on the access link and behind the guard. Forward and backward look the same; only who enciphers differs."""
    paths = []
    for slot in (0, 1, 2**32 - 1, random.u32()):
        keys, body, tweak = [random.octets(16), random.octets(16)], random.octets(248), struct.pack(">I", slot)
        guard, junction = (Hctr2(key) for key in keys)
        behind = junction.encipher(tweak, body)
        links = [guard.encipher(tweak, behind).hex(), behind.hex()]
        paths.append({"slot": slot, "keys": [key.hex() for key in keys], "body": body.hex(), "links": links})
    return {"section": "4", "paths": paths}


def due_times(random: SeededRandom) -> Entry:
    """§5.3: fifty arrivals, the due times they fix, and which cells are then taken."""
    settling, first = Settling(first=1_000_000, step_us=15_000), 1_000_000
    arrivals = [(first + i, (first + i) * SLOT_US + 20_000 + random.u32() % 6_000) for i in range(-2, 51) if i != 7]
    bases = [settling.measure(slot, arrival_us) for slot, arrival_us in arrivals]
    base_us = next(base for base in bases if base is not None)
    due, ring = Due(base_us), Ring()
    taken: list[Entry] = []
    slot = first + 60
    for offset, ahead in ((-1_001, 0), (-1_001, 0), (-1_000, 0), (-21_000, 0), (-1_001, 3), (-1_001, 4), (-65_000, -1), (-1_001, 1)):
        now_us = due.time_us(slot) + offset
        refusal = ring.refusal(slot + ahead, due, now_us)
        if refusal is None:
            ring.put(slot + ahead, b"")
        taken.append({"now_us": now_us, "slot": slot + ahead, "refusal": refusal})
    return {
        "section": "5.3",
        "first": first,
        "step_us": settling.step_us,
        "arrivals": arrivals,
        "fixed_by_arrival": next(i for i, base in enumerate(bases) if base is not None),
        "due": [[slot, due.time_us(slot)] for slot in (first, first + 51, 2**32 + 5)],
        "taken": taken,
    }


def clock(random: SeededRandom) -> Entry:
    """§5.6: a guard 50 ppm slow behind jitter, and what becomes of the clock of a box. offsets_us: of each tick's cell the arrival less its slot's time, `-` where none came.

    The first rate is drawn from the seed of 32 zeros. anchor, begin: before which tick the guard says settled, the own end settles. states: tick, rate, model, beat, jump in us.
    """
    box, offsets, states = Clock(SeededRandom(bytes(32))), [], []
    for tick in range(2_400):
        late_us = random.u32() % 700 + random.u32() % 9_000 * (random.u32() % 5 == 0)
        if tick == 200:
            box.anchor()
        if tick == 260:
            box.begin(settled=True)
        lost = random.u32() % 100 < (90 if 900 <= tick < 1_100 else 3)  # for two hundred ticks hardly anything comes
        offset_us = tick + late_us + (tick < 200) * 40_000 + (tick >= 1_600) * 7_000
        offsets.append("-" if lost else str(offset_us))
        if not lost:
            box.note(offset_us)
        jumped_us = box.tick()
        if tick % 64 in {3, 40} or jumped_us:
            states.append(" ".join(str(number) for number in (tick, box.rate, box.model, box.beat, jumped_us)))
    return {"section": "5.6", "anchor": 200, "begin": 260, "offsets_us": " ".join(offsets), "states": states}


def splice(random: SeededRandom) -> Entry:
    """§5.5: which body of the giver a slot of the receiver carries."""
    cases: list[Entry] = []
    for _ in range(6):
        phase_us, base_us, slot = random.u32() % 80 * 250, random.u32() % 400_000 * 250 - 50_000_000, random.u32() + 10_000
        leaves_us = SLOT_US * slot + phase_us
        given = Due(base_us).last_slot(leaves_us)
        cases.append(
            {
                "phase_us": phase_us,
                "giver_base_us": base_us,
                "next_slot": slot,
                "offset": slot - given,
                "given_due_us": Due(base_us).time_us(given),
                "leaves_us": leaves_us,
            }
        )
    return {"section": "5.5", "cases": cases}


def end_to_end(random: SeededRandom) -> Entry:
    """§9.1: bodies, sealed, and the window of counters."""
    key = random.octets(16)
    made = [
        Sound(1),
        Sound(2**64 - 1, 1, random.octets(120), random.octets(100), 1),
        Sound(77, 2, random.octets(160), random.octets(60)),
        Sound(78, 3, random.octets(160)),
        Sound(79, 1, random.octets(110), random.octets(110), COPY),
        Sound(80, 3, random.octets(160), random.octets(57), COPY),
        Sound(81, 4, random.octets(160), random.octets(60), 1),
        Sound(81, 1, random.octets(60), random.octets(60), COPY | ENDS_MESSAGE, random.octets(99)),
        Sound(82, 1, b"", random.octets(60), COPY | METERED),
        Sound(84, 2, random.octets(160), random.octets(57), COPY | METERED),
        Sound(86, 0, b"", random.octets(4), METERED),
        Sound(87, 0, b"", random.octets(220), OF_STREAMS),
        Sound(88, 1, random.octets(60), random.octets(60), COPY | OF_STREAMS, random.octets(99)),
    ]
    valid = [
        {
            "counter": sound.counter, "codec": sound.codec, "frame": sound.frame.hex(), "second": sound.second.hex(), "flags": sound.flags,
            "third": sound.third.hex(),
            "body": serialise_sound(sound).hex(), "sealed": Hctr2(key).encipher(NO_TWEAK, serialise_sound(sound)).hex(),
        }
        for sound in made
    ]  # fmt: skip
    pcma, plain = serialise_sound(made[2]), serialise_sound(made[0])
    invalid = [
        ("counter 0", changed(plain, 23, [0])),
        ("codec 5", changed(plain, 24, [5])),
        ("a frame without a codec", changed(plain, 25, [1])),
        ("a codec without a frame", changed(plain, 24, [1])),
        ("PCMA of 159 octets", changed(pcma, 25, [159])),
        ("more than 220 octets", changed(pcma, 26, [61])),
        ("flags 16", changed(pcma, 27, [16])),
        ("the end of a message in a segment of streams", changed(pcma, 27, [ENDS_MESSAGE | OF_STREAMS])),
        ("streams without a segment", changed(plain, 27, [OF_STREAMS])),
        ("the end of a message, but no segment behind the copy", changed(serialise_sound(made[5]), 27, [COPY | ENDS_MESSAGE])),
        ("a segment behind the copy that ends outside the cell", changed(serialise_sound(made[7]), 148, [100])),
        ("octets behind the segment behind the copy", changed(serialise_sound(made[7]), 148, [98])),
        ("a copy of 60 octets of PCMA", changed(pcma, 27, [COPY])),
        ("a copy of G.722", changed(serialise_sound(made[6]), 26, [57, COPY])),
        ("G.722 of 120 octets", changed(serialise_sound(made[6]), 25, [120])),
        ("a copy without a codec", changed(plain, 26, [57, COPY])),
        ("a copy without octets", changed(serialise_sound(made[3]), 27, [COPY])),
        ("a copy of 121 octets of Opus", changed(serialise_sound(Sound(5, 1, random.octets(60))), 26, [121, COPY])),
        ("the end of a message without a segment", changed(plain, 27, [1])),
        ("the rest is not zero", changed(plain, 247, [1])),
    ]
    window, counters = CounterWindow(), [5, 5, 7, 6, 2_000, 977, 976, 977, 2_001, 1_999, 977, 978]
    return {
        "section": "9.1",
        "key": key.hex(),
        "valid": valid,
        "invalid": [{"why": why, "body": body} for why, body in invalid],
        "window": [{"counter": counter, "taken": window.take(counter)} for counter in counters],
    }


def tone(codec: int, random: SeededRandom, noise: int) -> bytes:
    """Return a G.711 frame of a voice-like sound: a triangle and noise, in the nearest octets."""
    period, height = 24 + random.u32() % 80, 1_000 + random.u32() % 8_000
    triangle = [abs(place % period * 4 * height // period - 2 * height) - height for place in range(160)]
    return bytes(compress(codec, sample + random.u32() % (2 * noise + 1) - noise) for sample in triangle)


def coarse(random: SeededRandom) -> Entry:
    """§9.4: frames of G.711, their coarse copies, and what is heard of these."""
    frames = [(codec, tone(codec, random, noise)) for codec in (2, 3) for noise in (0, 300, 4_000)]
    frames += [(codec, made) for codec in (2, 3) for made in (random.octets(160), bytes([0xD5]) * 160, bytes([0, 128]) * 80)]
    made = [(codec, frame, coarse_copy(codec, frame)) for codec, frame in frames]
    valid = [{"codec": codec, "frame": frame.hex(), "copy": copy.hex(), "heard": (frame_of_copy(codec, copy) or b"").hex()} for codec, frame, copy in made]
    copy = made[0][2]
    invalid = [
        ("predictor 4", changed(copy, 0, [4])),
        ("step 64", changed(copy, 1, [64])),
        ("symbols over 5", changed(copy, 20, [216])),
        ("the 161st symbol is not zero", changed(copy, 56, [6])),
        ("the 162nd symbol is not zero", changed(copy, 56, [36])),
    ]
    return {"section": "9.4", "valid": valid, "invalid": [{"why": why, "copy": octets} for why, octets in invalid]}


def streams(random: SeededRandom) -> Entry:
    """§11: segments, frames, and rows whose pieces come in disorder, with what is acknowledged after each."""
    segments = [
        Segment(0, 0),
        Segment(65_535, 2**32 - 1, (), piece=(2**32 - 2, b"\x00")),
        Segment(7, 1_000, ((1, 1), (205, 410)), piece=(99, random.octets(201))),
        Segment(8, 0, ((1, 1),) * 8, more=True),
        Segment(9, 5, ((32_000, 768),)),
        Segment(10, 6, ((1, 1),), fragments=serialise_fragment(Fragment(yours=False, stream=3, number=0, place=0, last=True, octets=b""))),
    ]
    valid = [
        {"heard": each.heard, "next": each.next, "ranges": each.ranges, "more": each.more, "offset": each.piece and each.piece[0],
         "piece": each.piece and each.piece[1].hex(), "fragments": each.fragments.hex(), "segment": serialise_segment(each).hex()}
        for each in segments
    ]  # fmt: skip
    plain, ranged = serialise_segment(segments[0]), serialise_segment(segments[2])
    invalid = [
        ("6 octets", plain[:6].hex()),
        ("nine ranges", changed(plain + bytes([0, 1]) * 18, 6, [9])),
        ("a range that is not there", changed(plain, 6, [1])),
        ("more behind no range", changed(plain, 6, [0x80])),
        ("a range without a gap", changed(ranged, 7, [0, 0])),
        ("a range without octets", changed(ranged, 9, [0, 0])),
        ("ranges beyond the window", changed(ranged, 11, [0x80, 0])),
        ("an offset without octets", (plain + bytes(4)).hex()),
        ("half an offset", (plain + bytes(3)).hex()),
        ("fragments without one", changed(plain, 6, [0x40])),
    ]
    frames = [
        Frame(1, False, 0, 80), Frame(1, False, 65_535, 65_535), Frame(2, True, 5), Frame(3, False, 7, b"x"), Frame(3, True, 8, random.octets(255)),
        Frame(4, True, 9), Frame(5, False, 10, 1), Frame(5, True, 11, 4), Frame(6, True, 12, 2**32 - 1), Frame(7, False, 13, 53), Frame(5, False, 14, 5), Frame(8, False, 15, 443),
    ]  # fmt: skip
    none = ("00 0000", "09 0000", "81 0000 0050", "87 0000 0050", "88 0000 0050", "02 0000", "03 0000 00", "05 0000 00", "05 0000 06")
    return {
        "section": "11",
        "segments": valid,
        "no_segments": [{"why": why, "segment": octets} for why, octets in invalid],
        "frames": [{"kind": each.kind, "yours": each.yours, "stream": each.stream, "frame": serialise_frame(each).hex()} for each in frames],
        "no_frames": [octets.replace(" ", "") for octets in none],
        "fragments": [each._asdict() | {"octets": each.octets.hex(), "fragment": serialise_fragment(each).hex()} for each in datagram_fragments(random)],
        "no_fragments": [{"why": why, "fragment": octets} for why, octets in no_fragments()],
        "rows": [scrambled(random, most) for most in (3, 20, 209)],
    }


def datagram_fragments(random: SeededRandom) -> list[Fragment]:
    """Return fragments as they may be."""
    return [
        Fragment(yours=False, stream=0, number=0, place=0, last=True, octets=b""),
        Fragment(yours=True, stream=65_535, number=65_535, place=8_191, last=True, octets=b"x"),
        Fragment(yours=False, stream=7, number=1_000, place=205, last=False, octets=random.octets(205)),
        Fragment(yours=True, stream=8, number=1, place=0, last=False, octets=random.octets(255)),
    ]


def no_fragments() -> list[tuple[str, str]]:
    """Return what is none, and why."""
    good = serialise_fragment(Fragment(yours=False, stream=7, number=1, place=3, last=True, octets=b"abc"))
    return [
        ("7 octets", good[:7].hex()),
        ("an octet is missing", good[:-1].hex()),
        ("another bit", changed(good, 0, [0x03])),
        ("no octets, not at the beginning", changed(good, 7, [0])),
        ("no octets, and more to come", changed(good, 0, [0, 0, 7, 0, 1, 0, 0, 0])),
        ("beyond the longest datagram", changed(good, 5, [0x1F, 0xFE])),
    ]


def scrambled(random: SeededRandom, most: int) -> Entry:
    """Return a row that opens a stream and says something on it, in pieces of at most so many octets that come in any order, some twice."""
    said = [random.octets(1 + random.u32() % 255) for _ in range(4)]
    row = b"".join(serialise_frame(each) for each in (Frame(1, False, 3, 22), *(Frame(3, False, 3, octets) for octets in said), Frame(4, False, 3)))
    pieces, place = [], 0
    while place < len(row):
        end = place + 1 + random.u32() % most
        pieces.append((place, row[place:end]))
        place = end
    order = sorted(pieces + pieces[::3], key=lambda _piece: random.u32())
    receiver, steps = Row(), []
    for counter, piece in enumerate(order, 65_500):
        receiver.take(counter, piece)
        steps.append({"counter": counter, "segment": serialise_segment(Segment(0, 0, piece=piece)).hex(), "answer": receiver.acknowledgement().hex()})
    assert receiver.whole == row
    return {"port": 22, "stream": 3, "said": b"".join(said).hex(), "steps": steps}


def vectors() -> dict[str, str]:
    """Return the files by name."""
    makers = {
        "cells": cells,
        "speech": speech,
        "layers": layers,
        "due_times": due_times,
        "clock": clock,
        "splice": splice,
        "end_to_end": end_to_end,
        "coarse": coarse,
        "streams": streams,
    }
    source = "made by tools/make_vectors.py from relay/model"
    return {f"{name}.json": json.dumps({"source": source, **make(SeededRandom(name.encode()))}, indent=1) + "\n" for name, make in makers.items()}


if __name__ == "__main__":
    for file_name, text in vectors().items():
        (FOLDER / file_name).write_text(text)
