"""What a phone dialled, and what a phone is shown as the caller: names to URIs and back. Pure.

Accepted: sip:NAME.privacy, sip:anything@NAME.privacy, sip:NAME@box, sip:NAME.privacy@box, with any of the suffixes set.
NOT here: which contact a name or number means (the dial plan and the contacts, behind a callable).
Spec: RFC 3261 §19.1.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from voicebox.dialplan.model import EmergencyCall, OutgoingDecision, RingPhones
from voicebox.errors import SipError
from voicebox.sip.message import SipRequest
from voicebox.sip.uri import SipUri, parse_uri

MAX_DIALLED_OCTETS = 128
MAX_SHOWN_LETTERS = 64
"""Escaped, a letter takes up to twelve octets, and a URI has at most 1 024."""
_LABELS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9\-_]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9\-_]*[A-Za-z0-9])?)*")


def dialled_name(uri: SipUri, suffixes: tuple[str, ...], own_hosts: frozenset[str]) -> str:
    """Return the name or number that a Request-URI dials, without the suffix. own_hosts: what the box is called by its phones.

    Raises SipError(404) where the URI leads elsewhere or nowhere.
    """
    name = _without_suffix(uri.host.rstrip("."), suffixes)
    if name is None:
        if uri.host.strip("[]") not in own_hosts:
            raise SipError(404, "not a name of this network")
        user = uri.user_text
        name = _without_suffix(user, suffixes) or user
    if not name or len(name) > MAX_DIALLED_OCTETS or not name.isprintable():
        raise SipError(404, "nobody was dialled")
    return name


def is_name(uri: SipUri, suffixes: tuple[str, ...]) -> bool:
    """Say whether a Request-URI dials a name of the network: with one of its suffixes, wherever it stands."""
    return any(_without_suffix(text, suffixes) is not None for text in (uri.host.rstrip("."), uri.user_text))


def phones_only(decision: OutgoingDecision, refusal: str) -> RingPhones:
    """Return which phones of the house a phone means. Raises SipError where it means anything else."""
    if isinstance(decision, EmergencyCall):
        raise SipError(503, "emergency calls are not carried here")
    if not isinstance(decision, RingPhones):
        raise SipError(403, refusal)
    return decision


def _without_suffix(text: str, suffixes: tuple[str, ...]) -> str | None:
    for suffix in suffixes:
        if text.lower().endswith(f".{suffix}"):
            return text[: -len(suffix) - 1]
    return None


def local_address(user: str, host: str) -> str:
    """Return the From value, without tag, under which a phone of the house calls another one: its account; dialling it calls back."""
    shown = _shown(user)
    return f'"{shown}" <sip:{quote(user[:MAX_SHOWN_LETTERS], safe="")}@{host}>'


def caller_address(petname: str, suffix: str) -> str:
    """Return the From value, without tag, under which a contact's call is shown: the petname and nothing else; dialling it calls back."""
    shown = _shown(petname)
    host = f"{petname.lower()}.{suffix}" if len(petname) <= MAX_SHOWN_LETTERS and _LABELS.fullmatch(petname) else suffix
    return f'"{shown}" <sip:{quote(shown, safe="")}@{host}>'


def _shown(name: str) -> str:
    shown = name.replace("\\", "").replace('"', "")
    return "".join(letter for letter in shown if letter.isprintable())[:MAX_SHOWN_LETTERS] or "unknown"


def user_of(request: SipRequest) -> str:
    """Return the user whom a request says that it is from; "" for none."""
    try:
        return parse_uri(request.from_.uri).user_text
    except SipError:
        return ""
