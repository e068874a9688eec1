"""The words of an invitation: a number and three words, by which two boxes meet and know each other, once.

    482915-kettle-rocket-violin

The number says where the boxes meet, by way of a slow hash, so that a relay that wants to know which tokens belong to an invitation has to hash all numbers.
The words are the password of the meeting, of which a try has to be made there: one guess is right once in 10^6. They are those of a comparison (code.py), each
told by its first three letters. NOT here: the meeting (circuits/meeting.py), the text of an invitation (invitation.py). Pure; words are drawn.
Spec: PROTOCOL.md §8.8, RFC 7914.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from voicebox.contacts.code import WORDS
from voicebox.errors import UsageError
from voicebox.sensitive import Secret

NUMBER_DIGITS, WORD_COUNT = 6, 3
NUMBERS = 10**NUMBER_DIGITS
COST = 17
"""128 MB and a third of a second for each number and network. The command line does it, not the box."""
LEAST_LETTERS = 3
MAX_CHARACTERS = 200
SECRET_OCTETS = 32
EXAMPLE = "482915-kettle-rocket-violin"


@dataclass(frozen=True, slots=True)
class InvitationWords:
    """number: below 10^6. choice: three places in the list of words, each below 100."""

    number: int = field(repr=False)
    choice: tuple[int, int, int] = field(repr=False)

    def __post_init__(self) -> None:
        if not 0 <= self.number < NUMBERS or len(self.choice) != WORD_COUNT or not all(0 <= place < len(WORDS) for place in self.choice):
            raise ValueError("words of an invitation out of range")

    def text(self) -> str:
        """Return number and words as they are said and typed."""
        return "-".join([f"{self.number:0{NUMBER_DIGITS}}", *(WORDS[place] for place in self.choice)])

    def password(self) -> Secret:
        """Return the password of the meeting: the words, with spaces between."""
        return Secret(" ".join(WORDS[place] for place in self.choice).encode())

    def meeting_secret(self, network_id: bytes) -> Secret:
        """Return what says where the boxes meet in a network: 32 octets. Takes COST."""
        salt = b"voicebox/1 meeting" + network_id
        return Secret(Scrypt(salt=salt, length=SECRET_OCTETS, n=2**COST, r=8, p=1).derive(f"{self.number:0{NUMBER_DIGITS}}".encode()))


def request_of(words: InvitationWords, network_id: bytes) -> dict[str, str]:
    """Return what of the words a box is asked with on its control socket: it never has the number. Takes COST."""
    return {"secret": words.meeting_secret(network_id).reveal().hex(), "password": words.password().reveal().decode()}


def draw_words() -> InvitationWords:
    """Draw a number and three words."""
    first, second, third = (secrets.randbelow(len(WORDS)) for _ in range(WORD_COUNT))
    return InvitationWords(secrets.randbelow(NUMBERS), (first, second, third))


def parse_words(text: str) -> InvitationWords:
    """Read number and words as somebody types them: in any case, with hyphens or spaces, words by three letters at least. Raises UsageError."""
    parts = re.split(r"[\s-]+", text.strip().lower()) if len(text) <= MAX_CHARACTERS else []
    if len(parts) != 1 + WORD_COUNT or not re.fullmatch(rf"[0-9]{{{NUMBER_DIGITS}}}", parts[0]):
        raise UsageError(f"An invitation is a number of {NUMBER_DIGITS} digits and {WORD_COUNT} words, as in {EXAMPLE}.")
    first, second, third = (_place_of(word, place) for place, word in enumerate(parts[1:], 1))
    return InvitationWords(int(parts[0]), (first, second, third))


def _place_of(word: str, place: int) -> int:
    found = [at for at, known in enumerate(WORDS) if len(word) >= LEAST_LETTERS and known.startswith(word)]
    if len(found) != 1:
        raise UsageError(f"Word {place} is none of those that invitations have. Ask for it again.")
    return found[0]
