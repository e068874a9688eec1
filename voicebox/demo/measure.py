"""The figures of a call, from a capture and nothing else. Pure.

Delay: a codec payload that one phone sends is looked up in what the other phone receives; payloads that were sent more than once are left
out, because they could be taken for each other. Loss: payloads that were sent once, and neither came nor left a packet of other sound in their place, as a coarse copy is. Jitter: RFC 3550 A.8 at the
receiving phone's socket. Links: sizes, cells in each second, gaps. No counter of the engine is asked.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from voicebox.demo.datagrams import NS_PER_S, PROTOCOL_UDP, Datagram, Endpoint
from voicebox.demo.sipview import CLOCK_RATES_HZ, CallView, MediaView, at
from voicebox.probe.rtpstats import InterarrivalJitter, RtpPacket, parse_rtp

NS_PER_MS = 1_000_000
SLOT_MS = 20.0
FRAME_MS = 20
MAX_JUMP_MS = 2000.0
"""How far a timestamp may be from the time that has passed: more is a new clock, no late packet."""
LATE_FRAMES = 10
SEQUENCES = 1 << 16
END_MARGIN_NS = 500 * NS_PER_MS
"""Frames sent so shortly before the end of a call are not missed: they were still on their way."""


@dataclass(frozen=True, slots=True)
class LinkRole:
    """One link of the network. near, far: the two nodes' sockets, port 0 meaning any port of that address; access: between a box and its guard."""

    name: str
    near: Endpoint
    far: Endpoint
    access: bool


@dataclass(frozen=True, slots=True)
class Roles:
    """Who is who in a capture: the SIP sockets of the two phones, and the links in the order in which they are tried."""

    caller_sip: Endpoint
    callee_sip: Endpoint
    links: tuple[LinkRole, ...] = ()


@dataclass(frozen=True, slots=True)
class Frame:
    """One codec frame as seen at a phone's socket."""

    time_ns: int
    packet: RtpPacket


@dataclass(frozen=True, slots=True)
class DirectionFigures:
    """Sound in one direction. delays_ms: of the frames that could be told apart, in order of sending.

    sent: such frames between the first that came and shortly before the end; lost: those of them in whose place nothing came;
    repaired: those in whose place one packet of other sound came, made of a coarse copy.
    clipped_ms: sound sent before the first frame that came. jitters_ms: the running estimate after each packet.
    """

    sent: int
    lost: int
    clipped_ms: float
    delays_ms: tuple[float, ...]
    jitters_ms: tuple[float, ...]
    first_heard_ns: int | None
    repaired: int = 0

    @property
    def loss_pct(self) -> float:
        """Share of frames lost; all, where nothing came."""
        return 100 * self.lost / self.sent if self.sent else 100.0


@dataclass(frozen=True, slots=True)
class SecondCounts:
    """Datagrams in each whole second of a span: mean, fewest, most. rate: over the whole span."""

    rate: float
    fewest: int
    most: int
    seconds: int


@dataclass(frozen=True, slots=True)
class FlowFigures:
    """One direction of one link, from its first cell on. sizes: octets of UDP payload -> datagrams; gaps in slots."""

    link: str
    access: bool
    towards_far: bool
    sizes: dict[int, int]
    idle: SecondCounts | None
    call: SecondCounts | None
    longest_gap_slots: float
    gaps_over_3_slots: int
    first_cell_ns: int
    last_ns: int
    before_first_cell: int


@dataclass(frozen=True, slots=True)
class CallFigures:
    """All that a capture says about one call."""

    call: CallView
    codec: str
    to_callee: DirectionFigures
    to_caller: DirectionFigures
    invite_to_ringing_ms: float | None
    answer_to_audio_ms: float | None
    flows: tuple[FlowFigures, ...] = field(default=())


def frames_sent(datagrams: Iterable[Datagram], media: MediaView) -> list[Frame]:
    """Return the codec frames that leave a phone's socket."""
    return _frames((datagram for datagram in datagrams if datagram.source == media.endpoint), media)


