"""The figures of calls over the lab: each is of the wire's times, and none is better than what was measured."""

from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from tools.bench.path_figures import Way, Wire, measure_way, phones_view, summary
from tools.bench.table import assemble, lines
from voicebox.demo.datagrams import PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.sipview import MediaView

MS = 1_000_000
PHONE_A, PHONE_B = Endpoint("10.0.3.1", 20_000), Endpoint("10.0.3.2", 20_000)
BOX_A, BOX_B = Endpoint("10.0.2.1", 30_000), Endpoint("10.0.2.2", 30_000)
GUARD = Endpoint("10.0.1.1", 47_000)
WAY = Way(MediaView(PHONE_A, 8, "pcma"), MediaView(PHONE_B, 8, "pcma"), (BOX_A.address, GUARD), None)
FRAMES = 100


def rtp(number: int, ssrc: int) -> bytes:
    return struct.pack(">BBHII", 0x80, 8, number, number * 160, ssrc) + number.to_bytes(4, "big") * 40


def datagram(at_ms: float, source: Endpoint, destination: Endpoint, payload: bytes = bytes(278)) -> Datagram:
    return Datagram(round(at_ms * MS), PROTOCOL_UDP, source, destination, payload)


def call(takes_ms: Callable[[int], float | None], into_box_ms: float = 0.0) -> Wire:
    """Frames leave the phone each 20 ms at 7 ms, cells leave the box at 10 ms; takes_ms: from the box's socket to the other phone's."""
    sent, arrived = [], []
    for number in range(FRAMES + 50):  # the last frames of a call are not counted
        at_ms = 20 * number + 7
        sent += [datagram(at_ms, PHONE_A, BOX_A, rtp(number, 1)), datagram(20 * number + 10, Endpoint(BOX_A.address, 9), GUARD)]
        arrived.append(datagram(at_ms + into_box_ms, PHONE_A, BOX_A, rtp(number, 1)))
        takes = takes_ms(number)
        if takes is not None:
            sent.append(datagram(at_ms + takes, BOX_B, PHONE_B, rtp(number, 2)))
            arrived.append(datagram(at_ms + takes + 0.25, BOX_B, PHONE_B, rtp(number, 2)))
    return Wire(*(sorted(each, key=lambda datagram: datagram.time_ns) for each in (sent, arrived)))


def test_an_even_call() -> None:
    found = measure_way(call(lambda _: 103.0), WAY)
    assert set(found.slot_to_playable) == {100.0}
    assert set(found.rtp) == {103.0}
    assert set(found.mouth_to_ear) == {20 + 103.25 + 40}
    assert max(found.jitter) < 1e-9
    assert (found.lost, found.unheard) == (0, 0)


def test_a_frame_that_comes_just_before_a_cell_is_in_the_next_one() -> None:
    """Cells are put together 1 ms before they leave (PROTOCOL.md §5.2)."""
    for into_box_ms, slot_ms in ((1.9, 100.0), (2.1, 80.0)):
        assert measure_way(call(lambda _: 103.0, into_box_ms), WAY).slot_to_playable[0] == pytest.approx(slot_ms)


def test_what_is_lost_or_late_for_the_phone_is_no_faster_for_it() -> None:
    def takes_ms(number: int) -> float | None:
        return None if number == 30 else 150.0 if number == 60 else 103.0

    found = measure_way(call(takes_ms), WAY)
    assert (found.sent, found.lost, found.unheard) == (125, 1, 2)
    assert max(found.rtp) == 150.0
    assert set(found.mouth_to_ear) == {163.25}
    assert max(found.jitter) == pytest.approx(47 / 16 + (47 - 47 / 16) / 16, abs=0.01)


def test_a_call_without_boxes_has_no_slots() -> None:
    wire = Wire(*([datagram(20 * n + late, PHONE_A, PHONE_B, rtp(n, 1)) for n in range(FRAMES)] for late in (0, 19)))
    found = measure_way(wire, Way(WAY.speaker, WAY.listener, None, None))
    assert found.slot_to_playable == ()
    assert set(found.rtp) == {19.0}
    assert set(found.mouth_to_ear) == {79.0}


def test_a_silent_call_has_no_figures_and_is_lost() -> None:
    found = summary([measure_way(call(lambda _: None), WAY)])
    assert found == {
        "slot_to_playable_ms": None, "rtp_ms": None, "mouth_to_ear_ms": None, "jitter_ms": None, "loss_pct": 100.0, "unheard_pct": 100.0, "frames": 150,
    }  # fmt: skip


def test_a_phone_is_seen_at_its_own_socket() -> None:
    wire = call(lambda _: 103.0, 5.0)
    view = phones_view(wire, (PHONE_A.address, PHONE_B.address))
    assert [each.time_ns for each in view if each.source == PHONE_A][:2] == [7 * MS, 27 * MS]
    assert next(each.time_ns for each in view if each.destination == PHONE_B) == 110.25 * MS


def test_the_table_has_the_goals_beside_the_direct_path() -> None:
    def case(p99: float) -> dict[str, object]:
        figures = summary([measure_way(call(lambda _: p99 + 3), WAY)])
        return {**figures, "direct": figures, "calls": 2, "ringing_p95_ms": 450.0, "wires": {"late_us": {"p99": 150}}}

    report = assemble({"path": {"continent": case(119), "between-continents-clean": case(231)}}, {})
    table = [line for line in lines(report) if line.startswith("  ")]
    verdicts = [next(word for word in ("reached", "MISSED", "") if word in line) for line in table if "slot to playable" in line or "late, p99" in line]
    assert verdicts == ["reached", "reached", "MISSED", "reached"]
    assert "p50 119.0; direct path 119.0, 119.0" in next(line for line in table if "slot to playable" in line)
    assert report["path"]["continent"]["rtp_ms"] == {"p50": 122.0, "p99": 122.0}
    failed = assemble({"path": {"error": "no lab"}}, {})
    assert failed["path"] == {}
    assert "no figures of path: no lab" in lines(failed)
