"""The figures of a call, from captures whose truth is known."""

from __future__ import annotations

import math
import random
import struct

import pytest

from tests.voicebox.demo.test_sipview import CALLEE, CALLER, call_datagrams
from voicebox.demo.datagrams import PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.measure import (
    Frame,
    LinkRole,
    Roles,
    align,
    count_seconds,
    measure_call,
    measure_direction,
    measure_links,
    play_out,
)
from voicebox.demo.sipview import find_calls
from voicebox.probe.figures import percentile
from voicebox.probe.rtpstats import RtpPacket

MS = 1_000_000
S = 1000 * MS


def frame(place: int, time_ms: float, payload: bytes | None = None, ssrc: int = 1, first_timestamp: int = 0) -> Frame:
    """Return the frame with number `place` of a G.711 stream."""
    timestamp = (first_timestamp + place * 160) % 2**32
    return Frame(round(time_ms * MS), RtpPacket(8, False, place % 65536, timestamp, ssrc, payload or b"%160d" % place))


def stream(count: int, delay_ms: float = 0.0) -> list[Frame]:
    return [frame(place, place * 20 + delay_ms) for place in range(count)]


def test_delay_and_loss_of_a_known_stream() -> None:
    sent = stream(200)
    received = [frame(place, place * 20 + 30 + place % 2) for place in range(200) if place not in {51, 61}]
    figures = measure_direction(sent, received, 8000)
    assert (percentile(figures.delays_ms, 0.5), percentile(figures.delays_ms, 0.99)) == (30, 31)
    assert (figures.lost, figures.sent) == (2, 175)
    assert figures.loss_pct == pytest.approx(100 * 2 / 175)
    assert figures.clipped_ms == 0


def test_a_frame_in_whose_place_a_coarse_copy_came_is_repaired_not_lost() -> None:
    received = [frame(place, place * 20 + 30, b"coarse" if place == 51 else None) for place in range(200) if place not in {61, 71, 72}]
    figures = measure_direction(stream(200), received, 8000)
    assert (figures.repaired, figures.lost) == (1, 3)


def test_other_sound_beside_a_lost_frame_does_not_repair_it() -> None:
    received = [frame(place, place * 20 + 30, b"other" if place == 52 else None) for place in range(200) if place != 51]
    figures = measure_direction(stream(200), received, 8000)
    assert (figures.repaired, figures.lost) == (0, 2)


def test_frames_that_look_alike_are_not_taken_for_each_other() -> None:
    """A silent phone repeats one payload; matching it by looks would give any delay."""
    sent = [frame(place, place * 20, b"silence" if place % 2 else None) for place in range(100)]
    received = [frame(place, place * 20 + 40, b"silence" if place % 2 else None) for place in range(100)]
    figures = measure_direction(sent, received, 8000)
    assert len(figures.delays_ms) == 50
    assert set(figures.delays_ms) == {40.0}


def test_a_copy_does_not_make_the_delay_longer() -> None:
    received = [*stream(100, 25), *stream(100, 900)]
    assert set(measure_direction(stream(100), sorted(received, key=lambda f: f.time_ns), 8000).delays_ms) == {25.0}


def test_sound_before_the_first_frame_that_came_is_clipped_not_lost() -> None:
    figures = measure_direction(stream(100), stream(100, 30)[5:], 8000)
    assert (figures.lost, figures.clipped_ms) == (0, 100)


def test_frames_on_their_way_at_the_end_are_not_lost() -> None:
    figures = measure_direction(stream(100), [f for f in stream(100, 30) if f.time_ns < 1900 * MS], 8000, ended_ns=1900 * MS)
    assert figures.lost == 0


def test_a_dead_direction_loses_all() -> None:
    figures = measure_direction(stream(100), [], 8000)
    assert figures.loss_pct == 100
    assert figures.first_heard_ns is None


def test_jitter_is_per_source() -> None:
    """A new source begins with its own random timestamp; the jump is no jitter."""
    received = [*stream(50, 30), *(frame(place, place * 20 + 30, ssrc=2, first_timestamp=777_777_777) for place in range(50, 100))]
    figures = measure_direction(stream(100), received, 8000)
    assert max(figures.jitters_ms) < 0.01
    assert len(figures.jitters_ms) == 98


def test_play_out_drops_what_is_too_late_and_keeps_the_order_over_the_wrap() -> None:
    received = [frame(place, place * 20 + (80 if place == 7 else 0), first_timestamp=2**32 - 480) for place in range(10) if place != 3]
    received.sort(key=lambda f: f.time_ns)
    assert play_out(received, 8000) == [None if place in {3, 7} else b"%160d" % place for place in range(10)]
    assert play_out([], 8000) == []


def test_play_out_of_a_mad_timestamp_begins_anew_instead_of_taking_all_memory() -> None:
    jumped = [*stream(10), *(frame(place, place * 20, first_timestamp=3_000_000_000) for place in range(10, 20)), frame(20, 400, ssrc=7)]
    assert play_out(jumped, 8000) == [b"%160d" % place for place in range(21)]
    assert play_out([frame(0, 0), frame(10_000_000, 20)], 8000) == [b"%160d" % 0, b"%160d" % 10_000_000]


def test_a_path_that_becomes_slower_costs_some_frames_not_all_the_rest() -> None:
    slower = [*stream(50), *(frame(place, place * 20 + 200) for place in range(50, 100))]
    played = play_out(slower, 8000)
    assert (played[:50].count(None), played[50:60].count(None), played[60:].count(None)) == (0, 10, 0)


def test_a_single_early_frame_does_not_make_the_others_late() -> None:
    early = [frame(0, 0), *(frame(place, place * 20 + 100) for place in range(1, 100))]
    assert play_out(early, 8000).count(None) == 10


