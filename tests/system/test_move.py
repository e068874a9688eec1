"""A box moves to another address in mid-call: behind another router, over another line; the former one is gone without a word. [io]

Relays on an internet of this machine's own, each box in a house behind a router that masquerades. What is heard is taken from captures between box and phone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import CALLEE, CALLER, has_ipv6, leave_dummies, running, told, wait_until
from tests.support.houses import House, Internet
from tools.lab.namespaces import Namespace
from voicebox.dataplane import LiveDataPlane
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Endpoint, load_capture
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

NS = 1_000_000_000
BEFORE_S, AFTER_S = 1.5, 6.0
MOST_GAP_S = 2.0
FRAME_OCTETS = 12 + 160
STAYS, FAR = "2001:db8::10", "2001:db8::99"
ANYWHERE = "0.0.0.0"


@dataclass(frozen=True, slots=True)
class HousesPlan(Plan):
    """Relays with addresses of the internet; each box on its house's loopback, where its phone is too."""

    def box_address(self, name: str) -> str:
        return "127.0.0.1"


PLAN = HousesPlan(prefix="203.0.113")


@contextmanager
def houses(directory: Path, *empty: str) -> Iterator[tuple[EmbeddedNetwork, dict[str, House]]]:
    """Run the relays, and the two boxes, each in a house of its own. empty: more houses, without a box."""
    network = EmbeddedNetwork(directory / "network", PLAN)
    with Internet([PLAN.relay_address(name).address for name in network.relays]) as internet, network:
        places = {name: internet.house() for name in (*network.boxes, *empty)}
        for node in network.relays.values():
            node.wrapper = internet.namespace.wrapper
        network.set_up()
        for name, node in network.boxes.items():
            node.wrapper = places[name].inside.wrapper
            settings = node.home / "box.yaml"
            settings.write_text(settings.read_text().replace("link_address: 127.0.0.1", f"link_address: {ANYWHERE}"))
        with running(network):
            leave_dummies(network)
            yield network, places


def phone(network: EmbeddedNetwork, name: str, house: House, directory: Path) -> PhoneDriver:
    sip, play = PLAN.phone_sip(name), make_speech(directory / f"{name}.wav", PLAN.boxes.index(name), 20, "pcma")
    setup = PhoneSetup(name, network.login(name), sip.address, sip.port, PLAN.phone_rtp_port(name), play, ring_s=0.2, place=house.inside)
    return phone_for(setup, directory / f"phone-{name}")


def in_call(network: EmbeddedNetwork, name: str) -> list[dict[str, Any]]:
    return [circuit for circuit in told(network.boxes[name])["circuits"] if circuit["in_call"]]


def heard_ns(capture: Path, name: str) -> list[int]:
    """Return when frames came to the phone of a box."""
    phone_rtp = Endpoint("127.0.0.1", PLAN.phone_rtp_port(name))
    return [each.time_ns for each in load_capture(capture) if each.destination == phone_rtp and len(each.payload) == FRAME_OCTETS]


def test_a_box_moves_in_mid_call_and_the_call_goes_on_within_two_seconds(tmp_path: Path) -> None:
    with houses(tmp_path) as (network, places), ExitStack() as held:
        captures = {name: Capture(tmp_path / f"{name}.pcap", wrapper=house.inside.wrapper) for name, house in places.items()}
        for capture in captures.values():
            held.enter_context(capture)
        caller, callee = (held.enter_context(phone(network, name, places[name], tmp_path)) for name in (CALLER, CALLEE))
        for each in (caller, callee):
            each.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=15)
        wait_until(lambda: len(in_call(network, CALLER)) == len(in_call(network, CALLEE)) == 2, "the second circuit", 20)
        places[CALLER].gets_ready_for(places[CALLEE])
        time.sleep(BEFORE_S)
        moved_ns = time.time_ns()
        places[CALLER].moves()
        time.sleep(AFTER_S)
        until_ns = time.time_ns()
        assert len(in_call(network, CALLER)) == len(in_call(network, CALLEE)) == 2, "over both circuits still"
        assert "ended" not in caller.events + callee.events
        caller.hang_up()
        callee.wait_for("ended")
        counters = told(network.boxes[CALLER])["engine"]
        assert (counters["bad_command"], counters["panics"]) == (0, 0)
        assert sorted(path.name for path in (network.boxes[CALLER].home / "places").iterdir()) == ["1", "list"], "a place more, with guards of its own"
        assert not (network.boxes[CALLEE].home / "places" / "1").exists()
        held.pop_all().close()
    for name in (CALLER, CALLEE):
        heard = [at_ns for at_ns in heard_ns(captures[name].path, name) if moved_ns - BEFORE_S * NS < at_ns < until_ns]
        gap_s = max((later - sooner) / NS for sooner, later in pairwise(heard))
        print(f"longest time between two frames at the phone of {name}: {gap_s * 1000:.0f} ms")
        assert gap_s <= MOST_GAP_S
        assert len([at_ns for at_ns in heard if at_ns > until_ns - 3 * NS]) >= 0.9 * 50 * 3, "and it goes on"


def test_links_over_ipv6_leave_from_a_temporary_address_where_there_is_one() -> None:
    """A machine has one beside the address that stays where it is set so (RFC 8981); most then prefer it by themselves, and one with use_tempaddr 1 if it is asked."""
    if not has_ipv6():
        pytest.skip("this machine has no IPv6")
    here, there = Namespace(), Namespace()
    try:
        for name in ("all", "default"):
            here.run(lambda name=name: Path(f"/proc/sys/net/ipv6/conf/{name}/disable_ipv6").write_text("0"))  # type: ignore[misc]  # this one
        here.ip([f"link add wan0 type veth peer name wan1 netns {there.path}"])
        for setting, value in (("use_tempaddr", "1"), ("accept_dad", "0"), ("dad_transmits", "0"), ("disable_ipv6", "0")):
            here.run(lambda setting=setting, value=value: Path(f"/proc/sys/net/ipv6/conf/wan0/{setting}").write_text(value))  # type: ignore[misc]  # these
        there.ip(["link set wan1 up"])
        here.ip(["link set wan0 up", f"address add {STAYS}/64 dev wan0 mngtmpaddr nodad"])
        plane = here.run(lambda: LiveDataPlane(born_unix_us=0))
        try:
            wait_until(lambda: here.run(lambda: plane.source(FAR)) not in {"", STAYS}, "a temporary address")
            assert here.run(lambda: plane.source(FAR)).startswith("2001:db8:")
            assert here.run(lambda: plane.source("192.0.2.1")) == "", "no way leads there"
            assert here.run(lambda: plane.source(FAR, "wan0")) == here.run(lambda: plane.source(FAR)), "of an uplink that was chosen, too"
            assert here.run(lambda: plane.source(FAR, "lo")) == "", "and none of another"
        finally:
            plane.stop()
    finally:
        here.close()
        there.close()
