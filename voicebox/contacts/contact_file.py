"""The file of one contact: YAML, its name is the petname.

    card: |                  the card, as it was given
    changed: |               another card that came for the same person; until it is accepted there are no calls
    verified: yes            both people saw the same code
    blocked: yes             no calls, either way
    secret, epoch            what a full handshake left, in hexadecimal digits, and of which epoch it is (PROTOCOL.md §8.2)
    former_secret, former_epoch    the one before, while the contact has not confirmed
    revoked: NUMBER SERIAL...      which certificates of their devices the contact's box said are revoked, in hexadecimal digits (revoked.py)

Only `card` is always there. The secret of two cards is not written: it follows from the static keys. NOT here: disks (store.py). Pure.
"""

from __future__ import annotations

import datetime as dt

import yaml

from voicebox.contacts.card import VerifiedCard, parse_card
from voicebox.contacts.contact import CardText, Contact, PairState
from voicebox.contacts.revoked import revoked_from_text
from voicebox.errors import FileProblem
from voicebox.positions import PositionedFile
from voicebox.sensitive import Secret

MAX_EPOCH = 2**40
SECRET_OCTETS = 32
RESTORE = "Restore it from a backup."
_KEYS = ("card", "changed", "verified", "blocked", "secret", "epoch", "former_secret", "former_epoch", "revoked")


def serialise_contact(contact: Contact) -> str:
    """Return the file's text, with the secret of a full handshake where there was one."""
    lines = _block("card", contact.card_text)
    if contact.changed is not None:
        lines += _block("changed", contact.changed.text)
    lines += [f"{key}: yes" for key, said in (("verified", contact.verified), ("blocked", contact.blocked)) if said]
    if contact.pair is not None and contact.pair.met:
        pair = contact.pair
        lines += [f"secret: {pair.secret.reveal().hex()}", f"epoch: {pair.epoch}"]
        if pair.former is not None:
            lines += [f"former_secret: {pair.former.reveal().hex()}", f"former_epoch: {pair.former_epoch}"]
    if contact.revoked is not None:
        lines.append(f"revoked: {contact.revoked.text}")
    return "\n".join(lines) + "\n"


def parse_contact(petname: str, text: str, path: str, now: dt.datetime) -> Contact:
    """Read a contact's file. path: the file's name, for the problem's text. Raises FileProblem, ProblemsFound."""
    source = PositionedFile(text, path)
    nodes = source.mapping(source.root, "", _KEYS)
    values = {key: source.text(node, key) or "" for key, node in nodes.items()}
    if "card" not in values:
        source.problem(source.root, "card", "is missing", RESTORE)
    for key in ("verified", "blocked"):
        if values.get(key, "yes") != "yes":
            source.problem(nodes[key], key, "here can only be `yes`", "Delete the line where it is not so.")
    revoked = revoked_from_text(values["revoked"]) if "revoked" in values else None
    if "revoked" in values and revoked is None:
        source.problem(nodes["revoked"], "revoked", "should be a number and serial numbers", "Delete the line: the contact's box says it again.")
    source.raise_problems()
    changed = CardText(_card(nodes["changed"], values["changed"], now, path), values["changed"]) if "changed" in values else None
    card = _card(nodes["card"], values["card"], now, path)
    return Contact(petname, card, values["card"], _pair(values, path), "verified" in values, "blocked" in values, changed, revoked)


def _block(key: str, text: str) -> list[str]:
    return [f"{key}: |", *(f"  {line}" for line in text.splitlines())]


def _card(node: yaml.Node, text: str, now: dt.datetime, path: str) -> VerifiedCard:
    try:
        return parse_card(text, now, path)
    except FileProblem as problem:
        # The lines of the card are counted from the one behind `card: |`.
        line = problem.line + node.start_mark.line + 1 if problem.line else 0
        raise FileProblem(problem.path, line, problem.problem, problem.hint) from None


def _pair(values: dict[str, str], path: str) -> PairState | None:
    if "secret" not in values:
        return None
    former = _secret(values["former_secret"], path) if "former_secret" in values else None
    former_epoch = _epoch(values.get("former_epoch", "0"), path)
    return PairState(_secret(values["secret"], path), _epoch(values.get("epoch", ""), path), met=True, former=former, former_epoch=former_epoch)


def _secret(text: str, path: str) -> Secret:
    try:
        octets = bytes.fromhex(text)
    except ValueError:
        octets = b""
    if len(octets) != SECRET_OCTETS:
        raise FileProblem(path, 0, "a secret is damaged", f"{RESTORE} Or remove the contact and add its card again; both of you must.")
    return Secret(octets)


def _epoch(text: str, path: str) -> int:
    if not text.isdecimal() or len(text) > 13 or int(text) > MAX_EPOCH:
        raise FileProblem(path, 0, "an epoch is damaged", RESTORE)
    return int(text)
