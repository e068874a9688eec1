"""The parts of the benchmarks beyond a relay's speed: what is missing makes no figure better, and the names in the JSON stay."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tools.bench import __main__ as bench
from tools.bench import document, figures, parts, thesis
from tools.bench.flood import parse_flood
from tools.bench.kills import gap_ms, summary
from tools.bench.octets import sizes
from tools.bench.pairs import network_of_pairs
from tools.bench.parts import CALLS, PARTS, SECONDS, Given, Part
from tools.bench.relay_calls import delays_ms
from tools.bench.table import assemble, lines
from voicebox.demo.datagrams import PROTOCOL_UDP, Datagram, Endpoint

MS = 1_000_000
S = 1_000_000_000
KEYS = {
    "one_way_virtual_ms", "link_octets", "relay_delay_ms", "relay_kb_s", "box_cpu_pct", "relay_capacity", "relay_killed", "flood", "directory", "speech_plcmos", "house", "probe", "page", "unseen",
}  # fmt: skip


def kills(*gaps_ms: float, lived: int) -> dict[str, Any]:
    return summary([{"gap_ms": gap, "lived": number < lived} for number, gap in enumerate(gaps_ms)])


def found() -> dict[str, Any]:
    """Return what the parts may find."""
    way = {"p50_ms": 37.5, "p99_ms": 49.4}
    cells = {**way, "missing_pct": 0.01}
    flood = {"calls_lost": 0, "loss_pct": 0.01, "tick_late_p99_us": 90}
    return {
        "lengths": {"one_way": {str(link): {str(relays): way for relays in range(1, 7)} for link in (0, 19, 45)}},
        "octets": {"relays": {"3": {"links": [{"ip_octets": [306]}] * 4}, "6": {"links": [{"ip_octets": [92, 306]}] * 7}}},
        "relay_calls": {"full": {"1": cells, "100": cells}, "quota": {"1": cells}, "failed": {"quota 1000": "no link"}, "rates": {"1": {"in_kb_s": 30.6, "out_kb_s": 30.6}}},
        "house": {
            "start_s": 1.1, "message": {"p50_us": 160.0, "p99_us": 300.0}, "kamailio": "not installed", "seconds": 60.0,
            "calls": {"wanted": 3_000, "good": 2_999, "failed": 1, "retransmissions": 4, "rate": 49.9, "cpu_ms_each": 5.1},
            "registrations": {"wanted": 3_000, "good": 3_000, "failed": 0, "retransmissions": 0, "rate": 50.0, "cpu_ms_each": 1.2},
            "at_once": {
                "local": {"streams": 40, "wanted": 40, "mean_ms": 0.2, "worst_ms": 0.4}, "circuits": {"streams": 15, "wanted": 16, "mean_ms": None, "worst_ms": 0.1},
            },
        },
        "box": {"idle_pct": 1.2, "call_pct": 2.1, "circuits_in_call": [2, 2]},
        "probe": {
            "box_idle_pct": [1.2, 1.1], "box_probing_pct": [4.2, 3.9], "command_pct": 1.1, "added_pct": 4.1, "start_s": 0.7, "first_frame_s": 2.1,
            "score_s": {"pcma": 2.5, "opus24": None},
        },
        "page": {
            "ready_s": {"p50": 0.01, "p95": 0.0412, "most": 0.4, "count": 160}, "page": {"rss_mb": 51.9, "own_mb": 35.2}, "call": None,
            "leg_ms": {"p50": 0.4, "p99": 6.5, "most": 7.0, "frames": 500},
        },
        "capacity": {
            "most_calls": 1_000, "most_circuits": 2_000, "wanted_circuits": 4_000, "first_too_many": 2_500, "held_s": 60.0, "rtpengine": "not installed",
            "held": {"tick_late_p99_us": 900, "loss": 0.0001},
        },
        "kills": {"case": "continent-clean", "relays": {"caller_guard": kills(20, 22, 40, lived=3), "junction": kills(20, 700, lived=1)}},
        "paths": {
            "verify": {"2000": {"relays": 2_000, "cpu_s": 0.9, "kept_mb": 6.0, "most_mb": 60.0, "octets": 5_000_000, "gossip": {"first_cpu_s": 0.8, "first_octets": 5e5, "day_octets": 1.7e6}}},
            "choose": {"2000": {name: {"p50_ms": 0.1, "p99_ms": 6.0} for name in ("look_through", "junctions", "path")}},
            "bad": [],
        },
        "records": {"questions": 100, "took_ms": {"home": {"p50": 1400.0, "p95": 1450.0, "max": 1500.0}}, "half_die": {"records": 1_000, "relays": 512, "dead": 256, "draws": 10, "mean": 3.9, "unreadable": 4, "after_put": 0}},
        "names": {"ours": {"cpu_us": 85.7, "per_core": 11_670, "rate": 9_000}, "reference": {"cpu_us": 60.1, "per_core": 16_650, "rate": 9_500}},
        "fast": {
            network: {**{streams: {"mb_s": 21.5, "cpu_s_gb": cpu, "load": 0.4} for streams in ("one", "eight")}, "request_ms": 4.2}
            for network, cpu in (("fast", 80.0), ("tor", 37.0))
        },
        "flood": {
            "quiet": flood, "flooded": {**flood, "flood": {"junk_per_s": 99_000.0, "handshakes_per_s": 990.0}}, "wanted": [100_000.0, 1_000.0],
        },
        "unseen": {
            **{case: {"one_stream": {"octets_per_s": rate, "share": rate / 11_000, "circuits": 2}, "requests": {"first_ms": 1_900.0, "p50_ms": 190.4, "most_ms": 210.0}}
               for case, rate in (("clean", 20_460.0), ("lossy", 6_000.0))},
            "quality": {"alone": {"p50": 4.68}, "beside": {"p50": 4.55}, "octets_per_s": 7_000.0},
        },
        "speech": {"pesq_installed": False, "codecs": {"opus": {"calls": 100, "p50": 4.7, "p1": 4.5, "direct_p50": 4.72, "missing_pct": 0.1, "pesq": None}}},
    }  # fmt: skip


def test_the_names_are_there_whatever_was_measured() -> None:
    for what in ({}, {"kills": {"error": "no lab"}}, found()):
        report = json.loads(json.dumps(assemble(what, {"cores": 2})))
        assert set(report) >= KEYS
        assert lines(report)
    assert "no figures of kills: no lab" in lines(assemble({"kills": {"error": "no lab"}}, {}))


def test_the_rows_say_what_reaches_its_goal() -> None:
    table = lines(assemble(found(), {}))

    def row(begins: str, after: str = "") -> str:
        start = next(place for place, line in enumerate(table) if line.startswith(after)) if after else 0
        return next(line for line in table[start:] if line.startswith(begins))

    assert "reached" in row("CPU of a box, idle")
    assert "MISSED" in row("CPU of a box, in a call")
    assert "reached" in row("CPU that a probe adds")
    assert "box 4.2, idle 1.2, the command 1.1" in row("CPU that a probe adds")
    assert "reached" in row("A probe begins after")
    assert "41.2" in row("A page of the box is ready")
    assert "reached" in row("A page of the box is ready")
    assert "MISSED" in row("The phone in a browser adds")
    assert "MISSED" in row("Scoring ten seconds of pcma")
    assert "no figure" in row("Scoring ten seconds of opus24")
    assert "reached" in row("Gap, caller's guard killed")
    assert "MISSED" in row("  most", "Gap, junction killed")
    assert "MISSED" in row("  calls that ended", "Gap, junction killed")
    assert "99000 datagrams and 990 handshakes" in row("Calls lost in a flood")
    assert "reached" in row("PLCMOS below")
    assert "no figure" in row("  PESQ below")
    assert "pesq is not installed" in row("  PESQ below")
    assert "quota 1000: no link" in row("  with 20 % of a core")
    assert "of 4000 wanted" in row("Circuits that one relay carries")
    assert "MISSED" in row("Calls of 50 a second")
    assert "3000 in 60 s, 5.1 ms of CPU each, 4 repetitions; Kamailio: not installed" in row("Calls of 50 a second")
    assert "reached" in row("Registrations of 50 a second")
    assert "reached" in row("Jitter to the phone, 20")
    assert "no figure" in row("Jitter to the phone, 8")
    assert "MISSED" in row("A SIP message")
    assert "reached" in row("Start of a box")
    assert "reached" in row("A question to the name server")
    assert "11670 a second on one core; dnslib's own server with one fixed answer: 60.1 us" in row("A question to the name server")
    assert "MISSED" in row("choosing a path among 2000 relays")
    assert "5.0 MB of text" in row("checking a list of 2000 relays")


def test_the_tables_of_the_thesis_have_both() -> None:
    text = "\n".join(thesis.tables(assemble(found(), {})))
    assert "| 6 | 37.5, 49.4 | 37.5, 49.4 | 37.5, 49.4 | 37 (TLS) |" in text
    assert "Virtual time" in text
    assert "| 3 | 306, 306, 306, 306 | - |" in text
    assert f"| 6 | {', '.join(['92/306'] * 7)} | 618" in text
    assert "| 1 | 30.6 | 30.6 | 30.6 | 30.6 |" in text
    assert thesis.tables(assemble({}, {})) == []


def test_a_gap_is_what_is_not_heard_around_a_kill() -> None:
    even = [number * 20 * MS for number in range(500)]
    assert gap_ms(even, (5 * S, 9 * S)) == 20
    hole = [each for each in even if not 5 * S < each < 5 * S + 200 * MS]
    assert gap_ms(hole, (5 * S, 9 * S)) == 200
    assert gap_ms([each for each in even if each < 6 * S], (5 * S, 9 * S)) > 2_900, "what never comes again is a gap"
    assert gap_ms([], (5 * S, 9 * S)) == 4_000
    assert gap_ms(hole, (8 * S, 9 * S)) == 20, "what was long before the kill is not its doing"


def test_a_cell_that_did_not_come_is_missing_and_makes_no_delay() -> None:
    sent = [(0, 1, slot, 20_000 * slot) for slot in range(10)]
    got = [(3, 8, slot, 20_000 * slot + 5_250) for slot in range(9)]
    assert delays_ms(sent, got, 7, (0, 200_000)) == ([5.25] * 9, 10)
    assert delays_ms(sent, got, 7, (100_000, 180_000)) == ([5.25] * 4, 4)
    wrapped = [(0, 1, 3, (1 << 32) - 1_000)], [(0, 8, 3, 4_250)]
    assert delays_ms(*wrapped, 7, ((1 << 32) - 2_000, (1 << 32) + 1)) == ([5.25], 1)


def test_all_sizes_on_a_link_are_told() -> None:
    ends = Endpoint("127.0.0.1", 1), Endpoint("127.0.0.2", 2)
    wire = [Datagram(0, PROTOCOL_UDP, *way, bytes(size)) for way, size in ((ends, 278), (ends[::-1], 278), (ends, 64))]
    wire.append(Datagram(0, PROTOCOL_UDP, ends[0], Endpoint("127.0.0.3", 2), bytes(10)))
    assert sizes(wire, "127.0.0.1", "127.0.0.2") == {"udp_octets": [64, 278], "ip_octets": [92, 306], "datagrams": 3}


def test_what_a_flood_says() -> None:
    flood = parse_flood("flooded 2.0 10 20 30 40 6 5\n")
    assert flood.figures()["junk_per_s"] == 50
    assert (flood.begun, flood.stood) == (6, 5)
    with pytest.raises(RuntimeError, match="bad pin"):
        parse_flood("failed bad pin\n")


def test_each_pair_has_guards_of_its_own() -> None:
    network = network_of_pairs("continent", 3)
    guards = [set(box.guards) for box in network.boxes.values()]
    assert len(guards) == 6
    assert len(set().union(*guards)) == 12
    assert sum(role == "junction" for role in network.relays.values()) == 2
    assert list(network.phones.values()) == list(network.boxes)


def test_parts_that_did_not_run_keep_their_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "bench.json"
    given = Given(1, 1)
    first = Part("lengths", 0.1, lambda _: dict(found()["lengths"]))
    second = Part("box", 0.1, lambda _: dict(found()["box"]))
    monkeypatch.setattr(bench, "PARTS", (first, second))
    for part, keep in (("lengths", []), ("box", ["--keep"])):
        monkeypatch.setattr("sys.argv", ["bench", "--part", part, *keep, "--out", str(out)])
        assert bench.main() == 0
    report = json.loads(out.read_text())
    assert report["one_way_virtual_ms"]["0"]["6"] == {"p50": 37.5, "p99": 49.4}
    assert report["box_cpu_pct"] == {"idle": 1.2, "call": 2.1}
    assert set(report["runs"]) == {"lengths", "box"}
    assert first.run(given) == found()["lengths"]


def test_a_document_gets_figures_between_its_marks_only() -> None:
    report = {
        **assemble(found(), {"cores": 2, "kernel": "6"}),
        "runs": {"box": {"date": "2026-01-31 12:00", "took_s": 9, "load_before": 0.1, "load_after": 0.2}},
    }
    text = document.put(f"before\n{document.BEGINS}\nold\n{document.ENDS}\nafter\n", document.figures_text(report))
    assert "old" not in text
    assert text.startswith(f"before\n{document.BEGINS}\n")
    assert text.endswith(f"{document.ENDS}\nafter\n")
    assert "box 12:00 (0.1 to 0.2, 9 s)" in text
    assert "| CPU of a box, idle | 1.2 % | 2 | reached | of one core |" in text
    assert document.put(text, document.figures_text(report)) == text
    with pytest.raises(ValueError, match="no place"):
        document.put("nothing", [])


def test_the_document_of_this_repository_has_a_place_and_names_every_part() -> None:
    text = (document.ROOT / "BENCHMARKS.md").read_text()
    assert document.put(text, [])
    assert all(part.name in text for part in PARTS)


def test_a_usual_run_takes_half_an_hour() -> None:
    assert sum(part.minutes for part in PARTS if part.usual) <= 30
    assert len({part.name for part in PARTS}) == len(PARTS)


def test_a_part_is_as_large_as_the_goals_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, str] = {}
    monkeypatch.setattr(parts, "_apart", lambda module, *words: asked.setdefault(module, " ".join(words)))
    for part in PARTS:
        if part.name not in {"machine", "guard", "engine"}:
            part.run(Given(SECONDS, CALLS))
    assert asked["kills"] == "--kills 20"
    assert asked["speech"] == "--calls 100"
    assert asked["flood"] == "--seconds 60"
    assert asked["capacity"] == "--seconds 8 --hold 60"
    assert asked["relay_calls"] == "--seconds 10"
    assert set(asked) == {part.name for part in PARTS} - {"machine", "guard", "engine"}


def test_no_row_without_its_part() -> None:
    assert figures.rows(assemble({}, {}), {}) == []


def test_what_a_stream_has_is_told_beside_what_one_circuit_has() -> None:
    report = {"unseen": figures.keys(found())["unseen"]}
    rows = {what: (figure, goal, note) for what, figure, goal, _, note in figures.rows(report, {"unseen": found()["unseen"]})}
    assert rows["One stream of an idle box, clean"] == (20_460, None, "186 % of one circuit (at least 85) over 2; links of 19 ms, clean")
    assert rows["A request of 200 octets and its answer, lossy"][0] == 190
    figure, goal, note = rows["PLCMOS of an Opus call beside eight streams, less than without them by"]
    assert (figure, goal, note) == (0.13, 0.1, "4.55 and 4.68; 7000 octets/s of streams")
    assert figures.keys({})["unseen"]["clean"]["stream_pct"] is None
