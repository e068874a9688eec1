"""Take out of a text what may not be shown to strangers: addresses, paths, names, keys. Pure, but for our own source, which says what our words are.

Rather too much than too little: whatever looks like an address, a path, something quoted or a key goes. Of the text of an error (Finding.quoted), in which names may stand,
only words stay of which this program's own errors are made. What stays does not depend on who is called how: a hole in words that everybody knows would tell that
somebody is called by one of them.
"""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Collection, Iterable
from functools import cache
from pathlib import Path

_PATTERNS = (
    (re.compile(r"(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?"), "[address]"),
    (re.compile(r"\[?(?<![\w\]])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?:%\w+)?\]?(?::\d+)?"), "[address]"),
    (re.compile(r"sips?:\S+", re.IGNORECASE), "[address]"),
    (re.compile(r"(?<![\w.])~?/[\w./~@+-]+"), "[path]"),
    (re.compile(r"\"[^\"]*\"|'[^']*'|`(?!voicebox )[^`]*`"), "[quoted]"),
    (re.compile(r"\b[A-Za-z0-9+/_-]{24,}={0,2}"), "[key]"),
    (re.compile(r"\b[0-9a-fA-F]{16,}\b"), "[key]"),
)
_WORD = re.compile(r"(?<!\[)\b\w(?:[\w'.-]*\w)?\b(?!\])")
_SPEAKERS = ("config", "contacts", "dialplan", "circuits", "control.py", "errors.py")
"""Where the errors are raised that `voicebox doctor` tells of."""
_NO_SPEAKER = "code.py"
"""Its words are for people to say to each other, and names as good as any."""
_EXAMPLE = re.compile(r"for example .*", re.DOTALL)


def redact(text: str, folders: Iterable[str] = (), words: Collection[str] | None = None) -> str:
    """Return the text without what names somebody or something. folders: paths that may hold anything, spaces too; words: that may stay, in small letters, None for all."""
    for folder in sorted({folder for folder in folders if folder}, key=len, reverse=True):
        text = re.sub(rf"{re.escape(folder)}(?:/[\w./~@+-]*\w)?", "[path]", text)
    for pattern, instead in _PATTERNS:
        text = pattern.sub(instead, text)
    if words is None:
        return text
    return _WORD.sub(lambda found: found[0] if found[0].isdigit() or found[0].lower() in words else "[word]", text)


@cache
def own_words() -> frozenset[str]:
    """Return the words of our errors, and of the system's; without our source there are only the latter."""
    package = Path(__file__).resolve().parents[1]
    texts = [os.strerror(number) for number in errno.errorcode]
    for speaker in _SPEAKERS:
        for path in [package / speaker] if speaker.endswith(".py") else sorted((package / speaker).glob("*.py")):
            if path.name == _NO_SPEAKER:
                continue
            try:
                texts += _strings(ast.parse(path.read_text("utf-8")))
            except (OSError, ValueError, SyntaxError):
                continue
    return frozenset(found.lower() for text in texts for found in _WORD.findall(_EXAMPLE.sub("", text)))


def _strings(tree: ast.AST) -> list[str]:
    """Return the texts in a module that are no docstrings."""
    nodes = list(ast.walk(tree))
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings]
