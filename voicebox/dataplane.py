"""The data plane as the rest of the package sees it: typed events and one Protocol. [io]

The only importer of voicebox._relay. `DataPlane` is what circuits and relays are written against; tests put a fake in its place.
`LiveDataPlane` is the engine with its events brought to the asyncio loop: the engine rings a descriptor, the loop reads, parses and
hands each event to the one listener, in order. NOT here: what an event means (circuits/, relay_daemon.py), media ports as calls have them (media_ports.py).
Spec: voicebox/_relay.pyi for each call; PROTOCOL.md §2, §6, §9 for what it causes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from voicebox._relay import Engine, hctr2_decipher, hctr2_encipher
from voicebox.errors import Bug

__all__ = [
    "Answered",
    "BundleBroken",
    "BundleWants",
    "CircuitEnded",
    "CreateAsked",
    "Created",
    "DataPlane",
    "EngineFailed",
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
    "QuestionAsked",
    "Refused",
    "Silent",
    "StreamAsked",
    "StreamEvent",
    "StreamOver",
    "StreamTaken",
    "Taped",
    "hctr2_decipher",
    "hctr2_encipher",
    "parse_event",
]


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
class QuestionAsked:
    """Relay: a whole ask came (PROTOCOL.md §12.4); answer with answer_ask(), under its number."""

    link: int
    circuit: int
    number: int
    payload: bytes = field(repr=False)


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
class StreamAsked:
    """A contact's box opens a stream to the service of `port`, or an association; attach it or reset it. fast: its octets go in fast cells (PROTOCOL.md §13)."""

    stream: int
    bundle: int
    port: int
    datagrams: bool
    fast: bool = False


@dataclass(frozen=True, slots=True)
class StreamTaken:
    """The contact's box takes a stream that was opened here."""

    stream: int


@dataclass(frozen=True, slots=True)
class StreamOver:
    """A stream ended both ways, or was reset. why: of one that was reset, PROTOCOL.md §11.3."""

    stream: int
    why: int | None


@dataclass(frozen=True, slots=True)
class DatagramAsked:
    """A program sent a datagram through a door that has no association for it, which is to be opened and attached."""

    door: int
    datagram: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class BundleWants:
    """Something is to be said on a bundle, and no circuit carries it."""

    bundle: int


@dataclass(frozen=True, slots=True)
class BundleBroken:
    """The contact's box broke the protocol of streams; they are over, and the bundle is to be closed."""

    bundle: int


@dataclass(frozen=True, slots=True)
class EngineFailed:
    """The engine's thread ended on an error of ours: the process has to be started anew."""


Event = (
    LinkUp
    | LinkFailed
    | LinkDown
    | CreateAsked
    | ExtendAsked
    | QuestionAsked
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
BundleEvent = StreamAsked | StreamTaken | StreamOver | BundleWants | BundleBroken
StreamEvent = BundleEvent | DatagramAsked
_OfPort = PhoneDigit | Taped | MediaFailed

_KINDS: dict[str, Callable[..., Event | StreamEvent]] = {
    "link_up": LinkUp,
    "link_failed": LinkFailed,
    "link_down": LinkDown,
    "create": CreateAsked,
    "extend": ExtendAsked,
    "ask": QuestionAsked,
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
    "stream_asked": StreamAsked,
    "stream_taken": StreamTaken,
    "stream_over": StreamOver,
    "datagram_asked": DatagramAsked,
    "bundle_wants": BundleWants,
    "bundle_broken": BundleBroken,
    "engine_failed": EngineFailed,
}


def parse_event(fields: tuple[object, ...]) -> Event | StreamEvent:
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
    def media_echo(self, port: int, codec: int, payload_type: int) -> None: ...
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
    def heard(self) -> list[tuple[int, int]]: ...
    def listen(self, address: str, port: int, certificate_der: bytes, key_der: bytes) -> int: ...
    def bind(self, address: str, port: int = 0) -> int: ...
    def source(self, address: str, uplink: str | None = None) -> str: ...
    def connect(
        self, address: str, port: int, pin: bytes, certificate_der: bytes | None = None, key_der: bytes | None = None, uplink: str | None = None
    ) -> int: ...
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
    def answer_ask(self, link: int, circuit: int, number: int, payload: bytes) -> None: ...
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
    def bundle_open(self) -> int: ...
    def bundle_bind(self, bundle: int, link: int, circuit: int) -> None: ...
    def bundle_close(self, bundle: int) -> None: ...
    def bundle_idle_us(self, bundle: int) -> int: ...
    def stream_open(self, bundle: int, port: int, *, datagrams: bool = False, fast: bool = False) -> int: ...
    def door_open(self, descriptor: int, *, has_headers: bool = False) -> int: ...
    def door_attach(self, door: int, stream: int, header: bytes, first: list[bytes]) -> None: ...
    def door_close(self, door: int) -> None: ...
    def stream_attach(self, stream: int, descriptor: int, first: bytes = b"", *, whole: bool = False) -> None: ...
    def stream_reset(self, stream: int, why: int) -> None: ...


class LiveDataPlane(Engine):
    """The engine, with its events brought to the running loop. Made like Engine, by keyword.

    Drivers: start(), attach() once, then the loop; detach() and stop() end it. A listener that raises is reported to the loop's
    exception handler and harms no other event.
    """

    _loop: asyncio.AbstractEventLoop | None = None
    _listener: Callable[[Event], None] | None = None
    _routes: dict[tuple[type[_OfPort], int], Callable[..., object]]
    _streams: Callable[[StreamEvent], None] | None = None

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
        self._route(PhoneDigit, port, listener)

    def route_tape(self, port: int, listener: Callable[[bytes], object] | None) -> None:
        """Give what a tape keeps to listener(entries); None ends that."""
        self._route(Taped, port, listener)

    def route_failure(self, port: int, listener: Callable[[], None] | None) -> None:
        """Tell listener() where the handshake of a media port failed; None ends that."""
        self._route(MediaFailed, port, listener)

    def route_streams(self, listener: Callable[[StreamEvent], None] | None) -> None:
        """Give what happens to streams to a listener of its own; None ends that."""
        self._streams = listener

    def _route(self, kind: type[_OfPort], port: int, listener: Callable[..., object] | None) -> None:
        routes = self.__dict__.setdefault("_routes", {})
        if listener is None:
            routes.pop((kind, port), None)
        else:
            routes[kind, port] = listener

    def _tell(self, event: _OfPort, *what: object) -> bool:
        """Tell the listener of an event's port; return whether there is one."""
        routed = self.__dict__.get("_routes", {}).get((type(event), event.port))
        if routed is not None:
            routed(*what)
        return routed is not None

    def _take(self) -> None:
        for fields in self.events():
            loop, listener = self._loop, self._listener
            if loop is None or listener is None:
                return  # a listener detached us in the middle
            try:
                self._hand_on(parse_event(fields), listener)
            except Exception as error:  # noqa: BLE001 - one listener's fault must not cost the other events
                loop.call_exception_handler({"message": "a listener of the data plane failed", "exception": error})

    def _hand_on(self, event: Event | StreamEvent, listener: Callable[[Event], None]) -> None:
        if isinstance(event, StreamEvent):
            if self._streams is not None:
                self._streams(event)
        elif isinstance(event, Taped):
            self._tell(event, event.entries)
        elif isinstance(event, MediaFailed):
            self._tell(event)
        elif not (isinstance(event, PhoneDigit) and self._tell(event, event.code, event.duration_ms)):
            listener(event)
