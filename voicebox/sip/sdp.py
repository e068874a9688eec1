"""SDP: octets to the few things the box reads, and descriptions built anew. Pure.

Only what RTP audio needs is kept; unknown lines and attributes are checked for form and forgotten, so none can pass through.
NOT here: which codecs are wanted (b2bua/offer_answer.py). Every problem raises SipError(400), or 488 where RFC 4566 is obeyed but
nothing can be done with it.
Spec: RFC 4566, RFC 3264, RFC 3551 §6 (static payload types), RFC 3605 and RFC 5761 (port of RTCP), RFC 4568 (sdes.py), RFC 8122 and
RFC 4145 (fingerprint.py).
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from enum import Enum, unique

from voicebox.errors import SipError
from voicebox.sip.fingerprint import HASH_OCTETS, Fingerprint, Setup, parse_fingerprint, parse_setup, serialise_fingerprint
from voicebox.sip.sdes import Crypto, parse_crypto, serialise_crypto

MAX_SDP_OCTETS = 16_384
MAX_LINES = 512
MAX_MEDIA = 16
MAX_FORMATS = 64
MAX_CRYPTOS = 16

_LINE = re.compile(r"([a-z])=(.*)", re.DOTALL)
_MEDIA = re.compile(r"([a-zA-Z0-9.\-_]{1,32}) ([0-9]{1,5})(?:/([0-9]{1,3}))? ([A-Za-z0-9/.\-_]{1,32})((?: [^\s]{1,64})*) ?", re.ASCII)
_RTPMAP = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9.\-_+!#$%&'*^`{|}~]{1,64})/([0-9]{1,7})(?:/([0-9]{1,2}))? *", re.ASCII)
_FMTP = re.compile(r"([0-9]{1,3}) (.{0,512})", re.DOTALL)
_PTIME = re.compile(r" *[0-9]{1,4} *", re.ASCII)
_RTCP = re.compile(r"([0-9]{1,5})(?: IN IP[46] \S{1,255})?", re.ASCII)
_ORIGIN = re.compile(r"\S+ [0-9]{1,20} [0-9]{1,20} IN IP[46] \S+ ?", re.ASCII)
_CONNECTION = re.compile(r"IN IP([46]) (\S{1,255}) ?", re.ASCII)


@unique
class Direction(Enum):
    """Which way sound goes, seen by whoever wrote the description. The value is the attribute."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def sends(self) -> bool:
        """Say whether the writer sends."""
        return self in {Direction.SENDRECV, Direction.SENDONLY}

    @property
    def receives(self) -> bool:
        """Say whether the writer wants to receive."""
        return self in {Direction.SENDRECV, Direction.RECVONLY}

    @property
    def mirrored(self) -> Direction:
        """Return the answer that allows as much as the offer does. Spec: RFC 3264 §6.1."""
        return {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}.get(self, self)


_DIRECTIONS = {direction.value: direction for direction in Direction}


@dataclass(frozen=True, slots=True)
class Encoding:
    """One payload type of a medium. name in lower case; fmtp as written, "" where there is none."""

    payload_type: int
    name: str
    clock_rate_hz: int
    channels: int = 1
    fmtp: str = ""


STATIC = {0: Encoding(0, "pcmu", 8000), 8: Encoding(8, "pcma", 8000), 9: Encoding(9, "g722", 8000)}


@dataclass(frozen=True, slots=True)
class Medium:
    """One m= line and what belongs to it. address: a literal one, "" where the line names a host. encodings in order of preference.

    rtcp_port: where RTCP goes, which may be the port of RTP too; None for the next one. cryptos: those that are spoken here.
    fingerprint: that of the strongest hash spoken here, the first of several; setup: beside it.
    """

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    address: str = field(default="", repr=False)
    encodings: tuple[Encoding, ...] = ()
    direction: Direction = Direction.SENDRECV
    ptime_ms: int | None = None
    max_ptime_ms: int | None = None
    rtcp_port: int | None = None
    cryptos: tuple[Crypto, ...] = ()
    fingerprint: Fingerprint | None = None
    setup: Setup | None = None


