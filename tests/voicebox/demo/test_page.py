"""The page that the demo fetches during its call: whole or not, and what a capture says of the links meanwhile."""

from __future__ import annotations

import dataclasses
import json
import time

import pytest

from tests.voicebox.demo.test_report import REPORT
from voicebox.demo.datagrams import PROTOCOL_TCP, PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.measure import LinkRole
from voicebox.demo.page import MAX_OCTETS, OCTETS_PER_S, Fetched, Fetching, Page, octets_of, served
from voicebox.demo.page_figures import PageFigures, measure_page
from voicebox.demo.report import complaints, human_lines, json_object

S = 1_000_000_000
URL = "http://bob.privacy/"
BOX, GUARD = Endpoint("127.0.77.100", 4_000), Endpoint("127.0.77.10", 47_000)
LINKS = (LinkRole("box-a - guard-1", Endpoint(BOX.address, 0), GUARD, access=True),)
FETCHED = Fetched(50_000, whole=True, begun_ns=10 * S, ended_ns=18 * S, beside=True)


def waited(fetching: Fetching) -> Fetched:
    while not fetching.done():
        time.sleep(0.01)
    result = fetching.result()
    assert result is not None
    return result


def test_a_page_that_came_is_whole_where_it_is_what_was_served() -> None:
    with served(2) as page:
        # Who serves the page answers whatever it is asked for, so it is a proxy to itself.
        fetched = waited(Fetching(page, URL, Endpoint("127.0.0.1", page.port)))
        assert (fetched.octets, fetched.whole, fetched.beside) == (2 * OCTETS_PER_S, True, False)
        assert 0 < fetched.seconds < 60
        assert fetched.begun_ns == pytest.approx(time.time_ns(), abs=60 * S)
        with Page(MAX_OCTETS) as other:
            longer = waited(Fetching(page, URL, Endpoint("127.0.0.1", other.port)))
    assert (longer.octets, longer.whole) == (2 * OCTETS_PER_S + 1, False), "no more is read than what shows that it is another"
    gone = waited(Fetching(page, URL, Endpoint("127.0.0.1", page.port)))
    assert (gone.octets, gone.whole) == (0, False)


def test_pages_are_the_same_each_time_and_as_long_as_the_talk_has_room_for() -> None:
    assert octets_of(1_000) == octets_of(2_000)[:1_000]
    with served(600) as page:
        assert not page.is_whole(octets_of(MAX_OCTETS)[:-1])
        assert page.is_whole(octets_of(MAX_OCTETS))


def datagrams(every_ns: int, begin_ns: int, end_ns: int, source: Endpoint = BOX, octets: int = 278) -> list[Datagram]:
    return [Datagram(at_ns, PROTOCOL_UDP, source, GUARD if source == BOX else BOX, bytes(octets)) for at_ns in range(begin_ns, end_ns, every_ns)]


def test_the_pace_of_a_link_does_not_depend_on_where_the_ends_of_a_span_fall() -> None:
    steady = datagrams(S // 50, 3 * S // 1_000, 30 * S) + datagrams(S // 50, 7 * S // 1_000, 30 * S, GUARD)
    for shift_ns in (0, S // 130, S // 61):
        page = dataclasses.replace(FETCHED, begun_ns=FETCHED.begun_ns + shift_ns, ended_ns=FETCHED.ended_ns + 2 * shift_ns)
        figures = measure_page(steady, LINKS, page)
        assert [(pace.link, pace.towards_far) for pace in figures.paces] == [("box-a - guard-1", False), ("box-a - guard-1", True)]
        assert [pace.before for pace in figures.paces] == pytest.approx([50, 50])
        assert figures.changed_pct == pytest.approx(0, abs=1e-6)
        assert figures.sizes == (278,)


def test_a_link_that_becomes_quicker_or_falls_silent_is_seen() -> None:
    quicker = datagrams(S // 50, 2 * S, 10 * S) + datagrams(S // 51, 10 * S, 18 * S)
    assert measure_page(quicker, LINKS, FETCHED).changed_pct == pytest.approx(2, abs=0.01)
    silent = datagrams(S // 50, 2 * S, 10 * S)
    assert measure_page(silent, LINKS, FETCHED).changed_pct == 100
    other = [Datagram(11 * S, PROTOCOL_TCP, BOX, GUARD, b"x"), Datagram(11 * S, PROTOCOL_UDP, BOX, Endpoint("127.0.0.1", 9), b"x")]
    assert measure_page(other, LINKS, FETCHED) == PageFigures(FETCHED)


def test_the_report_tells_of_the_page_and_of_what_is_wrong_with_it() -> None:
    good = dataclasses.replace(REPORT, page=measure_page(datagrams(S // 50, 0, 30 * S), LINKS, FETCHED))
    assert complaints(good) == []
    assert max(map(len, human_lines(good))) <= 130
    assert any("50000 octets in 8.0 s (6.2 kB/s), checksum equal" in line for line in human_lines(good))
    told = json.loads(json.dumps(json_object(good), allow_nan=False))["page"]
    assert told == {
        "octets": 50_000,
        "seconds": 8.0,
        "octets_per_s": 6_250,
        "whole": True,
        "beside_the_call": True,
        "datagram_octets": [278],
        "changed_pct_most": 0.0,
        "links": [{"link": "box-a - guard-1", "direction": "out", "before_per_s": 50.0, "during_per_s": 50.0}],
    }
    assert json_object(REPORT)["page"] is None
    bad = Fetched(10, whole=False, begun_ns=10 * S, ended_ns=18 * S, beside=False)
    worse = dataclasses.replace(REPORT, page=measure_page(datagrams(S // 50, 0, 14 * S) + datagrams(S // 7, 14 * S, 18 * S, octets=90), LINKS, bad))
    assert len(complaints(worse)) == 4
    assert len(complaints(worse, with_limits=False)) == 2, "what holds by construction"
    assert any("NOT what was served" in line for line in human_lines(worse))
    unseen = dataclasses.replace(REPORT, page=PageFigures(FETCHED))
    assert json.loads(json.dumps(json_object(unseen)))["page"]["changed_pct_most"] is None
    assert complaints(unseen) == []