def frames_received(datagrams: Iterable[Datagram], media: MediaView) -> list[Frame]:
    """Return the codec frames that come to a phone's socket."""
    return _frames((datagram for datagram in datagrams if datagram.destination == media.endpoint), media)


def _frames(datagrams: Iterable[Datagram], media: MediaView) -> list[Frame]:
    found = []
    for datagram in datagrams:
        packet = parse_rtp(datagram.payload) if datagram.protocol == PROTOCOL_UDP else None
        if packet is not None and packet.payload_type == media.payload_type and packet.payload:
            found.append(Frame(datagram.time_ns, packet))
    return found


def measure_direction(sent: Sequence[Frame], received: Sequence[Frame], clock_rate_hz: int, ended_ns: int | None = None) -> DirectionFigures:
    """Compare what one phone sent with what the other received.

    clock_rate_hz: of RTP timestamps; ended_ns: when the call ended, where it is known.
    """
    copies = Counter(frame.packet.payload for frame in sent)
    arrivals: dict[bytes, Frame] = {}
    for frame in received:
        arrivals.setdefault(frame.packet.payload, frame)
    end_ns = (ended_ns if ended_ns is not None else max((frame.time_ns for frame in sent), default=0)) - END_MARGIN_NS
    distinct = [frame for frame in sent if copies[frame.packet.payload] == 1]
    heard = [frame for frame in distinct if frame.packet.payload in arrivals]
    jitters = _jitters(received, clock_rate_hz)
    if not heard:
        return DirectionFigures(len(distinct), len(distinct), 0.0, (), jitters, None)
    counted = [frame for frame in distinct if heard[0].time_ns <= frame.time_ns <= end_ns]
    missing = sum(frame.packet.payload not in arrivals for frame in counted)
    repaired = _repaired(sent, received, arrivals, {frame.packet.payload for frame in counted})
    delays = tuple((arrivals[frame.packet.payload].time_ns - frame.time_ns) / NS_PER_MS for frame in heard)
    first_heard_ns = min(arrivals[frame.packet.payload].time_ns for frame in heard)
    clipped_ms = FRAME_MS * sum(frame.time_ns < heard[0].time_ns for frame in sent)
    return DirectionFigures(len(counted), missing - repaired, clipped_ms, delays, jitters, first_heard_ns, repaired)


def _repaired(sent: Sequence[Frame], received: Sequence[Frame], arrivals: Mapping[bytes, Frame], counted: Collection[bytes]) -> int:
    # A single frame that did not come as it was sent, with one packet between those of the frames before and after it.
    numbers = {(frame.packet.ssrc, frame.packet.sequence_number) for frame in received}
    found = 0
    for before, frame, after in zip(sent, sent[1:], sent[2:], strict=False):
        if frame.packet.payload in arrivals or frame.packet.payload not in counted:
            continue
        first, last = arrivals.get(before.packet.payload), arrivals.get(after.packet.payload)
        if first is None or last is None or first.packet.ssrc != last.packet.ssrc:
            continue
        between = (first.packet.sequence_number + 1) % SEQUENCES
        found += (last.packet.sequence_number - between) % SEQUENCES == 1 and (first.packet.ssrc, between) in numbers
    return found


def _jitters(received: Sequence[Frame], clock_rate_hz: int) -> tuple[float, ...]:
    # One estimate per source, as RFC 3550 has it; the first packet of a source has no difference to measure.
    sources: dict[int, InterarrivalJitter] = {}
    found: list[float] = []
    for frame in received:
        known = frame.packet.ssrc in sources
        source = sources.setdefault(frame.packet.ssrc, InterarrivalJitter(clock_rate_hz))
        estimate = source.receive(frame.time_ns / NS_PER_S, frame.packet.rtp_timestamp)
        if known:
            found.append(estimate)
    return tuple(found)


