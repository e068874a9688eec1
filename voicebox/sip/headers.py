"""SIP header fields: their names, and the values that the box reads. Pure.

NOT here: which fields a message must have (message.py), URIs (uri.py). Values come unfolded; every problem raises
SipError(400). Every list has a bound.
Spec: RFC 3261 §7.3, §20, §25.1; RFC 3581 (rport); RFC 4028 (Session-Expires).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from voicebox.errors import SipError
from voicebox.sip.uri import MAX_PARAMS, MAX_URI_OCTETS, TOKEN, Params, param, parse_host_port, parse_uri, serialise_params

MAX_HEADERS = 128
MAX_VALUES = 64  # of one comma-separated field; RFC 4475 §3.1.1.7 has some thirty Via values
MAX_CSEQ = 2**31 - 1  # RFC 3261 §8.1.1.5
MAX_SECONDS = 2**32 - 1  # RFC 3261 §20.19

COMPACT = {
    "a": "accept-contact",
    "b": "referred-by",
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
_CASED = {"call-id": "Call-ID", "cseq": "CSeq", "www-authenticate": "WWW-Authenticate", "min-se": "Min-SE", "mime-version": "MIME-Version"}

_QUOTED = r'"(?:[^"\\]|\\.)*"'
_PIECE = re.compile(rf'{_QUOTED}|<[^<>"]*>|[^",<>;]+|[,;]', re.DOTALL)
_PARAM = re.compile(
    rf"\s*;\s*([A-Za-z0-9\-.!%*_+`'~]+)(?:\s*=\s*({_QUOTED}|\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*|[A-Za-z0-9\-.!%*_+`'~]+))?\s*", re.DOTALL
)
# Letters beyond ASCII stand unquoted in the display names of some phones; the grammar wants quotes, but nothing depends on it.
_NAME_ADDR = re.compile(rf"({_QUOTED}\s*|[A-Za-z0-9\-.!%*_+`'~\s\x80-\U0010ffff]*)<([^<>]*)>\s*(?=;|$)", re.DOTALL)
_ADDR_SPEC = re.compile(r"([^\s<>\";?,]+)\s*(?=;|$)")
_VIA = re.compile(r"\s*SIP\s*/\s*2\.0\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+([^\s;,]+(?:\s*:\s*[0-9]+)?)\s*", re.IGNORECASE)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:.")
_CSEQ = re.compile(r"\s*([0-9]{1,16})\s+([A-Za-z0-9\-.!%*_+`'~]+)\s*")
_NUMBER = re.compile(r"[0-9]{1,16}")
_BLANK = re.compile(r"\s+")


def canonical_name(name: str) -> str:
    """Return a field's name as it is written, `content-type` as `Content-Type`."""
    return _CASED.get(name) or "-".join(part.capitalize() for part in name.split("-"))


class Headers:
    """The fields of one message in order. Names are in lower case and in their long form."""

    __slots__ = ("_fields",)

    def __init__(self, fields: list[tuple[str, str]] | None = None) -> None:
        self._fields = fields if fields is not None else []

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._fields == other._fields

    __hash__ = None  # type: ignore[assignment]  # mutable

    def add(self, name: str, value: str) -> None:
        """Append a field. name: lower case, long form; value: without CR and LF (our own bug otherwise)."""
        assert "\r" not in value and "\n" not in value  # noqa: PT018  # one invariant: a field is one line
        self._fields.append((name, value))

    def get(self, name: str) -> str | None:
        """Return the first value of a field, None where it is absent."""
        for key, value in self._fields:
            if key == name:
                return value
        return None

    def all(self, name: str) -> list[str]:
        """Return the values of a field, one per line of the message."""
        return [value for key, value in self._fields if key == name]

    def replace_first(self, name: str, value: str) -> None:
        """Replace the first field of that name, which must be there."""
        for place, (key, _) in enumerate(self._fields):
            if key == name:
                self._fields[place] = (name, value)
                return
        raise KeyError(name)

    def tokens(self, name: str) -> frozenset[str]:
        """Return the values of all comma-separated tokens of a field, in lower case."""
        values = (token.strip().lower() for line in self.all(name) for token in line.split(","))
        return frozenset(token for token in values if token)


@dataclass(frozen=True, slots=True, repr=False)
class NameAddr:
    """A From, To or Contact value. uri is as written: fields may hold URIs of any scheme. display keeps its quotes."""

    uri: str
    params: Params = ()
    display: str = ""

    @property
    def tag(self) -> str:
        """Return the tag parameter, "" where there is none."""
        return param(self.params, "tag") or ""


