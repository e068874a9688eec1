"""What is made of a probe's numbers: grade, causes, table, JSON, page."""

from __future__ import annotations

import datetime as dt
import html.parser
import json
import random
import re
from dataclasses import replace
from pathlib import Path

import pytest

import voicebox.probe.report
from tests.support.schema import problems
from voicebox.b2bua.events import LOST, MENDED
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import MOST_S, Outcome
from voicebox.probe.lines import STRIP, all_lines, mark_of_delay, mark_of_loss, strip
from voicebox.probe.page import MAX_OCTETS, page
from voicebox.probe.report import json_object
from voicebox.probe.result import Grade, ProbeResult, SpeechScore, causes, compared, hints, points_of, result_of, verdict

SCHEMA = json.loads((Path(voicebox.probe.report.__file__).parent / "schema.json").read_text())
NOW = dt.datetime(2026, 1, 31, 12, 37, 59, tzinfo=dt.UTC)


def units(frames: int, *, loss: float = 0.0, jitter_ms: float = 0.0, seed: int = 1) -> list[int]:
    """Return what is told of so many frames."""
    chance = random.Random(seed)
    return [LOST if chance.random() < loss else 10_000 + int(chance.uniform(0, jitter_ms) * 10) for _ in range(frames)]


def result(
    frames: int = 1500, *, loss: float = 0.0, jitter_ms: float = 1.0, trip_ms: float = 160.0, codec: ProbeCodec = ProbeCodec.OPUS24, late_sends: int = 0
) -> ProbeResult:
    there, back = units(frames, loss=loss, jitter_ms=jitter_ms), units(frames, loss=loss / 2, jitter_ms=jitter_ms, seed=2)
    trips = [trip_ms + index % 3 for index in range(frames)]
    return result_of(codec, Outcome.MEASURED, there, back, trips, verified=True, relays_at_least=3, asked_s=30, late_sends=late_sends)


# ------------------------------------------------------------------------------------------------------- grade and causes


@pytest.mark.parametrize(
    ("loss", "jitter_ms", "trip_ms", "grade", "first"),
    [
        (0.0, 1, 160, Grade.GOOD, None),
        (0.06, 1, 160, Grade.FAIR, "loss"),
        (0.15, 1, 160, Grade.POOR, "loss"),
        (0.0, 1, 520, Grade.FAIR, "delay"),
        (0.0, 1, 900, Grade.POOR, "delay"),
        (0.0, 600, 160, Grade.POOR, "frames that come too late"),
    ],
)
def test_grade_and_main_cause(loss: float, jitter_ms: float, trip_ms: float, grade: Grade, first: str | None) -> None:
    found = result(loss=loss, jitter_ms=jitter_ms, trip_ms=trip_ms)
    assert found.grade is grade
    assert (causes(found)[0][0] if causes(found) else None) == first
    assert verdict(found).startswith(grade.name)
    assert bool(hints(found)) is (first is not None)


@pytest.mark.parametrize("codec", [ProbeCodec.OPUS24, ProbeCodec.PCMA], ids=lambda codec: str(codec.word))
def test_points_are_where_r_went(codec: ProbeCodec) -> None:
    for direction in result(loss=0.05, jitter_ms=60, trip_ms=400, codec=codec).directions:
        points = points_of(direction, codec)
        assert min(points.codec, points.lost, points.delay) > 0
        assert points.r + points.codec + points.lost + points.late + points.delay == pytest.approx(148, abs=1.0)


def test_worse_direction_decides() -> None:
    found = result(loss=0.1)
    assert found.worse is found.there
    assert found.there.best.g711.r < found.back.best.g711.r


def test_hints_fit_what_is_wrong() -> None:
    assert any("Opus" in hint for hint in hints(result(loss=0.1, codec=ProbeCodec.PCMA)))
    assert any("Opus" in hint for hint in hints(result(loss=0.1, codec=ProbeCodec.G722)))
    assert any("--path new" in hint for hint in hints(result(loss=0.1)))
    assert not any("--path new" in hint for hint in hints(replace(result(loss=0.1), before=result())))
    assert not any("Opus" in hint for hint in hints(result(loss=0.1)))
    assert any("busy" in hint for hint in hints(result(late_sends=100)))
    outage = [10_000] * 500 + [LOST] * 60 + [10_000] * 940
    in_a_row = result_of(ProbeCodec.OPUS24, Outcome.MEASURED, outage, outage, [160.0])
    assert any("in a row" in hint for hint in hints(in_a_row))


def test_two_paths_say_whether_it_is_the_path() -> None:
    good, poor = result(), result(loss=0.15)
    assert compared(good) == ""
    assert "It was the path" in compared(replace(good, before=poor))
    assert "The path matters" in compared(replace(poor, before=good))
    assert "not the junctions" in compared(replace(poor, before=poor))
    twice = replace(good, before=poor)
    assert "It was the path" in "\n".join(all_lines("bob", twice))
    assert "It was the path" in page(twice, "now")
    told = json_object(twice, NOW)
    assert problems(json.loads(json.dumps(told)), SCHEMA) == []
    before = told["before"]
    assert isinstance(before, dict)
    assert before["verdict"] == "poor"


