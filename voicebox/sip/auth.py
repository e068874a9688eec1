"""Digest authentication: of phones, server side; and at a provider, the client's answer (digest_answer). Pure: takes `now`.

A nonce is stateless: its time, some randomness and a MAC. State is kept only for nonces that a valid answer has used, so nobody
without a password can fill a table. NOT here: which requests need it (b2bua), the accounts' store.
Spec: RFC 3261 §22, RFC 2617 §3, RFC 7616 (SHA-256), RFC 8760 §2.4. Departures: which algorithms are asked for is the owner's to say, one by default,
because some phones give up at a second challenge or at SHA-256; qop `auth` only, and an answer without qop (RFC 2069) is taken once per nonce.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, unique

from voicebox.errors import SipError, UsageError
from voicebox.sensitive import Secret

CHALLENGES = {401: ("www-authenticate", "authorization"), 407: ("proxy-authenticate", "proxy-authorization")}
"""The field that asks, and the one that answers, by the status of the response."""
MAX_FIELD_OCTETS = 2_048
MAX_CHALLENGES = 4
"""Of a server, that are looked at."""
MAX_NONCES = 4_096
NONCE_LIFETIME_S = 300
NC_WINDOW = 64
"""Answers may come out of order within this many counts: a phone registers and calls at the same time over UDP."""

_FIELD = re.compile(r"\s*([A-Za-z0-9_\-]+)\s*=\s*(\"(?:[^\"\\]|\\.)*\"|[^\s,\"]+)\s*(?:,|$)", re.ASCII | re.DOTALL)
_HEX_8 = re.compile(r"[0-9a-fA-F]{8}")


@unique
class DigestAlgorithm(Enum):
    """The value is the name on the wire."""

    MD5 = "MD5"
    SHA_256 = "SHA-256"

    def digest(self, text: bytes) -> str:
        """Return the hash in lower-case hex."""
        if self is DigestAlgorithm.MD5:
            return hashlib.md5(text, usedforsecurity=False).hexdigest()  # what most phones speak; RFC 2617
        return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, slots=True)
class Account:
    """One phone's account. ha1s: for each algorithm that its phone may use, the one asked for first before the others, the hex digest of user:realm:password; the
    password itself need not be kept. clear: the phone may speak in the clear; else only over TLS. dtls: it is offered DTLS-SRTP, and its sound is never in the clear.
    """

    user: str
    ha1s: tuple[tuple[DigestAlgorithm, Secret], ...]
    clear: bool = True
    dtls: bool = False

    @classmethod
    def from_password(cls, user: str, password: Secret, realm: str, *algorithms: DigestAlgorithm, clear: bool = True, dtls: bool = False) -> Account:
        """Make an account from a password; algorithms: MD5 where none is given. Raises UsageError where the user name cannot stand in a SIP URI as it is."""
        if not re.fullmatch(r"[A-Za-z0-9\-_.!~*'()+]{1,64}", user):
            raise UsageError("an account's user name has 1 to 64 letters, digits and -_.!~*'()+")
        text = f"{user}:{realm}:".encode() + password.reveal()
        return cls(user, tuple((each, Secret(each.digest(text).encode())) for each in algorithms or (DigestAlgorithm.MD5,)), clear, dtls)

    @property
    def algorithms(self) -> tuple[DigestAlgorithm, ...]:
        """Return what its phone is challenged with, in this order."""
        return tuple(algorithm for algorithm, _ in self.ha1s)


_NOBODY = Account("", tuple((algorithm, Secret(b"0" * 32)) for algorithm in DigestAlgorithm))


@unique
class Verdict(Enum):
    """What an Authorization field is worth."""

    GOOD = "good"
    MISSING = "missing"
    STALE = "stale"
    """A right answer to a nonce that is too old, or a count seen before; or any answer to a nonce that this source was not given, which is not looked at, so
    that nobody learns from it whether a password is right. Challenge again, no password prompt.
    """
    WRONG = "wrong"
    """A wrong answer to a nonce that this source was given: a guess."""


def parse_digest(text: str) -> dict[str, str]:
    """Return the fields of a Digest credential or challenge, names in lower case, values unquoted. Raises SipError(400)."""
    scheme, _, rest = text.strip().partition(" ")
    if scheme.lower() != "digest" or len(rest) > MAX_FIELD_OCTETS:
        raise SipError(400, "bad digest")
    fields: dict[str, str] = {}
    position = 0
    while position < len(rest):
        found = _FIELD.match(rest, position)
        if found is None or found[1].lower() in fields:
            raise SipError(400, "bad digest")
        value = found[2]
        fields[found[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1], flags=re.DOTALL) if value[0] == '"' else value
        position = found.end()
    return fields


def digest_response(algorithm: DigestAlgorithm, ha1: bytes, method: str, fields: dict[str, str]) -> str:
    """Return the response value for the fields uri, nonce and, with qop, nc and cnonce. Spec: RFC 7616 §3.4.1."""
    ha2 = algorithm.digest(f"{method}:{fields.get('uri', '')}".encode("utf-8", "surrogateescape"))
    middle = fields.get("nonce", "")
    if "qop" in fields:
        middle += f":{fields.get('nc', '')}:{fields.get('cnonce', '')}:{fields['qop']}"
    return algorithm.digest(ha1 + f":{middle}:{ha2}".encode("utf-8", "surrogateescape"))


def digest_answer(challenges: list[str], user: str, password: Secret, method: str, uri: str, cnonce: str) -> str:
    """Return the value of an Authorization field that answers the first of a server's challenges that is spoken here. Raises SipError(401) where none is.

    Spec: RFC 3261 §22.4, RFC 7616 §3.4, RFC 8760 §2.4 (the topmost that is supported).
    """
    for text in challenges[:MAX_CHALLENGES]:
        try:
            asked = parse_digest(text)
            algorithm = DigestAlgorithm(asked.get("algorithm", "MD5").upper())
        except (SipError, ValueError):
            continue
        qops = [each.strip().lower() for each in asked["qop"].split(",")] if "qop" in asked else []
        if not asked.get("nonce") or (qops and "auth" not in qops) or not all(value.isprintable() for value in asked.values()):
            continue
        fields = {"username": user, "realm": asked.get("realm", ""), "nonce": asked["nonce"], "uri": uri}
        if qops:
            fields |= {"qop": "auth", "nc": "00000001", "cnonce": cnonce}
        ha1 = algorithm.digest(f"{user}:{fields['realm']}:".encode("utf-8", "surrogateescape") + password.reveal()).encode()
        quoted = {name: value for name, value in fields.items() if name not in {"qop", "nc"}} | {"response": digest_response(algorithm, ha1, method, fields)}
        if "opaque" in asked:
            quoted["opaque"] = asked["opaque"]
        plain = {"algorithm": algorithm.value} | {name: fields[name] for name in ("qop", "nc") if name in fields}
        return "Digest " + ", ".join([*(f"{name}={_quoted(value)}" for name, value in quoted.items()), *(f"{name}={value}" for name, value in plain.items())])
    raise SipError(401, "no challenge that is spoken here")


def says_stale(challenge: str) -> bool:
    """Return whether a server's challenge says that the answer before was right, but for the age of its nonce. Spec: RFC 7616 §3.3."""
    try:
        return parse_digest(challenge).get("stale", "").lower() == "true"
    except SipError:
        return False


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class _Counts:
    """Which nonce counts were used: the highest, and a bit for each of the NC_WINDOW below it."""

    __slots__ = ("_highest", "_seen")

    def __init__(self) -> None:
        self._highest, self._seen = -1, 0

    def take(self, count: int) -> bool:
        """Use a count; False where it was used before or is too far back."""
        if count > self._highest:
            shift = count - self._highest
            self._seen = ((self._seen << shift) | 1) & ((1 << NC_WINDOW) - 1) if shift < NC_WINDOW else 1
            self._highest = count
            return True
        back = self._highest - count
        if back >= NC_WINDOW or self._seen >> back & 1:
            return False
        self._seen |= 1 << back
        return True


