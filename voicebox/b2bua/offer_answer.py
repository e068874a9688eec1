"""Offer and answer: the phones' SDP read down to codec, address and port; ours built anew. Pure.

Nothing of a phone's description is copied into one for another phone: what passes is a Codec of the closed list. 20 ms a frame; to a phone that wants
them, packets of 10 to 60 ms of what can be cut (all but Opus).
Sound is protected where the phone asks for it (SRTP with keys in SDP, or by DTLS), and always where the phone speaks SIP over TLS and the box offers;
an offer of both is answered with the protected one. Spec: RFC 3264, RFC 7587 (Opus), RFC 4733 (telephone-event), RFC 4568 (keys), RFC 5763 (DTLS),
RFC 8643 (both under RTP/AVP), RFC 5761 (RTCP beside RTP, where the phone offers it), PROTOCOL.md §9.3. Departures: no ICE towards phones; a handshake
of DTLS is kept as long as fingerprint and roles are the same, even where the phone's address changes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from voicebox.b2bua.events import Codec
from voicebox.errors import SipError
from voicebox.sensitive import Secret
from voicebox.sip.fingerprint import OUR_HASH, Fingerprint, Handshake, Setup
from voicebox.sip.sdes import Crypto, Protection, Suite
from voicebox.sip.sdp import Description, Direction, Encoding, Medium, parse_sdp, serialise_sdp

PTIME_MS = 20
OPUS_FMTP = "useinbandfec=1;cbr=1;maxaveragebitrate=24000;maxptime=20;minptime=20;stereo=0"
"""Constant rate, so that a frame's length tells nothing (RFC 7587 §6.1); no usedtx, whose default is 0."""
_EVENT_NAME = "telephone-event"
_EVENT_RANGE = "0-15"
_CLEAR, _PROTECTED, _SHAKEN = "RTP/AVP", "RTP/SAVP", "UDP/TLS/RTP/SAVP"
_PROTOCOLS = {_CLEAR, "RTP/AVPF", _PROTECTED, "RTP/SAVPF", _SHAKEN, "UDP/TLS/RTP/SAVPF"}
_NAMES = {Codec.OPUS: ("opus", 48_000), Codec.G722: ("G722", 8_000), Codec.PCMA: ("PCMA", 8_000), Codec.PCMU: ("PCMU", 8_000)}
_OUR_PAYLOAD_TYPES = {Codec.OPUS: 96, Codec.G722: 9, Codec.PCMA: 8, Codec.PCMU: 0}
_PACKETS_MS = range(10, 61, 10)
_OUR_EVENT_PAYLOAD_TYPES = {8_000: 101, 48_000: 102}
_EVERY_PHONES_CLOCK_HZ = 8_000
"""RFC 4733 wants events on the clock of the sound beside them; baresip and others know them on 8 000 Hz only, beside Opus too."""
_TAGS = dict(enumerate(Suite, 1))
"""By which our offer numbers its keys (RFC 4568 §9.1)."""
ALL_CODECS = (Codec.OPUS, Codec.G722, Codec.PCMA, Codec.PCMU)
"""In the order of our offers: the better first."""
LATE_OFFER_CODECS = (Codec.PCMA, Codec.PCMU)
"""What is offered for a phone that has not said what it speaks: what every phone speaks."""