def test_a_pause_of_the_sender_is_no_jump() -> None:
    held = [*stream(10), *(frame(place, place * 20) for place in range(500, 510))]
    assert play_out(held, 8000).count(None) == 490


def test_alignment_cuts_both_to_the_same_sound() -> None:
    sent = stream(20)
    played = [b"other", *[f.packet.payload for f in sent[3:9]], None, *[f.packet.payload for f in sent[10:15]], None]
    found, reference = align(played, sent)
    assert len(found) == len(reference) == 12
    assert found.count(None) == 1
    assert reference == [f.packet.payload for f in sent[3:15]]
    assert align([None, b"x"], sent) == ([], [])


def test_percentiles_are_nearest_rank() -> None:
    values = [float(value) for value in range(1, 101)]
    random.Random(1).shuffle(values)
    assert [percentile(values, share) for share in (0.5, 0.95, 0.99, 1.0)] == [50, 95, 99, 100]
    assert math.isnan(percentile([], 0.5))


def rtp(source: Endpoint, destination: Endpoint, f: Frame) -> Datagram:
    header = struct.pack(">BBHII", 0x80, f.packet.payload_type, f.packet.sequence_number, f.packet.rtp_timestamp, f.packet.ssrc)
    return Datagram(f.time_ns, PROTOCOL_UDP, source, destination, header + f.packet.payload)


GUARD, BOX = Endpoint("127.0.0.10", 7000), Endpoint("127.0.0.2", 40000)
LINK = LinkRole("box - guard", Endpoint("127.0.0.2", 0), GUARD, access=True)


def cells(begin_ms: int, end_ms: int, octets: int = 278, back: bool = False) -> list[Datagram]:
    ends = (GUARD, BOX) if back else (BOX, GUARD)
    return [Datagram(time * MS, PROTOCOL_UDP, *ends, bytes(octets)) for time in range(begin_ms, end_ms, 20)]


def test_a_whole_call_from_its_capture() -> None:
    signalling = call_datagrams(5 * S)
    bye = signalling[-1]._replace(time_ns=9 * S)
    phone_a, phone_b, port_a, port_b = Endpoint("127.0.0.1", 4000), Endpoint("127.0.0.1", 4100), Endpoint("127.0.0.2", 5100), Endpoint("127.0.0.3", 5000)
    sound = []
    for f in stream(190, 5020):
        back = Frame(f.time_ns, f.packet.__class__(8, False, f.packet.sequence_number, f.packet.rtp_timestamp, 9, b"back" + f.packet.payload))
        sound += [rtp(phone_a, port_a, f), rtp(port_b, phone_b, Frame(f.time_ns + 38 * MS, f.packet))]
        sound += [rtp(phone_b, port_b, back), rtp(port_a, phone_a, Frame(back.time_ns + 41 * MS, back.packet))]
    datagrams = sorted([*signalling[:-1], bye, *sound, *cells(1000, 10000), *cells(1010, 10000, back=True)])
    (call,) = find_calls(datagrams, CALLER, CALLEE)
    figures = measure_call(datagrams, call, Roles(CALLER, CALLEE, (LINK,)))
    assert figures.codec == "pcma"
    assert (percentile(figures.to_callee.delays_ms, 0.99), percentile(figures.to_caller.delays_ms, 0.99)) == (38, 41)
    assert figures.to_callee.lost == figures.to_caller.lost == 0
    assert figures.invite_to_ringing_ms == pytest.approx(5)
    assert figures.answer_to_audio_ms == pytest.approx(11 + 41)
    assert [(flow.towards_far, flow.sizes) for flow in figures.flows] == [(True, {278: 450}), (False, {278: 450})]
    for flow in figures.flows:
        assert flow.idle is not None
        assert flow.call is not None
        assert (flow.idle.fewest, flow.idle.most, flow.call.fewest, flow.call.most) == (50, 50, 50, 50)
        assert flow.longest_gap_slots == 1


def test_an_unanswered_call_has_no_figures() -> None:
    (call,) = find_calls(call_datagrams()[:9], CALLER, CALLEE)
    with pytest.raises(ValueError, match="answered"):
        measure_call([], call, Roles(CALLER, CALLEE))


def test_the_handshake_does_not_count_but_any_other_size_after_the_first_cell_does() -> None:
    datagrams = [*cells(0, 60, 64), *cells(60, 70, 1200), *cells(100, 2000), *cells(2000, 2010, 300), *cells(2020, 3000)]
    (flow,) = measure_links(datagrams, Roles(CALLER, CALLEE, (LINK,)))
    assert flow.before_first_cell == 4
    assert flow.sizes == {278: 95 + 49, 300: 1}


def test_a_gap_on_a_link_is_found() -> None:
    (flow,) = measure_links([*cells(0, 1000), *cells(1080, 2000)], Roles(CALLER, CALLEE, (LINK,)))
    assert flow.longest_gap_slots == 5
    assert flow.gaps_over_3_slots == 1


def test_what_belongs_to_no_link_is_left_out() -> None:
    assert measure_links(cells(0, 100), Roles(CALLER, CALLEE)) == ()


def test_seconds_are_counted_from_the_start_of_the_span() -> None:
    times = [round(i * 20.0 * MS) for i in range(175)]
    counts = count_seconds(times, 0, 3 * S + 500 * MS)
    assert counts is not None
    assert (counts.rate, counts.fewest, counts.most, counts.seconds) == (50, 50, 50, 3)
    assert count_seconds(times, 0, S - 1) is None
    missing = count_seconds([time for time in times if not S <= time < S + 100 * MS], 0, 3 * S)
    assert missing is not None
    assert (missing.fewest, missing.most) == (45, 50)
