"""How long until it rings: INVITE (the one with credentials) to 180 at the caller's phone, for contacts who never met and for those who did. [io]

Real phones, real boxes, six relays; the times are read from a capture of the loopback, so neither box nor phone is asked. First calls: five boxes that
are all each other's contacts, so that each of the ten pairs calls once; then all get back the state they had before they ever spoke. Between two calls
there is a pause: whoever dials within moments of hanging up waits for the circuit to be free, which is another figure.

    python -m tools.bench.calls [--calls N]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import itertools
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tools.bench.apart import print_apart
from tools.bench.process import memory_mb
from voicebox.demo.capture import Capture
from voicebox.demo.datagrams import load_capture
from voicebox.demo.measure import NS_PER_MS
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.sipview import find_calls
from voicebox.demo.speech import make_speech
from voicebox.probe.figures import percentile

PEOPLE = ("alice", "bob", "carol", "dave", "erin")
CALLER, CALLEE = PEOPLE[:2]
RING_TIMEOUT_S = 15.0
PAUSE_S = 1.0
SPEECH_S = 5.0


def _setup(network: EmbeddedNetwork, name: str, speech: Path) -> PhoneSetup:
    sip = network.plan.phone_sip(name)
    return PhoneSetup(name, network.login(name), sip.address, sip.port, network.plan.phone_rtp_port(name), speech)


@contextmanager
def phones_of(network: EmbeddedNetwork, directory: Path, seconds: float = SPEECH_S) -> Iterator[Mapping[str, PhoneDriver]]:
    """Run a phone for each box, all registered. seconds: of speech that each has to say in a call."""
    directory.mkdir(parents=True)
    speech = directory / "speech.wav"
    make_speech(speech, 0, seconds, "pcma")
    with ExitStack() as stack:
        phones = {name: stack.enter_context(phone_for(_setup(network, name, speech), directory / name)) for name in network.boxes}
        for phone in phones.values():
            phone.wait_for("registered")
        yield phones


def _ring(caller: PhoneDriver, callee: PhoneDriver, name: str) -> None:
    """Dial, wait until it rings, give up, and pause."""
    ended = callee.events.count("ended"), caller.events.count("ended")
    caller.dial(f"sip:{name}.privacy")
    caller.wait_for("ringing", RING_TIMEOUT_S, caller.events.count("ringing") + 1)
    caller.hang_up()
    callee.wait_for("ended", count=ended[0] + 1)
    caller.wait_for("ended", count=ended[1] + 1)
    time.sleep(PAUSE_S)


def _ringing_ms(pcap: Path, network: EmbeddedNetwork, caller: str, callee: str) -> list[float]:
    calls = find_calls(load_capture(pcap), network.plan.phone_sip(caller), network.plan.phone_sip(callee))
    return [(call.ringing_ns - call.invited_ns) / NS_PER_MS for call in calls if call.ringing_ns is not None]


def _restore(network: EmbeddedNetwork, kept: Path) -> None:
    for node in network.boxes.values():
        network.stop_node(node)
        shutil.rmtree(node.home)
        shutil.copytree(kept / node.name, node.home)
        network.start_node(node)


def first_calls(directory: Path, count: int) -> list[float]:
    """Return the milliseconds to ringing of calls between contacts who never spoke before."""
    found: list[float] = []
    pairs = list(itertools.combinations(PEOPLE, 2))
    with EmbeddedNetwork(directory / "network", Plan(boxes=PEOPLE)) as network:
        network.set_up()
        for name, node in network.boxes.items():
            shutil.copytree(node.home, directory / "kept" / name)
        network.start()
        for begin in range(0, count, len(pairs)):
            if begin:
                _restore(network, directory / "kept")
            network.wait_ready()
            with phones_of(network, directory / f"phones-{begin}") as phones:
                for number, (caller, callee) in enumerate(pairs[: count - begin]):
                    pcap = directory / f"first-{begin + number}.pcap"
                    with Capture(pcap):
                        _ring(phones[caller], phones[callee], callee)
                    found += _ringing_ms(pcap, network, caller, callee)
                    pcap.unlink()
    return found


def met_calls(directory: Path, count: int) -> tuple[list[float], float]:
    """Return the milliseconds to ringing of calls between contacts who met before, and the memory in MB of a box in a call."""
    with EmbeddedNetwork(directory / "network") as network:
        network.set_up()
        network.start()
        network.wait_ready()
        pcap = directory / "met.pcap"
        with phones_of(network, directory / "phones") as phones:
            caller, callee = phones[CALLER], phones[CALLEE]
            _ring(caller, callee, CALLEE)  # they meet
            with Capture(pcap):
                for _ in range(count):
                    _ring(caller, callee, CALLEE)
            caller.dial(f"sip:{CALLEE}.privacy")
            callee.wait_for("incoming", count=count + 2)
            callee.answer()
            caller.wait_for("connected")
            time.sleep(PAUSE_S)
            process = network.boxes[CALLER].process
            assert process is not None
            box_mb = memory_mb(process.pid)
            caller.hang_up()
        return _ringing_ms(pcap, network, CALLER, CALLEE), box_mb


def p95(values: list[float], count: int) -> float | None:
    """Return the 95th percentile, None where a call never rang: a missing one must not make the figure better."""
    return percentile(values, 0.95) if len(values) == count else None


def measure(count: int) -> dict[str, Any]:
    """Return the figures of so many calls of either kind."""
    with tempfile.TemporaryDirectory(prefix="voicebox-bench-") as scratch:
        first = first_calls(Path(scratch) / "first", count)
        met, box_mb = met_calls(Path(scratch) / "met", count)
    return {
        "calls": count,
        "first_p95": p95(first, count),
        "met_p95": p95(met, count),
        "first_p50": percentile(first, 0.5),
        "met_p50": percentile(met, 0.5),
        "rang": [len(first), len(met)],
        "box_rss_mb": box_mb,
    }


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=50)
    given = parser.parse_args()
    print_apart(lambda: measure(given.calls))


if __name__ == "__main__":
    main()
