"""The data plane as the rest of the package sees it: typed events, one Protocol, and the adapters for media ports. [io]

The only importer of voicebox._relay. `DataPlane` is what circuits and relays are written against; tests put a fake in its place.
`LiveDataPlane` is the engine with its events brought to the asyncio loop: the engine rings a descriptor, the loop reads, parses and
hands each event to the one listener, in order. NOT here: what an event means (circuits/, relay_daemon.py).
Spec: voicebox/_relay.pyi for each call; PROTOCOL.md §2, §6, §9 for what it causes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from voicebox._relay import Engine, hctr2_decipher, hctr2_encipher
from voicebox.errors import Bug, HostError
from voicebox.g711 import Law
from voicebox.mixer import Mixer
from voicebox.transcoder import LOOPBACK, Transcoder, available

if TYPE_CHECKING:
    from voicebox.sip.fingerprint import Handshake
    from voicebox.sip.sdes import Protection  # a relay has this module too, and loads nothing of SIP

__all__ = [
    "Answered",
    "CircuitEnded",
    "CreateAsked",
    "Created",
    "DataPlane",
    "EngineFailed",
    "EngineMediaPort",
    "EngineMediaPorts",
    "EngineMixer",
    "Event",
    "ExtendAsked",
    "Heard",
    "LinkDown",
    "LinkFailed",
    "LinkUp",
    "LiveDataPlane",
    "MediaFailed",
    "MessageHeard",
    "OwnCircuitEnded",
    "PhoneDigit",
    "Refused",
    "Silent",
    "Taped",
    "hctr2_decipher",
    "hctr2_encipher",
    "parse_event",
]

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


@dataclass(frozen=True, slots=True)
class LinkUp:
    """A DTLS link stands. peer_pin: SHA-256 of the key the peer proved to have; None of a box, which shows no certificate. certificate: of a relay that began it, DER."""

    link: int
    incoming: bool
    peer_pin: bytes | None = field(repr=False)
    certificate: bytes | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class LinkFailed:
    """A link that was asked for did not come about."""

    link: int


@dataclass(frozen=True, slots=True)
class LinkDown:
    """A link that stood is gone, and with it its circuits."""

    link: int


@dataclass(frozen=True, slots=True)
class CreateAsked:
    """Relay: a whole create came; answer with accept() or refuse()."""

    link: int
    circuit: int
    handshake: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExtendAsked:
    """Relay: a whole extend came; answer with extend() or refuse_extend()."""

    link: int
    circuit: int
    relay_id: bytes = field(repr=False)
    next_circuit: int
    handshake: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class CircuitEnded:
    """Relay: a circuit is forgotten."""

    link: int
    circuit: int


@dataclass(frozen=True, slots=True)
class Created:
    """Owner: the guard is a hop now."""

    link: int
    circuit: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Refused:
    """Owner: the guard refused; the circuit is forgotten."""

    link: int
    circuit: int
    reason: int


@dataclass(frozen=True, slots=True)
class Answered:
    """Owner: a hop answered what was said, or delivers a `knocked`. kind: PROTOCOL.md §3.2; hop counts from 0, the guard."""

    link: int
    circuit: int
    hop: int
    kind: int
    payload: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Heard:
    """Owner: the first valid end-to-end cell under receive key `key_index` of the latest speak()."""

    link: int
    circuit: int
    key_index: int


@dataclass(frozen=True, slots=True)
class MessageHeard:
    """Owner: a message of the channel, in order."""

    link: int
    circuit: int
    message: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Silent:
    """Owner: no valid end-to-end cell for 10 s; nothing was parted by itself."""

    link: int
    circuit: int


@dataclass(frozen=True, slots=True)
class OwnCircuitEnded:
    """Owner: an own circuit is gone, by its link or by close()."""

    link: int
    circuit: int


@dataclass(frozen=True, slots=True)
class PhoneDigit:
    """A phone sent an RFC 4733 event on media port `port`. code 0..15."""

    port: int
    code: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Taped:
    """What a tape of media port `port` has kept: `length u8 | frame` for each slot."""

    port: int
    entries: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class MediaFailed:
    """The handshake that was to protect the sound of media port `port` failed; nothing passes it."""

    port: int


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine's thread ended on an error of ours: the process has to be started anew."""


Event = (
    LinkUp
    | LinkFailed
    | LinkDown
    | CreateAsked
    | ExtendAsked
    | CircuitEnded
    | Created
    | Refused
    | Answered
    | Heard
    | MessageHeard
    | Silent
    | OwnCircuitEnded
    | PhoneDigit
    | Taped
    | MediaFailed
    | EngineFailed
)

