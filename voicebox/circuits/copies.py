"""Whether a box runs twice, say from a backup and on its old machine: its contacts notice, and tell both copies.

A box draws a number at each start, and says it in every call. Who restarts has a new number, and the former one is never heard again; where a former one is heard
again, two copies run. NOT here: the messages (between.py). Pure: takes `now_us`. Spec: PROTOCOL.md §9.8.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from voicebox.contacts.contact import MAX_CONTACTS

COPY_OCTETS = 8
REMEMBERED = 8
"""Former numbers of one contact: as many copies at once are found."""
DAY_US = 86_400_000_000
"""So long both copies are told, each in every call; and so long a box that was told says so."""


@dataclass(slots=True)
class _Heard:
    """What was heard of one contact's box."""

    latest: bytes = b""
    former: deque[bytes] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    doubled_us: int = -DAY_US


class Copies:
    """What a box knows of copies: its own number, those of its contacts, and whether it has a copy itself."""

    def __init__(self, own: bytes | None = None) -> None:
        self.own = own or secrets.token_bytes(COPY_OCTETS)
        self._heard: OrderedDict[bytes, _Heard] = OrderedDict()
        self._told_us = -DAY_US

    def heard(self, contact_id: bytes, copy: bytes, now_us: int) -> bool:
        """Take the number that a contact's box says; return whether it is to be told that another copy of it runs."""
        heard = self._heard.setdefault(contact_id, _Heard())
        while len(self._heard) > MAX_CONTACTS:
            self._heard.popitem(last=False)
        if copy in heard.former:
            heard.doubled_us = now_us
            heard.former.remove(copy)
        if copy != heard.latest:
            heard.former.append(heard.latest)
            heard.latest = copy
        return now_us - heard.doubled_us < DAY_US

    def told(self, now_us: int) -> None:
        """Take that a contact's box heard another copy of ours."""
        self._told_us = now_us

    def doubled(self, now_us: int) -> bool:
        """Return whether a contact said so within the last day."""
        return now_us - self._told_us < DAY_US
