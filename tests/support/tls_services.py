"""A contact's service that speaks TLS, and a program that uses it: from octets to octets, with certificates as boxes make them."""

from __future__ import annotations

import contextlib
import datetime as dt
import ssl
from dataclasses import replace

from voicebox.contacts.card import parse_card, serialise_card
from voicebox.contacts.contact import Contact
from voicebox.contacts.device_cert import issue
from voicebox.contacts.identity import Identity, new_identity
from voicebox.contacts.local_authority import LocalAuthority, new_local_authority, parse_local_authority
from voicebox.tls_key import load_key

NOW = dt.datetime.now(dt.UTC)
"""The library compares certificates with the clock."""
SUFFIXES = ("privacy", "privacy.alt")
ALICE, BOB = new_identity("Alice", NOW), new_identity("Alice", NOW)
LOCAL: LocalAuthority = parse_local_authority(new_local_authority(SUFFIXES, NOW))


def contact(identity: Identity = ALICE, petname: str = "alice") -> Contact:
    """Return somebody as this box knows them."""
    text = serialise_card(identity)
    return replace(Contact(petname, parse_card(text, NOW, "card"), text), pair=None)


def service_context(name: str = "nas", identity: Identity = ALICE) -> ssl.SSLContext:
    """Return what a service shows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_key(context, issue(identity, name, NOW)[0])
    return context


def program_context() -> ssl.SSLContext:
    """Return what a program trusts that was given the box's local authority, and nothing else."""
    return ssl.create_default_context(cadata=LOCAL.to_install.decode())


class End:
    """One end in memory. name: of the server, None where this is one."""

    def __init__(self, context: ssl.SSLContext, name: str | None = None, *, server: bool = False) -> None:
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_side=server, server_hostname=name)
        self.heard = b""
        self.ready = self.over = False
        self.error: ssl.SSLError | None = None
        self.step()

    def feed(self, octets: bytes) -> None:
        self._in.write(octets)
        self.step()

    def take(self) -> bytes:
        return self._out.read()

    def say(self, octets: bytes) -> None:
        self.tls.write(octets)

    def close(self) -> None:
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()

    def step(self) -> None:
        try:
            if not self.ready:
                self.tls.do_handshake()
                self.ready = True
            while piece := self.tls.read(65_536):
                self.heard += piece
            self.over = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.over = True
        except ssl.SSLError as error:
            self.error = self.error or error
