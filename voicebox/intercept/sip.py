"""The module `sip`: a call that a phone makes by way of a server elsewhere goes to the box, where it is one to a contact. Pure.

What the kernel found names a contact in its Request-URI already (sip_rules.py). NOT here: which phones may call so (taken.py), who is meant (the box's dial plan).
Source: RFC 3261 §7.1.
"""

from __future__ import annotations

import re

from voicebox.intercept.module import Flow, Module, Redirect, Verdict

MAX_URI_OCTETS = 1_024
REQUEST = re.compile(rb"[A-Z]{3,16} sips?:[^ \r\n]{1,%d} SIP/2\.0\r\n" % MAX_URI_OCTETS, re.IGNORECASE)


class Sip(Module):
    """Takes requests of SIP, whole ones: the box answers those too that it does not serve."""

    name = "sip"
    redirect = Redirect.SIP

    def process(self, flow: Flow, first_octets: bytes) -> Verdict:
        """Take it; what is no request is nobody's, and dropped."""
        del flow
        return Verdict.TAKE if REQUEST.match(first_octets) else Verdict.PASS
