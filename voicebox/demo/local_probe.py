"""An embedded network to probe, on this machine: six relays, two boxes, no phones. [io]"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from voicebox.demo.namespace import enter_private_network
from voicebox.demo.network import BOXES, EmbeddedNetwork


@contextlib.contextmanager
def local_network() -> Iterator[tuple[Path, str]]:
    """Start it; give the directory of one box, and what the other is called there. Raises HostError with what is missing."""
    isolation = enter_private_network()
    if not isolation.private:
        print(f"{isolation.reason}: the network runs on the plain loopback", file=sys.stderr)
    print("An embedded network is set up and started; half a minute.", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix="voicebox-probe-") as scratch, EmbeddedNetwork(Path(scratch) / "network") as network:
        network.set_up()
        network.start()
        network.wait_ready()
        here, there = BOXES
        yield network.boxes[here].home, there
