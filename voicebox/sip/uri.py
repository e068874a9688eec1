"""SIP URIs and the parameters that URIs and header fields share. Pure.

NOT here: the header fields around them (headers.py). Text is UTF-8 decoded with surrogateescape, so that every octet survives.
Every problem raises SipError with the status to answer with.
Spec: RFC 3261 §19.1, §25.1. Departures: an underscore is taken in a host name (home networks have them); a URI longer than
MAX_URI_OCTETS is refused with 414.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import unquote

from voicebox.errors import SipError

MAX_URI_OCTETS = 1024
MAX_PARAMS = 32
MAX_HOST_OCTETS = 255

Params = tuple[tuple[str, str | None], ...]
"""Names in lower case, values as they were written (quoted strings with their quotes); None: a name without a value."""

TOKEN = re.compile(r"[A-Za-z0-9\-.!%*_+`'~]+")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:")
_ESCAPED = r"%[0-9A-Fa-f]{2}"
_USER = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,;?/#]|{_ESCAPED})+")  # `#` is not in the grammar; phones dial with it unescaped
_PASSWORD = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()&=+$,]|{_ESCAPED})*")
_PARAM_TEXT = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/:&+$]|{_ESCAPED})+")
_HEADERS = re.compile(rf"(?:[A-Za-z0-9\-_.!~*'()\[\]/?:+$&=]|{_ESCAPED})*")
_HOST_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-_]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-_]*[A-Za-z0-9])?)*\.?")
_DIGITS = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True, repr=False)
class SipUri:
    """A sip: or sips: URI, in its parts; it does not print. user, password and parameters are kept escaped; host in lower case, IPv6 with its brackets."""

    scheme: str
    host: str
    port: int | None = None
    user: str | None = None
    password: str | None = None
    params: Params = ()
    headers: str | None = None

    @property
    def user_text(self) -> str:
        """Return the user part unescaped, without parameters of a telephone number; empty where there is none."""
        return unquote((self.user or "").partition(";")[0], errors="surrogateescape")


def param(params: Params, name: str) -> str | None:
    """Return the value of the first parameter called name, "" where it has none, None where it is absent."""
    for key, value in params:
        if key == name:
            return value or ""
    return None


def parse_host_port(text: str) -> tuple[str, int | None]:
    """Split `host[:port]`, host in lower case. Raises SipError(400)."""
    if text.startswith("["):
        host, bracket, rest = text.partition("]")
        try:
            ipaddress.IPv6Address(host[1:])
        except ValueError:  # its text repeats the input, so it is not chained
            raise SipError(400, "bad IPv6 reference") from None
        if not bracket or "%" in host:
            raise SipError(400, "bad IPv6 reference")
        host += bracket
    else:
        host, colon, port_text = text.partition(":")
        rest = colon + port_text
        if len(host) > MAX_HOST_OCTETS or not _HOST_NAME.fullmatch(host):
            raise SipError(400, "bad host")
    if not rest:
        return host.lower(), None
    if rest[0] != ":" or not _DIGITS.fullmatch(rest[1:]) or not 0 < int(rest[1:]) < 65536:
        raise SipError(400, "bad port")
    return host.lower(), int(rest[1:])


def parse_uri(text: str) -> SipUri:
    """Parse a sip: or sips: URI. Raises SipError: 414 too long, 416 another scheme, 400 malformed. Spec: RFC 3261 §19.1.1."""
    if len(text) > MAX_URI_OCTETS:
        raise SipError(414, "URI too long")
    scheme = text.partition(":")[0].lower()
    if scheme not in {"sip", "sips"}:
        if _SCHEME.match(text):
            raise SipError(416, "unsupported URI scheme")
        raise SipError(400, "bad URI")
    rest = text[len(scheme) + 1 :]
    user = password = None
    # Neither host, parameters nor headers may hold an `@`, while the user part may hold `;` and `?` (RFC 4475 §3.1.1.13).
    if "@" in rest:
        userinfo, _, rest = rest.partition("@")
        user, colon, password_text = userinfo.partition(":")
        password = password_text if colon else None
        if not _USER.fullmatch(user) or (password is not None and not _PASSWORD.fullmatch(password)):
            raise SipError(400, "bad user in URI")
    rest, question, headers = rest.partition("?")
    if question and not _HEADERS.fullmatch(headers):
        raise SipError(400, "bad headers in URI")
    host_port, _, params_text = rest.partition(";")
    host, port = parse_host_port(host_port)
    params = _parse_uri_params(params_text) if ";" in rest else ()
    return SipUri(scheme, host, port, user, password, params, headers if question else None)


def _parse_uri_params(text: str) -> Params:
    pieces = text.split(";")
    if len(pieces) > MAX_PARAMS:
        raise SipError(400, "too many URI parameters")
    params: list[tuple[str, str | None]] = []
    for piece in pieces:
        name, equals, value = piece.partition("=")
        if not _PARAM_TEXT.fullmatch(name) or (equals and not _PARAM_TEXT.fullmatch(value)):
            raise SipError(400, "bad URI parameter")
        params.append((name.lower(), value if equals else None))
    return tuple(params)


def serialise_uri(uri: SipUri) -> str:
    """Return the text of a URI; the inverse of parse_uri up to the case of scheme, host and parameter names."""
    text = f"{uri.scheme}:"
    if uri.user is not None:
        text += uri.user + (f":{uri.password}" if uri.password is not None else "") + "@"
    text += uri.host + (f":{uri.port}" if uri.port is not None else "") + serialise_params(uri.params)
    return text + (f"?{uri.headers}" if uri.headers is not None else "")


def serialise_params(params: Params) -> str:
    """Return `;name=value;name...`."""
    return "".join(f";{name}" if value is None else f";{name}={value}" for name, value in params)
