"""Nothing that a caller's phone puts into SIP, SDP, RTP or RTCP reaches the callee's side.

A scripted caller plants a random value in every field it can fill. The capture must show each of them arriving at the caller's box, which is
the control, and none of them in anything that the callee's box sends, to whomever, tells, stores or logs: in no spelling, and no third of one.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from tests.support.canary import HEADERS, NUMBERS, CanaryCaller, Planted
from tests.support.embedded import CALLEE, CALLER, told
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.network import EmbeddedNetwork
from voicebox.demo.phones import PhoneSetup, phone_for
from voicebox.demo.speech import make_speech

TALK_S = 4.0


@pytest.fixture(scope="module")
def canary_call(embedded_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> tuple[CanaryCaller, list[Datagram]]:
    """Make one call with planted values; return the caller and everything the wire saw."""
    directory = tmp_path_factory.mktemp("canary")
    plan = embedded_network.plan
    setup = PhoneSetup(
        name=CALLEE, login=embedded_network.login(CALLEE), address=plan.phone_sip(CALLEE).address, sip_port=plan.phone_sip(CALLEE).port, rtp_port=plan.phone_rtp_port(CALLEE),
        play=make_speech(directory / "speech.wav", 1, TALK_S + 3, "pcma"), ring_s=0.3,
    )  # fmt: skip
    caller = CanaryCaller(embedded_network.login(CALLER), plan.phone_sip(CALLER).address)
    with Capture(directory / "wire.pcap"), phone_for(setup, directory / "phone") as callee:
        callee.wait_for("registered")
        caller.register()
        caller.call(f"sip:{CALLEE}.privacy")
        callee.wait_for("connected")
        caller.talk(TALK_S)
        caller.hang_up()
        callee.wait_for("ended")
        caller.close()
    return caller, load_capture(directory / "wire.pcap")


def _between(wire: list[Datagram], source: str, destination: str) -> bytes:
    """Return all payloads that went from one address to another, parted so that no value can arise at a seam."""
    return b"\0\0\0\0".join(each.payload for each in wire if (each.source.address, each.destination.address) == (source, destination))


def test_every_planted_value_arrived_at_the_callers_box(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    caller, wire = canary_call
    plan = embedded_network.plan
    sent = _between(wire, plan.phone_sip(CALLER).address, plan.box_address(CALLER))
    missing = [where for where, value in caller.planted.values.items() if value.encode() not in sent]
    missing += [where for where, value in caller.planted.numbers.items() if value not in sent]
    assert {*HEADERS, *NUMBERS} <= caller.planted.values.keys()
    assert len(caller.planted.values) + len(caller.planted.numbers) > 180
    assert missing == []


def test_none_of_them_reached_the_callees_phone(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    caller, wire = canary_call
    plan = embedded_network.plan
    got = _between(wire, plan.box_address(CALLEE), plan.phone_sip(CALLEE).address)
    assert got.count(b"INVITE sip:") >= 1  # the capture really holds the callee's side
    assert caller.planted.leaks(got) == []


def test_none_of_them_left_the_callees_box_at_all(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    caller, wire = canary_call
    plan = embedded_network.plan
    sent = b"\0\0\0\0".join(each.payload for each in wire if each.source.address == plan.box_address(CALLEE))
    assert len(sent) > 400 * 256, "its cells are there"
    assert caller.planted.leaks(sent) == []


def test_a_value_that_leaked_in_any_way_would_be_found() -> None:
    planted = Planted()
    value, number = planted.make("a field"), planted.octets("a number", 4)
    raw = value.encode()
    for leak in (raw, raw[::-1], raw.upper(), raw.hex().encode(), b"xy" + base64.b64encode(b"ab" + raw + b"c"), raw[:12] + b";" + raw[12:], raw[3:18]):
        assert planted.leaks(b"before" + leak + b"after") == ["a field"]
    assert planted.leaks(b"before" + number[::-1] + b"after") == ["a number"]
    assert planted.leaks(raw[:7] + b"-" + raw[9:15]) == []


def test_numbers_of_the_callers_stream_did_not_cross(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    caller, wire = canary_call
    plan = embedded_network.plan
    rtp = [
        each.payload
        for each in wire
        if (each.source.address, each.destination.address) == (plan.box_address(CALLEE), plan.phone_sip(CALLEE).address) and each.payload[:1] == b"\x80"
    ]
    assert len(rtp) > 100
    ssrc = caller.ssrc.to_bytes(4, "big")
    assert not [packet for packet in rtp if ssrc in packet[:12]]


def test_nothing_of_it_is_stored_logged_or_told_by_either_box(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    caller, _ = canary_call
    leaks = []
    for box in embedded_network.boxes.values():
        for path in (each for each in Path(box.home).rglob("*") if each.is_file()):
            leaks += [(box.name, path.name, where) for where in caller.planted.leaks(path.read_bytes())]
        leaks += [(box.name, "status", where) for where in caller.planted.leaks(json.dumps(told(box)).encode())]
    assert leaks == []


def test_boxes_and_relays_speak_to_nobody_else(canary_call: tuple[CanaryCaller, list[Datagram]], embedded_network: EmbeddedNetwork) -> None:
    """No DNS, no NTP, no STUN, no look-up: during a call a box speaks to its guards and its phone, a relay to boxes and relays."""
    _, wire = canary_call
    plan = embedded_network.plan
    relays = {plan.relay_address(name) for name in embedded_network.relays}
    relay_addresses, boxes = {each.address for each in relays}, {plan.box_address(name) for name in embedded_network.boxes}
    phones = {plan.phone_sip(name).address for name in embedded_network.boxes}
    from_boxes = [each for each in wire if each.source.address in boxes]
    from_relays = [each for each in wire if each.source.address in relay_addresses]
    assert len(from_boxes) > 1_000
    assert len(from_relays) > 1_000
    assert {each.destination for each in from_boxes if each.destination.address not in phones} <= relays
    assert {each.destination.address for each in from_relays} <= relay_addresses | boxes
