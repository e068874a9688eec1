"""A box with `relay: on` carries a circuit of another box, in a process of its own, which its calls do not notice, strangers do not find, and which ends with it. [io]

The other box knows the relay by its card: no list has it, and the junction takes it by what its certificate shows.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import CALLEE, CALLER, READY_S, leave_dummies, told, wait_until
from voicebox.circuits.descriptor import parse_descriptor
from voicebox.circuits.reach import hello
from voicebox.control import ask
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Endpoint, load_capture
from voicebox.demo.measure import Roles, measure_call
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech
from voicebox.errors import HostError, UsageError

pytestmark = pytest.mark.system

TALK_S = 3.0
OPERATOR = "the house with a relay"


def phone(network: EmbeddedNetwork, directory: Path, name: str, speaker: int) -> PhoneDriver:
    plan, sip = network.plan, network.plan.phone_sip(name)
    play = make_speech(directory / f"{name}.wav", speaker, 2 * TALK_S + 15, "pcma")
    setup = PhoneSetup(name=name, login=network.login(name), address=sip.address, sip_port=sip.port, rtp_port=plan.phone_rtp_port(name), play=play, ring_s=0.2)
    return phone_for(setup, directory / name)


def relay_status(home: Path) -> dict[str, Any] | None:
    try:
        status: dict[str, Any] = ask(home, "status")["status"]
    except (HostError, UsageError):
        return None
    return status


def relay_process(box: int | None) -> int | None:
    """Return the process of the relay that a box keeps: its child that runs one."""
    for each in Path("/proc").iterdir():
        try:
            parent = int((each / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == box and b"relay\0run\0" in (each / "cmdline").read_bytes():
                return int(each.name)
        except (OSError, ValueError, IndexError):
            continue
    return None


def strangers_hear(there: Endpoint, pin: bytes) -> tuple[int, int]:
    """Send what somebody sends who looks for relays, then one hello of somebody who knows this one; return how many answers each got."""
    dice = random.Random(4)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind(("127.0.86.250", 0))
        stranger.settimeout(0.5)
        for _ in range(20):
            for datagram in (b"\x01" + bytes(63), hello(dice.randbytes(32), dice.randbytes(31)), b"\x16\xfe\xfd" + dice.randbytes(200), b"\x04" + bytes(63)):
                stranger.sendto(datagram, there)
        answers = [0, 0]
        for kind in range(2):
            try:
                while stranger.recv(2_000):
                    answers[kind] += 1
            except TimeoutError:
                pass
            stranger.sendto(hello(pin, dice.randbytes(31)), there)
    return answers[0], answers[1]


def test_a_box_with_a_relay_carries_others(tmp_path: Path) -> None:
    network = EmbeddedNetwork(tmp_path / "network", Plan(first_port=48_300, prefix="127.0.86"))
    network.set_up()
    alice, bob = network.boxes[CALLER], network.boxes[CALLEE]
    home = alice.home / "relay"
    network.voicebox("relay", "offer", "--operator", OPERATOR, home=alice.home)
    settings = home / "relay.yaml"
    settings.write_text(settings.read_text().replace("listed: yes", "listed: no"))
    with network:
        network.start()
        network.wait_ready(READY_S)
        wait_until(lambda: told(alice)["relay"]["stage"] == "unlisted", "that guards reach the machine, and the network does not have its relay", 60)
        own = parse_descriptor((home / "descriptor").read_text(), "descriptor").descriptor
        there = Endpoint(own.addresses[0].host, own.addresses[0].port)
        assert (there.address, own.operator) == (network.plan.box_address(CALLER), OPERATOR)
        assert relay_process(alice.process.pid if alice.process else None) is None
        assert told(bob)["relay"] == {"wanted": False, "stage": "unknown", "restarts": 0}, "a box that was not asked to looks hours later"
        card = _vouched_for_by_card(network, tmp_path)
        wait_until(lambda: relay_status(home) is not None, "the relay", 60)
        assert strangers_hear(there, own.link_pin) == (0, 1)
        _kill_in_a_call(network, tmp_path)
        network.voicebox("relay", "add", str(card), home=bob.home)
        _carries_a_circuit(network, home)
        _listed(network, home)
        process = relay_process(alice.process.pid if alice.process else None)
        assert process is not None
        network.stop_node(alice)
        assert not Path(f"/proc/{process}").exists()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(there)


def _vouched_for_by_card(network: EmbeddedNetwork, directory: Path) -> Path:
    """Let the voucher vouch for the relay without putting it into the list; return its card."""
    alice, copy, card = network.boxes[CALLER], directory / "copy", directory / "card"
    copy.write_bytes((alice.home / "relay" / "descriptor").read_bytes())
    before = (directory / "network" / "network").read_bytes()
    network.voicebox("relay", "vouch", "--unlisted", "--network", str(directory / "network" / "network"), str(copy))
    assert (directory / "network" / "network").read_bytes() == before
    card.write_text(network.voicebox("relay", "card", "--vouched", str(copy), home=alice.home))
    return card


def _listed(network: EmbeddedNetwork, home: Path) -> None:
    """Put the relay into the list while it runs: it goes on with the circuits that it has."""
    alice, file = network.boxes[CALLER], str(network.directory / "network")
    process = relay_process(alice.process.pid if alice.process else None)
    network.voicebox("network", "add", file, str(home / "descriptor"))
    network.voicebox("network", "update", file, home=alice.home)
    assert (home / "network.list").read_bytes() == (alice.home / "network.list").read_bytes()
    time.sleep(1)
    relay = relay_status(home)
    assert relay is not None
    assert (relay["links"]["access"], relay_process(alice.process.pid if alice.process else None)) == (1, process)
    assert network.status(network.boxes[CALLEE]) is not None
    path = network.voicebox("path", "--explain", home=alice.home)
    assert "The relay beside this box is never on its own paths" in path


def _kill_in_a_call(network: EmbeddedNetwork, directory: Path) -> None:
    """Kill the relay's process in a call of its box; another one comes, and the call has all its frames."""
    alice = network.boxes[CALLER]
    leave_dummies(network)
    box = alice.process.pid if alice.process else None
    wait_until(lambda: relay_status(alice.home / "relay") is not None, "the relay", 60)
    with Capture(directory / "wire.pcap"), phone(network, directory, CALLER, 0) as caller, phone(network, directory, CALLEE, 1) as callee:
        for each in (caller, callee):
            each.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected")
        time.sleep(TALK_S)
        first = relay_process(box)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_until(lambda: relay_process(box) not in {None, first} and relay_status(alice.home / "relay") is not None, "another relay", 60)
        time.sleep(TALK_S)
        caller.hang_up()
        callee.wait_for("ended")
    assert told(alice)["relay"] == {"wanted": True, "stage": "running", "restarts": 1}
    ends = [Endpoint(each.setup.address, each.setup.sip_port) for each in (caller, callee)]
    wire = load_capture(directory / "wire.pcap")
    (call,) = find_calls(wire, *ends)
    figures = measure_call(wire, call, Roles(ends[0], ends[1]))
    for direction in (figures.to_callee, figures.to_caller):
        print(f"frames of the call around the death of the relay beside a box: {direction.sent} sent, {direction.lost} lost")
        assert direction.sent > 50 * TALK_S
        assert direction.loss_pct <= 1.0


def _carries_a_circuit(network: EmbeddedNetwork, home: Path) -> None:
    """Let the other box have this relay among its guards."""
    bob = network.boxes[CALLEE]
    settings = bob.home / "box.yaml"
    before = settings.read_text()
    settings.write_text(before.replace("operator of guard-3", OPERATOR))
    assert settings.read_text() != before
    network.stop_node(bob)
    network.start_node(bob)
    network.wait_ready(READY_S)
    status = network.status(bob, show_path=True)
    assert status is not None
    assert "1 relays are known by card, 1 of them not in the list" in network.voicebox("path", "--explain", home=bob.home)
    assert OPERATOR in {circuit["relays"][0] for circuit in status["circuits"] if circuit["state"] == "standing"}
    relay = relay_status(home)
    assert relay is not None
    assert relay["links"]["access"] == 1
    assert relay["counters"]["created"] >= 1
    assert relay["engine"]["link_cells_in"] > 50
    assert relay["realtime"] is False
