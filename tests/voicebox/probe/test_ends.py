"""A whole probe in virtual time: what is reported is what the path did; and all that the other end, or nobody, may do to it."""

from __future__ import annotations

import dataclasses
import statistics
import struct

import pytest

from tests.support.probes import Path, ProbePair, probed
from voicebox.b2bua.events import LOST, Answer, Arrivals, Codec, End, Offer, Refusal, Refuse, Ringing
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.ends import ANSWER_US, LONGEST_US, Outcome, Stage
from voicebox.probe.figures import DirectionFigures, jitters_ms, mean
from voicebox.probe.rtpstats import RTP_HEADER_OCTETS

CODECS = [pytest.param(codec, id=codec.word) for codec in ProbeCodec]


# ------------------------------------------------------------------------------------------------- what the path did is reported


@pytest.mark.parametrize("loss_pct", [0, 1, 2, 5, 10])
def test_reported_loss_is_within_three_tenths_of_a_point_of_what_was_lost(loss_pct: int) -> None:
    pair, result = probed(Path(loss=loss_pct / 100), Path(loss=loss_pct / 200), seed=loss_pct)
    assert result.outcome is Outcome.MEASURED
    for direction, way in ((result.there, True), (result.back, False)):
        assert direction.sent == 3000
        assert direction.lost_pct == pytest.approx(100 * pair.dropped[way] / pair.sent[way], abs=0.3)
        assert direction.late_pct == 0.0


@pytest.mark.parametrize("longer_ms", [10, 45, 200])
def test_difference_of_delay_is_within_two_milliseconds(longer_ms: int) -> None:
    _, near = probed(Path(20), seconds=10)
    _, far = probed(Path(20 + longer_ms), seconds=10)
    assert far.worse.best.mouth_to_ear_ms - near.worse.best.mouth_to_ear_ms == pytest.approx(longer_ms, abs=2)
    assert far.round_trip_ms(0.5) - near.round_trip_ms(0.5) == pytest.approx(2 * longer_ms, abs=2)


@pytest.mark.parametrize("jitter_ms", [3, 10, 40])
def test_jitter_is_within_fifteen_percent(jitter_ms: int) -> None:
    _, result = probed(Path(40, jitter_ms), seconds=60, seed=jitter_ms)
    # Two draws, each even over 0..J, differ by a third of J on average: that is what RFC 3550 estimates, as long as order is kept.
    truth = jitter_ms / 3 if jitter_ms <= 20 else None
    for direction in result.directions:
        if truth is not None:
            assert direction.jitter_ms == pytest.approx(truth, rel=0.15)
        assert direction.jitter_ms == pytest.approx(mean(jitters_ms(direction.above_best)))
        delays = direction.delays_ms
        assert delays[0] == pytest.approx(jitter_ms / 2, rel=0.15)
        assert delays[1] == pytest.approx(jitter_ms * 0.95, rel=0.05)
        assert delays[3] == pytest.approx(jitter_ms, rel=0.05)


def test_delay_of_one_way_shows_in_both_round_trips_and_the_clocks_of_two_machines_do_not() -> None:
    _, result = probed(Path(150), Path(30), seconds=5)
    assert result.round_trip_ms(0.5) == pytest.approx(180, abs=1)
    assert result.there.delays_ms[3] < 1
    assert all(direction.best.mouth_to_ear_ms == pytest.approx(90 + 20 + 20 + 6.5, abs=1) for direction in result.directions)


