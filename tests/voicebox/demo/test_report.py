"""The demo's report: its JSON object, its lines, and what it complains about."""

from __future__ import annotations

import dataclasses
import io
import json

from voicebox.demo.capture import CaptureCounts
from voicebox.demo.measure import CallFigures, DirectionFigures, FlowFigures, SecondCounts
from voicebox.demo.quality import Quality
from voicebox.demo.report import DemoReport, Progress, complaints, human_lines, json_object
from voicebox.demo.sipview import CallView
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import Outcome
from voicebox.probe.lines import all_lines
from voicebox.probe.result import result_of

CALL = CallView(0, 1, 2, 3, 4, None, None)
GOOD = DirectionFigures(500, 0, 0.0, tuple(30.0 + i / 100 for i in range(500)), (0.5,) * 500, 1)
WORSE = dataclasses.replace(GOOD, delays_ms=(40.0,) * 500, jitters_ms=(0.75,) * 500)
FIFTY = SecondCounts(50.0, 49, 51, 5)
OUT = FlowFigures("box-a - guard-1", True, True, {278: 1000}, FIFTY, FIFTY, 1.1, 0, 0, 1, 4)
BACK = dataclasses.replace(OUT, towards_far=False, idle=SecondCounts(49.9, 49, 50, 5))
FIGURES = CallFigures(CALL, "pcma", GOOD, WORSE, 210.0, 95.5, (OUT, BACK))
QUALITY = Quality("PLCMOS v2", 4.4, 4.42, 3.8, 4)
REPORT = DemoReport(("box-a", "guard-1", "junction-1", "guard-3", "box-b"), "pcma", 256, FIGURES, QUALITY, CaptureCounts(9000, 0, 0), real_time=True)


def test_the_json_object_has_what_programs_look_for() -> None:
    found = json.loads(json.dumps(json_object(REPORT), allow_nan=False))
    assert (found["relays"], found["cell_octets"], found["datagram_octets"]) == (3, 256, [278])
    assert found["one_way_ms"] == {"p50": 40.0, "p95": 40.0, "p99": 40.0}
    assert found["jitter_ms"] == {"mean": 0.75, "p99": 0.75}
    assert found["loss_pct"] == 0
    assert found["setup_ms"] == {"invite_to_ringing": 210.0, "answer_to_audio": 95.5}
    assert {name: found["quality"][name] for name in ("measure", "call", "direct", "call_with_5pct_loss")} == {
        "measure": "PLCMOS v2",
        "call": 4.4,
        "direct": 4.42,
        "call_with_5pct_loss": 3.8,
    }
    assert found["cells_per_s"] == {"box-a - guard-1": {"idle": 49.9, "call": 50.0}}


def test_without_a_capture_every_figure_is_null_and_this_is_said() -> None:
    report = dataclasses.replace(REPORT, figures=None, quality=None, capture=None)
    found = json.loads(json.dumps(json_object(report), allow_nan=False))
    assert (found["relays"], found["datagram_octets"], found["loss_pct"], found["one_way_ms"]["p50"]) == (3, [], None, None)
    assert complaints(report) == ["there are no figures: there was no capture"]
    assert any("no capture" in line for line in human_lines(report))


def test_a_direction_without_sound_is_null_and_complained_about() -> None:
    dead = DirectionFigures(500, 500, 0.0, (), (), None)
    report = dataclasses.replace(REPORT, figures=dataclasses.replace(FIGURES, to_caller=dead, answer_to_audio_ms=None))
    found = json.loads(json.dumps(json_object(report), allow_nan=False))
    assert (found["loss_pct"], found["setup_ms"]["answer_to_audio"]) == (100, None)
    assert any("one direction" in complaint for complaint in complaints(report))


def test_all_well_is_said_and_each_fault_is_named() -> None:
    assert complaints(REPORT) == []
    assert human_lines(REPORT)[-1] == "All figures are within their limits."
    slow = dataclasses.replace(FIGURES, to_caller=dataclasses.replace(WORSE, delays_ms=(70.0,) * 500, jitters_ms=(3.0,), lost=5))
    late = dataclasses.replace(OUT, longest_gap_slots=3.5)
    odd = dataclasses.replace(BACK, sizes={278: 9, 300: 1})
    report = dataclasses.replace(
        REPORT,
        figures=dataclasses.replace(slow, flows=(late, odd)),
        quality=dataclasses.replace(QUALITY, call=4.2),
        capture=CaptureCounts(9, 3, 0),
    )
    text = "\n".join(complaints(report))
    for word in ("2 sizes", "one-way delay", "jitter", "loss", "longest gap", "quality", "capture lost 3"):
        assert word in text
    assert len(complaints(report, with_limits=False)) == 2
    assert "NOT AS IT SHOULD BE" in human_lines(report)[-1]


def test_a_little_loss_is_allowed_only_where_something_can_delay_a_cell() -> None:
    figures = dataclasses.replace(FIGURES, to_callee=dataclasses.replace(GOOD, sent=1000, lost=1))
    assert complaints(dataclasses.replace(REPORT, figures=figures, real_time=False)) == []
    assert complaints(dataclasses.replace(REPORT, figures=figures, is_virtual=True)) == []
    assert len(complaints(dataclasses.replace(REPORT, figures=figures))) == 1


def test_lines_fit_a_terminal_and_name_the_speech() -> None:
    lines = human_lines(dataclasses.replace(REPORT, real_time=False))
    assert max(map(len, lines)) <= 130
    assert any("CC-BY-SA-3.0" in line for line in lines)
    assert any("SCHED_FIFO" in line for line in lines)


def test_second_path_is_told_where_there_is_one() -> None:
    both = dataclasses.replace(REPORT, spare=("box-a", "guard-2", "junction-2", "guard-4", "box-b"))
    assert any("and over   box-a > guard-2 > junction-2 > guard-4 > box-b" in line for line in human_lines(both))
    assert json_object(both)["spare"] == ["box-a", "guard-2", "junction-2", "guard-4", "box-b"]
    for none in ((), ("box-a", "box-b")):
        assert not any("and over" in line for line in human_lines(dataclasses.replace(REPORT, spare=none)))


def test_progress_is_plain_where_nobody_looks() -> None:
    out = io.StringIO()
    Progress(out).say("six relays run")
    assert out.getvalue().endswith(" s  six relays run\n")
    assert "\x1b" not in out.getvalue()


def test_report_ends_with_the_table_of_the_probe() -> None:
    probed = result_of(ProbeCodec.OPUS24, Outcome.MEASURED, [10_000] * 500, [10_000] * 500, [160.0] * 500, relays_at_least=3, asked_s=10)
    report = dataclasses.replace(REPORT, probe=probed)
    lines = human_lines(report)
    assert lines[-len(all_lines("box-b", probed)) :] == all_lines("box-b", probed)
    told = json.loads(json.dumps(json_object(report), allow_nan=False))
    assert told["probe"]["verdict"] == "good"
    assert json_object(REPORT)["probe"] is None
