"""What `make bench` measures of a box as a telephone system: the scenarios, what sipp says, and the small measures themselves."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from tools.bench import house, sipp
from voicebox.demo.datagrams import PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.phones import Login
from voicebox.errors import HostError
from voicebox.sensitive import Secret

BOX, PHONE = Endpoint("192.0.2.1", 4_000), Endpoint("192.0.2.9", 5_000)
LOGIN = Login("192.0.2.1", 5060, "desk", Secret(b"a password"))


@pytest.mark.parametrize(
    "scenario", [sipp.caller(LOGIN, "other"), sipp.caller(LOGIN, "other", challenged=False), sipp.callee(LOGIN), sipp.registrations(LOGIN)]
)
def test_scenarios_are_well_formed(scenario: str) -> None:
    steps = [step.tag for step in ET.fromstring(scenario)]
    assert steps[0] in {"send", "recv"}
    assert {"send", "recv"} == set(steps)


def test_what_sipp_says_is_read_from_its_last_line() -> None:
    head = "StartTime;ElapsedTime(P);ElapsedTime(C);SuccessfulCall(C);FailedCall(C);Retransmissions(C);"
    text = f"{head}\nx;0;00:00:01:000000;40;0;0;\nx;0;00:01:00:500000;2999;1;3;\n"
    load = sipp.parse_statistics(text, 3_000)
    assert (load.good, load.failed, load.retransmissions, load.seconds) == (2_999, 1, 3, 60)
    with pytest.raises(HostError):
        sipp.parse_statistics(head, 1)


def test_jitter_is_that_of_each_stream_of_the_box() -> None:
    def packet(number: int, ssrc: int, late_ms: float, source: Endpoint = BOX) -> Datagram:
        head = bytes([0x80, 8]) + number.to_bytes(2) + (160 * number).to_bytes(4) + ssrc.to_bytes(4)
        return Datagram(round((20 * number + late_ms) * 1e6), PROTOCOL_UDP, source, PHONE, head + bytes(160))

    wire = [packet(number, 1, 0) for number in range(100)] + [packet(number, 2, 4 * (number % 2)) for number in range(400)]
    wire += [packet(number, 3, 9 * (number % 2), PHONE) for number in range(100)]
    even, uneven = house.jitter_ms(wire, BOX.address)
    assert even == pytest.approx(0, abs=0.01)
    assert 3 < uneven < 4


def test_an_invite_is_parsed_and_written() -> None:
    took = house.message_us(20)
    assert 0 < took["p50_us"] <= took["p99_us"]


def test_streams_that_are_missing_give_no_mean() -> None:
    assert house._jitters([1.0, 2.0], 2)["mean_ms"] == 1.5
    assert house._jitters([1.0], 2)["mean_ms"] is None