def play_out(received: Sequence[Frame], clock_rate_hz: int, buffer_ms: float = 60.0) -> list[bytes | None]:
    """Return the frames as a phone with a fixed buffer would play them, None where one is missing or too late.

    The earliest packet waits buffer_ms; after LATE_FRAMES late ones in a row the next counts as the earliest. A new source, or a jump of the timestamp that no clock makes, begins the playing anew.
    """
    played: list[bytes | None] = []
    for stretch in _stretches(received, clock_rate_hz):
        played += _play_stretch(stretch, clock_rate_hz, buffer_ms)
    return played


def _stretches(received: Sequence[Frame], clock_rate_hz: int) -> list[list[Frame]]:
    found: list[list[Frame]] = []
    for frame in received:
        before = found[-1][-1] if found else None
        if before is not None and before.packet.ssrc == frame.packet.ssrc:
            step_ms = _signed(frame.packet.rtp_timestamp - before.packet.rtp_timestamp) * 1000 / clock_rate_hz
            if abs(step_ms - (frame.time_ns - before.time_ns) / NS_PER_MS) < MAX_JUMP_MS:
                found[-1].append(frame)
                continue
        found.append([frame])
    return found


def _signed(difference: int) -> int:
    # Timestamps count modulo 2^32, and the first to come need not be the first that was sent.
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)


