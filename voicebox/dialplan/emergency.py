"""Whether something dialled is an emergency number, however a phone or its user writes it. Such a call is refused and never carried. Pure.

Seen through: separators, digits of other scripts, `+` and `00` with a country code before it, a 0 or 9 for an outside line, a code that hides the
caller (`*31#`, 3GPP TS 22.030), a `#` that ends dialling, and parameters behind `;` or `,`. Too much is refused rather than too little.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Set as AbstractSet

_HIDING = re.compile(r"[*#][0-9]{2}#")
_OUTSIDE_LINE = ("0", "9")
_ABROAD = re.compile(r"(?:\+|00)[0-9]{0,3}")
"""What stands before a number: plus or 00, and a country code of up to three digits."""


def is_emergency(numbers: AbstractSet[str], dialled: str) -> bool:
    """Return whether something dialled means one of the emergency numbers."""
    text = "".join(str(unicodedata.decimal(letter)) if letter.isdecimal() else letter for letter in unicodedata.normalize("NFKC", dialled))
    return any(_is_emergency(numbers, spelling) for spelling in (text, re.split("[;,]", text, maxsplit=1)[0]))


def _is_emergency(numbers: AbstractSet[str], text: str) -> bool:
    if any(letter.isalpha() for letter in text):
        return False
    text = "".join(letter for letter in text if letter in "0123456789+*#")
    text = _HIDING.sub("", text, count=1) if _HIDING.match(text) else text
    text = text.rstrip("#")
    return any(_means(text, number) for number in numbers)


def _means(text: str, number: str) -> bool:
    if not text.endswith(number):
        return False
    before = text[: -len(number)]
    return before in {"", *_OUTSIDE_LINE} or _ABROAD.fullmatch(before) is not None
