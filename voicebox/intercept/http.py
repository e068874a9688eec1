"""The module `http`: who fetches a page from a contact who cannot be reached reads why, and who asks for another name than the contact's gets nothing from there. Pure.

The second is about pages of others: a name of theirs may lead to any address, a virtual one too (DNS rebinding), and the browser that shows such a page would let it read what the contact offers.
But the browser says for which name it asks. Source: RFC 9110 §7.2 (Host), §7.4, §9.1, §15.5.4, §15.6.
"""

from __future__ import annotations

import ipaddress
import re

from dnslib import DNSError, DNSRecord

from voicebox.intercept.module import Answer, Cause, Flow, Module, Verdict

REQUEST = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,32} (?:/|\*|https?:)")
"""How a request begins, of any method: pages may use those that nobody knows."""
OLD = re.compile(rb"[^\r\n]* HTTP/1\.0\r?\n")
"""The one version in which no name needs to be said; browsers speak it no more."""
HOST = re.compile(rb"\n[Hh][Oo][Ss][Tt]:[ \t]*([0-9A-Za-z.:\[\]_-]{1,255})[ \t]*(?=\r?\n)")
ANOTHER = "421 Misdirected Request", "This address is a contact's, and answers under the contact's name alone."
STATUS = {
    Cause.LATE: ("504 Gateway Timeout", "This contact's box has not answered in time. It may be off, or in a call. Try again in a moment."),
    Cause.REFUSED: ("403 Forbidden", "This contact offers you nothing under this port."),
    Cause.BUSY: ("503 Service Unavailable", "Too many connections are being opened. Try again in a moment."),
    Cause.UNREACHABLE: ("502 Bad Gateway", "This contact's box cannot be reached now, or what it offers there does not run."),
    Cause.GONE: ("502 Bad Gateway", "This contact's box has given the connection up."),
    Cause.UNLIKE: ("403 Forbidden", "This goes the fast way, which is seen, and only a forward that says so leads there: `voicebox forward add ... --fast`."),
}
PAGE = "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>Not reached</title><h1>Not reached</h1><p>{}</p></html>\n"


class Http(Module):
    """Takes what begins as a request of HTTP."""

    name = "http"

    def process(self, flow: Flow, first_octets: bytes) -> Verdict | Answer:
        """Take requests for the contact's name, on any port; one for another name is answered here, and so is one whose name cannot be seen."""
        if not REQUEST.match(first_octets):
            return Verdict.PASS
        head = first_octets.partition(b"\r\n\r\n")[0] + b"\r\n"
        hosts = HOST.findall(head)
        is_theirs = bool(hosts) and all(self._leads_to(flow, host.decode("ascii")) for host in hosts)
        return Verdict.TAKE if is_theirs or (not hosts and OLD.match(first_octets)) else Answer(_page(*ANOTHER))

    def _leads_to(self, flow: Flow, host: str) -> bool:
        """Return whether a name, or an address in numbers, is this contact's."""
        name = re.sub(r":\d*\Z", "", host).strip("[]").rstrip(".").lower()
        try:
            addresses = [str(ipaddress.ip_address(name))]
        except ValueError:
            addresses = self._addresses(name)
        owners = [self.box.owner(each) for each in addresses]
        return any(owner is not None and owner[0] == flow.petname for owner in owners)

    def _addresses(self, name: str) -> list[str]:
        try:
            answer = self.box.look_up(bytes(DNSRecord.question(name).pack()))
            return [str(each.rdata) for each in DNSRecord.parse(answer).rr] if answer is not None else []
        except (DNSError, ValueError):  # it is no name
            return []

    def circuit_gone(self, flow: Flow, cause: Cause) -> bytes:
        """Return a page. It names nobody, for it may be kept."""
        del flow
        return _page(*STATUS[cause])


def _page(status: str, text: str) -> bytes:
    page = PAGE.format(text).encode()
    head = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: {len(page)}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
    return head.encode() + page