def _play_stretch(stretch: Sequence[Frame], clock_rate_hz: int, buffer_ms: float) -> list[bytes | None]:
    first = stretch[0].packet.rtp_timestamp
    step = clock_rate_hz * FRAME_MS // 1000
    places = [_signed(frame.packet.rtp_timestamp - first) // step for frame in stretch]
    lowest = min(places)
    slots: list[bytes | None] = [None] * (max(places) - lowest + 1)
    base_ns, late = stretch[0].time_ns - places[0] * FRAME_MS * NS_PER_MS, 0
    for frame, place in zip(stretch, places, strict=True):
        own_base_ns = frame.time_ns - place * FRAME_MS * NS_PER_MS
        if own_base_ns <= base_ns + buffer_ms * NS_PER_MS:
            base_ns, late = min(base_ns, own_base_ns), 0
            slots[place - lowest] = frame.packet.payload
            continue
        late += 1
        if late > LATE_FRAMES:
            # Not this frame is late, the path has become slower; a phone waits longer from here on.
            base_ns, late = own_base_ns, 0
            slots[place - lowest] = frame.packet.payload
    return slots


def align(played: Sequence[bytes | None], sent: Sequence[Frame]) -> tuple[list[bytes | None], list[bytes | None]]:
    """Return (played, sent) cut to the same stretch of sound: from the first to the last frame that can be told apart in both."""
    copies = Counter(frame.packet.payload for frame in sent)
    places = {frame.packet.payload: place for place, frame in enumerate(sent) if copies[frame.packet.payload] == 1}
    common = [(i, places[payload]) for i, payload in enumerate(played) if payload in places and payload is not None]
    if not common:
        return [], []
    (first_played, first_sent), (last_played, last_sent) = common[0], common[-1]
    return list(played[first_played : last_played + 1]), [frame.packet.payload for frame in sent[first_sent : last_sent + 1]]


def measure_call(datagrams: Sequence[Datagram], call: CallView, roles: Roles) -> CallFigures:
    """Return all figures of one call. Raises ValueError where the capture does not show where its sound went."""
    if call.caller_media is None or call.callee_media is None:
        raise ValueError("the capture does not show an answered call")
    caller, callee = call.caller_media, call.callee_media
    clock_rate_hz = CLOCK_RATES_HZ[callee.codec]
    span = [datagram for datagram in datagrams if datagram.time_ns >= call.invited_ns]
    to_callee = measure_direction(frames_sent(span, caller), frames_received(span, callee), clock_rate_hz, call.ended_ns)
    to_caller = measure_direction(frames_sent(span, callee), frames_received(span, caller), clock_rate_hz, call.ended_ns)
    ringing = (call.ringing_ns - call.invited_ns) / NS_PER_MS if call.ringing_ns is not None else None
    heard = [direction.first_heard_ns for direction in (to_callee, to_caller)]
    audio = None
    if call.callee_answered_ns is not None and heard[0] is not None and heard[1] is not None:
        # Early media is heard before the answer, and then nobody waits for sound.
        audio = max(0.0, (max(heard[0], heard[1]) - call.callee_answered_ns) / NS_PER_MS)
    return CallFigures(call, callee.codec, to_callee, to_caller, ringing, audio, measure_links(datagrams, roles, call))


def measure_links(datagrams: Iterable[Datagram], roles: Roles, call: CallView | None = None) -> tuple[FlowFigures, ...]:
    """Return the figures of each direction of each link; one entry per pair of sockets that was seen."""
    flows: dict[tuple[int, bool, Endpoint, Endpoint], tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for key, datagram in on_links(datagrams, roles.links):
        times, sizes = flows[key]
        times.append(datagram.time_ns)
        sizes.append(len(datagram.payload))
    figures = [_measure_flow(roles.links[index], times, sizes, call, towards_far=towards_far) for (index, towards_far, _, _), (times, sizes) in flows.items()]
    return tuple(sorted(figures, key=lambda flow: (not flow.access, flow.link, not flow.towards_far, flow.first_cell_ns)))


def on_links(datagrams: Iterable[Datagram], links: Sequence[LinkRole]) -> Iterator[tuple[tuple[int, bool, Endpoint, Endpoint], Datagram]]:
    """Yield what went over the links: over which, whether towards its far end, between which sockets; and the datagram."""
    known: dict[tuple[Endpoint, Endpoint], tuple[int, bool] | None] = {}
    for datagram in datagrams:
        if datagram.protocol != PROTOCOL_UDP:
            continue
        ends = (datagram.source, datagram.destination)
        if ends not in known:
            known[ends] = _role_of(ends, links)
        if (role := known[ends]) is not None:
            yield (*role, *ends), datagram


def _role_of(ends: tuple[Endpoint, Endpoint], links: Sequence[LinkRole]) -> tuple[int, bool] | None:
    """Return which of the links a datagram of these sockets went over, and whether towards its far end; None for another datagram."""
    source, destination = ends
    for index, link in enumerate(links):
        if at(source, link.near) and at(destination, link.far):
            return index, True
        if at(source, link.far) and at(destination, link.near):
            return index, False
    return None


def _measure_flow(link: LinkRole, times: list[int], sizes: list[int], call: CallView | None, *, towards_far: bool) -> FlowFigures:
    # The handshake comes before the first cell; the size that most datagrams have is the cell's. Whatever else comes later shows up in `sizes`.
    cell_octets = Counter(sizes).most_common(1)[0][0]
    first = sizes.index(cell_octets)
    cells = times[first:]
    gaps = [(later - earlier) / NS_PER_MS / SLOT_MS for earlier, later in pairwise(cells)]
    idle = talk = None
    if call is not None:
        idle = count_seconds(cells, cells[0], call.invited_ns)
        if call.answered_ns is not None and call.ended_ns is not None:
            talk = count_seconds(cells, call.answered_ns, call.ended_ns)
    else:
        idle = count_seconds(cells, cells[0], cells[-1])
    longest, over = max(gaps, default=0.0), sum(gap > 3 for gap in gaps)
    counted = dict(sorted(Counter(sizes[first:]).items()))
    return FlowFigures(link.name, link.access, towards_far, counted, idle, talk, longest, over, cells[0], cells[-1], first)


def count_seconds(times_ns: Sequence[int], begin_ns: int, end_ns: int) -> SecondCounts | None:
    """Count datagrams in a span of time; None where it is shorter than a second."""
    seconds = (end_ns - begin_ns) // NS_PER_S
    if seconds < 1:
        return None
    counts = [0] * seconds
    total = 0
    for time_ns in times_ns:
        if begin_ns <= time_ns < end_ns:
            total += 1
            second = (time_ns - begin_ns) // NS_PER_S
            if second < seconds:
                counts[second] += 1
    return SecondCounts(total * NS_PER_S / (end_ns - begin_ns), min(counts), max(counts), seconds)
