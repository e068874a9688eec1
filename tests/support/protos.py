"""Every element of a SIP request with every kind of anomaly, one at a time, as the PROTOS suite c07-sip has them (University of Oulu, 2002): by grammar, not by chance.

cases() is the whole list, always in the same order: the name says which element is wrong and how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

LONG = (1, 2, 16, 100, 255, 256, 257, 1_000, 4_095, 4_096, 20_000)
"""Lengths of what is far too long; a datagram still holds it."""
_NUMBERS = (
    "-1",
    "0",
    "00",
    "1",
    "007",
    "255",
    "256",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967295",
    "4294967296",
    "9" * 20,
    "9" * 300,
    "1e9",
    "0x10",
    "+1",
    "1.5",
    "٣",
)
_WORDS = (
    "%s%n%x" * 20,
    "../" * 40,
    "\x1b[2J\x07",
    "\x00",
    "a\x00b",
    "\t",
    " ",
    "\r\n",
    "\r\n ",
    "\n",
    "\r",
    "'; DROP TABLE",
    '"',
    '""',
    '"\\',
    "\\",
    "é" * 40,
    "\ud800",
    "=?utf-8?q?x?=",
)
_ADDRESSES = (
    "256.256.256.256",
    "1.2.3",
    "1.2.3.4.5",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1",
    "127.0.0.1",
    "[::1",
    "::1]",
    "[::1]",
    "[" + ":" * 300 + "]",
    "[fe80::1%lo]",
    "a" * 64 + ".privacy",
    ".".join(["a"] * 300),
    "-",
    ".",
)
_MARKS = ";,:@<>()[]{}?&=/*+%"


def _anomalies(number: bool, address: bool) -> Iterator[tuple[str, str]]:
    """Return (kind, value) of all that may stand where an element stands."""
    yield "empty", ""
    for length in LONG:
        yield f"a * {length}", "a" * length
    for mark in _MARKS:
        for length in (1, 2, 500):
            yield f"{mark} * {length}", mark * length
    for place, word in enumerate(_WORDS):
        yield f"word {place}", word
    if number:
        for value in _NUMBERS:
            yield f"number {value[:12]}", value
    if address:
        for place, value in enumerate(_ADDRESSES):
            yield f"address {place}", value


ELEMENTS: dict[str, str] = {
    "method": "", "uri scheme": "", "uri user": "", "uri host": "a", "uri port": "n", "uri parameter": "", "version": "",
    "via version": "", "via transport": "", "via host": "a", "via port": "n", "via branch": "", "via parameter": "n",
    "max-forwards": "n", "from display": "", "from uri": "a", "from tag": "", "to display": "", "to uri": "a", "to parameter": "",
    "call-id": "", "cseq number": "n", "cseq method": "", "contact uri": "a", "contact expires": "n", "expires": "n", "require": "", "supported": "",
    "session-expires": "n", "content-type": "", "content-length": "n", "an unknown name": "", "an unknown value": "",
    "sdp v": "n", "sdp o": "a", "sdp s": "", "sdp c": "a", "sdp t": "n", "sdp kind": "", "sdp port": "n", "sdp protocol": "", "sdp format": "n", "sdp rtpmap": "n",
    "sdp fmtp": "", "sdp ptime": "n", "sdp crypto": "", "sdp fingerprint": "", "sdp setup": "", "sdp direction": "", "sdp attribute": "",
}  # fmt: skip
"""Each element of the template, and whether a number (n) or an address (a) stands there."""
REPEATED = ("via", "max-forwards", "from", "to", "call-id", "cseq", "contact", "content-length", "content-type", "authorization")
"""Fields that come twice, a hundred times, or not at all."""


@dataclass(frozen=True)
class Case:
    """One request that is wrong in one place. element, kind: where and how; "" for the one that is right."""

    element: str
    kind: str
    value: str = ""

    def __str__(self) -> str:
        return f"{self.element}: {self.kind}"

    def request(self, number: int, method: str = "INVITE", authorization: str = "") -> bytes:
        """Return the octets. number: makes branch, tag and Call-ID its own."""

        def put(element: str, right: str) -> str:
            return self.value if element == self.element else right

        sdp = "\r\n".join(
            [
                f"v={put('sdp v', '0')}", f"o=- 5 6 IN IP4 {put('sdp o', '192.0.2.20')}", f"s={put('sdp s', '-')}", f"c=IN IP4 {put('sdp c', '192.0.2.20')}",
                f"t={put('sdp t', '0')} 0", f"m={put('sdp kind', 'audio')} {put('sdp port', '4000')} {put('sdp protocol', 'RTP/AVP')} {put('sdp format', '8')} 0 101",
                f"a=rtpmap:101 telephone-event/{put('sdp rtpmap', '8000')}", f"a=fmtp:101 {put('sdp fmtp', '0-15')}", f"a=ptime:{put('sdp ptime', '20')}",
                *([f"a=crypto:{self.value}"] if self.element == "sdp crypto" else []), *([f"a=fingerprint:{self.value}"] if self.element == "sdp fingerprint" else []),
                *([f"a=setup:{self.value}"] if self.element == "sdp setup" else []), f"a={put('sdp direction', 'sendrecv')}", f"a=tool:{put('sdp attribute', 'x')}", "",
            ]
        )  # fmt: skip
        body = sdp.encode("utf-8", "surrogatepass") if method == "INVITE" else b""
        fields = [
            ("via", f"{put('via version', 'SIP/2.0')}/{put('via transport', 'UDP')} {put('via host', '192.0.2.20')}:{put('via port', '5062')};rport;branch={put('via branch', f'z9hG4bKprotos{number}')};ttl={put('via parameter', '1')}"),
            ("max-forwards", put("max-forwards", "70")),
            ("from", f'"{put("from display", "A")}" <{put("from uri", "sip:alice@voicebox")}>;tag={put("from tag", f"p{number}")}'),
            ("to", f'"{put("to display", "B")}" <{put("to uri", "sip:bob@voicebox")}>;x={put("to parameter", "y")}'),
            ("call-id", put("call-id", f"protos-{number}")),
            ("cseq", f"{put('cseq number', '1')} {put('cseq method', method)}"),
            ("contact", f"<{put('contact uri', 'sip:alice@192.0.2.20:5062')}>;expires={put('contact expires', '300')}"),
            ("expires", put("expires", "300")),
            *([("require", self.value)] if self.element == "require" else []),
            ("supported", put("supported", "timer")),
            ("session-expires", put("session-expires", "1800")),
            *([("authorization", authorization)] if authorization else []),
            (put("an unknown name", "x-unknown"), put("an unknown value", "y")),
            ("content-type", put("content-type", "application/sdp")),
            ("content-length", put("content-length", str(len(body)))),
        ]  # fmt: skip
        if self.element == "field":
            name, times = self.kind.split(" * ")
            fields = [each for each in fields for _ in range(int(times) if each[0] == name else 1)]
        uri = f"{put('uri scheme', 'sip')}:{put('uri user', 'bob')}@{put('uri host', 'voicebox')}:{put('uri port', '5060')};x={put('uri parameter', 'y')}"
        head = f"{put('method', method)} {uri} {put('version', 'SIP/2.0')}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in fields) + "\r\n"
        return head.encode("utf-8", "surrogatepass") + body


RIGHT = Case("", "")


def cases() -> list[Case]:
    """Return all of them."""
    wrong = [Case(element, kind, value) for element, kinds in ELEMENTS.items() for kind, value in _anomalies("n" in kinds, "a" in kinds)]
    return wrong + [Case("field", f"{name} * {times}") for name in REPEATED for times in (0, 2, 100)]
