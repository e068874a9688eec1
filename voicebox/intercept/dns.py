"""The module `dns`: answers what devices of a LAN ask some resolver about contacts' names, and tells the other modules whose each address is. Pure.

Who asks gets the answer as if from the resolver that was asked, also where that is wired in. Source: RFC 1035 §4.1; Mozilla's canary domain for browsers with resolvers of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from dnslib import QTYPE, RCODE, DNSError, DNSRecord

from voicebox.intercept.module import Answer, Flow, Module, Redirect, Verdict
from voicebox.intercept.rules import CANARY


@dataclass(frozen=True, slots=True)
class Assigned:
    """Said to the other modules: an address that a program was just told, and whose it is."""

    address: str = field(repr=False)
    petname: str = field(repr=False)
    host: str = field(repr=False)


class Dns(Module):
    """Answers questions."""

    name = "dns"
    redirect = Redirect.LOOKUP

    def process(self, flow: Flow, first_octets: bytes) -> Verdict | Answer:
        """Answer one, by the box's names; what is no question of theirs is dropped."""
        del flow
        answer = _no_such_name(first_octets) or self.box.look_up(first_octets)
        if answer is None:
            return Verdict.DROP
        self._tell(answer)
        return Answer(answer)

    def _tell(self, answer: bytes) -> None:
        for each in DNSRecord.parse(answer).rr:
            if each.rtype in {QTYPE.A, QTYPE.AAAA} and (owner := self.box.owner(str(each.rdata))) is not None:
                self.box.notify(self.name, Assigned(str(each.rdata), *owner))


def _no_such_name(query: bytes) -> bytes | None:
    """Return the answer for the canary's name, so that browsers look names up as their system does; None for another."""
    try:
        asked = DNSRecord.parse(query)
    except DNSError:
        return None
    if asked.header.qr or len(asked.questions) != 1 or str(asked.q.qname).rstrip(".").lower() != CANARY:
        return None
    answer = asked.reply(ra=0)
    answer.header.rcode = RCODE.NXDOMAIN
    return bytes(answer.pack())
