"""The figures of a call over the lab, from what left each node and what came to each. Pure.

Slot to playable: a frame that came to box A at least 1 ms before a cell left for its guard is taken to be in the first such cell (PROTOCOL.md §5.2), and playable when
box B sends it to its phone. What a frame waits in box A beyond that is counted, so the true figure is never larger. Mouth to ear: 20 ms of packet,
the way from phone to phone, and a phone that plays on a grid which starts 40 ms after the earliest packet; what comes later is not heard.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields

from voicebox.demo.datagrams import Datagram, Endpoint
from voicebox.demo.measure import FRAME_MS, NS_PER_MS, Frame, frames_received, frames_sent, measure_direction
from voicebox.demo.sipview import CLOCK_RATES_HZ, CallView, MediaView
from voicebox.probe.figures import mean, percentile

COMPOSED_NS = NS_PER_MS
PHONE_BUFFER_MS = 40
TIMESTAMPS = 1 << 32


@dataclass(frozen=True, slots=True)
class Wire:
    """All that left a node, and all that came to one, in order of time."""

    sent: Sequence[Datagram]
    arrived: Sequence[Datagram]


@dataclass(frozen=True, slots=True)
class Way:
    """One direction of one call. access: the address of box A and the socket of the guard that its call goes through; None: a call without boxes."""

    speaker: MediaView
    listener: MediaView
    access: tuple[str, Endpoint] | None
    ended_ns: int | None


@dataclass(frozen=True, slots=True)
class WayFigures:
    """Milliseconds of every frame, and frames. sent: that could be told apart; lost: of them on the way; unheard: lost, or too late for the phone's buffer."""

    slot_to_playable: tuple[float, ...]
    rtp: tuple[float, ...]
    mouth_to_ear: tuple[float, ...]
    jitter: tuple[float, ...]
    sent: int
    lost: int
    unheard: int


def phones_view(wire: Wire, phones: Iterable[str]) -> list[Datagram]:
    """Return what phones at these addresses sent and got, each datagram at the phone's own socket, as find_calls() wants it."""
    addresses = frozenset(phones)
    mine = [datagram for datagram in wire.sent if datagram.source.address in addresses]
    mine += [datagram for datagram in wire.arrived if datagram.destination.address in addresses and datagram.source.address not in addresses]
    return sorted(mine, key=lambda datagram: datagram.time_ns)


def ways(call: CallView, boxes: tuple[tuple[str, Endpoint], tuple[str, Endpoint]] | None) -> tuple[Way, Way]:
    """Return both directions of an answered call. boxes: of caller and callee, as Way.access. Raises ValueError where it was not answered."""
    caller, callee = call.caller_media, call.callee_media
    if caller is None or callee is None:
        raise ValueError("the capture does not show an answered call")
    first, second = boxes or (None, None)
    return Way(caller, callee, first, call.ended_ns), Way(callee, caller, second, call.ended_ns)


def measure_way(wire: Wire, way: Way) -> WayFigures:
    """Return the figures of one direction."""
    clock_rate_hz = CLOCK_RATES_HZ[way.listener.codec]
    spoken, heard = frames_sent(wire.sent, way.speaker), frames_received(wire.arrived, way.listener)
    whole = measure_direction(spoken, heard, clock_rate_hz, way.ended_ns)
    ears, late = _ears(spoken, heard, clock_rate_hz)
    if way.access is None:
        return WayFigures((), whole.delays_ms, ears, whole.jitters_ms, whole.sent, whole.lost, whole.lost + late)
    passed = _pairs(frames_sent(wire.arrived, way.speaker), frames_received(wire.sent, way.listener))
    ticks = [datagram.time_ns for datagram in wire.sent if (datagram.source.address, datagram.destination) == way.access]
    slots = []
    for into_ns, out_ns in passed:
        place = bisect_left(ticks, into_ns + COMPOSED_NS)
        if place < len(ticks):
            slots.append((out_ns - ticks[place]) / NS_PER_MS)
    rtp = tuple((out_ns - into_ns) / NS_PER_MS for into_ns, out_ns in passed)
    return WayFigures(tuple(slots), rtp, ears, whole.jitters_ms, whole.sent, whole.lost, whole.lost + late)


def _pairs(spoken: Sequence[Frame], heard: Sequence[Frame]) -> list[tuple[int, int]]:
    """Return when each frame was here and there; those that could be taken for each other are left out."""
    copies = Counter(frame.packet.payload for frame in spoken)
    there: dict[bytes, int] = {}
    for frame in heard:
        there.setdefault(frame.packet.payload, frame.time_ns)
    return [(frame.time_ns, there[frame.packet.payload]) for frame in spoken if copies[frame.packet.payload] == 1 and frame.packet.payload in there]


def _ears(spoken: Sequence[Frame], heard: Sequence[Frame], clock_rate_hz: int) -> tuple[tuple[float, ...], int]:
    """Return mouth to ear of the frames that are heard, and how many came too late to be."""
    if not heard:
        return (), 0
    first = heard[0].packet.rtp_timestamp

    def on_grid_ns(frame: Frame) -> int:
        # Timestamps count modulo 2^32, and the first to come need not be the first that was sent.
        ticks = (frame.packet.rtp_timestamp - first + TIMESTAMPS // 2) % TIMESTAMPS - TIMESTAMPS // 2
        return ticks * 1_000 * NS_PER_MS // clock_rate_hz

    begin_ns = min(frame.time_ns - on_grid_ns(frame) for frame in heard) + PHONE_BUFFER_MS * NS_PER_MS
    played = {frame.packet.payload: begin_ns + on_grid_ns(frame) for frame in heard}
    arrival = {frame.packet.payload: frame.time_ns for frame in reversed(heard)}
    waits = [(frame, played[frame.packet.payload]) for frame in spoken if frame.packet.payload in played]
    found = [FRAME_MS + (at_ns - frame.time_ns) / NS_PER_MS for frame, at_ns in waits if arrival[frame.packet.payload] <= at_ns]
    return tuple(found), len(waits) - len(found)


def summary(found: Sequence[WayFigures]) -> dict[str, object]:
    """Return the figures of several directions and calls together."""
    together: dict[str, list[float]] = {field.name: [value for way in found for value in getattr(way, field.name)] for field in fields(WayFigures)[:4]}
    sent, lost, unheard = (sum(getattr(way, name) for way in found) for name in ("sent", "lost", "unheard"))
    spread = {
        f"{name}_ms": {"p50": percentile(together[name], 0.5), "p99": percentile(together[name], 0.99)} if together[name] else None
        for name in ("slot_to_playable", "rtp", "mouth_to_ear")
    }
    jitter = together["jitter"]
    return {
        **spread,
        "jitter_ms": {"mean": mean(jitter), "p99": percentile(jitter, 0.99)} if jitter else None,
        "loss_pct": 100 * lost / sent if sent else None,
        "unheard_pct": 100 * unheard / sent if sent else None,
        "frames": sent,
    }
