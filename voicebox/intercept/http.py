"""The module `http`: who fetches a page from a contact who cannot be reached reads why, instead of a connection that was reset. Pure.

Source: RFC 9110 §9 (methods), §15.5.4, §15.6.
"""

from __future__ import annotations

import re

from voicebox.intercept.module import Cause, Flow, Module, Verdict

REQUEST = re.compile(rb"(?:GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) [^ \r\n]{1,2048}(?: |\Z)")
STATUS = {
    Cause.LATE: ("504 Gateway Timeout", "This contact's box has not answered in time. It may be off, or in a call. Try again in a moment."),
    Cause.REFUSED: ("403 Forbidden", "This contact offers you nothing under this port."),
    Cause.BUSY: ("503 Service Unavailable", "Too many connections are being opened. Try again in a moment."),
    Cause.UNREACHABLE: ("502 Bad Gateway", "This contact's box cannot be reached now, or what it offers there does not run."),
    Cause.GONE: ("502 Bad Gateway", "This contact's box has given the connection up."),
}
PAGE = "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Not reached</title><h1>Not reached</h1><p>{}</p></html>\n"


class Http(Module):
    """Takes what begins as a request of HTTP."""

    name = "http"

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        """Take requests, on any port."""
        del flow
        return Verdict.TAKE if REQUEST.match(first_octets) else Verdict.PASS

    def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:
        """Return a page. It names nobody, for it may be kept."""
        del flow
        status, text = STATUS[cause]
        page = PAGE.format(text).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(page)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
        return head.encode() + page
