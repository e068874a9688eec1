"""Two boxes' worth of neighbours in memory: circuits that are function calls, media ports that are real UDP sockets or plain records.

The sound of a LoopMedia port goes from socket to socket with its payload type rewritten, so that real phones hear each other.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from voicebox.b2bua.events import CallEvent, Codec, End, Offer, Refusal, Refuse
from voicebox.b2bua.ports import CircuitLeg, MachinePort, MediaPort, Mixer, PhonePort
from voicebox.errors import HostError, UsageError
from voicebox.sip.fingerprint import Handshake
from voicebox.sip.sdes import Protection

Listener = Callable[[CallEvent], None]
Acceptor = Callable[[str, Offer, CircuitLeg], Listener]


@dataclass(eq=False)
class PlainPort:
    """A media port that only remembers what it was told."""

    rtp_port: int
    remote: tuple[str, int, Codec, int, int | None] | None = None
    rtcp_port: int | None = None
    protection: Protection | Handshake | None = None
    to_phone: bool = False
    from_phone: bool = False
    closed: bool = False
    played: list[tuple[int, int]] = field(default_factory=list)
    listener: Callable[[int, int], None] | None = None
    joined: tuple[MediaPort, Codec] | None = None
    announced: tuple[Codec, int] | None = None
    packet_ms: int = 20
    stands_for: tuple[PlainPort, Codec, Codec] | None = None
    behind: PlainPort | None = None
    frames: bytes = b""
    taped: tuple[int, Callable[[bytes], object]] | None = None
    fails: Callable[[], None] | None = None

    def join(self, other: MediaPort, codec: Codec) -> None:
        assert isinstance(other, PlainPort)
        assert not self.closed
        assert not other.closed
        for one in (self, other):
            one.part()
        self.joined, other.joined = (other, codec), (self, codec)

    def play(self, codec: Codec, frame_octets: int, frames: bytes) -> None:
        assert not self.closed
        assert len(frames) % frame_octets == 0
        self.part()
        self.announced, self.frames = (codec, len(frames) // frame_octets), frames

    def tape(self, slots: int, listener: Callable[[bytes], object]) -> None:
        assert not self.closed
        self.taped = (slots, listener)

    def part(self) -> None:
        if self.joined is not None:
            other, self.joined = self.joined[0], None
            assert isinstance(other, PlainPort)
            other.joined = None

    def set_remote(self, address: str, port: int, codec: Codec, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None) -> None:
        assert not self.closed
        self.remote, self.rtcp_port = (address, port, codec, payload_type, event_payload_type), rtcp_port

    def fingerprint(self) -> bytes:
        return self.rtp_port.to_bytes(32, "big")

    def agree(self, handshake: Handshake) -> None:
        assert not self.closed
        self.protection = handshake

    def protect(self, protection: Protection | None) -> None:
        assert not self.closed
        self.protection = protection

    def on_failed(self, listener: Callable[[], None]) -> None:
        self.fails = listener

    def set_packets(self, packet_ms: int) -> None:
        assert not self.closed
        self.packet_ms = packet_ms

    def set_direction(self, *, to_phone: bool, from_phone: bool) -> None:
        assert not self.closed
        self.to_phone, self.from_phone = to_phone, from_phone

    def on_digit(self, listener: Callable[[int, int], None]) -> None:
        self.listener = listener

    def play_digit(self, code: int, duration_ms: int) -> None:
        self.played.append((code, duration_ms))

    def close(self) -> None:
        self.part()
        self.closed = True
        if self.behind is not None:
            self.behind.close()


class PlainMixer:
    """A mixer that only remembers whom it mixes: ports, codecs, and who hears the tone."""

    def __init__(self, media: PlainMedia) -> None:
        self._media = media
        self.seats: dict[PlainPort, tuple[Codec, bool]] = {}
        self.closed = False

    def seat(self, codec: Codec, *, hears_tone: bool) -> MediaPort:
        assert not self.closed
        if codec not in {Codec.PCMA, Codec.PCMU} and not self._media.transcodes:
            raise HostError("nothing is converted here")
        port = self._media.open("127.0.0.1")
        assert isinstance(port, PlainPort)
        self.seats[port] = codec, hears_tone
        return port

    def leave(self, port: MediaPort) -> None:
        assert isinstance(port, PlainPort)
        del self.seats[port]
        port.close()

    def close(self) -> None:
        assert not self.seats
        self.closed = True


class PlainMedia:
    """Media ports without sockets, at most `limit` open ones. transcodes: sound is converted, in words at least."""

    def __init__(self, limit: int = 1_000) -> None:
        self.ports: list[PlainPort] = []
        self.mixers: list[PlainMixer] = []
        self.transcodes = False
        self._limit = limit

    def machine(self) -> MachinePort:
        port = self.open("")
        assert isinstance(port, PlainPort)
        return port

    def mixer(self) -> Mixer:
        self.mixers.append(PlainMixer(self))
        return self.mixers[-1]

    def open(self, local_address: str) -> PhonePort:
        if sum(not port.closed for port in self.ports) >= self._limit:
            raise HostError("no media port is free")
        port = PlainPort(30_000 + 2 * len(self.ports))
        self.ports.append(port)
        return port

    def transcode(self, port: MediaPort, phone_codec: Codec, codec: Codec) -> MediaPort:
        assert isinstance(port, PlainPort)
        stand_in = self.open("127.0.0.1")
        assert isinstance(stand_in, PlainPort)
        stand_in.stands_for, port.behind = (port, phone_codec, codec), stand_in
        return stand_in

    def open_ports(self) -> int:
        return sum(not port.closed for port in self.ports)


@dataclass(eq=False)
class LoopLeg:
    """One end of a circuit in memory."""

    listener: Listener | None = None
    peer: LoopLeg | None = None
    bound: tuple[MediaPort, Codec] | None = None
    sent: list[CallEvent] = field(default_factory=list)
    waiting: list[CallEvent] = field(default_factory=list)
    dead: bool = False

    def send(self, event: CallEvent) -> None:
        if self.dead:
            return
        self.sent.append(event)
        self.dead = isinstance(event, End | Refuse)
        assert self.peer is not None
        self.peer.hear(event)

    def hear(self, event: CallEvent) -> None:
        if self.listener is None:
            self.waiting.append(event)
        else:
            self.listener(event)

    def bind(self, port: MediaPort, codec: Codec) -> None:
        self.bound = (port, codec)


class LoopNetwork:
    """A box's network whose contacts are other LoopNetworks. shown_as: the petname under which its calls arrive there."""

    def __init__(self, shown_as: str) -> None:
        self.shown_as = shown_as
        self.contacts: dict[str, LoopNetwork] = {}
        self.legs: list[LoopLeg] = []
        self.acceptor: Acceptor | None = None

    def on_call(self, acceptor: Acceptor) -> None:
        self.acceptor = acceptor

    def call(self, petname: str, offer: Offer, listener: Listener) -> CircuitLeg:
        if petname not in self.contacts:
            raise UsageError("no such contact")
        there = self.contacts[petname]
        near, far = LoopLeg(listener), LoopLeg()
        near.peer, far.peer = far, near
        self.legs.append(near)
        there.legs.append(far)
        if there.acceptor is None:
            listener(Refuse(Refusal.UNREACHABLE))
            return near
        far.listener = there.acceptor(self.shown_as, offer, far)
        for event in far.waiting:
            far.listener(event)
        return near


