"""Which contact's streams go over which call, and who may open one. Pure: takes `now`, in seconds of the monotonic clock.

    a program here -> open() -> the bundle wants to speak -> a call for streams -> Ringing, Tie both ways -> the call carries the bundle -> opened(None)
    a contact's    -> a call for streams -> Ringing, Tie both ways -> asked: allowed? connect() -> the stream has its socket
    people talk    -> Tie both ways -> their call carries the bundle, in what its sound leaves, until it is over

A line is a call that carries a bundle, or may. A call for streams rings nobody. It is given up for people who talk, at once, and begun again when a circuit is free; the bundle
goes on where it was, as long as both boxes tie it to the same numbers. What was idle for a while is given up too. A call of people is never ended from here.
NOT here: octets (the engine moves them), sockets (server.py), circuits.
Spec: PROTOCOL.md §11.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol, runtime_checkable

from voicebox.b2bua.events import TIE_OCTETS, CallEvent, End, Offer, Refuse, Ringing, Tie
from voicebox.b2bua.ports import CircuitLeg
from voicebox.config.model import Endpoint
from voicebox.dataplane import BundleBroken, BundleEvent, BundleWants, StreamAsked, StreamOver, StreamTaken
from voicebox.errors import Bug, UsageError
from voicebox.streams.offered import LIST_PORT, Offered

AGAIN_S = (1.0, 4.0)
"""So long after no circuit was free, or a line ended, the next one is begun: drawn, because both boxes may have begun one, and left it for the other's."""
REFUSED_S = 30.0
"""So long after the contact's box did not take a line."""
IDLE_S = (7.0, 38.0)
"""As long as dummies last of which nothing comes."""
FORGOTTEN_S = 300.0
"""A line that a contact began, and does not end."""
LOOK_S = 2.0
OPEN_S = 60.0
"""A stream that the contact's box did not take by then is given up."""
MAX_OPENING = 256
REFUSED, BUSY, UNREACHABLE, GONE, UNLIKE = 1, 2, 3, 4, 5
"""Of PROTOCOL.md §11.3; UNLIKE: of the service and the program's way to it one is fast, the other not."""
NEVER = float("inf")
NO_NUMBER = bytes(TIE_OCTETS)

Listener = Callable[[CallEvent], None]
Opened = Callable[[int | None], None]
"""opened(why): None once the contact's box takes the stream, else why not, of PROTOCOL.md §11.3."""


class Connect(Protocol):
    """Connects to a service, over TCP or UDP, and calls connected()."""

    def __call__(self, to: Endpoint, connected: Connected, /, *, datagrams: bool) -> None: ...


Connected = Callable[[int | None], None]
"""connected(descriptor): of a connected socket, which stays the caller's; None where there is none."""


class StreamPlane(Protocol):
    """What this needs of the engine."""

    def bundle_open(self) -> int: ...
    def bundle_close(self, bundle: int, /) -> None: ...
    def bundle_idle_us(self, bundle: int, /) -> int: ...
    def stream_open(self, bundle: int, port: int, /, *, datagrams: bool = False, fast: bool = False) -> int: ...
    def stream_attach(self, stream: int, descriptor: int, first: bytes = b"", *, whole: bool = False) -> None: ...
    def stream_reset(self, stream: int, why: int, /) -> None: ...
    def door_open(self, descriptor: int, /, *, has_headers: bool = False) -> int: ...
    def door_attach(self, door: int, stream: int, header: bytes, first: list[bytes], /) -> None: ...
    def door_close(self, door: int, /) -> None: ...


@runtime_checkable
class StreamLeg(Protocol):
    """A call whose circuits can carry a bundle; circuits/call.py has it."""

    def carry(self, bundle: int) -> None: ...


class StreamNetwork(Protocol):
    """Calls to contacts, as streams need them."""

    def call(self, petname: str, offer: Offer, listener: Listener) -> CircuitLeg: ...


@dataclass(eq=False, slots=True)
class _Line:
    """A call that carries a bundle. began: by this box, for streams. said, heard: what ties the bundle to it, once each way.

    binding: by what both boxes know a call of people; empty for one for streams.
    """

    began: bool = False
    leg: CircuitLeg | None = None
    said: Tie | None = None
    heard: Tie | None = None
    binding: bytes = field(default=b"", repr=False)
    idle_s: float = FORGOTTEN_S

    @property
    def is_of_people(self) -> bool:
        return bool(self.binding)

    def say(self, tie: Tie) -> None:
        self.said = tie
        if self.leg is not None:
            self.leg.send(tie)