_KINDS: dict[str, Callable[..., Event]] = {
    "link_up": LinkUp,
    "link_failed": LinkFailed,
    "link_down": LinkDown,
    "create": CreateAsked,
    "extend": ExtendAsked,
    "circuit_ended": CircuitEnded,
    "created": Created,
    "refused": Refused,
    "answer": Answered,
    "heard": Heard,
    "message": MessageHeard,
    "silent": Silent,
    "ended": OwnCircuitEnded,
    "digit": PhoneDigit,
    "taped": Taped,
    "media_failed": MediaFailed,
    "engine_failed": EngineFailed,
}


def parse_event(fields: tuple[object, ...]) -> Event:
    """Return the typed form of an event of voicebox._relay. Raises Bug for one that the engine does not have."""
    try:
        return _KINDS[str(fields[0])](*fields[1:])
    except (KeyError, IndexError, TypeError) as error:
        raise Bug("the engine told something that its types do not have") from error


class MediaCommands(Protocol):
    """What an engine does with media ports, apart from the circuits that they are bound to."""

    def media_open(self, address: str) -> tuple[int, int]: ...
    def media_remote(
        self, port: int, address: str, remote_port: int, codec: int, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None
    ) -> None: ...
    def media_packets(self, port: int, packet_ms: int) -> None: ...
    def media_protect(self, port: int, suite: str | None, send_key: bytes, receive_key: bytes) -> None: ...
    def media_identify(self, port: int) -> bytes: ...
    def media_agree(self, port: int, active: bool, hash: str, fingerprint: bytes) -> None: ...  # noqa: A002, FBT001 - as the engine has it
    def media_direction(self, port: int, to_phone: bool, from_phone: bool) -> None: ...  # noqa: FBT001 - as the engine has it
    def media_join(self, port: int, other: int, codec: int) -> None: ...
    def media_play(self, port: int, codec: int, frame_octets: int, frames: bytes) -> None: ...
    def media_machine(self) -> int: ...
    def media_tape(self, port: int, slots: int) -> None: ...
    def media_digit(self, port: int, code: int, duration_ms: int) -> None: ...
    def media_close(self, port: int) -> None: ...


class DataPlane(MediaCommands, Protocol):
    """Links, circuits and media as voicebox/_relay.pyi documents them, call by call."""

    def now_us(self) -> int: ...
    def counters(self) -> dict[str, int]: ...
    def jitter(self) -> list[tuple[int, int]]: ...
    def listen(self, address: str, port: int, certificate_der: bytes, key_der: bytes) -> int: ...
    def bind(self, address: str, port: int = 0) -> int: ...
    def source(self, address: str) -> str: ...
    def connect(self, address: str, port: int, pin: bytes, certificate_der: bytes | None = None, key_der: bytes | None = None) -> int: ...
    def mute(self, link: int) -> None: ...
    def disconnect(self, link: int) -> None: ...
    def accept(
        self,
        link: int,
        circuit: int,
        forward_key: bytes,
        backward_key: bytes,
        created: bytes,
        junction: bool,  # noqa: FBT001 - as the engine has it
        forward_step_us: int = 5_000,
        backward_step_us: int = 5_000,
    ) -> None: ...
    def refuse(self, link: int, circuit: int, reason: int) -> None: ...
    def extend(self, link: int, circuit: int, next_link: int, next_circuit: int, handshake: bytes) -> None: ...
    def refuse_extend(self, link: int, circuit: int, reason: int) -> None: ...
    def open(self, link: int, circuit: int, handshake: bytes) -> None: ...
    def add_hop(self, link: int, circuit: int, forward_key: bytes, backward_key: bytes) -> None: ...
    def say(self, link: int, circuit: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0) -> None: ...
    def hush(self, link: int, circuit: int) -> None: ...
    def shift(self, link: int, delay_us: int) -> None: ...
    def attach_circuit(self, link: int, circuit: int, next_link: int) -> None: ...
    def settle_own(self, link: int, circuit: int, step_us: int = 5_000) -> None: ...
    def speak(self, link: int, circuit: int, send_key: bytes | None, receive_keys: list[bytes]) -> None: ...
    def couple(self, link: int, circuit: int, spare_link: int, spare_circuit: int) -> None: ...
    def channel_send(self, link: int, circuit: int, message: bytes) -> None: ...
    def quiet(self, link: int, circuit: int) -> None: ...
    def close(self, link: int, circuit: int) -> None: ...
    def media_bind(self, port: int, link: int, circuit: int, codec: int) -> None: ...
    def media_unbind(self, port: int) -> None: ...


