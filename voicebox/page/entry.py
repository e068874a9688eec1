"""Who may use the page: a link that is good once, then a passphrase, then a cookie. Pure, takes `now`; the two files are read and written by whoever calls.

    page/link         SHA-256 of the token in hexadecimal, a space, until when it is good in Unix seconds
    page/passphrase   cost, salt and key in hexadecimal, with spaces between: key = scrypt(passphrase, salt, N = 2^cost, r = 8, p = 1), 32 octets   RFC 7914

Cookies are in memory alone: a page that starts anew asks for the passphrase. NOT here: what comes from another site (guard.py).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import deque
from dataclasses import dataclass

from voicebox.contacts.seal import COST, LEAST_COST, MOST_COST, SALT_OCTETS, checked_passphrase, key_of_passphrase
from voicebox.errors import UsageError
from voicebox.sensitive import Secret

LINK_FILE, PASSPHRASE_FILE = "page/link", "page/passphrase"
TOKEN_OCTETS = COOKIE_OCTETS = 24
LINK_S = 1_800
LOGIN_S = 43_200
"""So long a login lasts after its last request."""
MAX_LOGINS = 16
MAX_WRONG, WRONG_S = 5, 600.0
"""So many wrong passphrases within so long; then none is tried until the first of them is so old."""
MAX_PASSPHRASE_OCTETS = 1024


def new_link(now_unix_s: float) -> tuple[str, str]:
    """Return a fresh token, 32 characters, and the text of the file that knows it."""
    token = secrets.token_urlsafe(TOKEN_OCTETS)
    return token, f"{_digest(token)} {int(now_unix_s) + LINK_S}\n"


def check_link(text: str, token: str, now_unix_s: float) -> None:
    """Check a token against the file, empty where there is none. Raises UsageError; who gets through forgets the file before anything else."""
    digest, _, until = text.strip().partition(" ")
    known = until.isascii() and until.isdecimal() and now_unix_s < int(until) <= now_unix_s + LINK_S
    if not hmac.compare_digest(digest.encode(), _digest(token).encode()) or not known:
        raise UsageError("This link was used already, or its half hour is over. `voicebox page` on the box's machine makes another.")


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()


def new_passphrase(passphrase: str, again: str, *, cost: int = COST) -> str:
    """Return the text of the file that knows a passphrase. Takes half a second. Raises UsageError where it is too short or long, or typed in two ways."""
    if passphrase != again:
        raise UsageError("These were two different passphrases.")
    salt, secret = secrets.token_bytes(SALT_OCTETS), checked_passphrase(_secret(passphrase))
    return f"{cost} {salt.hex()} {key_of_passphrase(secret, salt, cost).hex()}\n"


def check_passphrase(text: str, passphrase: str) -> None:
    """Check a passphrase against the file. Takes half a second. Raises UsageError."""
    try:
        cost, salt, key = text.split()
        if not LEAST_COST <= int(cost) <= MOST_COST:
            raise ValueError
        found = key_of_passphrase(_secret(passphrase), bytes.fromhex(salt), int(cost))
        right = hmac.compare_digest(found, bytes.fromhex(key))
    except ValueError:
        raise UsageError("The passphrase of the page is not kept any more. `voicebox page` on the box's machine makes a link for another.") from None
    if not right:
        raise UsageError("The passphrase is wrong.")


def _secret(passphrase: str) -> Secret:
    octets = passphrase.encode("utf-8", "replace")
    if len(octets) > MAX_PASSPHRASE_OCTETS:
        raise UsageError("A passphrase is not that long.")
    return Secret(octets)


@dataclass(slots=True)
class _Login:
    digest: bytes
    until_s: float


class Logins:
    """Who is in, by cookie; at most MAX_LOGINS, the oldest goes first."""

    def __init__(self) -> None:
        self._logins: deque[_Login] = deque(maxlen=MAX_LOGINS)

    def open(self, now_s: float) -> str:
        """Return a fresh cookie."""
        cookie = secrets.token_urlsafe(COOKIE_OCTETS)
        self._logins.append(_Login(_cookie_digest(cookie), now_s + LOGIN_S))
        return cookie

    def seen(self, cookie: str, now_s: float) -> bool:
        """Return whether somebody with this cookie is in, who then is for LOGIN_S more."""
        digest = _cookie_digest(cookie)
        for login in self._logins:
            if hmac.compare_digest(login.digest, digest) and now_s < login.until_s:
                login.until_s = now_s + LOGIN_S
                return True
        return False

    def close(self, cookie: str) -> None:
        """Let nobody be in with this cookie any more."""
        digest = _cookie_digest(cookie)
        self._logins = deque((login for login in self._logins if login.digest != digest), MAX_LOGINS)

    def close_all(self) -> None:
        """Let nobody be in."""
        self._logins.clear()


def _cookie_digest(cookie: str) -> bytes:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).digest()


class Tries:
    """Wrong passphrases, of whoever."""

    def __init__(self) -> None:
        self._wrong_s: deque[float] = deque(maxlen=MAX_WRONG)

    def check(self, now_s: float) -> None:
        """Raise UsageError where there were too many of late."""
        if len(self._wrong_s) == MAX_WRONG and now_s - self._wrong_s[0] < WRONG_S:
            raise UsageError("Wrong passphrases were tried too often. Wait ten minutes, or make a link with `voicebox page` on the box's machine.")

    def wrong(self, now_s: float) -> None:
        """Take that a wrong one was tried."""
        self._wrong_s.append(now_s)

    def right(self) -> None:
        """Take that the right one was."""
        self._wrong_s.clear()