@dataclass(eq=False, slots=True)
class _Peer:
    """A contact's bundle. own, other: the numbers by which both boxes know it. line: the call that carries it, or is to."""

    petname: str
    own: bytes = field(repr=False)
    bundle: int
    other: bytes = field(default=NO_NUMBER, repr=False)
    wants: bool = False
    line: _Line | None = None
    again: float = 0.0
    look: float = NEVER


@dataclass(eq=False, slots=True)
class Opening:
    """A stream that the contact's box has not taken yet. stream: its number; another one, where the contact's box turns out to have been started anew."""

    stream: int
    peer: _Peer
    port: int
    opened: Opened
    until: float
    datagrams: bool = False
    fast: bool = False


class Bundles:
    """All bundles of a box.

    soon(step): do a step soon, for a call tells what happens inside of what caused it; offered(): what is offered now; connect(to, connected, datagrams): connect to a service; tell(stream, octets): take a stream, say this on it, and end it; draw(low, high): seconds evenly between the two; number(): 8 random octets.
    Contract: call an event method, handle_timer() or open(), then re-arm at next_timer().
    """

    def __init__(
        self,
        plane: StreamPlane,
        network: StreamNetwork,
        soon: Callable[[Callable[[], None]], None],
        offered: Callable[[], Offered],
        connect: Connect,
        tell: Callable[[int, bytes], None],
        clock: Callable[[], float],
        draw: Callable[[float, float], float],
        number: Callable[[], bytes],
    ) -> None:
        self._plane, self._network, self._soon, self._offered = plane, network, soon, offered
        self._connect, self._tell = connect, tell
        self._clock, self._draw, self._number = clock, draw, number
        self._peers: dict[str, _Peer] = {}
        self._talks: dict[str, list[_Line]] = {}
        """By contact, the open calls of people: those that may carry a bundle."""
        self._opening: dict[int, Opening] = {}
        self._asked: set[int] = set()

    @property
    def lines(self) -> int:
        """Return how many calls for streams there are."""
        return sum(peer.line is not None and not peer.line.is_of_people for peer in self._peers.values())

    @property
    def beside(self) -> int:
        """Return how many bundles calls of people carry."""
        return sum(peer.line is not None and peer.line.is_of_people for peer in self._peers.values())

    # --------------------------------------------------------------------------------------------------- programs here

    def open(self, petname: str, port: int, opened: Opened, *, datagrams: bool = False, fast: bool = False) -> Opening:
        """Open a stream to a contact's service, one whose octets go in fast cells, or an association. Raises UsageError where too many are being opened."""
        if len(self._opening) >= MAX_OPENING:
            raise UsageError("Too many streams are being opened.")
        peer = self._peer(petname)
        stream = self._plane.stream_open(peer.bundle, port, datagrams=datagrams, fast=fast)
        opening = self._opening[stream] = Opening(stream, peer, port, opened, self._clock() + OPEN_S, datagrams, fast)
        return opening

    def give_up(self, opening: Opening) -> None:
        """Forget a stream whose program is gone before it was taken."""
        if self._opening.pop(opening.stream, None) is not None:
            self._plane.stream_reset(opening.stream, GONE)

    def _peer(self, petname: str) -> _Peer:
        peer = self._peers.get(petname)
        if peer is None:
            peer = self._peers[petname] = _Peer(petname, self._number(), self._plane.bundle_open())
        return peer

    # ------------------------------------------------------------------------------------------------------- the engine

    def handle_event(self, event: BundleEvent) -> None:
        """Take what happened to a stream or bundle."""
        match event:
            case StreamTaken(stream):
                opening = self._opening.pop(stream, None)
                if opening is not None:
                    opening.opened(None)
            case StreamOver(stream, why):
                self._asked.discard(stream)
                opening = self._opening.pop(stream, None)
                if opening is not None:
                    opening.opened(why if why is not None else GONE)
            case StreamAsked():
                self._ask(event)
            case BundleWants(bundle):
                if (peer := self._of_bundle(bundle)) is not None:
                    peer.wants = True
                    self._begin(peer)
            case BundleBroken(bundle):
                if (peer := self._of_bundle(bundle)) is not None:
                    self._forget(peer)

    def _of_bundle(self, bundle: int) -> _Peer | None:
        return next((peer for peer in self._peers.values() if peer.bundle == bundle), None)

    def _ask(self, asked: StreamAsked) -> None:
        stream, port, datagrams = asked.stream, asked.port, asked.datagrams
        peer = self._of_bundle(asked.bundle)
        if peer is not None and port == LIST_PORT and not (datagrams or asked.fast):
            self._tell(stream, self._offered().listing(peer.petname).encode())
            return
        service = self._offered().allowed(peer.petname, port, udp=datagrams) if peer is not None else None
        if service is None:
            self._plane.stream_reset(stream, REFUSED)
            return
        if service.fast is not asked.fast:
            self._plane.stream_reset(stream, UNLIKE)
            return
        self._asked.add(stream)
        self._connect(service.to, partial(self._connected, stream, datagrams), datagrams=datagrams)

    def _connected(self, stream: int, datagrams: bool, descriptor: int | None) -> None:  # noqa: FBT001 - by partial()
        if stream not in self._asked:
            return
        self._asked.discard(stream)
        if descriptor is None:
            self._plane.stream_reset(stream, UNREACHABLE)
        elif datagrams:
            self._plane.door_attach(self._plane.door_open(descriptor), stream, b"", [])
        else:
            self._plane.stream_attach(stream, descriptor)

    # ------------------------------------------------------------------------------------------------------------ lines

    def _begin(self, peer: _Peer) -> None:
        now = self._clock()
        if peer.line is not None or not peer.wants:
            return
        if peer.petname in self._talks:
            self._settle(peer)
            return
        if peer.again > now:
            return
        line = peer.line = _Line(began=True, idle_s=self._draw(*IDLE_S))
        peer.look = now + LOOK_S
        try:
            line.leg = self._network.call(peer.petname, Offer((), streams=True), self._listener(peer, line))
        except UsageError:
            peer.line, peer.again, peer.look = None, now + self._draw(*AGAIN_S), NEVER

    def accept(self, petname: str, leg: CircuitLeg) -> Listener:
        """Take a line that a contact begins: one who may reach something here, or whose services a program here uses. Raises UsageError for another."""
        peer = self._peers.get(petname)
        if peer is None and not self._offered().offers_to(petname):
            raise UsageError("nothing is offered to this contact")
        peer = self._peer(petname)
        if peer.line is not None and peer.line.is_of_people:
            raise UsageError("a call of people carries what there is to say to this contact")
        if peer.line is not None:
            self._leave(peer, End())
        line = peer.line = _Line(leg=leg)
        peer.look = self._clock() + LOOK_S
        leg.send(Ringing())
        line.say(Tie(peer.own, peer.other))
        return self._listener(peer, line)

    def _listener(self, peer: _Peer, line: _Line) -> Listener:
        return lambda event: self._soon(partial(self._heard, peer, line, event))

    def _heard(self, peer: _Peer, line: _Line, event: CallEvent) -> None:
        leg = line.leg
        if peer.line is not line or leg is None:
            return
        match event:
            case Ringing() if line.began and line.said is None:
                line.say(Tie(peer.own, peer.other))
            case Tie() if line.said is not None and line.heard is None:
                line.heard = event
                self._tie(peer, line)
            case Refuse():
                self._leave(peer, None, REFUSED_S)
                self._fail(self._opening_of(peer))
            case End():
                self._leave(peer, None)
            case _:
                self._leave(peer, End(), REFUSED_S)

    def _tie(self, peer: _Peer, line: _Line) -> None:
        """Go on with the bundle where both mean the same one; else, where it was in use, begin another, and ask again for what was not taken."""
        leg, said, heard = line.leg, line.said, line.heard
        if leg is None or said is None or heard is None or not isinstance(leg, StreamLeg):
            raise Bug("a call that is not tied, or cannot carry streams")
        same = (heard.own, heard.other) == (said.other, said.own)
        if not same and peer.other != NO_NUMBER:
            self._plane.bundle_close(peer.bundle)
            peer.bundle = self._plane.bundle_open()
            for opening in self._opening_of(peer):
                del self._opening[opening.stream]
                opening.stream = self._plane.stream_open(peer.bundle, opening.port, datagrams=opening.datagrams, fast=opening.fast)
                self._opening[opening.stream] = opening
        peer.line, peer.other, peer.wants = line, heard.own, False
        leg.carry(peer.bundle)

    # ----------------------------------------------------------------------------------------------------------- people

    def talk(self, petname: str, leg: CircuitLeg, binding: bytes) -> Listener:
        """Take that a call of people with a contact is open: it carries the bundle there is, or that may begin. What is returned hears Tie, and End when it is over."""
        line = _Line(leg=leg, binding=binding)
        self._talks.setdefault(petname, []).append(line)
        peer = self._peers.get(petname)
        if peer is None and self._offered().offers_to(petname):
            peer = self._peer(petname)
        if peer is not None:
            self._settle(peer)
        return lambda event: self._soon(partial(self._heard_beside, line, event))

    def _heard_beside(self, line: _Line, event: CallEvent) -> None:
        petname = next((petname for petname, lines in self._talks.items() if line in lines), None)
        if petname is None:
            return
        match event:
            case Tie() if line.heard is None:
                line.heard = event
                self._settle(self._peer(petname))
            case Tie():
                pass  # the contact's box begins another bundle, which this call does not carry any more
            case _:
                self._over(petname, line)

    def _settle(self, peer: _Peer) -> None:
        """Let a call of people carry the bundle, where nothing does: of those in which one side has said Tie the one whose C is the smallest, which both boxes see alike."""
        lines = self._talks.get(peer.petname, [])
        if peer.line is not None or not lines:
            return
        line = min([line for line in lines if line.said or line.heard] or lines, key=lambda line: line.binding)
        if line.said is None:
            line.say(Tie(peer.own, peer.other))
        if line.heard is not None:
            self._tie(peer, line)

    def _over(self, petname: str, line: _Line) -> None:
        self._talks[petname].remove(line)
        if not self._talks[petname]:
            del self._talks[petname]
        peer = self._peers.get(petname)
        if peer is not None and peer.line is line:
            self._leave(peer, None)

    def _forget(self, peer: _Peer) -> None:
        del self._peers[peer.petname]
        self._talks.pop(peer.petname, None)  # what was said there is of this bundle, and is said once
        self._leave(peer, End())
        self._fail(self._opening_of(peer))
        self._plane.bundle_close(peer.bundle)

    def _opening_of(self, peer: _Peer) -> list[Opening]:
        return [opening for opening in self._opening.values() if opening.peer is peer]

    def _fail(self, given_up: list[Opening]) -> None:
        for opening in given_up:
            self.give_up(opening)
            opening.opened(UNREACHABLE)

    def _leave(self, peer: _Peer, say: CallEvent | None, again_s: float | None = None) -> None:
        line, peer.line, peer.look = peer.line, None, NEVER
        peer.again = self._clock() + (again_s if again_s is not None else self._draw(*AGAIN_S))
        if line is not None and line.leg is not None and say is not None and not line.is_of_people:
            line.leg.send(say)
        self._settle(peer)

    def give_way(self) -> None:
        """Leave the circuits to people, at once: but those that people have."""
        for peer in self._peers.values():
            if peer.line is not None and not peer.line.is_of_people:
                self._leave(peer, End())

    def contact_changed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname; None: there is nothing to do with them any more."""
        talks = self._talks.pop(petname, None)
        if to is not None and talks:
            self._talks[to] = talks
        peer = self._peers.get(petname)
        if peer is None:
            return
        if to is None:
            self._forget(peer)
        else:
            del self._peers[petname]
            peer.petname = to
            self._peers[to] = peer

    def end_all(self) -> None:
        """Forget everything: the box stops, or begins anew."""
        self._talks.clear()
        for peer in list(self._peers.values()):
            self._forget(peer)

    # ------------------------------------------------------------------------------------------------------------- time

    def handle_timer(self) -> None:
        """Do what is due."""
        now = self._clock()
        self._fail([opening for opening in self._opening.values() if opening.until <= now])
        for peer in list(self._peers.values()):
            if peer.look <= now:
                self._look(peer, now)
            self._begin(peer)

    def _look(self, peer: _Peer, now: float) -> None:
        """Give up a line on which nothing was said for long enough."""
        peer.look = now + LOOK_S
        if peer.line is not None and self._plane.bundle_idle_us(peer.bundle) / 1e6 >= peer.line.idle_s:
            self._leave(peer, End())

    def next_timer(self) -> float:
        """Return when handle_timer() is to be called next; infinity for never."""
        begins = [peer.again for peer in self._peers.values() if peer.wants and peer.line is None and peer.petname not in self._talks]
        looks = [peer.look for peer in self._peers.values()]
        return min([*begins, *looks, *(opening.until for opening in self._opening.values())], default=NEVER)
