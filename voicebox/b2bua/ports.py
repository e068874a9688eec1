"""What the B2BUA needs of its neighbours, as Protocols, so that it knows neither circuits nor the engine.

The daemon wires the real ones (circuits/calls.py, dataplane.py); unit tests wire fakes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from voicebox.b2bua.events import CallEvent, Codec, Offer
from voicebox.sip.fingerprint import Handshake
from voicebox.sip.sdes import Protection


class MediaPort(Protocol):
    """One pair of local UDP ports (RTP even, RTCP the next odd) facing one phone, owned by the engine.

    RTP made by the engine has a fresh SSRC, first sequence number and first timestamp; RTCP is made and ended there.
    """

    @property
    def rtp_port(self) -> int: ...

    def set_remote(self, address: str, port: int, codec: Codec, payload_type: int, event_payload_type: int | None, rtcp_port: int | None = None) -> None:
        """Send to the phone's address from its SDP; may be called again after a re-INVITE. event_payload_type: telephone-event (RFC 4733) or None.

        rtcp_port: where RTCP goes, which may be the port of RTP too (RFC 5761); None for the next one.
        """

    def protect(self, protection: Protection | None) -> None:
        """Let nothing but SRTP pass from now on, or RTP in the clear; called before set_remote. Keys that are in use already go on."""

    def set_packets(self, packet_ms: int) -> None:
        """Send the phone packets of 10 to 60 ms of sound, 20 until then. What it sends may have any of these lengths. Of Opus both are 20."""

    def set_direction(self, *, to_phone: bool, from_phone: bool) -> None:
        """Open or shut each direction (early media, hold)."""

    def on_digit(self, listener: Callable[[int, int], None]) -> None:
        """Call listener(code, duration_ms) once for each RFC 4733 event that the phone sends."""

    def play_digit(self, code: int, duration_ms: int) -> None:
        """Send an RFC 4733 event to the phone."""

    def join(self, other: MediaPort, codec: Codec) -> None:
        """Connect two ports, or one with itself: each hears the other's phone, in a codec that both speak. Ends what they were connected with; closing one parts both."""

    def play(self, codec: Codec, frame_octets: int, frames: bytes) -> None:
        """Play frames of the box's own to the phone, one in each slot. Ends what the port was connected with, as join() ends this."""

    def close(self) -> None: ...


class PhonePort(MediaPort, Protocol):
    """A port that faces a phone."""

    def fingerprint(self) -> bytes:
        """Return the SHA-256 of the port's certificate, which is made when it is first asked for, and which nothing else has."""

    def agree(self, handshake: Handshake) -> None:
        """Let nothing but SRTP pass from now on, under the keys of a handshake, and until it is over nothing; instead of protect(). It begins with set_remote.

        One in the same words as before goes on.
        """

    def on_failed(self, listener: Callable[[], None]) -> None:
        """Call listener() where a handshake failed, so that no sound will come: the phone showed another certificate, or nothing."""


class EchoPort(MediaPort, Protocol):
    """A port that can be its own phone."""

    def echo(self, codec: Codec, payload_type: int) -> None:
        """Be its own phone, in the place of set_remote: what its circuit brings goes back into it."""


class MachinePort(MediaPort, Protocol):
    """A port that faces no phone but the box itself: play() goes into the circuit that it is bound to."""

    def tape(self, slots: int, listener: Callable[[bytes], object]) -> None:
        """Keep what comes out of the circuit, for so many slots from now on: listener(entries), `length u8 | frame` for each slot, some slots at a time."""


class Mixer(Protocol):
    """Several parties, of whom each hears what all others say."""

    def seat(self, codec: Codec, *, hears_tone: bool) -> MediaPort:
        """Return the port of one party more, in a codec: what is joined with it, or the circuit that is bound to it, is heard by the others and hears them.

        hears_tone: when somebody comes in. Raises HostError where the machine lacks what it takes, or as many are mixed as may be.
        """

    def leave(self, port: MediaPort) -> None:
        """Let a party go, and close its port."""

    def close(self) -> None:
        """Give everything back; idempotent."""


class MediaPorts(Protocol):
    def open(self, local_address: str) -> PhonePort:
        """Bind a fresh pair on local_address. Raises HostError where none is free."""

    @property
    def transcodes(self) -> bool:
        """Say whether transcode() has what it needs on this machine."""

    def transcode(self, port: MediaPort, phone_codec: Codec, codec: Codec) -> MediaPort:
        """Return a port that stands for another one whose phone speaks phone_codec, and speaks codec: it is what is joined or bound. Closed with that one.

        Raises HostError where the machine lacks what it takes, or as many calls are converted as may be.
        """

    def machine(self) -> MachinePort:
        """Open one without a phone. Raises HostError where none is free."""

    def mixer(self) -> Mixer:
        """Begin to mix. Raises HostError where the machine lacks what it takes."""


class CircuitLeg(Protocol):
    """The far side of one call, reached through a circuit."""

    def send(self, event: CallEvent) -> None:
        """Tell the far box; events arrive there in order. After Refuse or End the leg is dead and further events are ignored."""

    def bind(self, port: MediaPort, codec: Codec) -> None:
        """Connect the circuit's media slots with a phone's port (at Progress or Answer). From here no Python touches a packet."""


class TextKeeper(Protocol):
    """Where texts wait for contacts whose boxes are off."""

    def keep(self, petname: str, text: bytes, *, perhaps_there: bool) -> bool:
        """Keep a text, on the disk when this returns; False where it is not: too many wait for this contact, he is no contact any more, the disk takes nothing.

        perhaps_there: it was said to his box, which did not say that it has it.
        """

    def came(self, petname: str, number: int) -> None:
        """Take that a phone has the text of this number that was found for us."""


class Network(Protocol):
    """Calls to and from contacts."""

    def call(self, petname: str, offer: Offer, listener: Callable[[CallEvent], None]) -> CircuitLeg:
        """Start a call; events of the far side go to listener, Refuse(UNREACHABLE) where no answer ever comes.

        Raises UsageError for an unknown petname.
        """

    def on_call(self, acceptor: Callable[[str, Offer, CircuitLeg], Callable[[CallEvent], None]]) -> None:
        """Set who takes incoming calls: acceptor(petname, offer, leg) returns the listener for the caller's events."""
