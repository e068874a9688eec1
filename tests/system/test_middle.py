"""A box with `middle: yes` calls one without: its circuits have a relay more, and the sound passes all the same. [io]"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, leave_dummies, wait_until
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Endpoint, load_capture
from voicebox.demo.measure import LinkRole, Roles, measure_call
from voicebox.demo.network import GUARDS, EmbeddedNetwork, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

TALK_S = 5.0


def phone(network: EmbeddedNetwork, directory: Path, name: str, speaker: int) -> PhoneDriver:
    plan = network.plan
    sip = plan.phone_sip(name)
    play = make_speech(directory / f"{name}.wav", speaker, TALK_S + 3, "pcma")
    setup = PhoneSetup(name=name, login=network.login(name), address=sip.address, sip_port=sip.port, rtp_port=plan.phone_rtp_port(name), play=play, ring_s=0.5)
    return phone_for(setup, directory / name)


def relays_in_call(network: EmbeddedNetwork, name: str) -> list[list[str]]:
    status = network.status(network.boxes[name], show_path=True)
    assert status is not None
    return [circuit["relays"] for circuit in status["circuits"] if circuit["in_call"]]


def test_sound_passes_over_four_relays(tmp_path: Path) -> None:
    network = EmbeddedNetwork(tmp_path / "network", Plan(first_port=47_900, prefix="127.0.82"))
    network.set_up()
    settings = network.boxes[CALLER].home / "box.yaml"
    text = settings.read_text()
    assert "middle: no\n" in text
    settings.write_text(text.replace("middle: no\n", "middle: yes\n"))
    with network, Capture(tmp_path / "wire.pcap"):
        network.start()
        network.wait_ready()
        leave_dummies(network)
        with phone(network, tmp_path, CALLER, 0) as caller, phone(network, tmp_path, CALLEE, 1) as callee:
            for each in (caller, callee):
                each.wait_for("registered")
            caller.dial(f"sip:{CALLEE}.privacy")
            caller.wait_for("connected")
            wait_until(lambda: len(relays_in_call(network, CALLER)) == len(relays_in_call(network, CALLEE)) == 2, "both circuits")
            ours, theirs = relays_in_call(network, CALLER), relays_in_call(network, CALLEE)
            time.sleep(TALK_S)
            caller.hang_up()
            callee.wait_for("ended")
        for node in (*network.relays.values(), *network.boxes.values()):
            told = network.status(node)
            assert told is not None
            assert (told["engine"]["broke_protocol"], told["engine"]["bad_command"]) == (0, 0)
    assert [len(relays) for relays in ours + theirs] == [3, 3, 2, 2]
    assert {relays[-1] for relays in ours} == {relays[-1] for relays in theirs}
    assert {relays[1].removeprefix("operator of ") for relays in ours} <= set(GUARDS[2:]), "a middle is none of the box's own guards"
    wire = load_capture(tmp_path / "wire.pcap")
    ends = [Endpoint(each.setup.address, each.setup.sip_port) for each in (caller, callee)]
    (call,) = find_calls(wire, *ends)
    plan = network.plan
    between = [
        LinkRole(f"{near} - {far}", Endpoint(plan.relay_address(near).address, 0), plan.relay_address(far), access=False)
        for near in GUARDS
        for far in GUARDS
        if near != far
    ]
    figures = measure_call(wire, call, Roles(ends[0], ends[1], (*plan.links(), *between)))
    assert {size for flow in figures.flows for size in flow.sizes} == {278}
    for direction in (figures.to_callee, figures.to_caller):
        delays_ms = sorted(direction.delays_ms)
        print(f"one way over four relays: p50 {delays_ms[len(delays_ms) // 2]:.1f} ms, loss {direction.loss_pct:.2f} %")
        assert len(delays_ms) > 40 * TALK_S
        assert direction.loss_pct <= 1.0
        assert delays_ms[len(delays_ms) // 2] < 65.0