@dataclass(frozen=True, slots=True)
class PhoneMedia:
    """What a phone's description says about its sound.

    codecs: of the closed list, in the phone's order, with the phone's payload types. address: "" where the phone is not to be sent anything.
    """

    address: str = field(repr=False)
    port: int
    codecs: tuple[tuple[Codec, int], ...]
    event_payload_types: tuple[tuple[int, int], ...]
    """(clock rate, payload type) of its telephone-events."""
    direction: Direction
    media: tuple[Medium, ...]
    place: int
    """Which of the media is meant."""
    crypto: Crypto | None = None
    """The phone's key, where its sound is protected so: the first of its list that is spoken here."""
    fingerprint: Fingerprint | None = None
    """Of the phone's certificate, where its sound is protected by DTLS instead."""

    @property
    def protected(self) -> bool:
        """Say whether the phone's sound is protected."""
        return self.crypto is not None or self.fingerprint is not None

    @property
    def setup(self) -> Setup | None:
        """Return who is to begin the handshake, as the phone says it."""
        return self.media[self.place].setup

    @property
    def rtcp_port(self) -> int | None:
        """Return where the phone wants RTCP, None for the port next to RTP."""
        return self.media[self.place].rtcp_port

    def payload_type(self, codec: Codec) -> int | None:
        """Return the phone's payload type of a codec, None where it does not have it."""
        return dict(self.codecs).get(codec)

    def event_clock_rate_hz(self, codec: Codec) -> int | None:
        """Return the clock of the telephone-events to use beside a codec: the codec's own, else 8 000, which is all that many phones have."""
        clocks = dict(self.event_payload_types)
        return next((clock_rate_hz for clock_rate_hz in (_NAMES[codec][1], _EVERY_PHONES_CLOCK_HZ) if clock_rate_hz in clocks), None)

    def event_payload_type(self, codec: Codec) -> int | None:
        """Return the payload type of the telephone-events to use beside a codec, None where the phone has none."""
        clock_rate_hz = self.event_clock_rate_hz(codec)
        return None if clock_rate_hz is None else dict(self.event_payload_types)[clock_rate_hz]

    def event_stretch(self, codec: Codec) -> int:
        """Return how many units of the codec's clock, in which the media port counts, one unit of the phone's events lasts: 1 or 6."""
        return _NAMES[codec][1] // (self.event_clock_rate_hz(codec) or _NAMES[codec][1])

    @property
    def packet_ms(self) -> int:
        """Return how much sound the phone wants in a packet: 10 to 60 ms, 20 where it does not say or cannot be served. Spec: RFC 4566 §6, RFC 3264 §5.1."""
        medium = self.media[self.place]
        wanted_ms = PTIME_MS if medium.ptime_ms is None or medium.ptime_ms not in _PACKETS_MS else medium.ptime_ms
        most_ms = medium.max_ptime_ms or _PACKETS_MS[-1]
        return max(min(wanted_ms, most_ms // 10 * 10), _PACKETS_MS[0])

    @property
    def holds(self) -> bool:
        """Say whether the phone has put its peer on hold: it does not want to hear it."""
        return not self.direction.receives


def read_phone_media(body: bytes, content_type: str | None, fallback_address: str) -> PhoneMedia:
    """Read a phone's offer or answer. fallback_address: where the SDP names a host instead of an address.

    Of several media that can be served the first that is protected is meant, else the first. One whose sound would go to a group, to everybody or into
    the box's own machine is none of them.
    Raises SipError: 415 another content type, 400 malformed, 488 nothing in it that the box can serve.
    """
    if content_type is None or content_type.partition(";")[0].strip().lower() != "application/sdp":
        raise SipError(415, "a session description must be application/sdp")
    description = parse_sdp(body)
    served: list[PhoneMedia] = []
    unprotected = elsewhere = False
    for place, medium in enumerate(description.media):
        if medium.kind != "audio" or medium.port == 0 or medium.protocol.upper() not in _PROTOCOLS:
            continue
        protocol = medium.protocol.upper()
        crypto = None if protocol.startswith(_SHAKEN) else next(iter(medium.cryptos), None)
        fingerprint = medium.fingerprint if crypto is None and medium.setup not in {None, Setup.HOLDCONN} else None
        if crypto is None and fingerprint is None and protocol.startswith((_PROTECTED, _SHAKEN)):
            unprotected = True
            continue
        codecs = tuple((codec, encoding.payload_type) for encoding in medium.encodings if (codec := _codec_of(encoding)) is not None)
        if (medium.max_ptime_ms or PTIME_MS) < PTIME_MS:
            codecs = tuple(each for each in codecs if each[0] is not Codec.OPUS)  # whose frames cannot be cut
        if not codecs:
            continue
        events = tuple((encoding.clock_rate_hz, encoding.payload_type) for encoding in medium.encodings if encoding.name == _EVENT_NAME)
        direction = medium.direction
        if medium.address in {"0.0.0.0", "::"}:  # noqa: S104  # how RFC 2543 said hold; RFC 3264 §8.4 still wants it understood
            direction = Direction.SENDONLY if direction.sends else Direction.INACTIVE
        address = medium.address or fallback_address
        if not _is_of_a_phone(address, fallback_address):
            elsewhere = True
            continue
        served.append(PhoneMedia(address, medium.port, _without_repeats(codecs), events, direction, description.media, place, crypto, fingerprint))
    if not served and elsewhere:
        raise SipError(488, "no sound is sent to such an address")
    if not served:
        raise SipError(488, "no key of SRTP in a suite that is spoken here" if unprotected else "no audio in a codec that is spoken here")
    return next((phone for phone in served if phone.protected), served[0])


def _is_of_a_phone(address: str, signalling: str) -> bool:
    """Say whether sound may go to an address: one phone's, not a group's, and this machine's own inside only where the phone speaks from there too."""
    place = _address(address)
    everybody = isinstance(place, ipaddress.IPv4Address) and place.is_reserved
    return not (place.is_multicast or everybody or (place.is_loopback and not _address(signalling).is_loopback))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    found = ipaddress.ip_address(text)
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found


def _codec_of(encoding: Encoding) -> Codec | None:
    if encoding.name == "opus" and encoding.clock_rate_hz == 48_000 and encoding.channels == 2:
        return Codec.OPUS
    if encoding.clock_rate_hz == 8_000 and encoding.channels == 1:
        return {"g722": Codec.G722, "pcma": Codec.PCMA, "pcmu": Codec.PCMU}.get(encoding.name)
    return None


def _without_repeats(codecs: tuple[tuple[Codec, int], ...]) -> tuple[tuple[Codec, int], ...]:
    first: dict[Codec, int] = {}
    for codec, payload_type in codecs:
        first.setdefault(codec, payload_type)
    return tuple(first.items())


def _audio(port: int, codecs: list[tuple[Codec, int]], events: list[tuple[int, int]], direction: Direction, protocol: str) -> Medium:
    encodings = [
        Encoding(payload_type, *_NAMES[codec], channels=2 if codec is Codec.OPUS else 1, fmtp=OPUS_FMTP if codec is Codec.OPUS else "")
        for codec, payload_type in codecs
    ]
    encodings += [Encoding(payload_type, _EVENT_NAME, clock_rate_hz, fmtp=_EVENT_RANGE) for clock_rate_hz, payload_type in events]
    formats = tuple(str(encoding.payload_type) for encoding in encodings)
    return Medium("audio", port, protocol, formats, encodings=tuple(encodings), direction=direction, ptime_ms=PTIME_MS)


def check_protected(phone: PhoneMedia, *, private: bool) -> None:
    """Raise SipError(488) for sound in the clear beside signalling over TLS, or from a phone that is for DTLS-SRTP: whoever set that up wanted it protected."""
    if private and not phone.protected:
        raise SipError(488, "the sound must be protected, by SRTP")


def our_protocol(*, protected: bool, shaken: bool = False) -> str:
    """Return the protocol of our own offers. shaken: to a phone that is to be offered DTLS-SRTP."""
    return _SHAKEN if shaken else _PROTECTED if protected else _CLEAR


@dataclass(slots=True)
class OurMedia:
    """What our descriptions to one phone have in common. version rises with every description that differs from the last (RFC 3264 §8).

    protocol: of our offers; RTP/SAVP for protected sound, UDP/TLS/RTP/SAVP for that by DTLS, and of whatever the phone last asked for. Our key of a suite
    is drawn once and stays: the engine never begins anew under it. fingerprint(): the SHA-256 of our port's certificate, the same every time.
    """

    address: str = field(repr=False)
    port: int
    number: int
    random_octets: Callable[[int], bytes] = field(repr=False)
    fingerprint: Callable[[], bytes] = field(repr=False)
    protocol: str = _CLEAR
    version: int = 0
    protected: bool = field(init=False)
    shaken: bool = field(init=False)
    """Protected by DTLS."""
    never_clear: bool = field(init=False)
    """It was, or was to be: so there is no way back to sound in the clear."""
    _handshake: Handshake | None = field(init=False, default=None)
    """What was last agreed."""
    _keys: dict[Suite, Secret] = field(init=False, default_factory=dict, repr=False)
    _offered: bool = field(init=False, default=False)
    """Our latest description is an offer, so that the phone's is its answer."""

    def __post_init__(self) -> None:
        self.shaken = self.never_clear = self.protocol.upper().startswith(_SHAKEN)
        self.protected = self.shaken or self.protocol.upper().startswith(_PROTECTED)

    def protection(self, phone: PhoneMedia) -> Protection | Handshake | None:
        """Return the keys, or the handshake, that our latest description and the phone's agree on, None for sound in the clear. Raises SipError(488) for
        an answer that leaves out the protection that was offered.
        """
        crypto = phone.crypto
        if not self._offered:
            if phone.fingerprint is not None:
                return self._handshake
            return None if crypto is None else Protection(crypto.suite, self._key(crypto.suite), crypto.key)
        if not self.protected:
            return None
        if self.shaken:
            if phone.fingerprint is None or phone.setup not in {Setup.ACTIVE, Setup.PASSIVE}:
                raise SipError(488, "the answer does not protect the sound")
            self._handshake = Handshake(active=phone.setup is Setup.PASSIVE, phone=phone.fingerprint)
            return self._handshake
        if crypto is None or crypto.suite is not _TAGS.get(crypto.tag):
            raise SipError(488, "the answer does not protect the sound")
        return Protection(crypto.suite, self._key(crypto.suite), crypto.key)

    def _fingerprint(self) -> Fingerprint:
        return Fingerprint(OUR_HASH, self.fingerprint())

    def _key(self, suite: Suite) -> Secret:
        if suite not in self._keys:
            self._keys[suite] = Secret(self.random_octets(suite.key_octets))
        return self._keys[suite]

    def _agree(self, phone: Fingerprint, setup: Setup | None) -> Setup:
        """Return our side of the handshake that an offer asks for: the one that says hello, where we may and did not say otherwise before. Spec: RFC 5763 §5, RFC 8842 §5.3."""
        active = setup is not Setup.ACTIVE
        if setup is Setup.ACTPASS and self._handshake is not None and self._handshake.phone == phone:
            active = self._handshake.active
        self._handshake = Handshake(active, phone)
        return Setup.ACTIVE if active else Setup.PASSIVE

    def offer(self, codecs: tuple[Codec, ...], direction: Direction = Direction.SENDRECV) -> bytes:
        """Return an offer of codecs, the better first, with telephone-events for each of their clocks and the one that every phone knows."""
        self.version += 1
        codecs = tuple(codec for codec in ALL_CODECS if codec in codecs)
        clocks = sorted({_NAMES[codec][1] for codec in codecs} | {_EVERY_PHONES_CLOCK_HZ})
        events = [(clock_rate_hz, _OUR_EVENT_PAYLOAD_TYPES[clock_rate_hz]) for clock_rate_hz in clocks]
        self._offered = True
        medium = _audio(self.port, [(codec, _OUR_PAYLOAD_TYPES[codec]) for codec in codecs], events, direction, self.protocol)
        if self.shaken:
            medium = replace(medium, fingerprint=self._fingerprint(), setup=Setup.ACTPASS)
        elif self.protected:
            medium = replace(medium, cryptos=tuple(Crypto(tag, suite, self._key(suite)) for tag, suite in _TAGS.items()))
        return serialise_sdp(Description((medium,)), self.address, self.number, self.version)

    def answer(self, phone: PhoneMedia, codec: Codec) -> bytes:
        """Return the answer to a phone's offer: this codec under the phone's payload type, every other medium refused. Raises SipError(488)."""
        payload_type = phone.payload_type(codec)
        if payload_type is None:
            raise SipError(488, "the codec in use is not offered")
        self.version += 1
        self._offered, self.protocol = False, phone.media[phone.place].protocol
        self.protected, self.shaken = phone.protected, phone.fingerprint is not None
        self.never_clear |= self.shaken
        event, clock_rate_hz = phone.event_payload_type(codec), phone.event_clock_rate_hz(codec)
        events = [] if event is None or clock_rate_hz is None else [(clock_rate_hz, event)]
        media: list[Medium] = []
        for place, medium in enumerate(phone.media):
            if place == phone.place:
                ours = _audio(self.port, [(codec, payload_type)], events, phone.direction.mirrored, medium.protocol)
                cryptos = () if phone.crypto is None else (Crypto(phone.crypto.tag, phone.crypto.suite, self._key(phone.crypto.suite)),)
                if phone.fingerprint is not None:
                    ours = replace(ours, fingerprint=self._fingerprint(), setup=self._agree(phone.fingerprint, phone.setup))
                media.append(replace(ours, rtcp_port=self.port if medium.rtcp_port == medium.port else None, cryptos=cryptos))
            else:
                # Only octets that the grammar of a refused line needs; the answer goes to the phone that wrote them.
                formats = tuple(text for text in medium.formats if re.fullmatch(r"[A-Za-z0-9.\-_*]+", text))
                media.append(Medium(medium.kind, 0, medium.protocol, formats[:1] or ("0",)))
        return serialise_sdp(Description(tuple(media)), self.address, self.number, self.version)


def choose_codec(ours: tuple[Codec, ...], phone: PhoneMedia) -> Codec:
    """Return the first codec of a phone's answer that we offered: the callee's phone chooses, out of a list that has one order. Raises SipError(488)."""
    for codec, _ in phone.codecs:
        if codec in ours:
            return codec
    raise SipError(488, "no codec of the offer in the answer")
