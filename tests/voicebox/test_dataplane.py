"""The data plane's types, its way into the loop, and media ports over the real engine's sockets."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import socket
import time
from pathlib import Path

import pytest

from tests.support.engine import wait_for
from voicebox import dataplane
from voicebox.dataplane import Event, LinkFailed, LinkUp, LiveDataPlane, PhoneDigit, parse_event
from voicebox.errors import Bug, HostError, LocalError
from voicebox.media_ports import MAX_MEDIA_PORTS, EngineMediaPorts

pytestmark = pytest.mark.system

LOCAL = "127.0.0.1"
TELEPHONE_EVENT = 101


def test_every_event_of_the_stub_has_a_type_with_as_many_fields() -> None:
    stub = Path(dataplane.__file__).with_name("_relay.pyi").read_text(encoding="utf-8")
    listed = re.findall(r"\('([a-z_]+)',([^)]*)\)", stub.split("class Engine")[0])
    assert {name for name, _ in listed} == set(dataplane._KINDS)
    for name, fields in listed:
        count = len([one for one in fields.split(",") if one.strip()])
        event = parse_event((name, *range(count)))
        assert len(dataclasses.fields(event)) == count, name
    assert parse_event(("link_up", 3, True, None)) == LinkUp(3, incoming=True, peer_pin=None)


@pytest.mark.parametrize("fields", [(), ("nothing_like_it",), ("link_up",), ("link_down", 1, 2), (None, 1)])
def test_an_unknown_event_is_a_bug(fields: tuple[object, ...]) -> None:
    with pytest.raises(Bug):
        parse_event(fields)


def test_nothing_secret_shows_in_an_event() -> None:
    secret = b"planted octets"
    events: list[object] = [
        parse_event(("link_up", 1, True, secret)),
        parse_event(("create", 1, 2, secret)),
        parse_event(("extend", 1, 2, secret, 3, secret)),
        parse_event(("created", 1, 2, secret)),
        parse_event(("answer", 1, 2, 0, 17, secret)),
        parse_event(("message", 1, 2, secret)),
    ]
    assert all("planted" not in repr(event) for event in events)


async def test_events_reach_the_listener_in_order_and_a_failing_listener_harms_no_other(plane: LiveDataPlane) -> None:
    told: list[Event] = []
    problems: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))

    def listener(event: Event) -> None:
        told.append(event)
        if len(told) == 1:
            raise ValueError("the first one fails")

    plane.attach(listener)
    links = [plane.connect(LOCAL, 9, bytes(32)) for _ in range(3)]
    for link in links:
        plane.disconnect(link)
    for _ in range(200):
        await asyncio.sleep(0.01)
        if len(told) == 3:
            break
    assert told == [LinkFailed(link) for link in links]
    assert len(problems) == 1
    plane.detach()
    plane.detach()
    plane.disconnect(plane.connect(LOCAL, 9, bytes(32)))
    await asyncio.sleep(0.1)
    assert len(told) == 3


def test_network_time_begins_at_birth_and_rises() -> None:
    hour_us = 3_600_000_000
    born = time.time_ns() // 1_000 - hour_us
    plane = LiveDataPlane(born_unix_us=born, realtime=False)
    first, second = plane.now_us(), plane.now_us()
    assert hour_us <= first <= second < hour_us + 10_000_000


def test_settings_out_of_bounds_are_told() -> None:
    with pytest.raises(LocalError):
        LiveDataPlane(born_unix_us=0, seed=b"short")
    with pytest.raises(OverflowError):
        LiveDataPlane(born_unix_us=-1)


def test_counters_are_there_while_the_engine_runs(plane: LiveDataPlane) -> None:
    totals = plane.counters()
    assert {"cells_in", "cells_out", "tick_late_p50_us", "tick_late_p99_us", "tick_late_max_us", "links", "panics"} <= set(totals)
    assert totals["panics"] == 0
    plane.tap(0.1)
    with pytest.raises(LocalError):
        plane.tap(-1)
    plane.stop()
    assert plane.counters() == {"panics": 0}


def test_a_media_port_has_an_even_port_and_hears_only_the_phone(plane: LiveDataPlane) -> None:
    port = EngineMediaPorts(plane).open(LOCAL)
    assert port.rtp_port % 2 == 0
    rtp = b"\x80\x08" + bytes(10) + bytes(160)
    with socket.socket(type=socket.SOCK_DGRAM) as phone, socket.socket(type=socket.SOCK_DGRAM) as stranger:
        phone.bind((LOCAL, 0))
        stranger.bind(("127.0.0.2", 0))
        phone.sendto(rtp, (LOCAL, port.rtp_port))
        wait_for(plane, "drop_media_stranger", 1)
        port.set_remote(LOCAL, phone.getsockname()[1], 2, 8, TELEPHONE_EVENT)
        port.set_direction(to_phone=True, from_phone=True)
        stranger.sendto(rtp, (LOCAL, port.rtp_port))
        wait_for(plane, "drop_media_stranger", 2)
        before = plane.counters()
        phone.sendto(b"\x00 not RTP", (LOCAL, port.rtp_port))
        wait_for(plane, "rtp_malformed", before["rtp_malformed"] + 1)
        assert plane.counters()["drop_media_stranger"] == 2
    assert plane.counters()["media_ports"] == 1
    port.close()
    port.close()
    port.set_direction(to_phone=True, from_phone=True)
    assert plane.counters()["panics"] == 0
    assert plane.counters()["media_ports"] == 0
    with socket.socket(type=socket.SOCK_DGRAM) as again:
        again.bind((LOCAL, port.rtp_port))


def test_two_joined_ports_let_two_phones_hear_each_other_and_one_is_an_echo(plane: LiveDataPlane) -> None:
    here, there = EngineMediaPorts(plane).open(LOCAL), EngineMediaPorts(plane).open(LOCAL)
    with socket.socket(type=socket.SOCK_DGRAM) as ann, socket.socket(type=socket.SOCK_DGRAM) as ben:
        for phone, port, payload_type in ((ann, here, 8), (ben, there, 98)):
            phone.bind((LOCAL, 0))
            phone.settimeout(5)
            port.set_remote(LOCAL, phone.getsockname()[1], 2, payload_type, None)
            port.set_direction(to_phone=True, from_phone=True)
        here.join(there, 2)
        ann.sendto(b"\x80\x08" + bytes(10) + b"a" * 160, (LOCAL, here.rtp_port))
        ben.sendto(b"\x80\x62" + bytes(10) + b"b" * 160, (LOCAL, there.rtp_port))
        heard, sender = ben.recvfrom(2_048)
        assert (heard[1] & 0x7F, heard[12:], sender) == (98, b"a" * 160, (LOCAL, there.rtp_port))
        assert heard[8:12] != bytes(4), "a source of the port's own"
        assert ann.recv(2_048)[12:] == b"b" * 160
        here.join(here, 2)
        ann.sendto(b"\x80\x08" + bytes(10) + b"c" * 160, (LOCAL, here.rtp_port))
        assert ann.recv(2_048)[12:] == b"c" * 160
    there.close()
    here.join(there, 2)
    assert plane.counters()["bad_command"] == 0
    with pytest.raises(Bug):
        here.join(object(), 2)


def test_there_are_no_more_media_ports_than_the_engine_has(plane: LiveDataPlane) -> None:
    ports = EngineMediaPorts(plane)
    opened = [ports.open(LOCAL) for _ in range(MAX_MEDIA_PORTS)]
    with pytest.raises(HostError):
        ports.open(LOCAL)
    opened[7].close()
    opened[7] = ports.open(LOCAL)
    wait_for(plane, "media_ports", MAX_MEDIA_PORTS)
    assert plane.counters()["bad_command"] == 0


def test_a_machines_port_is_given_back_when_it_is_closed(plane: LiveDataPlane) -> None:
    ports = EngineMediaPorts(plane)
    for _ in range(MAX_MEDIA_PORTS + 1):
        machine = ports.machine()
        machine.tape(50, list[bytes]().append)
        machine.close()
        machine.close()
        assert machine.closed
    assert plane.counters()["bad_command"] == 0


def test_media_addresses_are_checked(plane: LiveDataPlane) -> None:
    ports = EngineMediaPorts(plane)
    with pytest.raises(HostError):
        ports.open("192.0.2.1")
    with pytest.raises(LocalError) as raised:
        ports.open("phone.example")
    assert "phone" not in str(raised.value)
    port = ports.open(LOCAL)
    with pytest.raises(LocalError):
        port.set_remote("phone.example", 4_000, 2, 8, None)
    with pytest.raises(LocalError):
        port.set_remote(LOCAL, 4_000, 2, 128, None)


async def test_a_phones_digit_reaches_its_ports_listener_and_no_other(plane: LiveDataPlane) -> None:
    told: list[Event] = []
    digits: list[tuple[int, int]] = []
    plane.attach(told.append)
    ports = EngineMediaPorts(plane)
    routed, plain = ports.open(LOCAL), ports.open(LOCAL)
    routed.on_digit(lambda code, duration_ms: digits.append((code, duration_ms)))
    with socket.socket(type=socket.SOCK_DGRAM) as phone:
        phone.bind((LOCAL, 0))
        for port in (routed, plain):
            port.set_remote(LOCAL, phone.getsockname()[1], 2, 8, TELEPHONE_EVENT)
            port.set_direction(to_phone=True, from_phone=True)
            for number, ended in ((1, 0), (2, 0x80)):
                # RFC 4733 §2.3: event 5, 100 ms at 8 000 Hz, the last one with the end bit
                head = b"\x80" + bytes([TELEPHONE_EVENT]) + number.to_bytes(2, "big") + (8_000).to_bytes(4, "big") + b"ssrc"
                phone.sendto(head + bytes([5, ended | 10]) + (800).to_bytes(2, "big"), (LOCAL, port.rtp_port))
        for _ in range(200):
            await asyncio.sleep(0.01)
            if digits and told:
                break
    assert digits == [(5, 100)]
    assert told == [PhoneDigit(plain.reference, 5, 100)]
    plane.detach()