class DigestServer:
    """Challenge and verify. random_octets(n): the operating system's, or a seeded source in tests."""

    def __init__(self, realm: str, random_octets: Callable[[int], bytes], max_nonces: int = MAX_NONCES, lifetime_s: float = NONCE_LIFETIME_S) -> None:
        self.realm = realm
        self._key = Secret(random_octets(32))
        self._random_octets = random_octets
        self._max_nonces, self._lifetime_s = max_nonces, lifetime_s
        self._counts: OrderedDict[str, _Counts] = OrderedDict()
        # What has been pushed out of the bounded table is refused from then on by its age, else it could be replayed.
        self._oldest_valid_ms = 0

    def challenge(self, algorithm: DigestAlgorithm, now: float, source: str = "", *, stale: bool = False) -> str:
        """Return the value of a WWW-Authenticate field. now: seconds of the box's monotonic clock. source: the address it goes to; the nonce is good there only."""
        body = f"{int(now * 1000):012x}{self._random_octets(8).hex()}"
        nonce = body + self._mac(body, algorithm, source)
        return f'Digest realm="{self.realm}", nonce="{nonce}", algorithm={algorithm.value}, qop="auth"' + (", stale=true" if stale else "")

    def _mac(self, body: str, algorithm: DigestAlgorithm, source: str) -> str:
        return hmac.new(self._key.reveal(), f"{algorithm.value}:{body}:{source}".encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()[:32]

    def verify(self, authorization: str | None, method: str, account: Account | None, now: float, source: str = "") -> Verdict:
        """Judge a request's Authorization value for the account it names. account None (no such user) takes as long, and ends as a wrong password does.

        The uri field need not equal the Request-URI: proxies and phones rewrite it (RFC 3261 §22.4 leaves the check to the server).
        """
        if authorization is None:
            return Verdict.MISSING
        known = account or _NOBODY
        try:
            fields = parse_digest(authorization)
        except SipError:
            return Verdict.MISSING
        if fields.get("realm") != self.realm:
            return Verdict.MISSING  # credentials for somewhere else (RFC 3261 §22.3)
        if not self._is_ours(fields.get("nonce", ""), source):
            return Verdict.STALE  # one of an earlier run of the box, or somebody sends under an address that is not theirs
        qop, count_text = fields.get("qop"), fields.get("nc", "")
        name = fields.get("algorithm", "MD5").upper()
        ha1 = next((ha1 for algorithm, ha1 in known.ha1s if algorithm.value == name), None)
        if ha1 is None or qop not in {None, "auth"} or (qop and not _HEX_8.fullmatch(count_text)):
            return Verdict.WRONG
        right = digest_response(DigestAlgorithm(name), ha1.reveal(), method, fields)
        answered = hmac.compare_digest(right.encode(), fields.get("response", "").lower().encode("utf-8", "surrogateescape"))
        if not answered or account is None or fields.get("username") != account.user:
            return Verdict.WRONG
        return self._check_nonce(fields["nonce"], int(count_text, 16) if qop else 0, now)

    def _is_ours(self, nonce: str, source: str) -> bool:
        body, mac = nonce[:28], nonce[28:].encode("utf-8", "surrogateescape")
        return any(hmac.compare_digest(self._mac(body, algorithm, source).encode(), mac) for algorithm in DigestAlgorithm)

    def _check_nonce(self, nonce: str, count: int, now: float) -> Verdict:
        made_ms = int(nonce[:12], 16)
        if made_ms < max(self._oldest_valid_ms, int((now - self._lifetime_s) * 1000)):
            return Verdict.STALE
        counts = self._counts.get(nonce)
        if counts is None:
            counts = self._counts[nonce] = _Counts()
            if len(self._counts) > self._max_nonces:
                pushed_out, _ = self._counts.popitem(last=False)
                self._oldest_valid_ms = max(self._oldest_valid_ms, int(pushed_out[:12], 16) + 1)
        return Verdict.GOOD if counts.take(count) else Verdict.STALE


def claimed_user(authorization: str | None) -> str | None:
    """Return the user that an Authorization value names, None where there is none."""
    if authorization is None:
        return None
    try:
        return parse_digest(authorization).get("username")
    except SipError:
        return None


class GuessLimiter:
    """Ban a source after too many wrong answers, whoever they were for: which users there are, a ban does not tell. Bounded: the oldest entry goes first.

    A source is an IPv4 address, or the half of an IPv6 address that a network gives out.
    """

    def __init__(self, max_failures: int = 5, ban_s: float = 600, max_entries: int = 4_096) -> None:
        self._max_failures, self._ban_s, self._max_entries = max_failures, ban_s, max_entries
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def banned(self, address: str, now: float) -> bool:
        """Say whether answers from there are to be refused unseen."""
        count, last = self._failures.get(_source_of(address), (0, 0.0))
        return count >= self._max_failures and now - last < self._ban_s

    def failed(self, address: str, now: float) -> None:
        """Count a wrong answer. A right one later does not take it back, else who has one password could guess others without end."""
        source = _source_of(address)
        count, last = self._failures.pop(source, (0, now))
        self._failures[source] = (count + 1 if now - last < self._ban_s else 1, now)
        if len(self._failures) > self._max_entries:
            self._failures.popitem(last=False)


def _source_of(address: str) -> str:
    return ipaddress.IPv6Address(address.partition("%")[0]).exploded[:19] if ":" in address else address
