"""What stands before every page: whose name it was asked by, where a change comes from, how much is asked, and the headers of every answer. Pure, takes `now`.

A browser that shows another site can send requests here, and can be led here by a name whose address was changed (DNS rebinding). So the Host must be one that the
page has, and a change must come from the page itself: by Origin where the browser says it, else by Sec-Fetch-Site, which every browser of today sends.
Spec: RFC 9110 §7.2, RFC 6454, W3C Fetch Metadata, CSP 3. NOT here: who may use it (entry.py), sockets (app.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from voicebox.config.model import Endpoint

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; media-src 'self' blob:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cache-control": "no-store",
}
"""Of every answer, also of refusals."""
SAFE = frozenset({"GET", "HEAD"})
METHODS = SAFE | {"POST"}
BURST, RATE_HZ = 200.0, 50.0
"""So many requests at once, and so many a second after them."""
MAX_BODY_OCTETS = 65_536


def hosts_of(listen: Endpoint, *, loopback: bool) -> frozenset[str]:
    """Return the names by which a browser may ask for a page that listens there."""
    return frozenset({str(listen), *([f"localhost:{listen.port}", f"127.0.0.1:{listen.port}", f"[::1]:{listen.port}"] if loopback else [])})


class Guard:
    """hosts: the names of the page; scheme: http or https. check() is asked for each request, before anything else looks at it."""

    def __init__(self, hosts: frozenset[str], scheme: str) -> None:
        self._hosts, self._scheme = hosts, scheme
        self._left, self._at_s = BURST, 0.0
        self.refused = 0
        """Requests that were refused, since the start."""

    def check(self, method: str, headers: Mapping[str, str], now_s: float, *, socket: bool = False) -> HTTPStatus | None:
        """Return why a request is refused, None where it is not. headers: by name in small letters; socket: it asks for one, which a browser of any site may."""
        found = self._refusal(method, headers, now_s, socket=socket)
        self.refused += found is not None
        return found

    def _refusal(self, method: str, headers: Mapping[str, str], now_s: float, *, socket: bool) -> HTTPStatus | None:
        self._left = min(BURST, self._left + (now_s - self._at_s) * RATE_HZ)
        self._at_s = now_s
        if self._left < 1:
            return HTTPStatus.TOO_MANY_REQUESTS
        self._left -= 1
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return HTTPStatus.MISDIRECTED_REQUEST
        if method not in METHODS:
            return HTTPStatus.METHOD_NOT_ALLOWED
        if (method not in SAFE or socket) and not self._is_from_here(host, headers):
            return HTTPStatus.FORBIDDEN
        if method in SAFE and headers.get("sec-fetch-site", "none") not in {"none", "same-origin"} and headers.get("sec-fetch-mode") != "navigate":
            return HTTPStatus.FORBIDDEN  # another site may lead here, where no cookie comes with it, and embed nothing
        if method not in SAFE and "content-length" not in headers:
            return HTTPStatus.LENGTH_REQUIRED
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdecimal() or len(length) > 9 or int(length) > MAX_BODY_OCTETS:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE if length.isdecimal() else HTTPStatus.BAD_REQUEST
        return None

    def _is_from_here(self, host: str, headers: Mapping[str, str]) -> bool:
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != "null":
            return origin == f"{self._scheme}://{host}" and site in {None, "same-origin"}
        return site == "same-origin"  # a browser that is to send no referrer says null of a form of ours, too
