"""Calls over emulated links of 19 ms, every node in a namespace of its own: what a neighbour that floods, and a relay that dies, do to them. [io]"""

from __future__ import annotations

import itertools
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import CALLEE, CALLER, wait_until
from tests.support.pauses import measured
from tools.bench.path_figures import Wire, phones_view
from tools.lab.load import NETWORKS, load_network
from tools.lab.network import Lab
from tools.lab.plan import Impairments, WireRule
from tools.lab.wire import Wires
from voicebox.circuits.descriptor import parse_descriptor
from voicebox.circuits.reach import hello
from voicebox.demo.measure import frames_received
from voicebox.demo.phones import PhoneDriver
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

NEIGHBOURS = ("mallory-1", "mallory-2", "mallory-3", "mallory-4")
NETWORK = load_network(NETWORKS / "continent-clean.yaml")
FLOODED = replace(NETWORK, strangers=NEIGHBOURS, wires=(*NETWORK.wires, WireRule(("stranger", "guard"), Impairments(delay_ms=5))))
FLOOD_S = 5.0
PER_S = 1_500
"""Of each neighbour; with its sender, the wires, and all nodes on two cores, more would measure the machine."""
NS = 1_000_000_000
READY_S = 60.0
FRAMES_PER_S = 0.9 * 50
GONE_S = 12
"""A guard is dead for longer than the 10 s after which a box gives a silent circuit up."""
TRIES = 3
SPEECH_S = 30.0
FLOOD = """
import json, random, socket, sys, time
host, port, seconds, per_s, seed, greeting = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), bytes.fromhex(sys.argv[6])
dice, bound = random.Random(seed), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
bound.setblocking(False)
kinds = {
    "junk": lambda: bytes([47]) + dice.randbytes(277),
    "long": lambda: bytes([dice.randrange(64, 256)]) + dice.randbytes(1_200),
    "hello": lambda: greeting,
    "first": lambda: bytes([3]) + dice.randbytes(20) + bytes([22, 254, 253]) + dice.randbytes(120),
}
sent, answers, begun = dict.fromkeys(kinds, 0), 0, time.monotonic()
while (passed := time.monotonic() - begun) < seconds:
    if sum(sent.values()) >= passed * per_s:
        time.sleep(0.001)
        continue
    kind = dice.choice(sorted(kinds))
    try:
        bound.sendto(kinds[kind](), (host, port))
        sent[kind] += 1
        answers += len(bound.recv(2_048)) > 0
    except BlockingIOError:
        pass
print(json.dumps({"sent": sent, "answers": answers}))
"""


@dataclass(frozen=True)
class Running:
    """A lab whose boxes have their circuits, and two registered phones; the callee's answers by itself."""

    lab: Lab
    wires: Wires
    caller: PhoneDriver
    callee: PhoneDriver

    def talk(self, count: int = 1) -> None:
        """Bring one more call about."""
        self.caller.dial(f"sip:{CALLEE}.privacy")
        for phone in (self.caller, self.callee):
            phone.wait_for("connected", 15, count)

    def status(self, name: str) -> dict[str, Any]:
        """Return what a node says of itself."""
        node = {**self.lab.nodes.relays, **self.lab.nodes.boxes}[name]
        told = self.lab.nodes.status(node, show_path=True)
        assert told is not None, self.lab.nodes.log_tails(node)
        return dict(told)

    def in_call(self, name: str) -> list[dict[str, Any]]:
        """Return the circuits of a box that carry the call."""
        return [circuit for circuit in self.status(name)["circuits"] if circuit.get("in_call")]

    def relays_in_call(self) -> list[str]:
        """Return the names of the caller's guard and junction on the first path of the call."""
        (relays,) = (circuit["relays"] for circuit in self.in_call(CALLER) if not circuit["spare"])
        return [relay.removeprefix("operator of ") for relay in relays]

    def flood(self, guard: str) -> list[Mapping[str, Any]]:
        """Let all neighbours send to a guard at once; return what each sent and was answered."""
        there = self.lab.plan.relay_address(guard)
        descriptor = parse_descriptor((self.lab.nodes.relays[guard].home / "descriptor").read_text(), "descriptor").descriptor
        greeting = hello(descriptor.link_pin, bytes(31)).hex()
        script = [sys.executable, "-c", FLOOD, there.address, str(there.port), str(FLOOD_S), str(PER_S)]
        floods = [
            subprocess.Popen([*self.lab.inside(name).wrapper, *script, str(seed), greeting], stdout=subprocess.PIPE, text=True)
            for seed, name in enumerate(NEIGHBOURS)
        ]
        return [json.loads(flood.communicate(timeout=FLOOD_S + 20)[0]) for flood in floods]


@contextmanager
def running(directory: Path) -> Iterator[Running]:
    with Lab(FLOODED, directory) as lab, lab.wires() as wires:
        lab.nodes.start()
        lab.nodes.wait_ready(READY_S)
        speech = [make_speech(directory / f"{speaker}.wav", speaker, SPEECH_S, "pcma") for speaker in (0, 1)]
        with lab.phone(CALLER, speech[0]) as caller, lab.phone(CALLEE, speech[1], ring_s=0.2) as callee:
            for phone in (caller, callee):
                phone.wait_for("registered")
            yield Running(lab, wires, caller, callee)


