"""ICMP errors, real ones of the kernel: a port where nobody listens stops neither the asking nor what goes to others over the same socket. [io]

Spec: PROTOCOL.md §2; sockets are unconnected, so an error belongs to nobody.
"""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from tests.system.test_link import LOCAL, make_identity
from voicebox.dataplane import Event, LinkUp, LiveDataPlane

pytestmark = pytest.mark.alone


def refused(port: int) -> bool:
    """The control: say whether the kernel answers with an ICMP error at a port, as a connected socket is told."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((LOCAL, port))
        probe.settimeout(1)
        probe.send(b"?")
        try:
            probe.recv(1)
        except ConnectionRefusedError:
            return True
        except TimeoutError:
            return False
        return False


async def ups(events: list[Event], count: int) -> None:
    """Wait until so many links stand."""
    ends = time.monotonic() + 5
    while sum(isinstance(event, LinkUp) for event in events) < count:
        assert time.monotonic() < ends, events
        await asyncio.sleep(0.01)


async def test_errors_of_the_network_stop_nothing() -> None:
    planes = [LiveDataPlane(born_unix_us=0, realtime=False) for _ in range(3)]
    box, late, other = planes
    identity, events = make_identity(), list[Event]()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((LOCAL, 0))
        port = free.getsockname()[1]
    try:
        for plane in planes:
            plane.start()
        box.attach(events.append)
        box.bind(LOCAL)
        box.connect(LOCAL, other.listen(LOCAL, 0, identity.certificate, identity.key), identity.pin)
        await ups(events, 1)
        assert refused(port)
        box.connect(LOCAL, port, identity.pin)
        await asyncio.sleep(1.2)
        late.listen(LOCAL, port, identity.certificate, identity.key)
        await ups(events, 2)
        late.stop()
        assert refused(port)
        before, begun = other.counters()["link_cells_in"], time.monotonic()
        await asyncio.sleep(2)
        cells, expected = other.counters()["link_cells_in"] - before, 50 * (time.monotonic() - begun)
        assert cells == pytest.approx(expected, abs=4), "each cell to the dead one is answered with an error; the other link does not notice"
        assert len(events) == 2, events
        assert box.counters()["links"] == 2, "silence takes a link down, after its time, and nothing else does"
    finally:
        box.detach()
        for plane in planes:
            plane.stop()