@pytest.mark.parametrize("codec", CODECS)
def test_each_codec_is_measured_alike_and_frames_are_as_long_both_ways(codec: ProbeCodec) -> None:
    lengths: set[int] = set()
    pair = ProbePair(codec, 5, Path(loss=0.02), Path(loss=0.02))

    def seen(_to_answering: bool, datagram: bytes) -> bytes:
        lengths.add(len(datagram) - RTP_HEADER_OCTETS)
        return datagram

    pair.answer(Offer((codec.codec,), probe=True))
    pair.run(2)
    pair.tamper = seen
    pair.run(20, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    assert lengths == {codec.frame_octets}
    assert pair.result().outcome is Outcome.MEASURED
    assert 0 < pair.result().there.lost_pct < 8


def test_late_frames_are_lost_to_a_small_buffer_and_the_best_one_is_larger() -> None:
    pair = ProbePair(ProbeCodec.PCMA, 30, Path(40, 90), Path(40, 90), seed=4)
    pair.answer(Offer((Codec.PCMA,), probe=True))
    pair.run(60, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    there = pair.result().there
    small = there.heard[1]
    assert small.played.name == "fixed 50 ms"
    assert small.missing_pct == pytest.approx(100 * 40 / 90, abs=4)
    assert there.best.played.size_ms == pytest.approx(90, abs=10)
    assert there.best.rating.r > small.rating.r


def test_frames_heard_from_coarse_copies_count_as_received_and_are_told_apart() -> None:
    pair = ProbePair(ProbeCodec.PCMA, 10, Path(), Path(), seed=5)
    spoilt = {True: 0, False: 0}

    def coarse(to_answering: bool, datagram: bytes) -> bytes:
        if pair.chance.random() >= 0.05:
            return datagram
        spoilt[to_answering] += 1
        return datagram[:RTP_HEADER_OCTETS] + bytes(160)

    pair.answer(Offer((Codec.PCMA,), probe=True))
    pair.run(2)
    pair.tamper = coarse
    pair.run(30, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    for direction, way in ((pair.result().there, True), (pair.result().back, False)):
        assert direction.lost == 0
        assert 0.5 * spoilt[way] < direction.mended <= spoilt[way]
        assert direction.delays_ms[3] < 1


# --------------------------------------------------------------------------------------------------------- what may go wrong


def begun() -> ProbePair:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    pair.answer(Offer((Codec.OPUS,), probe=True))
    return pair


def test_sound_begins_no_sooner_than_a_knock_has_been_said() -> None:
    pair = begun()
    began_us = pair.now_us
    pair.run(5, lambda: pair.sent[True] + pair.sent[False] > 0)
    assert pair.now_us - began_us >= ANSWER_US > 1_000_000


def test_call_goes_on_after_all_is_known_and_then_ends() -> None:
    pair = begun()
    pair.run(60, lambda: pair.callers.outcome is Outcome.MEASURED)
    assert pair.callers.stage is Stage.TAIL
    before = pair.sent[True]
    pair.run(1.5)
    assert pair.sent[True] - before == pytest.approx(75, abs=2), "the tail sounds like the rest"
    known = pair.result()
    pair.run(5)
    assert pair.callers.over
    assert pair.answering is not None
    assert pair.answering.over
    assert (True, End()) in pair.said
    assert pair.result() == known


@pytest.mark.parametrize(
    ("why", "outcome"),
    [
        (Refusal.DECLINED, Outcome.REFUSED),
        (Refusal.BUSY, Outcome.REFUSED),
        (Refusal.NO_COMMON_CODEC, Outcome.REFUSED),
        (Refusal.UNREACHABLE, Outcome.NO_ANSWER),
        (Refusal.NO_ANSWER, Outcome.NO_ANSWER),
    ],
)
def test_who_is_off_or_wants_none(why: Refusal, outcome: Outcome) -> None:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    pair.callers.handle_event(Ringing(), pair.now_us)
    pair.callers.handle_event(Refuse(why), pair.now_us)
    assert (pair.callers.outcome, pair.callers.over, pair.said) == (outcome, True, [])


def test_nobody_answers() -> None:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    pair.run(60)
    assert (pair.callers.outcome, pair.callers.over) == (Outcome.NO_ANSWER, True)
    assert pair.said == [(True, End())]
    assert pair.sent[True] == 0


def test_who_hangs_up_half_way_leaves_what_is_known() -> None:
    pair = begun()
    pair.run(6)
    assert pair.answering is not None
    pair.answering.hang_up()
    pair.run(30)
    result = pair.result()
    assert result.outcome is Outcome.CUT_SHORT
    assert 2 <= result.seconds < 6
    assert (result.there.lost, result.back.lost) == (0, 0), "what was still under way is not lost"


def test_user_has_seen_enough() -> None:
    pair = begun()
    pair.run(5)
    pair.callers.stop(pair.now_us)
    assert pair.result().outcome is Outcome.CUT_SHORT
    assert pair.result().seconds > 1
    before = pair.result()
    pair.run(20)
    assert pair.result() == before
    assert pair.answering is not None
    assert pair.answering.over


def test_user_has_seen_enough_before_there_is_anything() -> None:
    pair = begun()
    pair.run(0.5)
    pair.callers.stop(pair.now_us)
    assert (pair.result().outcome, pair.callers.over) == (Outcome.STOPPED, True), "who was not asked for long enough did not fail to answer"


@pytest.mark.parametrize("jump_ms", [-3_600_000, -300, 300, 3_600_000])
def test_clock_of_the_other_machine_that_jumps_leaves_figures_that_can_be_read(jump_ms: int) -> None:
    pair = begun()
    pair.run(6)
    assert pair.answering is not None
    before = pair.callers.stream.round_trips_ms[:]
    # What stands in the frames that come is off from now on; timers go by a clock that does not jump.
    pair.answering.stream._shift_us += jump_ms * 1000
    pair.run(30, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    result = pair.result()
    assert result.outcome is Outcome.MEASURED
    assert (result.there.sent, result.back.sent) == (500, 500)
    assert result.there.lost == 0, "arrivals there are told by one clock"
    # A second is what a frame may be late: what jumps further cannot be told from frames that came in vain.
    assert result.back.lost == (0 if abs(jump_ms) < 1000 else pytest.approx(500 - 50 * (6 - 1.2), abs=10))
    assert all(0 <= delay <= 2_000 for direction in result.directions for delay in direction.above_best if delay is not None)
    assert result.round_trips_ms[: len(before)] == tuple(before)
    assert max(result.round_trips_ms) < 200, "round trips are by one clock, whatever the other one does"


def test_answer_in_another_codec_ends_it() -> None:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    pair.callers.handle_event(Answer(Codec.PCMA), pair.now_us)
    assert (pair.callers.outcome, pair.callers.over, pair.said) == (Outcome.NO_ANSWER, True, [(True, End())])


@pytest.mark.parametrize("first", [0, 7, 1 << 31])
def test_numbers_that_do_not_follow_end_it_with_what_is_known(first: int) -> None:
    pair = begun()
    pair.run(6)
    known = len(pair.callers.there)
    assert known >= 100
    pair.callers.handle_event(Arrivals(first, (1, 2, 3)), pair.now_us)
    assert pair.callers.over
    assert pair.result().outcome is Outcome.CUT_SHORT
    assert pair.result().there.sent == known


def test_numbers_of_frames_that_were_never_sent_are_worth_nothing_to_whoever_lies() -> None:
    pair = begun()
    pair.run(3)
    while not pair.callers.over and pair.callers.stage is Stage.MEASURING:
        pair.callers.handle_event(Arrivals(len(pair.callers.there), (LOST,) * 100), pair.now_us)
        pair.run(0.001)
        if len(pair.callers.there) > 100_000:
            raise AssertionError("there is no bound")


def test_events_of_a_call_that_a_probe_does_not_have_are_passed_over() -> None:
    pair = begun()
    pair.run(3)
    for event in (Ringing(), Offer((Codec.OPUS,))):
        pair.callers.handle_event(event, pair.now_us)
    assert not pair.callers.over


def test_path_that_dies_is_loss_as_long_as_the_call_lives() -> None:
    pair = begun()
    pair.run(5)
    pair.paths[False] = dataclasses.replace(pair.paths[False], loss=1.0)
    pair.run(30, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    result = pair.result()
    assert result.outcome is Outcome.MEASURED
    assert result.there.lost == 0
    assert result.back.sent == 500
    assert result.back.lost == pytest.approx(500 - 50 * (5 - 1.2), abs=8)
    assert result.back.best.bursts.run_longest == result.back.lost


def test_far_numbers_that_never_come_leave_the_probe_cut_short_or_without_an_answer() -> None:
    pair = begun()
    pair.run(4)
    pair.paths[False].events = False
    pair.run(30)
    assert pair.result().outcome is Outcome.CUT_SHORT
    deaf = begun()
    deaf.run(1.3)
    deaf.paths[False].events = False
    deaf.run(30)
    assert deaf.result().outcome is Outcome.NO_ANSWER
    assert deaf.callers.over


def test_answering_end_does_not_stay_for_ever() -> None:
    pair = begun()
    pair.run(3)
    pair.paths[True].events = False
    pair.callers.stop(pair.now_us)
    pair.run(LONGEST_US / 1e6 + 1)
    assert pair.answering is not None
    assert pair.answering.over


def test_garbage_on_the_port_is_passed_over() -> None:
    pair = begun()
    pair.run(4)
    for datagram in (
        b"",
        b"x",
        bytes(200),
        bytes([0x80, 96]) + bytes(70),
        struct.pack(">BBHII", 0x80, 96, 1, 2, 3),
        struct.pack(">BBHII", 0x80, 8, 1, 2, 3) + bytes(60),
    ):
        pair.callers.receive(datagram, pair.now_us)
        assert pair.answering is not None
        pair.answering.receive(datagram, pair.now_us + pair.skew_us)
    pair.run(30, lambda: pair.callers.outcome is not Outcome.UNDER_WAY)
    assert (pair.result().there.lost, pair.result().back.lost) == (0, 0)


def test_machine_that_stands_still_sends_what_a_phone_would_and_says_so() -> None:
    pair = begun()
    pair.run(3)
    before = pair.sent[True]
    stream = pair.callers.stream
    assert len(stream.send(pair.now_us + 500_000)) == 3, "no more than what a box lets wait"
    assert stream.late_sends == 1
    assert stream.next_us > pair.now_us + 480_000
    assert pair.sent[True] == before


def test_jitter_of_equal_delays_is_none() -> None:
    assert max(jitters_ms([5.0] * 100)) == pytest.approx(0, abs=1e-6)
    assert statistics.fmean(jitters_ms([0.0, 10.0] * 100)) > 5
    assert jitters_ms([]) == jitters_ms([1.0]) == []


def test_nothing_at_all_is_a_result_too() -> None:
    pair = ProbePair(ProbeCodec.OPUS24, 10, Path(), Path())
    direction: DirectionFigures = pair.result().there
    assert (direction.sent, direction.lost_pct, direction.best.missing_pct) == (0, 100.0, 100.0)