@pytest.mark.alone
def test_a_neighbour_that_floods_costs_no_call(tmp_path: Path) -> None:
    rates = measured(lambda attempt: frames_beside_a_flood(tmp_path / str(attempt)), lambda rates: min(rates) >= FRAMES_PER_S)
    assert min(rates) >= FRAMES_PER_S


def frames_beside_a_flood(directory: Path) -> list[float]:
    """Flood a guard in a call; return how many frames a second each phone got meanwhile, and in the second after."""
    directory.mkdir()
    with running(directory) as run:
        run.talk()
        time.sleep(1)
        guard = run.relays_in_call()[0]
        before, begun_ns = run.status(guard), time.time_ns()
        floods = run.flood(guard)
        ended_ns, after = time.time_ns(), run.status(guard)
        time.sleep(1.5)
        assert "ended" not in (*run.caller.events, *run.callee.events)
        run.caller.hang_up()
        run.callee.wait_for("ended")
    sent = {kind: sum(flood["sent"][kind] for flood in floods) for kind in floods[0]["sent"]}
    print(f"\nflood: {sum(sent.values())} datagrams in {(ended_ns - begun_ns) / NS:.1f} s")
    assert sum(sent.values()) > 0.5 * len(NEIGHBOURS) * PER_S * FLOOD_S
    counted = {name: after["engine"][name] - before["engine"][name] for name in ("drop_unknown_address", "drop_unknown_kind", "drop_bad_cookie")}
    for kind, name in (("junk", "drop_unknown_address"), ("long", "drop_unknown_kind"), ("first", "drop_bad_cookie")):
        assert counted[name] >= 0.98 * sent[kind], (name, counted, sent)
    assert 0 < sum(flood["answers"] for flood in floods) <= sent["hello"], "a hello is answered with one cookie, all else with nothing"
    assert after["engine"]["links"] == before["engine"]["links"]
    assert after["engine"]["panics"] == 0
    report = run.wires.report
    assert report is not None
    assert report.sound, report
    wire = Wire(run.wires.sent(), run.wires.arrived())
    ends = run.lab.plan.phone_sip(CALLER), run.lab.plan.phone_sip(CALLEE)
    (call,) = find_calls(phones_view(wire, [end.address for end in ends]), *ends)
    rates = []
    for media in (call.caller_media, call.callee_media):
        assert media is not None
        heard = [frame.time_ns for frame in frames_received(wire.arrived, media)]
        rates += [sum(begin <= each < end for each in heard) * NS / (end - begin) for begin, end in ((begun_ns, ended_ns), (ended_ns, ended_ns + NS))]
    return rates


def kill_in_a_call(directory: Path) -> tuple[Running, int] | None:
    """Kill the caller's guard in a call over two paths; return when, ns. None where a dummy is in the way of the second path: one start in thirty."""
    directory.mkdir()
    with running(directory) as run:
        run.talk()
        if any(run.status(name)["dummies"]["now"] for name in (CALLER, CALLEE)):
            return None
        wait_until(lambda: all(len(run.in_call(name)) == 2 for name in (CALLER, CALLEE)), "the second circuit of the call")
        time.sleep(1)
        dead, _ = run.relays_in_call()
        killed_ns = time.time_ns()
        run.lab.nodes.stop_node(run.lab.nodes.relays[dead], signal.SIGKILL)
        time.sleep(GONE_S)
        assert "ended" not in (*run.caller.events, *run.callee.events)
        run.caller.hang_up()
        run.callee.wait_for("ended")
    return run, killed_ns


def test_a_guard_that_dies_in_a_call_is_not_missed(tmp_path: Path) -> None:
    """A call between boxes of profile `home` is over two paths (PROTOCOL.md §9.5): one dies, and the sound goes on over the other."""
    found = next((found for number in range(TRIES) if (found := kill_in_a_call(tmp_path / str(number))) is not None), None)
    assert found is not None, "a dummy was in the way each time"
    run, killed_ns = found
    wire = Wire(run.wires.sent(), run.wires.arrived())
    ends = run.lab.plan.phone_sip(CALLER), run.lab.plan.phone_sip(CALLEE)
    (call,) = find_calls(phones_view(wire, [end.address for end in ends]), *ends)
    for media in (call.caller_media, call.callee_media):
        assert media is not None
        heard = [frame.time_ns for frame in frames_received(wire.arrived, media) if killed_ns - NS < frame.time_ns < killed_ns + GONE_S * NS]
        gap_ms = max((later - sooner) / 1e6 for sooner, later in itertools.pairwise(heard))
        print(f"longest time between two frames around the death of a guard: {gap_ms:.0f} ms")
        assert gap_ms <= 600
        assert len(heard) >= 0.9 * 50 * (GONE_S + 1)