class LiveDataPlane(Engine):
    """The engine, with its events brought to the running loop. Made like Engine, by keyword.

    Drivers: start(), attach() once, then the loop; detach() and stop() end it. A listener that raises is reported to the loop's
    exception handler and harms no other event.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _listener: Callable[[Event], None] | None = None
    _digits: dict[int, Callable[[int, int], None]]
    _tapes: dict[int, Callable[[bytes], object]]
    _failures: dict[int, Callable[[], None]]

    def attach(self, listener: Callable[[Event], None]) -> None:
        """Hand every event but digits of ports with a listener of their own to `listener`, on the loop that runs now."""
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.fileno(), self._take)

    def detach(self) -> None:
        """Hand on nothing more; idempotent."""
        if self._loop is not None:
            self._loop.remove_reader(self.fileno())
        self._loop = self._listener = None

    def route_digits(self, port: int, listener: Callable[[int, int], None] | None) -> None:
        """Give the digits of one media port to listener(code, duration_ms); None ends that."""
        self._route("_digits", port, listener)

    def route_tape(self, port: int, listener: Callable[[bytes], object] | None) -> None:
        """Give what a tape keeps to listener(entries); None ends that."""
        self._route("_tapes", port, listener)

    def route_failure(self, port: int, listener: Callable[[], None] | None) -> None:
        """Tell listener() where the handshake of a media port failed; None ends that."""
        self._route("_failures", port, listener)

    def _route(self, table: str, port: int, listener: Callable[..., object] | None) -> None:
        routes = self.__dict__.setdefault(table, {})
        if listener is None:
            routes.pop(port, None)
        else:
            routes[port] = listener

    def _take(self) -> None:
        for fields in self.events():
            loop, listener = self._loop, self._listener
            if loop is None or listener is None:
                return  # a listener detached us in the middle
            try:
                self._hand_on(parse_event(fields), listener)
            except Exception as error:  # noqa: BLE001 - one listener's fault must not cost the other events
                loop.call_exception_handler({"message": "a listener of the data plane failed", "exception": error})

    def _hand_on(self, event: Event, listener: Callable[[Event], None]) -> None:
        if isinstance(event, Taped):
            taped = self.__dict__.get("_tapes", {}).get(event.port)
            if taped is not None:
                taped(event.entries)
            return
        if isinstance(event, MediaFailed):
            failed = self.__dict__.get("_failures", {}).get(event.port)
            if failed is not None:
                failed()
            return
        if isinstance(event, PhoneDigit):
            routed = self.__dict__.get("_digits", {}).get(event.port)
            if routed is not None:
                routed(event.code, event.duration_ms)
                return
        listener(event)


class DigitRoutes(MediaCommands, Protocol):
    """What media ports need beside the commands: somebody who routes digits, and what tapes keep."""

    def route_digits(self, port: int, listener: Callable[[int, int], None] | None) -> None: ...
    def route_tape(self, port: int, listener: Callable[[bytes], object] | None) -> None: ...
    def route_failure(self, port: int, listener: Callable[[], None] | None) -> None: ...


class EngineMediaPort:
    """One pair of media ports of the engine; the MediaPort of b2bua/ports.py.

    reference: the engine's number for it, for media_bind(); closed: it was given back.
    """

    def __init__(self, plane: DigitRoutes, local_address: str) -> None:
        self._plane = plane
        self.reference, self._rtp_port = plane.media_open(local_address)
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

    def __init__(self, plane: DigitRoutes) -> None:
        self._plane = plane
        self.reference, self._rtp_port = plane.media_machine(), 0
        self.closed = False
        self._fingerprint = b""
        self._behind = []

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
            facing.set_direction(to_phone=True, from_phone=True)
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
        port = EngineMediaPort(self._plane, local_address)
        self._open.append(port)
        return port

    def machine(self) -> EngineMachinePort:
        """Open one that faces no phone. Raises HostError where none is free."""
        self._make_room()
        port = EngineMachinePort(self._plane)
        self._open.append(port)
        return port

    def mixer(self) -> EngineMixer:
        """Begin to mix. Raises HostError where no process can be started."""
        return EngineMixer(self)

    def _make_room(self) -> None:
        self._open = [port for port in self._open if not port.closed]
        if len(self._open) >= MAX_MEDIA_PORTS:
            raise HostError("every media port is in use")
