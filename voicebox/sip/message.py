"""SIP messages: octets to checked objects and back. Pure.

A message that parse_message returns has all it needs to be served: Via, From, To, Call-ID and CSeq that parse, a body of the
length it says. What does not is `Malformed`: it carries the status, a reason, and, where the sender can be answered at all, the
fields to echo. NOT here: framing on streams (framing.py), what a method or an unknown field means (b2bua).
Spec: RFC 3261 §7, §8.1.1, §8.2.6, §18.3, §20; RFC 4475 for the reactions.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from voicebox.errors import SipError
from voicebox.sip.headers import (
    COMPACT,
    MAX_HEADERS,
    CSeq,
    Headers,
    NameAddr,
    Via,
    canonical_name,
    parse_cseq,
    parse_name_addr,
    parse_number,
    parse_seconds,
    parse_via,
    serialise_via,
    split_values,
)
from voicebox.sip.uri import MAX_URI_OCTETS, TOKEN

MAX_MESSAGE_OCTETS = 65_535
MAX_LINE_OCTETS = 8_192
MAX_BODY_OCTETS = 32_768
MAX_CALL_ID_OCTETS = 256
VERSION = "SIP/2.0"
MAGIC_COOKIE = "z9hG4bK"

_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9]{2})(?: (.*))?", re.IGNORECASE | re.DOTALL)
_VERSION = re.compile(r"SIP/[0-9]+\.[0-9]+", re.IGNORECASE)
_FIELD_NAME = re.compile(r"([A-Za-z0-9\-.!%*_+`'~]+)[ \t]*:")
_FOLD = re.compile(r"\r\n[ \t]+")
_BREAK = re.compile(r"[\r\n]")
_SINGLE = ("from", "to", "call-id", "cseq", "max-forwards", "content-length", "content-type", "expires")

REASONS = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    202: "Accepted",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    414: "Request-URI Too Long",
    415: "Unsupported Media Type",
    416: "Unsupported URI Scheme",
    420: "Bad Extension",
    422: "Session Interval Too Small",
    423: "Interval Too Brief",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    482: "Loop Detected",
    483: "Too Many Hops",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
    489: "Bad Event",
    491: "Request Pending",
    500: "Server Internal Error",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "Version Not Supported",
    603: "Decline",
}


@dataclass(frozen=True, slots=True, repr=False)
class SipRequest:
    """A request; it does not print. uri is the Request-URI as written. fields: what the box reads, parsed."""

    method: str
    uri: str
    headers: Headers
    body: bytes
    via: Via
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: CSeq


@dataclass(frozen=True, slots=True, repr=False)
class SipResponse:
    """A response; it does not print. reason is the sender's text, which goes nowhere."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    via: Via
    from_: NameAddr
    to: NameAddr
    call_id: str
    cseq: CSeq


SipMessage = SipRequest | SipResponse


class Malformed(SipError):
    """Octets that are no SIP message that can be served.

    echo: the fields an answer repeats (RFC 3261 §8.2.6), None where the sender cannot be answered (a response, an ACK, no usable
    Via): then the message is dropped and counted.
    """

    def __init__(self, status: int, reason: str, echo: Headers | None = None) -> None:
        super().__init__(status, reason)
        self.echo = echo


def parse_message(octets: bytes) -> SipMessage:
    """Parse one message: a datagram, or one frame of a stream. Raises Malformed and nothing else. Octets after the body are ignored (RFC 3261 §18.3)."""
    if len(octets) > MAX_MESSAGE_OCTETS:
        raise Malformed(413, "message too long")
    head, blank, body = octets.partition(b"\r\n\r\n")
    start_line, headers, problem = _parse_head(head.decode("utf-8", "surrogateescape"))
    try:
        if problem:
            raise SipError(400, problem)
        if not blank:
            raise SipError(400, "no empty line after the header fields")
        if start_line[:4].upper() == "SIP/":
            return _checked_response(start_line, headers, body)
        return _checked_request(start_line, headers, body)
    except SipError as error:
        raise Malformed(error.status, error.reason, _echo(start_line, headers)) from error


def _parse_head(text: str) -> tuple[str, Headers, str]:
    """Return start line, fields and what is wrong ("" if nothing): the good fields of a bad message serve to answer it."""
    lines = _FOLD.sub(" ", text).split("\r\n")
    problem = "too many header fields" if len(lines) > MAX_HEADERS + 1 else ""
    fields: list[tuple[str, str]] = []
    for line in lines[1 : MAX_HEADERS + 1]:
        found = _FIELD_NAME.match(line)
        if found is None or len(line) > MAX_LINE_OCTETS or _BREAK.search(line):
            problem = problem or "bad header field"
            continue
        name = found[1].lower()
        fields.append((COMPACT.get(name, name), line[found.end() :].strip(" \t")))
    if len(lines[0]) > MAX_LINE_OCTETS or _BREAK.search(lines[0]):
        problem = "bad start line"
    return lines[0], Headers(fields), problem


def _checked_request(start_line: str, headers: Headers, body: bytes) -> SipRequest:
    method, space, rest = start_line.partition(" ")
    uri, space_2, version = rest.partition(" ")
    # Exactly two single spaces, nothing before the method nor after the version (RFC 3261 §7.1, RFC 4475 §3.1.2.7 to §3.1.2.10).
    if not (space and space_2) or not TOKEN.fullmatch(method) or not uri or uri[0] == "<":
        raise SipError(400, "bad request line")
    if version.upper() != VERSION:
        if _VERSION.fullmatch(version):
            raise SipError(505, "only SIP/2.0 is spoken here")
        raise SipError(400, "bad request line")
    if len(uri) > MAX_URI_OCTETS:
        raise SipError(414, "Request-URI too long")
    via, from_, to, call_id, cseq = _common_fields(headers)
    if cseq.method != method:
        raise SipError(400, "CSeq names another method")
    max_forwards = headers.get("max-forwards")
    if max_forwards is not None:  # RFC 2543 did not know it, so its absence is forgiven (RFC 3261 §16.3)
        parse_number(max_forwards, 255, "Max-Forwards")
    expires = headers.get("expires")
    if expires is not None:
        parse_seconds(expires, "Expires")
    return SipRequest(method, uri, headers, _checked_body(headers, body), via, from_, to, call_id, cseq)


