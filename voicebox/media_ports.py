"""Media ports of the engine, as calls have them: opened, joined, converted, mixed. [io]

The adapters between voicebox/dataplane.py and b2bua/ports.py; a relay has none of this.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from typing import Protocol

from voicebox.dataplane import MediaCommands
from voicebox.errors import Bug, HostError
from voicebox.g711 import Law
from voicebox.mixer import Mixer
from voicebox.sip.fingerprint import Handshake
from voicebox.sip.sdes import Protection
from voicebox.transcoder import LOOPBACK, Transcoder, available

MAX_MEDIA_PORTS = 256
"""What the engine has (MAX_PORTS of relay/core/src/owner.rs)."""
MAX_TRANSCODED = 8
"""Calls whose sound is converted at a time: each is a process."""
_CODEC_NAMES = {1: "opus", 2: "pcma", 3: "pcmu", 4: "g722"}
"""Of the numbers of call events (PROTOCOL.md §9.3)."""
_PAYLOAD_TYPE = 96
"""Towards a converter or mixer (PAYLOAD_TYPE of transcoding.py, mixing.py)."""
_LAWS = {2: Law.A, 3: Law.MU}
_MIXED = 2
"""What a mixer speaks where the party has neither law."""


class DigitRoutes(MediaCommands, Protocol):
    """What media ports need beside the commands: somebody who routes digits, and what tapes keep."""

    def route_digits(self, port: int, listener: Callable[[int, int], None] | None) -> None: ...
    def route_tape(self, port: int, listener: Callable[[bytes], object] | None) -> None: ...
    def route_failure(self, port: int, listener: Callable[[], None] | None) -> None: ...


class EngineMediaPort:
    """One pair of media ports of the engine; the MediaPort of b2bua/ports.py.

    reference: the engine's number for it, for media_bind(); closed: it was given back.
    """

    def __init__(self, plane: DigitRoutes, reference: int, rtp_port: int = 0) -> None:
        self._plane = plane
        self.reference, self._rtp_port = reference, rtp_port
        self.closed = False
        self._fingerprint = b""
        self._behind: list[EngineMediaPort | Transcoder] = []
        """What stands for this port in another codec, and is closed with it."""

    @property
    def rtp_port(self) -> int:
        """The local UDP port of RTP, even; RTCP has the next."""
        return self._rtp_port

    def set_remote(self, address: str, port: int, codec: int, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None) -> None:
        """Send to the phone's address from its SDP, and hear nobody else. address: IPv4 or IPv6 in numbers, else LocalError."""
        if not self.closed:
            self._plane.media_remote(self.reference, address, port, codec, payload_type, event_payload_type, rtcp_port)

    def echo(self, codec: int, payload_type: int) -> None:
        """Be its own phone: what a circuit brings goes back into it."""
        if not self.closed:
            self._plane.media_echo(self.reference, codec, payload_type)

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the port's certificate, which is made when it is first asked for. Raises LocalError where the engine has stopped."""
        if not self._fingerprint:
            self._fingerprint = self._plane.media_identify(self.reference)
        return self._fingerprint

    def agree(self, handshake: Handshake) -> None:
        """Let nothing but SRTP pass, under the keys of a handshake."""
        if not self.closed:
            self._plane.media_agree(self.reference, handshake.active, handshake.phone.hash, handshake.phone.octets)

    def protect(self, protection: Protection | None) -> None:
        """Let nothing but SRTP pass, or RTP in the clear."""
        if self.closed:
            return
        if protection is None:
            self._plane.media_protect(self.reference, None, b"", b"")
        else:
            self._plane.media_protect(self.reference, protection.suite.value, protection.send.reveal(), protection.receive.reveal())

    def set_packets(self, packet_ms: int) -> None:
        """Send the phone packets of so much sound."""
        if not self.closed:
            self._plane.media_packets(self.reference, packet_ms)

    def set_direction(self, *, to_phone: bool, from_phone: bool) -> None:
        """Open or shut each direction."""
        if not self.closed:
            self._plane.media_direction(self.reference, to_phone, from_phone)

    def on_digit(self, listener: Callable[[int, int], None]) -> None:
        """Call listener(code, duration_ms) once for each RFC 4733 event of the phone."""
        if not self.closed:
            self._plane.route_digits(self.reference, listener)

    def on_failed(self, listener: Callable[[], None]) -> None:
        """Call listener() where a handshake failed."""
        if not self.closed:
            self._plane.route_failure(self.reference, listener)

    def play_digit(self, code: int, duration_ms: int) -> None:
        """Send an RFC 4733 event to the phone."""
        if not self.closed:
            self._plane.media_digit(self.reference, code, duration_ms)

    def join(self, other: object, codec: int) -> None:
        """Connect this port with another of the engine's, or with itself: each hears the other's phone. codec: a call event's, which both phones speak."""
        if not isinstance(other, EngineMediaPort):
            raise Bug("a media port that is not the engine's")
        if not self.closed and not other.closed:
            self._plane.media_join(self.reference, other.reference, codec)

    def play(self, codec: int, frame_octets: int, frames: bytes) -> None:
        """Play frames of the box's own to the phone, one in each slot."""
        if not self.closed:
            self._plane.media_play(self.reference, codec, frame_octets, frames)

    def close(self) -> None:
        """Give the ports back; idempotent, and every later call is ignored."""
        if not self.closed:
            self.closed = True
            self._plane.route_digits(self.reference, None)
            self._plane.route_failure(self.reference, None)
            self._plane.media_close(self.reference)
        self.put_behind()

    def put_behind(self, *parts: EngineMediaPort | Transcoder) -> None:
        """Close what stood for this port in another codec; these do now."""
        before, self._behind = self._behind, list(parts)
        for part in before:
            part.close()


