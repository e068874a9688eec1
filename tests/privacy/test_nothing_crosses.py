"""Nothing that a caller's phone puts into SIP, SDP, RTP or RTCP reaches the callee's side.

A scripted caller plants a random value in every field it can fill. The capture must show each of them arriving at the caller's box, which is
the control, and none of them in anything that the callee's box sends, to whomever, tells, stores or logs: in no spelling, and no third of one.
The same for a browser that is the phone: nothing of it comes as far as its own box.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
from dataclasses import dataclass
from pathlib import Path

import aioice.ice
import pytest

from tests.support.answering_phone import PlainPhone
from tests.support.canary import HEADERS, NUMBERS, CanaryCaller, Planted
from tests.support.canary_browser import HTTP_FIELDS, CanaryBrowser
from tests.support.embedded import CALLEE, CALLER, told
from voicebox.browser.rtp import Packet, parse_packet
from voicebox.cli.page import link_to, page_origin
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.network import EmbeddedNetwork
from voicebox.demo.phones import PhoneSetup, phone_for
from voicebox.demo.speech import make_speech

TALK_S = 4.0
LOOPBACK = "127.0.0.1"
DIALLED = "who is dialled"
SIP_FIELDS = {"Call-ID": rb"Call-ID: *(\S+)", "From tag": rb"From:.*;tag=(\w+)", "branch": rb"branch=z9hG4bK(\w+)", "session": rb"\r\no=- (\d+)"}
"""What the page draws as a phone of its box."""


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


@dataclass
class BrowserCall:
    """browser, phone: what was planted by the one, and drawn by the page as a phone; to_box: what the page sent to its box, in order; heard: by the callee."""

    browser: Planted
    phone: Planted
    to_box: list[bytes]
    sent: set[bytes]
    heard: list[Packet]
    wire: list[Datagram]


async def _call_of_a_browser(network: EmbeddedNetwork) -> tuple[CanaryBrowser, list[Packet]]:
    home = network.boxes[CALLER].home
    origin = page_origin(home)
    async with PlainPhone(network) as callee, CanaryBrowser(origin, link_to(home, origin)) as browser:
        await browser.dial(f"sip:{browser.planted.make(DIALLED)}@{CALLEE}.privacy")
        await callee.event("ring", seconds=40)
        await callee.do("answer", sdp="")
        await browser.event("talking")
        for digit in "59":
            browser.do("digit", digit=digit)
        await asyncio.sleep(TALK_S / 2)
        browser.do("hang_up")
        await callee.event("ended")
    return browser, [packet for _, packet in callee.sounds[-1].heard]


@pytest.fixture(scope="module")
def browser_call(embedded_network: EmbeddedNetwork, tmp_path_factory: pytest.TempPathFactory) -> BrowserCall:
    """Make one call of a browser with planted values over the page of a running box."""
    file, box = tmp_path_factory.mktemp("browser") / "wire.pcap", embedded_network.plan.box_address(CALLER)
    with pytest.MonkeyPatch.context() as patch, Capture(file):
        patch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [LOOPBACK])
        browser, heard = asyncio.run(_call_of_a_browser(embedded_network))
    wire = load_capture(file)
    to_box = [each.payload for each in wire if each.source.address == each.destination.address == box]
    invite = next(payload for payload in to_box if payload.startswith(b"INVITE ") and b"uthorization" in payload)
    phone = Planted()
    for name, pattern in SIP_FIELDS.items():
        found = re.search(pattern, invite, re.IGNORECASE)
        assert found is not None, name
        phone.values[name] = found[1].decode()
    return BrowserCall(browser.planted, phone, to_box, set(browser.frames.sent), heard, wire)


def test_what_a_browser_says_came_to_the_page_and_its_sound_to_the_callee(browser_call: BrowserCall) -> None:
    """The control."""
    to_page = b"\0\0\0\0".join(each.payload for each in browser_call.wire if each.source.address == each.destination.address == LOOPBACK)
    planted = browser_call.browser.values
    assert [name for name in (*HTTP_FIELDS, "passphrase", "cookie", "query") if planted[name].encode() not in to_page] == []
    assert len(planted) > 60
    frames = [packet.payload for packet in browser_call.heard if packet.payload_type == 96]
    assert len(set(frames) & browser_call.sent) > 30
    assert {packet.payload[0] for packet in browser_call.heard if packet.payload_type != 96} == {5, 9}, "digits"
    assert browser_call.browser.leaks(b"\0\0\0\0".join(browser_call.to_box)) == [DIALLED], "only whom it calls is said to the box"


def test_nothing_of_a_browser_left_the_callees_box(browser_call: BrowserCall, embedded_network: EmbeddedNetwork) -> None:
    address = embedded_network.plan.box_address(CALLEE)
    sent = b"\0\0\0\0".join(each.payload for each in browser_call.wire if each.source.address == address)
    assert sent.count(b"INVITE sip:") >= 1, "to its phone"
    assert len(sent) > 200 * 256, "its cells are there"
    assert browser_call.browser.leaks(sent) == []
    assert browser_call.phone.leaks(sent) == []
    spoken = [packet for payload in browser_call.to_box if payload[:1] == b"\x80" and (packet := parse_packet(payload))]
    sources = {int(browser_call.browser.values["WebRTC source"]), *(packet.source for packet in spoken)}
    assert sources.isdisjoint({packet.source for packet in browser_call.heard})
    assert {packet.timestamp for packet in spoken if packet.payload in browser_call.sent}.isdisjoint({packet.timestamp for packet in browser_call.heard})


def test_nothing_of_a_browser_is_stored_logged_or_told_by_either_box(browser_call: BrowserCall, embedded_network: EmbeddedNetwork) -> None:
    leaks = []
    for box in embedded_network.boxes.values():
        found = [(path.name, path.read_bytes()) for path in Path(box.home).rglob("*") if path.is_file()]
        for name, octets in (*found, ("status", json.dumps(told(box)).encode())):
            leaks += [(box.name, name, where) for planted in (browser_call.browser, browser_call.phone) for where in planted.leaks(octets)]
    assert leaks == []
