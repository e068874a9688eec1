"""What a frame of 160 octets is on every link of a call over three to six relays: datagrams of a capture, and nothing that is known beforehand. [io]

Real phones, boxes and relays on the loopback; four and five relays with `middle: yes` in the settings of one box and of both, six with nodes that are not shipped
(long_node.py). One and two relays are in virtual time only (lengths.py), where there are cells and no datagrams. Octets are of IPv4, UDP and what is in it.
The delay beside them is from phone to phone.

    python -m tools.bench.octets [--seconds S]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import itertools
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.calls import CALLEE, CALLER, phones_of
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import Datagram, load_capture
from voicebox.demo.measure import frames_received, frames_sent, measure_direction
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.sipview import CLOCK_RATES_HZ, find_calls
from voicebox.errors import HostError
from voicebox.probe.figures import percentile

MIDDLES: dict[int, tuple[str, ...]] = {3: (), 4: (CALLER,), 5: (CALLER, CALLEE), 6: (CALLER, CALLEE)}
"""Relays of a call, and the boxes with a middle; of six, the caller's has two."""
LONG = 6
LONG_NODE = (sys.executable, "-m", "tools.bench.long_node")
IP_AND_UDP_OCTETS = 28
FRAME_OCTETS = 160
SECONDS = 4.0
SECOND_PATH_TIMEOUT_S = 20.0


def sizes(wire: Iterable[Datagram], near: str, far: str) -> dict[str, Any]:
    """Return octets of the datagrams between two nodes' addresses, in both directions: payload of UDP, with the headers, and how many."""
    seen = Counter(len(each.payload) for each in wire if {each.source.address, each.destination.address} == {near, far})
    return {"udp_octets": sorted(seen), "ip_octets": [size + IP_AND_UDP_OCTETS for size in sorted(seen)], "datagrams": seen.total()}


def _path(network: EmbeddedNetwork, name: str) -> list[str]:
    """Return the relays of the first circuit in a box's call."""
    status = network.status(network.boxes[name], show_path=True) or {}
    found = [circuit for circuit in status.get("circuits", ()) if circuit.get("in_call") and not circuit.get("spare")]
    if len(found) != 1:
        raise HostError("the box does not say which circuit its call is on")
    return [str(relay).removeprefix("operator of ") for relay in found[0]["relays"]]


def links_of(near: Sequence[str], far: Sequence[str]) -> list[tuple[str, str]]:
    """Return the links of a call from box to box. near, far: the relays of either circuit, the junction in both."""
    if near[-1] != far[-1]:
        raise HostError("the two circuits of a call end at different junctions")
    nodes = [CALLER, *near, *reversed(far[:-1]), CALLEE]
    return list(itertools.pairwise(nodes))


def _address(network: EmbeddedNetwork, name: str) -> str:
    return network.plan.box_address(name) if name in network.boxes else network.plan.relay_address(name).address


def of_call(relays: int, seconds: float) -> dict[str, Any]:
    """Return the octets on each link of one call over so many relays."""
    plan = Plan(guards=tuple(f"guard-{number}" for number in range(1, 7)))
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch, EmbeddedNetwork(Path(scratch) / "network", plan) as network:
        network.set_up()
        for name in MIDDLES[relays]:
            settings = network.boxes[name].home / "box.yaml"
            settings.write_text(settings.read_text().replace("middle: no\n", "middle: yes\n"))
        if relays == LONG:
            for node in (*network.relays.values(), network.boxes[CALLER]):
                node.wrapper = LONG_NODE
        network.start()
        network.wait_ready()
        whole, part = Path(scratch) / "call.pcap", Path(scratch) / "part.pcap"
        with phones_of(network, Path(scratch) / "phones", seconds + 10) as phones:
            caller, callee = phones[CALLER], phones[CALLEE]
            with Capture(whole):
                caller.dial(f"sip:{CALLEE}.privacy")
                callee.wait_for("incoming", SECOND_PATH_TIMEOUT_S)
                callee.answer()
                caller.wait_for("connected")
                with Capture(part):
                    time.sleep(seconds)
                near, far = _path(network, CALLER), _path(network, CALLEE)
                caller.hang_up()
                callee.wait_for("ended")
        (call,) = find_calls(load_capture(whole), *(network.plan.phone_sip(name) for name in (CALLER, CALLEE)))
        wire = load_capture(part)
        assert call.caller_media is not None
        assert call.callee_media is not None
        phone = Counter(len(each.payload) for each in wire if each.source == call.caller_media.endpoint)
        heard = measure_direction(frames_sent(wire, call.caller_media), frames_received(wire, call.callee_media), CLOCK_RATES_HZ[call.callee_media.codec])
        found = {f"{one} - {other}": sizes(wire, _address(network, one), _address(network, other)) for one, other in links_of(near, far)}
    if len(found) != relays + 1 or not all(each["datagrams"] for each in found.values()):
        raise HostError(f"the capture does not show the {relays + 1} links of the call")
    return {
        "links": [{"place": place, **each} for place, each in enumerate(found.values())],
        "rtp_ip_octets": phone.most_common(1)[0][0] + IP_AND_UDP_OCTETS,
        "one_way_p50_ms": percentile(heard.delays_ms, 0.5),
        "one_way_p99_ms": percentile(heard.delays_ms, 0.99),
    }


def measure(seconds: float, lengths: Iterable[int]) -> dict[str, Any]:
    """Return the octets by the number of relays."""
    return {"frame_octets": FRAME_OCTETS, "relays": {str(relays): of_call(relays, seconds) for relays in lengths}}


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--relays", type=int, nargs="+", choices=MIDDLES, default=list(MIDDLES))
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each call")
    given = parser.parse_args()
    print_apart(lambda: measure(given.seconds, given.relays))


if __name__ == "__main__":
    main()
