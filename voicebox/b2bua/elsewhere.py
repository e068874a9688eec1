"""Phones that are registered elsewhere and call a contact all the same: their INVITE was taken on its way to their provider. Pure.

Their address alone tells them, and that is no password. So they call contacts, hear why no emergency call is carried, and do nothing else: no phone of the house rings for them, no
message is played, nobody is transferred. NOT here: what is taken, and who is admitted (intercept).
"""

from __future__ import annotations

from voicebox.b2bua.dialled import is_name
from voicebox.dialplan.model import CallContact, EmergencyCall, OutgoingDecision
from voicebox.errors import SipError
from voicebox.sip.auth import Account
from voicebox.sip.flow import Taken
from voicebox.sip.uri import SipUri

ELSEWHERE = Account("", ())
"""Of all of them together; no phone of the house has this name."""


def check_taken(taken: Taken | None, method: str) -> None:
    """Let a request outside a dialog pass where it was not taken, and where it is a call of a phone that may call. Raises SipError(403)."""
    if taken is not None and not (taken.admitted and method == "INVITE"):
        raise SipError(403, "nobody calls from there, or it is no call")


def hosts_elsewhere(uri: SipUri, suffixes: tuple[str, ...]) -> frozenset[str]:
    """Return whose names a taken Request-URI may have beside the suffixes: its provider's, where the name stands before that. Raises SipError(404) where it names nobody."""
    if not is_name(uri, suffixes):
        raise SipError(404, "not a name of this network")
    return frozenset({uri.host.strip("[]")})


def check_reached(decision: OutgoingDecision) -> None:
    """Raise SipError(403) where the dial plan means anything but a contact."""
    if not isinstance(decision, CallContact | EmergencyCall):
        raise SipError(403, "phones that are registered elsewhere call contacts only")