class EngineMachinePort(EngineMediaPort):
    """A port of the engine that faces no phone; the MachinePort of b2bua/ports.py."""

    def tape(self, slots: int, listener: Callable[[bytes], object]) -> None:
        """Keep what comes out of the circuit, for so many slots from now on."""
        if not self.closed:
            self._plane.route_tape(self.reference, listener)
            self._plane.media_tape(self.reference, slots)

    def close(self) -> None:
        """Give it back; idempotent."""
        self._plane.route_tape(self.reference, None)
        super().close()


class EngineMixer:
    """A mixer, and the ports of the engine that face it; the Mixer of b2bua/ports.py."""

    def __init__(self, ports: EngineMediaPorts) -> None:
        self._ports, self._process = ports, Mixer()
        self._seats: dict[EngineMediaPort, tuple[int, EngineMediaPort]] = {}
        """By what a party was given: the number of its seat, and the port that faces the mixer."""

    def seat(self, codec: int, *, hears_tone: bool) -> EngineMediaPort:
        """Return the port of one party more, with a converter behind it where the codec is none of G.711. Raises HostError."""
        if not self._process.running():
            raise HostError("The process that mixes the conference has ended.")
        number = min(set(range(len(self._seats) + 1)) - {number for number, _ in self._seats.values()})
        mixed = codec if codec in _LAWS else _MIXED
        with ExitStack() as held:
            facing = held.enter_context(closing(self._ports.open(LOOPBACK)))
            its_port = self._process.add(number, facing.rtp_port, _LAWS[mixed], hears_tone=hears_tone)
            held.callback(self._process.remove, number)
            facing.set_remote(LOOPBACK, its_port, mixed, _PAYLOAD_TYPE, None, its_port)
            given = facing if mixed == codec else self._ports.transcode(facing, mixed, codec)
            held.pop_all()
        self._seats[given] = number, facing
        return given

    def leave(self, port: object) -> None:
        """Let a party go, and close its port."""
        if isinstance(port, EngineMediaPort) and port in self._seats:
            number, facing = self._seats.pop(port)
            self._process.remove(number)
            facing.close()

    def close(self) -> None:
        """Give everything back; idempotent."""
        for port in list(self._seats):
            self.leave(port)
        self._process.close()


class EngineMediaPorts:
    """Opens media ports, as many as the engine has; the MediaPorts of b2bua/ports.py. transcoded: calls so far whose sound was converted."""

    def __init__(self, plane: DigitRoutes) -> None:
        self._plane = plane
        self._open: list[EngineMediaPort] = []
        self._transcoders: list[Transcoder] = []
        self.transcoded = 0

    @property
    def transcodes(self) -> bool:
        """Say whether sound can be converted on this machine."""
        return available()

    @property
    def transcoding(self) -> int:
        """Return how many calls' sound is converted now."""
        self._transcoders = [each for each in self._transcoders if each.running()]
        return len(self._transcoders)

    def transcode(self, port: object, phone_codec: int, codec: int) -> EngineMediaPort:
        """Return a port that speaks codec in place of one whose phone speaks phone_codec, by a converter behind it. Raises HostError where there is none to be had."""
        if not isinstance(port, EngineMediaPort):
            raise Bug("a media port that is not the engine's")
        if self.transcoding >= MAX_TRANSCODED:
            raise HostError("As many calls are converted as may be.")
        with ExitStack() as held:
            inner = held.enter_context(closing(self.open(LOOPBACK)))
            outer = held.enter_context(closing(self.open(LOOPBACK)))
            transcoder = held.enter_context(closing(Transcoder(((_CODEC_NAMES[phone_codec], inner.rtp_port), (_CODEC_NAMES[codec], outer.rtp_port)))))
            for end, its_port, its_codec in ((inner, transcoder.ports[0], phone_codec), (outer, transcoder.ports[1], codec)):
                end.set_remote(LOOPBACK, its_port, its_codec, _PAYLOAD_TYPE, None, its_port)
            port.join(inner, phone_codec)
            held.pop_all()
        port.put_behind(inner, outer, transcoder)
        self._transcoders.append(transcoder)
        self.transcoded += 1
        return outer

    def open(self, local_address: str) -> EngineMediaPort:
        """Bind a fresh pair on local_address. Raises HostError where none is free."""
        self._make_room()
        port = EngineMediaPort(self._plane, *self._plane.media_open(local_address))
        self._open.append(port)
        return port

    def machine(self) -> EngineMachinePort:
        """Open one that faces no phone. Raises HostError where none is free."""
        self._make_room()
        port = EngineMachinePort(self._plane, self._plane.media_machine())
        self._open.append(port)
        return port

    def mixer(self) -> EngineMixer:
        """Begin to mix. Raises HostError where no process can be started."""
        return EngineMixer(self)

    def _make_room(self) -> None:
        self._open = [port for port in self._open if not port.closed]
        if len(self._open) >= MAX_MEDIA_PORTS:
            raise HostError("every media port is in use")
