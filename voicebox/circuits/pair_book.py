"""The secrets shared with every contact, ready for use: by epoch, forward only, renewed by a full handshake.

NOT here: derivations (pair.py), files (contacts/store.py; `save` is handed in). Pure. Spec: PROTOCOL.md §8.1, §8.2, §8.4.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from voicebox.circuits.guest import ACCEPTER_ID, INVITER_ID, Guest
from voicebox.circuits.pair import TOKEN_OCTETS, secret_of_epoch, static_secret, token_of
from voicebox.circuits.speech import TOKENS_LEFT
from voicebox.contacts.changes import Step
from voicebox.contacts.contact import MAX_CONTACTS, Contact, PairState
from voicebox.contacts.identity import Identity
from voicebox.contacts.revoked import Revoked
from voicebox.errors import HandshakeError, UsageError
from voicebox.sensitive import Secret


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """Whom a token stands for. secret: that of the token's epoch; former: it is what a full handshake replaced."""

    petname: str = field(repr=False)
    secret: Secret
    former: bool


class PairBook:
    """All contacts of a box with their secrets. save(contact) is called whenever a secret changed, before it is used.

    What is asked for a call answers for a contact who is blocked, or whose key changed, as for a stranger.
    """

    def __init__(self, identity: Identity, network_id: bytes, contacts: Iterable[Contact], save: Callable[[Contact], None]) -> None:
        self._identity, self._network_id, self._save = identity, network_id, save
        self._contacts: dict[str, Contact] = {}
        self.guests: dict[str, Guest] = {}
        """Who is met by words, each under a name that no petname can be."""
        for contact in contacts:
            self.add(contact)

    def add(self, contact: Contact) -> None:
        """Take a contact; its first secret comes from the two cards. Raises UsageError where there are too many, HandshakeError for an unusable card."""
        if len(self._contacts) >= MAX_CONTACTS and contact.petname not in self._contacts:
            raise UsageError(f"There can be {MAX_CONTACTS} contacts: a circuit leaves no more tokens.")
        if contact.pair is None:
            secret = static_secret(self._identity.static_key, contact.card.static_key, self._network_id, self._identity.contact_id, contact.contact_id)
            contact = replace(contact, pair=PairState(secret, 0))
        self._contacts[contact.petname] = contact

    def remove(self, petname: str) -> None:
        """Forget a contact; nothing of it is saved from then on."""
        self._contacts.pop(petname, None)

    def take(self, step: Step) -> None:
        """Take a change of the contacts that was decided and saved."""
        if step.before is not None:
            self.remove(step.before.petname)
        if step.after is not None:
            self.add(step.after)

    def contacts(self) -> list[Contact]:
        """Return all contacts, those too with whom there are no calls."""
        return list(self._contacts.values())

    def get(self, petname: str) -> Contact | None:
        """Return the contact of that petname; None where there are no calls with it: it is blocked, or its key changed."""
        contact = self._contacts.get(petname)
        return contact if contact is not None and contact.open else None

    def with_id(self, contact_id: bytes) -> Contact | None:
        """Return the contact with that id; None where there is none, or none with whom there are calls."""
        return next((contact for contact in self._contacts.values() if contact.contact_id == contact_id and contact.open), None)

    def knows(self, name: str) -> bool:
        """Return whether there may be a call with a contact, or a meeting with a guest, of that name."""
        return name in self.guests or self.get(name) is not None

    def ends(self, name: str, *, caller: bool) -> tuple[bytes, bytes]:
        """Return the ids of caller and callee in a call with a contact or a guest. caller: whether we are the caller. Raises HandshakeError where nobody is known."""
        if name in self.guests:
            return ACCEPTER_ID, INVITER_ID
        contact = self.get(name)
        if contact is None:
            raise HandshakeError("the contact was removed or blocked")
        ours, theirs = self._identity.contact_id, contact.contact_id
        return (ours, theirs) if caller else (theirs, ours)

    def petnames(self) -> list[str]:
        """Return the petnames of all with whom there may be calls."""
        return [petname for petname, contact in self._contacts.items() if contact.open]

    def drawn(self) -> Contact | None:
        """Draw one of those with whom there may be calls; None where there is none."""
        petnames = self.petnames()
        return self.get(secrets.choice(petnames)) if petnames else None

    def met(self, petname: str) -> bool:
        """Return whether a full handshake was ever finished with a contact. With a guest there is none to be made."""
        return petname in self.guests or self._pair(petname).met

    def secrets_of(self, petname: str, epoch: int) -> list[TokenOwner]:
        """Return the secrets under which a contact may know us in an epoch, the newest first; none where the epoch is past. A guest has one for each epoch."""
        guest = self.guests.get(petname)
        if guest is not None:
            return [TokenOwner(petname, guest.secret_of(epoch), former=False)]
        pair = self._pair(petname)
        found = []
        for secret, since, former in ((pair.secret, pair.epoch, False), (pair.former, pair.former_epoch, True)):
            if secret is not None:
                try:
                    found.append(TokenOwner(petname, secret_of_epoch(secret, since, epoch), former))
                except HandshakeError:
                    continue  # made in a later epoch than this circuit's
        return found

    def tokens(self, junction_id: bytes, epoch: int) -> dict[bytes, TokenOwner]:
        """Return the tokens under which contacts, and guests whom we invited, knock at us at a junction in an epoch."""
        names = [*self.petnames(), *(name for name, guest in self.guests.items() if guest.invited)]
        owners = [owner for name in names for owner in self.secrets_of(name, epoch)]
        return {token_of(owner.secret, junction_id, self.ends(owner.petname, caller=False)[1]): owner for owner in owners}

    def renew(self, petname: str, secret: Secret, epoch: int, former: Secret | None) -> None:
        """Set the secret of a full handshake. former: kept beside it until confirmed, because the contact may not have the new one."""
        self._set(petname, PairState(secret, epoch, met=True, former=former, former_epoch=epoch))

    def confirm(self, petname: str) -> None:
        """Drop the former secret: the contact has shown the new one. A guest has none."""
        if petname in self.guests:
            return
        pair = self._pair(petname)
        if pair.former is not None:
            self._set(petname, replace(pair, former=None, former_epoch=0))

    def keep_revoked(self, contact_id: bytes, told: Revoked) -> None:
        """Keep what a contact's box told of certificates that were revoked, unless a later one is known."""
        for petname, contact in self._contacts.items():
            if contact.contact_id == contact_id and (contact.revoked is None or contact.revoked.sequence < told.sequence):
                self._put(petname, replace(contact, revoked=told))

    def forget_before(self, epoch: int) -> None:
        """Hash every secret forward to an epoch, so that those before it are gone: of a full handshake from disk and memory.

        That of two cards can be had from the cards at any time; it moves forward in memory only, so that nobody hashes it from epoch 0 on at each call.
        """
        for petname, contact in list(self._contacts.items()):
            pair = contact.pair
            if pair is None or pair.epoch >= epoch:
                continue
            former, former_epoch = pair.former, pair.former_epoch
            if former is not None and former_epoch < epoch:
                former, former_epoch = secret_of_epoch(former, former_epoch, epoch), epoch
            moved = replace(pair, secret=secret_of_epoch(pair.secret, pair.epoch, epoch), epoch=epoch, former=former, former_epoch=former_epoch)
            if pair.met:
                self._set(petname, moved)
            else:
                self._contacts[petname] = replace(contact, pair=moved)

    def _pair(self, petname: str) -> PairState:
        contact = self.get(petname)
        if contact is None or contact.pair is None:
            raise HandshakeError("the contact was removed or blocked")
        return contact.pair

    def _set(self, petname: str, pair: PairState) -> None:
        self._put(petname, replace(self._contacts[petname], pair=pair))

    def _put(self, petname: str, contact: Contact) -> None:
        self._save(contact)
        self._contacts[petname] = contact


def tokens_payload(tokens: Iterable[bytes]) -> bytes:
    """Return what is left at a junction: always 128 tokens in no order, random ones in the free places. Spec: PROTOCOL.md §3.2."""
    places = list(tokens)[:TOKENS_LEFT]
    places += [secrets.token_bytes(TOKEN_OCTETS) for _ in range(TOKENS_LEFT - len(places))]
    secrets.SystemRandom().shuffle(places)
    return b"".join(places)