@dataclass(frozen=True, slots=True)
class Description:
    """A session description: its media in order."""

    media: tuple[Medium, ...]


@dataclass(slots=True)
class _Section:
    """What the attributes of one section say, while it is read."""

    media_line: str = ""
    address: str | None = None
    direction: Direction | None = None
    ptime_ms: int | None = None
    max_ptime_ms: int | None = None
    rtpmaps: dict[int, tuple[str, int, int]] | None = None
    fmtps: dict[int, str] | None = None
    rtcp_port: int | None = None
    is_muxed: bool = False
    cryptos: tuple[Crypto, ...] = ()
    fingerprint: Fingerprint | None = None
    setup: Setup | None = None


def parse_sdp(octets: bytes) -> Description:
    """Parse a session description. Raises SipError(400) where it is none. Lines may end in LF alone, as RFC 4566 §5 asks."""
    if len(octets) > MAX_SDP_OCTETS:
        raise SipError(400, "session description too long")
    lines = octets.decode("utf-8", "replace").replace("\r\n", "\n").rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        raise SipError(400, "session description too long")
    session = _Section()
    sections: list[_Section] = []
    seen = set()
    for place, line in enumerate(lines):
        found = _LINE.fullmatch(line)
        if found is None or "\r" in line or "\x00" in line or (place == 0 and line != "v=0"):
            raise SipError(400, "bad line in session description")
        kind, value = found[1], found[2]
        if kind == "m":
            if len(sections) >= MAX_MEDIA:
                raise SipError(400, "too many media")
            sections.append(_Section(media_line=value))
        elif kind == "o" and not _ORIGIN.fullmatch(value):
            raise SipError(400, "bad origin in session description")
        elif not sections and kind in {"v", "o", "s"} and kind in seen:
            raise SipError(400, "repeated line in session description")
        else:
            _read_line(sections[-1] if sections else session, kind, value)
        seen.add(kind)
    if not {"v", "o", "s"} <= seen:
        raise SipError(400, "incomplete session description")
    return Description(tuple(_medium(section, session) for section in sections))


def _read_line(section: _Section, kind: str, value: str) -> None:
    if kind == "c":
        found = _CONNECTION.fullmatch(value)
        if found is None:
            raise SipError(400, "bad connection address")
        section.address = _literal(found[2])
    elif kind == "a":
        name, _, rest = value.partition(":")
        if name in _DIRECTIONS:
            section.direction = _DIRECTIONS[name]
        elif name == "ptime" and _PTIME.fullmatch(rest):
            section.ptime_ms = int(rest)
        elif name == "maxptime" and _PTIME.fullmatch(rest):
            section.max_ptime_ms = int(rest)
        elif name == "rtcp-mux":
            section.is_muxed = True
        elif name == "rtcp" and (port := _RTCP.fullmatch(rest)) is not None and 0 < int(port[1]) <= 65535:
            section.rtcp_port = int(port[1])
        elif name == "crypto":
            _read_crypto(section, rest)
        elif name == "fingerprint":
            _read_fingerprint(section, rest)
        elif name == "setup":
            section.setup = parse_setup(rest)
        elif name == "rtpmap":
            _read_rtpmap(section, rest)
        elif name == "fmtp":
            fmtp = _FMTP.fullmatch(rest)
            if fmtp is not None:
                section.fmtps = section.fmtps or {}
                section.fmtps[int(fmtp[1])] = fmtp[2].strip()


def _read_crypto(section: _Section, text: str) -> None:
    crypto = parse_crypto(text)
    if crypto is not None and len(section.cryptos) < MAX_CRYPTOS:
        section.cryptos += (crypto,)


def _read_fingerprint(section: _Section, text: str) -> None:
    fingerprint, before = parse_fingerprint(text), section.fingerprint
    if fingerprint is not None and (before is None or HASH_OCTETS[fingerprint.hash] > HASH_OCTETS[before.hash]):
        section.fingerprint = fingerprint


