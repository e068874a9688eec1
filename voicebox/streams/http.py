"""An HTTP proxy as far as a program needs it to reach a contact's service: CONNECT, and plain GET and HEAD, of which each is a stream of its own. Pure.

In order: the request's head; the answer to it, for CONNECT and for refusals; then whatever the service says. Names that are no contact's are refused here, so that nothing is looked
up and nothing leaves: there is no exit to the internet. Of a GET nothing is said but its own head, so that what else the program has for others never goes to this contact. NOT here:
sockets (server.py). Spec: RFC 9110 §9.3.6 (CONNECT), §7.6 (what a proxy takes out); RFC 9112. Departure: of other methods there are none; a user name is taken, and means nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from voicebox.config.model import parse_port
from voicebox.errors import UsageError
from voicebox.streams.socks import Wanted, host_in

MAX_OCTETS = 16_384
"""Of a request's head."""
REQUEST = re.compile(rb"(?P<method>[A-Z]{1,16}) (?P<target>[!-~]{1,8000}) HTTP/1\.[01]\Z")
AUTHORITY = re.compile(rb"(?P<host>[A-Za-z0-9.-]{1,253}):(?P<port>[0-9]{1,5})\Z")
ABSOLUTE = re.compile(rb"[hH][tT][tT][pP]://(?P<host>[A-Za-z0-9.-]{1,253})(?::(?P<port>[0-9]{1,5}))?(?P<path>/[!-~]*)?\Z")
FIELD = re.compile(rb"(?P<name>[!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*(?P<value>[\t -~\x80-\xff]*)\Z")
TAKEN_OUT = frozenset({b"connection", b"host", b"keep-alive", b"proxy-authorization", b"proxy-connection", b"te", b"trailer", b"upgrade"})
BODY = frozenset({b"content-length", b"transfer-encoding", b"expect"})

NO_EXIT = (403, "This proxy leads to contacts alone, by the names that they have here, and not to the internet. Let the program use it for those names only.")
NOBODY = (404, "There is no contact of that name here. `voicebox contact list` prints them.")
NO_METHOD = (405, "This proxy knows CONNECT, and GET and HEAD without a body of http:// addresses. For anything else let the program use CONNECT, or SOCKS.")
WRONG = (400, "This is no request to a proxy.")
TOO_LONG = (431, "The request's head is too long.")
REASONS = {
    1: (403, "The contact offers no such service to you. `voicebox service add` at the contact's box does that."),
    2: (503, "There are too many streams with this contact. Try again later."),
    3: (502, "The service is not there at present, or the contact's box is not reached. Try again later."),
    4: (502, "The stream was given up before the contact's box took it. Try again later."),
    5: (403, "The service goes the fast way, which is seen, and only a forward that says so leads there: `voicebox forward add ... --fast`."),
}
"""Of why a stream was reset (PROTOCOL.md §11.3)."""
PHRASES = {
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    502: "Bad Gateway",
    503: "Service Unavailable",
}
CONNECTED = b"HTTP/1.1 200 Connected\r\n\r\n"


class HttpNegotiation:
    """One program's beginning; as streams/socks.py's Negotiation has it.

    first: what is to be said on the stream before anything else; whole: and nothing follows it.
    """

    def __init__(self, contact_of: Callable[[str], str | None]) -> None:
        self._contact_of = contact_of
        self._came = b""
        self.wanted: Wanted | None = None
        self.over = False
        self.first = b""
        self.whole = False
        self.associates = False

    def receive(self, octets: bytes) -> bytes:
        """Take what the program sent; return what to answer now."""
        self._came += octets
        head, end, rest = self._came.partition(b"\r\n\r\n")
        if not end or len(head) > MAX_OCTETS:
            return self._refuse(*TOO_LONG) if len(self._came) > MAX_OCTETS else b""
        line, *fields = head.split(b"\r\n")
        request = REQUEST.match(line)
        parsed = [FIELD.match(each) for each in fields]
        if request is None or None in parsed:
            return self._refuse(*WRONG)
        names = [(each["name"], each["value"]) for each in parsed if each is not None]
        if request["method"] == b"CONNECT":
            self.first = rest
            return self._lead(AUTHORITY.match(request["target"]), None)
        if request["method"] not in {b"GET", b"HEAD"} or any(name.lower() in BODY for name, _ in names):
            return self._refuse(*NO_METHOD)
        target = ABSOLUTE.match(request["target"])
        if target is not None:
            kept = [b"%b: %b" % (name, value) for name, value in names if name.lower() not in TAKEN_OUT]
            host = target["host"] + (b":" + target["port"] if target["port"] else b"")
            head_lines = [b"%b %b HTTP/1.1" % (request["method"], target["path"] or b"/"), b"Host: " + host, *kept, b"Connection: close", b"", b""]
            self.first, self.whole = b"\r\n".join(head_lines), True
        return self._lead(target, 80)

    def _lead(self, target: re.Match[bytes] | None, default_port: int | None) -> bytes:
        if target is None:
            return self._refuse(*WRONG)
        try:
            port = parse_port(target["port"].decode()) if target["port"] else default_port
        except UsageError:
            port = None
        name = target["host"].decode()
        petname = self._contact_of(name)
        if port is None:
            return self._refuse(*WRONG)
        if not petname:
            return self._refuse(*(NO_EXIT if petname is None else NOBODY))
        self.wanted = Wanted(petname, port, host_in(name, petname))
        return b""

    def reply(self, why: int | None) -> bytes:
        """Return what the program is told once its stream is taken, or was not. why: as in streams/bundles.py."""
        if why is None:
            return b"" if self.whole else CONNECTED
        return _page(*REASONS.get(why, REASONS[4]))

    def _refuse(self, status: int, text: str) -> bytes:
        self.over = True
        return _page(status, text)


def _page(status: int, text: str) -> bytes:
    body = f"{text}\n".encode()
    head = f"HTTP/1.1 {status} {PHRASES[status]}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body
