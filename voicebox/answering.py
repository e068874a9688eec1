"""What a running box answers to its page on the control socket about contacts and phones, beside what the daemon answers itself: so that the page needs no key and
no file of the box. NOT here: calls and circuits (daemon.py), the socket (control.py), the page (page/).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from voicebox.circuits.terms import network_line
from voicebox.config.load import load_phone, load_phones
from voicebox.config.model import BoxConfig
from voicebox.contacts.card import serialise_card
from voicebox.contacts.contact import Contact
from voicebox.contacts.facts import all_facts_of
from voicebox.contacts.identity import Identity
from voicebox.contacts.invitation import Invitation, serialise_invitation
from voicebox.contacts.store import StateDirectory
from voicebox.contacts.words import parse_words
from voicebox.dialplan.dnd import DND_FILE, serialise_dnd
from voicebox.dialplan.load import load_dnd
from voicebox.errors import UsageError
from voicebox.provisioning.accounts import add_phone, remove_phone
from voicebox.provisioning.forms import baresip_line, card, login_of, microsip_section

BROWSER = "browser"
"""The user of the phone in a browser."""

Answer = Callable[[Mapping[str, Any]], dict[str, Any]]


class Answering:
    """contacts(): as the box knows them now; identity(): its own; reload(): take what is on disk; revoke(asked): serve a phone no longer, as the daemon answers it."""

    def __init__(
        self,
        store: StateDirectory,
        config: BoxConfig,
        network_id: bytes,
        identity: Callable[[], Identity],
        contacts: Callable[[], Iterable[Contact]],
        reload: Callable[[], None],
        revoke: Answer,
    ) -> None:
        self._store, self._config, self._network_id = store, config, network_id
        self._identity, self._contacts, self._reload, self._revoke = identity, contacts, reload, revoke

    @property
    def answers(self) -> Mapping[str, Answer]:
        """Return what can be asked, by the word after `do`."""
        return {
            "about": self._about,
            "contacts": lambda _asked: {"contacts": [all_facts_of(contact) for contact in self._contacts()]},
            "invitation": self._invitation,
            "phones": self._phones,
            "phone": self._phone,
            "phone_add": self._add_phone,
            "phone_remove": self._remove_phone,
            "phone_ca": self._authority,
            "browser_phone": self._browser_phone,
            "dnd": self._set_dnd,
            "backup": self._backup,
        }

    def _about(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell what is the owner's to give away: the card, the network; and what names end in."""
        return {
            "card": serialise_card(self._identity()),
            "network": self._network_id.hex(),
            "line": network_line(self._network_id),
            "suffix": self._config.suffixes[0],
        }

    def _invitation(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the text that says the same as words, and whose they are. words: as they are typed. Raises UsageError."""
        return {"invitation": serialise_invitation(Invitation(self._network_id, self._identity().contact_id, parse_words(str(asked.get("words")))))}

    # -------------------------------------------------------------------------------------------------------------- phones

    def _phones(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell which phones there are; no password."""
        dnd = load_dnd(self._store.home)
        phones = [
            {"user": phone.user, "transport": phone.transport, "keying": phone.keying, "clear": phone.clear, "quiet": phone.user in dnd.phones}
            for phone in load_phones(self._store.home)
        ]
        return {"phones": phones, "quiet": dnd.everybody}

    def _phone(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the account of a phone, user, in its forms; it holds the password."""
        login = login_of(self._config, load_phone(self._store.home, str(asked.get("user"))))
        forms = {"card": card(login), "baresip": baresip_line(login)} | ({} if login.phone.dtls else {"microsip": microsip_section(login)})
        return {"user": login.phone.user, "private": login.private, "encryption": login.encryption, "forms": forms}

    def _add_phone(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Make an account: user, transport, keying. Raises UsageError where that cannot be."""
        match asked:
            case {"user": str(user), "transport": "tls" | "tcp" | "udp" as transport, "keying": "sdes" | "dtls" as keying}:
                add_phone(self._store, self._config, user, transport, keying)
            case _:
                raise UsageError("This is no phone that can be added.")
        self._reload()
        return {"done": True}

    def _remove_phone(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        remove_phone(self._store, str(asked.get("user")))
        return self._revoke(asked)

    def _browser_phone(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the account of the phone in a browser, which the page's process is; made when it is first asked for. It reaches the box over TCP, on this machine.

        Raises UsageError where another phone has the name, which speaks TLS or is for DTLS-SRTP: nothing of the page's would get an answer.
        """
        if all(phone.user != BROWSER for phone in load_phones(self._store.home)):
            add_phone(self._store, self._config, BROWSER, "tcp", "sdes")
            self._reload()
        login = login_of(self._config, load_phone(self._store.home, BROWSER))
        if login.phone.dtls or not login.phone.clear:
            raise UsageError(f"Another phone has the name `{BROWSER}`, which is this page's. Revoke that one, and add it under another name.")
        listens = ipaddress.ip_address(login.server.address)
        address = str(listens) if not listens.is_unspecified else "::1" if listens.version == 6 else "127.0.0.1"
        return {"user": BROWSER, "password": login.password, "host": login.host, "address": address, "port": login.server.port}

    def _authority(self, _asked: Mapping[str, Any]) -> dict[str, Any]:
        """Return the certificate that phones install, PEM. Raises UsageError where the box listens at no address that one can name."""
        addresses = self._config.tls_addresses
        if not addresses:
            raise UsageError("A certificate names addresses, and sip.listen in box.yaml has only wildcards. Give it the address that phones use.")
        return {"pem": self._store.renew_phone_tls(addresses, dt.datetime.now(dt.UTC)).to_install.decode()}

    def _set_dnd(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Let the house, or one phone, not be disturbed, or again. user: empty for the house. Raises UsageError for a phone that is none."""
        dnd, user, on = load_dnd(self._store.home), str(asked.get("user") or ""), asked.get("on") is True
        if not user:
            dnd = replace(dnd, everybody=on)
        else:
            load_phone(self._store.home, user)  # there must be one
            dnd = replace(dnd, phones=dnd.phones | {user} if on else dnd.phones - {user})
        self._store.write(DND_FILE, serialise_dnd(dnd).encode())
        self._reload()
        return {"done": True}

    # -------------------------------------------------------------------------------------------------------------- backup

    def _backup(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Tell of which contacts a backup that is made now knows what is shared with them; made: remember that one of those was made, as it was told."""
        if "made" in asked:
            try:
                ids = [bytes.fromhex(each) for each in str(asked["made"]).split()]
            except ValueError:
                raise UsageError("These are no ids of contacts.") from None
            self._store.save_backed_up([each for each in ids if len(each) == 32])
            return {"done": True}
        return {"ids": " ".join(contact.contact_id.hex() for contact in self._contacts() if contact.pair is not None)}