def test_relays_of_this_side_are_named_where_the_user_asked_and_never_on_a_page() -> None:
    shown = replace(result(), own_relays=(("Northwind", "Westbank"), ("Southend", "Eastside")))
    assert "your relays: Northwind, Westbank; beside it Southend, Eastside." in "\n".join(all_lines("bob", shown))
    told = json_object(shown, NOW)
    assert problems(json.loads(json.dumps(told)), SCHEMA) == []
    assert told["path"] == {"relays_at_least": 3, "own": [["Northwind", "Westbank"], ["Southend", "Eastside"]]}
    assert json_object(result(), NOW)["path"] == {"relays_at_least": 3, "own": None}
    assert not any(name in page(shown, "now") for name in ("Northwind", "Westbank", "Southend", "Eastside"))


def test_speech_is_told_with_what_was_compared() -> None:
    spoken = replace(result(), speech=SpeechScore("PLCMOS v2", 4.31, 4.4, 4.2, None))
    line = next(line for line in all_lines("bob", spoken) if "speech:" in line)
    assert "PLCMOS v2, 1 to 5: 4.31 at the other box, 4.40 the same frames with nothing between, PESQ 4.20 there" in line
    assert "STOI" not in line
    told = json.loads(json.dumps(json_object(spoken, NOW)))
    assert problems(told, SCHEMA) == []
    assert told["signal"] == {"measure": "PLCMOS v2", "there": 4.31, "direct": 4.4, "pesq": 4.2, "stoi": None}


def test_mended_frames_are_received() -> None:
    found = result_of(ProbeCodec.PCMA, Outcome.MEASURED, [10_000, MENDED + 10_010, LOST] * 100, [10_000] * 300, [100.0])
    assert (found.there.received, found.there.mended, found.there.lost) == (200, 100, 100)
    assert found.there.delays_ms[3] == pytest.approx(1.0)


# ------------------------------------------------------------------------------------------------------------------ lines


def test_table_names_both_directions_the_scales_and_whose_values_they_are() -> None:
    text = "\n".join(all_lines("bob", result(loss=0.02)))
    for word in (
        "you -> bob",
        "bob -> you",
        "verified",
        "MOS-CQEF",
        "MOS-CQEN",
        "RFC 3550",
        "mouth to ear",
        "150",
        "280",
        "not ITU's",
        "verdict:",
        "buffer of 200 ms",
    ):
        assert word in text
    assert all(len(line) <= 140 for line in text.splitlines())
    assert "not ITU's" not in "\n".join(all_lines("bob", result(codec=ProbeCodec.PCMA)))


def test_table_of_nothing_yet() -> None:
    nothing = result_of(ProbeCodec.OPUS24, Outcome.UNDER_WAY, [], [], [], asked_s=30)
    assert "0 / 0" in "\n".join(all_lines("bob", nothing))


def test_strips_have_a_mark_for_each_stretch() -> None:
    delays: list[float | None] = [0.0] * 600 + [None] * 300 + [70.0] * 300
    loss, delay = strip(delays, mark_of_loss), strip(delays, mark_of_delay)
    assert loss == "." * 30 + "#" * 15 + "." * 15
    assert delay == "_" * 30 + " " * 15 + "=" * 15
    assert len(loss) == STRIP
    assert strip([None, 1.0], mark_of_loss) == "#."
    assert strip([], mark_of_loss) == ""


# ------------------------------------------------------------------------------------------------------------------- JSON

EVERY = [
    result(),
    result(loss=0.1, jitter_ms=80),
    result(codec=ProbeCodec.PCMA, loss=1.0),
    result_of(ProbeCodec.OPUS32, Outcome.CUT_SHORT, [10_000], [], [], asked_s=5),
]


@pytest.mark.parametrize("found", EVERY, ids=["good", "poor", "nothing came", "one frame"])
def test_report_fits_its_schema(found: ProbeResult) -> None:
    told = json.loads(json.dumps(json_object(found, NOW), allow_nan=False))
    assert problems(told, SCHEMA) == []


def test_schema_refuses_what_it_does_not_know() -> None:
    told = json_object(result(), NOW)
    assert problems({**told, "contact": "bob"}, SCHEMA) == [".contact: is not known"]
    assert problems({**told, "version": 1}, SCHEMA) != []
    assert problems({name: value for name, value in told.items() if name != "verdict"}, SCHEMA) == [".verdict: is missing"]


def test_report_says_when_to_ten_minutes_only() -> None:
    assert json_object(result(), NOW)["time_rounded"] == "2026-01-31T12:30Z"


# ------------------------------------------------------------------------------------------------------------------- page


class Elements(html.parser.HTMLParser):
    """Collects what a page is made of, and that it is closed."""

    VOID = frozenset({"meta", "rect", "path", "br"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("found", EVERY, ids=["good", "poor", "nothing came", "one frame"])
def test_page_has_no_script_and_nothing_from_elsewhere(found: ProbeResult) -> None:
    text = page(found, "2026-01-31T12:30Z")
    elements = Elements(text)
    assert elements.open == []
    assert {"svg", "table", "style"} <= set(elements.tags)
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & set(elements.tags)
    assert not any(name.startswith("on") or name in {"src", "href", "xlink:href", "action"} for name, _ in elements.attributes)
    assert not re.search(r"url\(|@import|https?:|//", text)
    assert "nan" not in text.lower()
    assert "default-src 'none'" in text


def test_longest_and_worst_page_is_small_enough() -> None:
    chance = random.Random(3)
    rough = [LOST if index % 2 else 10_000 + chance.randrange(5000) for index in range(MOST_S * 50)]
    assert len(page(result_of(ProbeCodec.OPUS24, Outcome.MEASURED, rough, rough, [100.0] * 1000), "now").encode()) <= MAX_OCTETS
