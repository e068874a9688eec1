"""The short code that two people compare: eight digits, or four words that say the same. Pure.

Each word stands for two digits. The words are our own choice: nouns of the household, told apart by their first three letters.
NOT here: how the two boxes come to the same value (circuits/comparison.py). Spec: PROTOCOL.md §9.7.
"""

from __future__ import annotations

from dataclasses import dataclass, field

DIGITS = 8
# fmt: off
WORDS = (
    "acorn", "anchor", "apple", "arrow", "autumn", "badge", "banjo", "basket", "beaver", "bottle",
    "branch", "button", "cabin", "camel", "carpet", "castle", "cherry", "circle", "clock", "coffee",
    "copper", "cradle", "crystal", "dancer", "desert", "diamond", "doctor", "dolphin", "dragon", "drum",
    "eagle", "elbow", "engine", "falcon", "farmer", "feather", "fiddle", "finger", "flute", "forest",
    "galaxy", "garden", "ginger", "glove", "grape", "guitar", "hammer", "harbor", "helmet", "honey",
    "hotel", "island", "ivory", "jacket", "jungle", "kettle", "kitchen", "ladder", "lantern", "lemon",
    "lizard", "magnet", "marble", "meadow", "mirror", "monkey", "museum", "needle", "nickel", "novel",
    "ocean", "olive", "onion", "orange", "oyster", "paper", "parrot", "pencil", "piano", "pilot",
    "pocket", "pumpkin", "rabbit", "radio", "ribbon", "rocket", "saddle", "salmon", "shadow", "silver",
    "spider", "sugar", "tiger", "tomato", "tunnel", "velvet", "violin", "walnut", "window", "zebra",
)
# fmt: on


@dataclass(frozen=True, slots=True)
class Code:
    """A code. digits: eight characters 0 to 9."""

    digits: str = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.digits) != DIGITS or not self.digits.isdecimal():
            raise ValueError("a code has eight digits")

    def grouped(self) -> str:
        """Return the digits as they are read out: two groups of four."""
        return f"{self.digits[:4]} {self.digits[4:]}"

    def words(self) -> str:
        """Return the four words, with spaces between."""
        return " ".join(WORDS[int(self.digits[at : at + 2])] for at in range(0, DIGITS, 2))


def code_of(octets: bytes) -> Code:
    """Return the code of a digest: its first eight octets as a number, modulo 10^8, which favours no code by more than 2^-37."""
    return Code(f"{int.from_bytes(octets[:8], 'big') % 10**DIGITS:0{DIGITS}}")
