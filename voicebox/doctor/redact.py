"""Take out of a text what may not be shown to strangers: addresses, paths, names, keys. Pure.

Rather too much than too little: whatever looks like an address, a path, something quoted or a key goes, and every name that the directory holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PATTERNS = (
    (re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?"), "[address]"),
    (re.compile(r"\[?(?<![\w\]])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:%\w+)?\]?(?::\d+)?"), "[address]"),
    (re.compile(r"sips?:\S+", re.IGNORECASE), "[address]"),
    (re.compile(r"(?<![\w.])~?/[\w./~@+-]+"), "[path]"),
    (re.compile(r"\"[^\"]*\"|'[^']*'|`(?!voicebox )[^`]*`"), "[quoted]"),
    (re.compile(r"\b[A-Za-z0-9+/_-]{24,}={0,2}"), "[key]"),
    (re.compile(r"\b[0-9a-fA-F]{16,}\b"), "[key]"),
)
_PLACEHOLDER = r"(?!(?<=\[)(?:address|path|quoted|key|name)\])"


def redact(text: str, names: Iterable[str], folders: Iterable[str] = ()) -> str:
    """Return the text without what names somebody or something. names: of contacts and phones, in any order; folders: paths that may hold anything, spaces too."""
    for folder in sorted({folder for folder in folders if folder}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}(?:/[\w./~@+-]*\w)?", "[path]", text)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    for name in sorted({name for name in names if name}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){_PLACEHOLDER}{re.escape(name)}(?!\w)", "[name]", text, flags=re.IGNORECASE)
    return text
