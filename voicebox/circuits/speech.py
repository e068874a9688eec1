"""What a box says to the hops of its circuits and what they answer: kinds and payloads, as far as the control plane reads them.

NOT here: fragments, repeating, layers (relay/core). Pure. Spec: PROTOCOL.md §3.2.
"""

from __future__ import annotations

from enum import IntEnum, unique
from typing import Protocol

from voicebox.errors import RemoteError


@unique
class Speech(IntEnum):
    """Kinds of messages inside the layers."""

    EXTEND = 16
    EXTENDED = 17
    NOT_EXTENDED = 18
    PHASE = 20
    PHASED = 21
    SETTLE = 22
    SETTLED = 23
    TOKENS = 24
    LEFT = 25
    KNOCK = 26
    KNOCKED = 27
    JOIN = 28
    PART = 29
    ATTACH = 30
    ATTACHED = 31
    ASK = 32
    ANSWERED = 33


@unique
class RefusalReason(IntEnum):
    """Why a relay does not become a hop, or extend. 1 to 15 are the engine's own (relay/core)."""

    HANDSHAKE = 16
    REPLAYED = 17
    NOT_HERE = 18
    BUSY = 19
    UNKNOWN_RELAY = 20
    UNREACHABLE = 21


TOKENS_LEFT = 128


def extend_payload(relay_id: bytes, circuit: int, handshake: bytes) -> bytes:
    """Return relay id 32 | circuit u32 | handshake 1220."""
    return relay_id + circuit.to_bytes(4, "big") + handshake


def settle_payload(first_slot: int) -> bytes:
    """Return first slot u32."""
    return (first_slot & 0xFFFFFFFF).to_bytes(4, "big")


def parse_phased(payload: bytes) -> tuple[int, int]:
    """Return (wait, step) in microseconds from two u16 in units of 10 us. Raises RemoteError for another length."""
    if len(payload) != 4:
        raise RemoteError("a hop's phase has the wrong length")
    return int.from_bytes(payload[:2], "big") * 10, int.from_bytes(payload[2:], "big") * 10


class OwnerPlane(Protocol):
    """What the owner of circuits needs of the data plane. Calls return at once; what happens comes as events (voicebox/_relay.pyi)."""

    def source(self, address: str, uplink: str | None = None, /) -> str: ...
    def connect(self, address: str, port: int, pin: bytes, /, *, uplink: str | None = None) -> int: ...
    def mute(self, link: int, /) -> None: ...
    def disconnect(self, link: int, /) -> None: ...
    def open(self, link: int, circuit: int, handshake: bytes, /) -> None: ...
    def add_hop(self, link: int, circuit: int, forward_key: bytes, backward_key: bytes, /) -> None: ...
    def say(self, link: int, circuit: int, hop: int, kind: int, payload: bytes, every: int = 1, times: int = 0, /) -> None: ...
    def hush(self, link: int, circuit: int, /) -> None: ...
    def shift(self, link: int, delay_us: int, /) -> None: ...
    def attach_circuit(self, link: int, circuit: int, next_link: int, /) -> None: ...
    def settle_own(self, link: int, circuit: int, step_us: int, /) -> None: ...
    def speak(self, link: int, circuit: int, send_key: bytes | None, receive_keys: list[bytes], /) -> None: ...
    def couple(self, link: int, circuit: int, spare_link: int, spare_circuit: int, /) -> None: ...
    def channel_send(self, link: int, circuit: int, message: bytes, /) -> None: ...
    def quiet(self, link: int, circuit: int, /) -> None: ...
    def media_bind(self, port: int, link: int, circuit: int, codec: int, /) -> None: ...
    def bundle_bind(self, bundle: int, link: int, circuit: int, /) -> None: ...
