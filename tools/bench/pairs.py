"""Several pairs of homes in one network of the lab, each with guards of its own, so that one run gives the figures of several calls. [io]

    with running(lab, "round-1", speech) as pairs:      wires, nodes and phones, all registered
        pairs.talk()                                    every caller dials, every callee answers by itself
    pairs.calls()                                       what the wires saw of each pair's phones

NOT here: what is done to the calls (kills.py), how they sound (speech.py).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tools.bench.path_figures import Wire, phones_view
from tools.lab.load import NETWORKS, load_network
from tools.lab.network import Lab
from tools.lab.plan import BoxNode, LabNetwork
from tools.lab.wire import Wires
from voicebox.demo.phones import PhoneDriver
from voicebox.demo.sipview import CallView, find_calls
from voicebox.demo.speech import make_speech
from voicebox.errors import HostError

GUARDS_OF_A_PAIR = 4
READY_TIMEOUT_S = 90.0
RING_TIMEOUT_S = 15.0
REGISTER_TIMEOUT_S = 20.0
RING_S = 0.2
STATUS_PAUSE_S = 0.5


def network_of_pairs(case: str, pairs: int) -> LabNetwork:
    """Return the network of a file in tools/lab/networks with so many pairs of homes: its wires, seed and junctions, and four guards for each pair."""
    base = load_network(NETWORKS / f"{case}.yaml")
    junctions = {name: role for name, role in base.relays.items() if role == "junction"}
    numbers = range(1, pairs + 1)
    guards = {f"guard-{pair}-{guard}": "guard" for pair in numbers for guard in range(1, GUARDS_OF_A_PAIR + 1)}
    boxes = {
        f"{name}{pair}": BoxNode(tuple(f"guard-{pair}-{guard}" for guard in own)) for pair in numbers for name, own in (("alice", (1, 2)), ("bob", (3, 4)))
    }
    return replace(base, relays={**guards, **junctions}, boxes=boxes, phones={f"{box}-desk": box for box in boxes})


@dataclass(frozen=True)
class Pair:
    """Two homes and their phones; the callee's answers by itself."""

    caller_box: str
    callee_box: str
    caller: PhoneDriver
    callee: PhoneDriver

    def dial(self) -> tuple[int, int]:
        """Dial; return which connection of either phone this will be."""
        counts = self.caller.events.count("connected") + 1, self.callee.events.count("connected") + 1
        self.caller.dial(f"sip:{self.callee_box}.privacy")
        return counts

    def lives(self, ended: tuple[int, int]) -> bool:
        """Return whether neither phone has said once more that its call ended. ended: how often each had before."""
        return (self.caller.events.count("ended"), self.callee.events.count("ended")) == ended

    def ended(self) -> tuple[int, int]:
        """Return how often each phone has said that its call ended."""
        return self.caller.events.count("ended"), self.callee.events.count("ended")


class Pairs:
    """A network that runs, and the phones of all its pairs."""

    def __init__(self, lab: Lab, wires: Wires, pairs: Sequence[Pair]) -> None:
        self.lab, self.wires, self.pairs = lab, wires, pairs

    def talk(self) -> list[Pair]:
        """Let every caller dial; return the pairs whose call stands."""
        counts = [(pair, pair.dial()) for pair in self.pairs]
        standing = []
        for pair, (of_caller, of_callee) in counts:
            try:
                pair.caller.wait_for("connected", RING_TIMEOUT_S, of_caller)
                pair.callee.wait_for("connected", RING_TIMEOUT_S, of_callee)
                standing.append(pair)
            except HostError:
                continue  # who did not get through is counted by what is missing
        return standing

    def hang_up(self, pairs: Sequence[Pair]) -> None:
        """End calls that stand."""
        ended = [(pair, pair.ended()) for pair in pairs]
        for pair, _ in ended:
            pair.caller.hang_up()
        for pair, (of_caller, of_callee) in ended:
            pair.caller.wait_for("ended", count=of_caller + 1)
            pair.callee.wait_for("ended", count=of_callee + 1)

    def circuits(self, box: str) -> list[dict[str, Any]]:
        """Return the circuits of a box that are in a call, the first one of the call before its spare."""
        status = self.lab.nodes.status(self.lab.nodes.boxes[box], show_path=True) or {}
        found = [circuit for circuit in status.get("circuits", ()) if circuit.get("in_call")]
        return sorted(found, key=lambda circuit: bool(circuit.get("spare")))

    def first_path(self, pair: Pair, timeout_s: float) -> tuple[str, str, str] | None:
        """Return guard, junction and guard of the first of the two paths of a call; None where it has no second one by then."""
        end = time.monotonic() + timeout_s
        while True:
            found = [self.circuits(box) for box in (pair.caller_box, pair.callee_box)]
            if all(len(each) == 2 for each in found):
                near, far = ([str(relay).removeprefix("operator of ") for relay in each[0]["relays"]] for each in found)
                return (near[0], near[-1], far[0])
            if time.monotonic() >= end:
                return None
            time.sleep(STATUS_PAUSE_S)

    def addresses(self, pair: Pair) -> tuple[str, str]:
        """Return the addresses of a pair's phones."""
        return pair.caller.setup.address, pair.callee.setup.address

    def calls(self) -> dict[str, tuple[Wire, list[CallView]]]:
        """Return by the caller's box what its phone and the other's sent and got, and their calls. Only once the wires have stopped.

        Raises HostError where the lab lost what it should not.
        """
        if self.wires.report is None or not self.wires.report.sound:
            raise HostError(f"the wires lost what they should not: {self.wires.report}")
        phones = {address for pair in self.pairs for address in self.addresses(pair)}
        sent, arrived = self.wires.sent(phones), self.wires.arrived(phones)
        found = {}
        for pair in self.pairs:
            own = frozenset(self.addresses(pair))
            wire = Wire(*([each for each in whole if {each.source.address, each.destination.address} & own] for whole in (sent, arrived)))
            ends = self.lab.plan.phone_sip(pair.caller_box), self.lab.plan.phone_sip(pair.callee_box)
            found[pair.caller_box] = (wire, find_calls(phones_view(wire, own), *ends))
        return found


@contextmanager
def running(lab: Lab, name: str, seconds: float, codec: str = "pcma") -> Iterator[Pairs]:
    """Run wires, nodes and phones; name: of the directory for captures and phones. seconds: of speech that each phone has to say in a call."""
    boxes = list(lab.network.boxes)
    directory = lab.directory / name
    with lab.wires(name=name) as wires:
        lab.nodes.start()
        try:
            lab.nodes.wait_ready(READY_TIMEOUT_S)
            with ExitStack() as stack:
                phones = {}
                for speaker, box in enumerate(boxes):
                    speech = make_speech(directory / f"{box}.wav", speaker, seconds, codec)
                    ring_s = RING_S if speaker % 2 else None
                    phones[box] = stack.enter_context(lab.phone(box, speech, codec=codec, ring_s=ring_s, directory=directory))
                for phone in phones.values():
                    phone.wait_for("registered", REGISTER_TIMEOUT_S)
                ends = zip(boxes[::2], boxes[1::2], strict=True)
                yield Pairs(lab, wires, [Pair(caller, callee, phones[caller], phones[callee]) for caller, callee in ends])
        finally:
            lab.nodes.stop()


def remove_captures(lab: Lab, name: str) -> None:
    """Delete what a run wrote, once it was read: a minute of four pairs is a hundred megabytes."""
    for path in Path(lab.directory / name).glob("*.pcap"):
        path.unlink()
