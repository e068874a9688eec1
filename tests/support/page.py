"""Whoever visits the page of a box, without a browser: each request by itself, with the cookie that was given. [io]"""

from __future__ import annotations

import http.client
import re
from dataclasses import dataclass, field
from urllib.parse import urlencode, urlsplit

PASSPHRASE = "five words drawn at random"


@dataclass
class Answer:
    """What came. fields: of the header, by name in small letters, the last of each."""

    status: int
    fields: dict[str, str]
    text: str
    octets: bytes = field(repr=False)


class Visitor:
    """origin: of the page. What a browser says of itself is said, unless a request says otherwise."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.cookie = ""

    def ask(self, path: str, form: dict[str, str] | None = None, method: str = "", body: bytes | None = None, /, **changed: str | None) -> Answer:
        """Ask for a path, or send a form; no redirection is followed. changed: header fields, None for none."""
        place = urlsplit(self.origin)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        fields: dict[str, str | None] = {"host": place.netloc, "cookie": self.cookie or None}
        octets = body if form is None else urlencode(form).encode()
        if octets is not None:
            fields |= {
                "content-type": "application/x-www-form-urlencoded",
                "content-length": str(len(octets)),
                "origin": "null",
                "sec-fetch-site": "same-origin",
            }
        fields |= {name.replace("_", "-"): value for name, value in changed.items()}
        connection.putrequest(method or ("GET" if octets is None else "POST"), path, skip_host=True, skip_accept_encoding=True)
        for name, value in fields.items():
            if value is not None:
                connection.putheader(name, value)
        connection.endheaders(octets)
        answer = connection.getresponse()
        got = answer.read()
        connection.close()
        found = Answer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, got.decode("utf-8", "replace"), got)
        if "set-cookie" in found.fields:
            self.cookie = found.fields["set-cookie"].partition(";")[0]
        return found

    def enter(self, link: str, passphrase: str = PASSPHRASE) -> Answer:
        """Come in by a link."""
        return self.ask("/enter", {"token": link.partition("#")[2], "passphrase": passphrase, "again": passphrase})


def links_of(text: str) -> set[str]:
    """Return where a page leads on this site, by plain links."""
    return set(re.findall(r'<a [^>]*href="(/[^"#]*)"', text))