def _read_rtpmap(section: _Section, text: str) -> None:
    found = _RTPMAP.fullmatch(text)
    if found is None or int(found[1]) > 127 or not 0 < int(found[3]) <= 192_000:
        raise SipError(400, "bad rtpmap")
    section.rtpmaps = section.rtpmaps or {}
    section.rtpmaps[int(found[1])] = (found[2].lower(), int(found[3]), int(found[4] or 1))


def _literal(text: str) -> str:
    """Return a literal unicast address, "" for a host name (the caller then uses the flow's address)."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        if re.fullmatch(r"[0-9.]+(?:/[0-9/]*)?", text):
            raise SipError(400, "bad connection address") from None
        return ""


def _medium(section: _Section, session: _Section) -> Medium:
    found = _MEDIA.fullmatch(section.media_line)
    if found is None or int(found[2]) > 65535:
        raise SipError(400, "bad media line")
    formats = tuple(found[5].split())
    if not formats or len(formats) > MAX_FORMATS:
        raise SipError(400, "bad media line")
    address = section.address if section.address is not None else session.address
    if address is None and int(found[2]):
        raise SipError(400, "no connection address")
    direction = section.direction or session.direction or Direction.SENDRECV
    rtcp_port = int(found[2]) if section.is_muxed else section.rtcp_port
    encodings = _encodings(section, formats)
    times_ms = (section.ptime_ms, section.max_ptime_ms)
    handshake = (section.fingerprint or session.fingerprint, section.setup or session.setup)
    return Medium(found[1], int(found[2]), found[4], formats, address or "", encodings, direction, *times_ms, rtcp_port, section.cryptos, *handshake)


def _encodings(section: _Section, formats: tuple[str, ...]) -> tuple[Encoding, ...]:
    encodings: list[Encoding] = []
    for text in formats:
        if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 127:
            continue
        payload_type = int(text)
        mapped = (section.rtpmaps or {}).get(payload_type)
        fmtp = (section.fmtps or {}).get(payload_type, "")
        if mapped is not None:
            encodings.append(Encoding(payload_type, *mapped, fmtp))
        elif payload_type in STATIC:
            encodings.append(STATIC[payload_type])
    return tuple(encodings)


def serialise_sdp(description: Description, address: str, number: int, version: int) -> bytes:
    """Return the octets of a description of ours. address: literal, ours; number, version: of the origin line (RFC 4566 §5.2).

    A medium with port 0 is a refused one: its line repeats kind, protocol and formats of the offer, as RFC 3264 §6 asks.
    """
    family = f"IN IP{6 if ':' in address else 4} {address.strip('[]')}"
    lines = ["v=0", f"o=- {number} {version} {family}", "s=-", f"c={family}", "t=0 0"]
    for medium in description.media:
        lines.append(f"m={medium.kind} {medium.port} {medium.protocol} {' '.join(medium.formats)}")
        if not medium.port:
            continue
        for encoding in medium.encodings:
            channels = f"/{encoding.channels}" if encoding.channels > 1 else ""
            lines.append(f"a=rtpmap:{encoding.payload_type} {encoding.name}/{encoding.clock_rate_hz}{channels}")
            if encoding.fmtp:
                lines.append(f"a=fmtp:{encoding.payload_type} {encoding.fmtp}")
        if medium.ptime_ms is not None:
            lines += [f"a=ptime:{medium.ptime_ms}", f"a=maxptime:{medium.max_ptime_ms or medium.ptime_ms}"]
        if medium.rtcp_port == medium.port:
            lines.append("a=rtcp-mux")
        lines += [f"a=crypto:{serialise_crypto(crypto)}" for crypto in medium.cryptos]
        if medium.fingerprint is not None and medium.setup is not None:
            lines += [f"a=fingerprint:{serialise_fingerprint(medium.fingerprint)}", f"a=setup:{medium.setup.value}"]
        lines.append(f"a={medium.direction.value}")
    return ("\r\n".join(lines) + "\r\n").encode("ascii")
