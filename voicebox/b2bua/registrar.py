"""The registrar: where each account's phones can be reached. Pure: takes `now`. In memory only: phones register again after a restart.

A contact is bound to the flow on which it was registered and is reached over that flow alone; when a connection dies, so do its
contacts. NOT here: digest (sip/auth.py), which comes before.
Spec: RFC 3261 §10.3; RFC 5626 in spirit. Departures: no Path, no GRUU, no Service-Route; contact parameters are not echoed, because a
phone that gets its own instance back shows it in calls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from voicebox.errors import SipError
from voicebox.sip.auth import Account
from voicebox.sip.flow import Flow
from voicebox.sip.headers import NameAddr, parse_name_addr, parse_seconds, split_values
from voicebox.sip.message import SipRequest
from voicebox.sip.uri import SipUri, param, parse_uri, serialise_uri

MAX_CONTACTS = 8
MAX_CONTACT_FIELDS = 16
MIN_EXPIRES_S = 60
DEFAULT_EXPIRES_S = 300
MAX_EXPIRES_S = 3_600


@dataclass(frozen=True, slots=True)
class Binding:
    """One registered contact. user: its account; uri: its Contact as the phone wrote it, the Request-URI of calls to it."""

    user: str
    uri: str = field(repr=False)
    flow: Flow
    expires_at: float
    call_id: str = field(repr=False)
    cseq: int


@dataclass(frozen=True, slots=True)
class Registration:
    """One line of the status: nothing but what the owner needs."""

    user: str
    transport: str
    clear: bool
    """What it says and its sound pass the home network in the clear."""
    expires_in_s: int


class Registrar:
    """Bindings of all accounts. max_contacts: for each account."""

    def __init__(self, users: Iterable[str], max_contacts: int = MAX_CONTACTS) -> None:
        self._bindings: dict[str, dict[str, Binding]] = {}
        self._seen: dict[str, float] = {}
        self._max_contacts = max_contacts
        self.use(users)

    def use(self, users: Iterable[str]) -> None:
        """Keep the bindings of these accounts from now on, and no others."""
        self._bindings = {user: self._bindings.get(user, {}) for user in users}
        self._seen = {user: at for user, at in self._seen.items() if user in self._bindings}

    def seen(self) -> dict[str, float]:
        """Return when a phone of each account last registered or said that it leaves, in memory only; who has not yet is not in it."""
        return dict(self._seen)

    def register(self, request: SipRequest, account: Account, flow: Flow, now: float) -> tuple[tuple[str, str], ...]:
        """Carry out a REGISTER of an authenticated account and return the header fields of its 200.

        Raises SipError: 403 for another's address, 423 too brief, 400 malformed, 503 too many contacts. Then nothing has changed.
        """
        if _user_of(request.to) != account.user:
            raise SipError(403, "only your own address can be registered")
        table = {key: binding for key, binding in self._bindings[account.user].items() if binding.expires_at > now}
        contacts = [value.strip() for line in request.headers.all("contact") for value in split_values(line)]
        if len(contacts) > MAX_CONTACT_FIELDS:
            raise SipError(400, "too many contacts")
        expires_text = request.headers.get("expires")
        default_s = parse_seconds(expires_text, "Expires") if expires_text is not None else None
        if "*" in contacts:
            if len(contacts) > 1 or default_s != 0:
                raise SipError(400, "Contact * needs Expires 0 and nothing beside it")
            table = {key: binding for key, binding in table.items() if _is_stale(request, binding)}
        else:
            for contact in contacts:
                self._bind(table, account.user, parse_name_addr(contact), default_s, request, flow, now)
        if len(table) > self._max_contacts:
            raise SipError(503, "too many phones on one account")
        self._bindings[account.user] = table
        self._seen[account.user] = now
        return tuple(("contact", f"<{binding.uri}>;expires={max(1, round(binding.expires_at - now))}") for binding in table.values())

    @staticmethod
    def _bind(table: dict[str, Binding], user: str, contact: NameAddr, default_s: int | None, request: SipRequest, flow: Flow, now: float) -> None:
        uri = parse_uri(contact.uri)
        key = _binding_key(uri)
        own_expires = param(contact.params, "expires")
        expires_s = default_s if default_s is not None else DEFAULT_EXPIRES_S
        if own_expires is not None and own_expires.isascii() and own_expires.isdigit():  # a malformed one counts as absent (RFC 3261 §10.2.1.1)
            expires_s = parse_seconds(own_expires, "expires")
        existing = table.get(key)
        if existing is not None and _is_stale(request, existing):
            raise SipError(500, "an old registration came late")
        if expires_s == 0:
            table.pop(key, None)
        elif expires_s < MIN_EXPIRES_S:
            raise SipError(423, "a registration lasts at least a minute")
        else:
            table[key] = Binding(user, contact.uri, flow, now + min(expires_s, MAX_EXPIRES_S), request.call_id, request.cseq.number)

    def flow_closed(self, flow: Flow) -> None:
        """Forget the contacts of a connection that is gone."""
        for user, table in self._bindings.items():
            self._bindings[user] = {key: binding for key, binding in table.items() if binding.flow != flow}

    def bindings(self, now: float, users: Iterable[str] | None = None) -> list[Binding]:
        """Return the live contacts of some accounts, the latest registration first. users: None for all; one that is none has none."""
        tables = [self._bindings.get(user, {}) for user in (self._bindings if users is None else users)]
        live = [binding for table in tables for binding in table.values() if binding.expires_at > now]
        return sorted(live, key=lambda binding: -binding.expires_at)

    def registrations(self, now: float) -> list[Registration]:
        """Return the live registrations for the owner's status page."""
        return [
            Registration(user, binding.flow.transport.value.lower(), not binding.flow.private, max(0, round(binding.expires_at - now)))
            for user, table in self._bindings.items()
            for binding in table.values()
            if binding.expires_at > now
        ]

    def uses(self, flow: Flow, now: float) -> bool:
        """Say whether a live contact is bound to a flow, whose connection then must not be closed for idleness."""
        return any(binding.flow == flow for binding in self.bindings(now))


def _is_stale(request: SipRequest, binding: Binding) -> bool:
    """Say whether a request is older than the one that made a binding. Spec: RFC 3261 §10.3 item 7."""
    return request.call_id == binding.call_id and request.cseq.number <= binding.cseq


def _user_of(address: NameAddr) -> str:
    return parse_uri(address.uri).user_text


def _binding_key(uri: SipUri) -> str:
    """Return what makes two contacts the same one: no display parameters. Spec: RFC 3261 §19.1.4, simplified."""
    transport = param(uri.params, "transport") or ""
    return serialise_uri(SipUri(uri.scheme, uri.host, uri.port, uri.user)) + f";{transport.lower()}"