def _checked_response(start_line: str, headers: Headers, body: bytes) -> SipResponse:
    found = _STATUS_LINE.fullmatch(start_line)
    if found is None:
        raise SipError(400, "bad status line")
    via, from_, to, call_id, cseq = _common_fields(headers)
    return SipResponse(int(found[1]), found[2] or "", headers, _checked_body(headers, body), via, from_, to, call_id, cseq)


def _common_fields(headers: Headers) -> tuple[Via, NameAddr, NameAddr, str, CSeq]:
    counts: dict[str, int] = {}
    for name, _ in headers:
        counts[name] = counts.get(name, 0) + 1
    for name in _SINGLE:
        if counts.get(name, 0) > 1:
            raise SipError(400, f"{canonical_name(name)} more than once")
    for name in ("via", "from", "to", "call-id", "cseq"):
        if name not in counts:
            raise SipError(400, f"{canonical_name(name)} is missing")
    call_id = headers.get("call-id") or ""
    if not call_id or len(call_id) > MAX_CALL_ID_OCTETS or " " in call_id:
        raise SipError(400, "bad Call-ID")
    vias = [parse_via(value) for line in headers.all("via") for value in split_values(line)]
    return vias[0], parse_name_addr(headers.get("from") or ""), parse_name_addr(headers.get("to") or ""), call_id, parse_cseq(headers.get("cseq") or "")


def _checked_body(headers: Headers, body: bytes) -> bytes:
    length_text = headers.get("content-length")
    if length_text is not None:
        length = parse_number(length_text, MAX_MESSAGE_OCTETS, "Content-Length")
        if length > len(body):
            raise SipError(400, "body shorter than Content-Length")
        body = body[:length]
    if len(body) > MAX_BODY_OCTETS:
        raise SipError(413, "body too long")
    return body


def _echo(start_line: str, headers: Headers) -> Headers | None:
    """Return what an answer to a malformed request repeats, None where no answer can or may be sent."""
    method = start_line.lstrip().partition(" ")[0].upper()
    if method == "ACK" or method.startswith("SIP/"):
        return None
    echo = Headers()
    for value in headers.all("via"):
        echo.add("via", value)
    for name in ("from", "to", "call-id", "cseq"):
        first = headers.get(name)
        if not first:
            return None
        echo.add(name, first)
    try:
        parse_via(split_values(echo.get("via") or "")[0])
    except SipError:
        return None
    return echo


def echo_of(request: SipRequest) -> Headers:
    """Return the fields that every response to a request repeats. Spec: RFC 3261 §8.2.6.2."""
    fields = [("via", value) for value in request.headers.all("via")]
    fields += [(name, request.headers.get(name) or "") for name in ("from", "to", "call-id", "cseq")]
    return Headers(fields)


def serialise_response(status: int, echo: Headers, to_tag: str, extra: list[tuple[str, str]], body: bytes = b"", reason: str = "") -> bytes:
    """Return a response's octets: echo (echo_of or Malformed.echo), with to_tag put on To where it has none; then extra; then the body."""
    fields: list[tuple[str, str]] = []
    for name, value in echo:
        tagged = name == "to" and to_tag and not re.search(r";\s*tag\s*=", value, re.IGNORECASE)
        fields.append((name, f"{value};tag={to_tag}" if tagged else value))
    return _serialise(f"{VERSION} {status} {reason or REASONS.get(status, 'Answer')}", fields + extra, body)


def serialise_request(method: str, uri: str, fields: list[tuple[str, str]], body: bytes = b"") -> bytes:
    """Return a request's octets. fields: lower-case names and values, in order, without Content-Length."""
    return _serialise(f"{method} {uri} {VERSION}", fields, body)


def serialise_message(message: SipMessage) -> bytes:
    """Return a parsed message's octets in normal form: parse_message(serialise_message(m)) == m, Content-Length apart."""
    fields = [(name, value) for name, value in message.headers if name != "content-length"]
    if isinstance(message, SipRequest):
        return serialise_request(message.method, message.uri, fields, message.body)
    return _serialise(f"{VERSION} {message.status} {message.reason}", fields, message.body)


def _serialise(start_line: str, fields: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [start_line, *(f"{canonical_name(name)}: {value}" for name, value in fields), f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + body


def with_source(headers: Headers, address: str, port: int) -> Via:
    """Note in the topmost Via where a message came from, and return it. address: without brackets. Spec: RFC 3261 §18.2.1, RFC 3581 §4.

    headers are changed in place; its Via must have been parsed before.
    """
    values = split_values(headers.get("via") or "")
    via = parse_via(values[0])
    address = address.partition("%")[0]  # the zone of a link-local address means nothing to the peer
    params: list[tuple[str, str | None]] = [(name, value) for name, value in via.params if name not in {"received", "rport"}]
    wants_port = any(name == "rport" for name, _ in via.params)
    if wants_port or via.host.strip("[]") != address:
        params.append(("received", address))
    if wants_port:
        params.append(("rport", str(port)))
    noted = Via(via.transport, via.host, via.port, tuple(params))
    headers.replace_first("via", ",".join([serialise_via(noted), *values[1:]]))
    return noted