@dataclass(frozen=True, slots=True, repr=False)
class Via:
    """One Via value. transport in upper case; host in lower case."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @property
    def branch(self) -> str:
        """Return the branch parameter, "" where there is none (RFC 2543)."""
        return param(self.params, "branch") or ""


@dataclass(frozen=True, slots=True)
class CSeq:
    """Number and method of a CSeq field."""

    number: int
    method: str


def split_values(text: str) -> list[str]:
    """Split at the commas that stand outside quotes and angle brackets. Raises SipError(400)."""
    if '"' not in text and "<" not in text:
        values = text.split(",")
    else:
        values = [""]
        position = 0
        while position < len(text):
            piece = _PIECE.match(text, position)
            if piece is None:
                raise SipError(400, "unbalanced quotes or brackets")
            position = piece.end()
            if piece[0] == ",":
                values.append("")
            else:
                values[-1] += piece[0]
    if len(values) > MAX_VALUES:
        raise SipError(400, "too many values in one header field")
    return values


def parse_params(text: str, start: int = 0) -> Params:
    """Parse `;name[=value]...` from start to the end of the text. Raises SipError(400)."""
    params: list[tuple[str, str | None]] = []
    while start < len(text):
        found = _PARAM.match(text, start)
        if found is None or len(params) >= MAX_PARAMS:
            raise SipError(400, "bad header parameters")
        params.append((found[1].lower(), found[2]))
        start = found.end()
    return tuple(params)


def parse_name_addr(text: str) -> NameAddr:
    """Parse `[display] <uri>;params` or `uri;params`. Raises SipError(400). Spec: RFC 3261 §20.10, §20.20, §20.39."""
    text = text.strip()
    found = _NAME_ADDR.match(text)
    if found is not None:
        display, uri, end = found[1].strip(), found[2], found.end()
    else:
        bare = _ADDR_SPEC.match(text)  # without brackets a `;` begins header parameters, and `?` and `,` are forbidden
        if bare is None:
            raise SipError(400, "bad address in header field")
        display, uri, end = "", bare[1], bare.end()
    if not _SCHEME.match(uri) or _BLANK.search(uri) or len(uri) > MAX_URI_OCTETS:
        raise SipError(400, "bad URI in header field")
    if uri[:5].lower().startswith(("sip:", "sips:")):
        parse_uri(uri)
    return NameAddr(uri, parse_params(text, end), display)


def serialise_name_addr(value: NameAddr) -> str:
    """Return the text of a name-addr; the inverse of parse_name_addr."""
    return (f"{value.display} " if value.display else "") + f"<{value.uri}>" + serialise_params(value.params)


def parse_via(text: str) -> Via:
    """Parse one Via value. Raises SipError(400). Spec: RFC 3261 §20.42."""
    found = _VIA.match(text)
    if found is None:
        raise SipError(400, "bad Via")
    host, port = parse_host_port(_BLANK.sub("", found[2]))
    return Via(found[1].upper(), host, port, parse_params(text, found.end()))


def serialise_via(via: Via) -> str:
    """Return the text of one Via value; the inverse of parse_via."""
    sent_by = via.host if via.port is None else f"{via.host}:{via.port}"
    return f"SIP/2.0/{via.transport} {sent_by}{serialise_params(via.params)}"


def parse_cseq(text: str) -> CSeq:
    """Parse a CSeq value. Raises SipError(400). Spec: RFC 3261 §20.16."""
    found = _CSEQ.fullmatch(text)
    if found is None or int(found[1]) > MAX_CSEQ:
        raise SipError(400, "bad CSeq")
    return CSeq(int(found[1]), found[2])


def parse_number(text: str, maximum: int, what: str) -> int:
    """Parse a number of 0 to maximum. Raises SipError(400) naming the field."""
    text = text.strip()
    if not _NUMBER.fullmatch(text) or int(text) > maximum:
        raise SipError(400, f"bad {what}")
    return int(text)


def parse_seconds(text: str, what: str) -> int:
    """Parse an Expires value; one beyond the field's range counts as the range's end, so that a large number does no more than ask for the longest time."""
    text = text.strip()
    if not text.isascii() or not text.isdigit() or len(text) > 64:
        raise SipError(400, f"bad {what}")
    return min(int(text), MAX_SECONDS)


def parse_token(text: str, what: str) -> str:
    """Return the token that the text is. Raises SipError(400) naming the field."""
    text = text.strip()
    if not TOKEN.fullmatch(text):
        raise SipError(400, f"bad {what}")
    return text


def parse_session_expires(text: str) -> tuple[int, str]:
    """Return (seconds, refresher: "uac", "uas" or ""). Raises SipError(400). Spec: RFC 4028 §4."""
    seconds, semicolon, rest = text.partition(";")
    params = parse_params(semicolon + rest)
    refresher = (param(params, "refresher") or "").lower()
    if refresher not in {"", "uac", "uas"}:
        raise SipError(400, "bad Session-Expires")
    return parse_seconds(seconds, "Session-Expires"), refresher