class LoopPort:
    """A media port with real sockets: what the phone sends goes to the port that the peer circuit is bound to."""

    def __init__(self, owner: LoopMedia, rtp: socket.socket, rtcp: socket.socket) -> None:
        self._owner, self._rtp, self._rtcp = owner, rtp, rtcp
        self.rtp_port = int(rtp.getsockname()[1])
        self.remote: tuple[str, int] | None = None
        self.payload_type = 0
        self.event_payload_type: int | None = None
        self.to_phone = self.from_phone = False
        self.received = 0

    def set_remote(self, address: str, port: int, codec: Codec, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None) -> None:
        self.remote, self.payload_type, self.event_payload_type = (address, port), payload_type, event_payload_type

    def fingerprint(self) -> bytes:
        raise AssertionError("these ports shake no hands")

    def agree(self, handshake: Handshake) -> None:
        raise AssertionError("these ports shake no hands")

    def protect(self, protection: Protection | None) -> None:
        assert protection is None, "these ports carry RTP in the clear only"

    def on_failed(self, listener: Callable[[], None]) -> None:
        pass

    def set_packets(self, packet_ms: int) -> None:
        assert packet_ms == 20

    def set_direction(self, *, to_phone: bool, from_phone: bool) -> None:
        self.to_phone, self.from_phone = to_phone, from_phone

    def on_digit(self, listener: Callable[[int, int], None]) -> None:
        self._listener = listener

    def play_digit(self, code: int, duration_ms: int) -> None:
        pass

    def join(self, other: MediaPort, codec: Codec) -> None:
        raise AssertionError("phones of two boxes hear each other through circuits")

    def play(self, codec: Codec, frame_octets: int, frames: bytes) -> None:
        raise AssertionError("nothing is announced here")

    def close(self) -> None:
        self._owner.close(self)
        self._rtp.close()
        self._rtcp.close()

    def pump(self, to: LoopPort | None) -> None:
        while True:
            try:
                packet, _ = self._rtp.recvfrom(2048)
            except OSError:
                return
            if not 128 <= packet[0] <= 191 or packet[1] & 127 != self.payload_type:
                continue
            self.received += 1
            if to is not None and to.remote is not None and to.to_phone and self.from_phone:
                to.send(packet[:1] + bytes([(packet[1] & 128) | to.payload_type]) + packet[2:])

    def send(self, packet: bytes) -> None:
        assert self.remote is not None
        self._rtp.sendto(packet, self.remote)

    def fileno(self) -> int:
        return self._rtp.fileno()


class LoopMedia:
    """Real UDP port pairs. pump() moves what has come; the owner calls it often enough."""

    transcodes = False

    def __init__(self) -> None:
        self.ports: list[LoopPort] = []
        self.all: list[LoopPort] = []

    def machine(self) -> MachinePort:
        raise AssertionError("nobody is answered by a machine here")

    def mixer(self) -> Mixer:
        raise AssertionError("nobody meets here")

    def open(self, local_address: str) -> PhonePort:
        for even in range(40_000, 42_000, 2):
            rtp, rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                rtp.bind((local_address, even))
                rtcp.bind((local_address, even + 1))
            except OSError:
                rtp.close()
                rtcp.close()
                continue
            rtp.setblocking(False)
            port = LoopPort(self, rtp, rtcp)
            self.ports.append(port)
            self.all.append(port)
            return port
        raise HostError("no media port is free")

    def transcode(self, port: MediaPort, phone_codec: Codec, codec: Codec) -> MediaPort:
        raise HostError("these ports convert nothing")

    def close(self, port: LoopPort) -> None:
        self.ports.remove(port)

    def pump(self, legs: list[LoopLeg]) -> None:
        """Move packets along bound circuits."""
        for leg in legs:
            if leg.bound is None or leg.peer is None:
                continue
            port = leg.bound[0]
            to = leg.peer.bound[0] if leg.peer.bound is not None else None
            assert isinstance(port, LoopPort)
            assert to is None or isinstance(to, LoopPort)
            if port in self.ports:
                port.pump(to if to is not None and to in self.ports else None)
