"""What is shown of a contact: to the owner of the box, on a terminal or its page. Pure."""

from __future__ import annotations

from voicebox.contacts.contact import Contact


def facts_of(contact: Contact) -> dict[str, str | bool]:
    """Return what a list says of a contact."""
    return {
        "petname": contact.petname,
        "state": contact.trust.value,
        "blocked": contact.blocked,
        "met": contact.pair is not None and contact.pair.met,
        "claims": contact.card.authority.claimed_name,
    }


def all_facts_of(contact: Contact) -> dict[str, str | bool]:
    """Return the same, and who that is: id, and new_id where another card came, 64 hexadecimal digits or empty."""
    return facts_of(contact) | {"id": contact.contact_id.hex(), "new_id": contact.changed.card.contact_id.hex() if contact.changed is not None else ""}
