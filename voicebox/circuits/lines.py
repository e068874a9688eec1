"""The line format of descriptors and network files: `key value`, one key after the other in a fixed order.

Strict, so that what was signed is what was read: a file that parses is byte for byte what would be written again. Long values take several
lines with the same key. NOT here: which keys (descriptor.py, network.py). Pure. Spec: PROTOCOL.md §10.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt

from voicebox.errors import FileProblem

WIDTH = 64
"""Characters of a value on one line, where it is cut."""
MAX_LINE_LENGTH = 160
_TIME = "%Y-%m-%dT%H:%M:%SZ"


def hex_line(key: str, value: bytes) -> str:
    """Return one line in hexadecimal."""
    return f"{key} {value.hex()}\n"


def base64_lines(key: str, value: bytes) -> str:
    """Return a long value in base64, on as many lines as it takes."""
    text = base64.b64encode(value).decode()
    return "".join(f"{key} {text[at : at + WIDTH]}\n" for at in range(0, len(text), WIDTH))


def time_text(moment: dt.datetime) -> str:
    """Return a time as it is written: UTC, whole seconds."""
    return moment.astimezone(dt.UTC).strftime(_TIME)


class LineReader:
    """Take lines from a text, in order. Every problem is a FileProblem with its line."""

    def __init__(self, text: str, path: str, hint: str, *, max_characters: int) -> None:
        self._path, self._hint = path, hint
        if len(text) > max_characters:
            raise FileProblem(path, 0, "the file is too long", hint)
        self._lines = text.split("\n")
        if self._lines.pop() != "":
            raise FileProblem(path, len(self._lines) + 1, "the last line does not end", hint)
        self._next = 0

    @property
    def line(self) -> int:
        """Return the number of the line read last."""
        return self._next

    def problem(self, text: str) -> FileProblem:
        """Return a problem at the line read last."""
        return FileProblem(self._path, self._next, text, self._hint)

    def at_end(self) -> bool:
        """Return whether every line was taken."""
        return self._next == len(self._lines)

    def follows(self, key: str) -> bool:
        """Return whether the next line is one of that key; none is taken."""
        return self._next < len(self._lines) and self._lines[self._next].startswith(f"{key} ")

    def text_since(self, first_line: int) -> str:
        """Return the text from a line (0-based) up to the line read last."""
        return "".join(f"{line}\n" for line in self._lines[first_line : self._next])

    def value(self, key: str) -> str:
        """Take the line of a key and return its value."""
        self._next += 1
        if self._next > len(self._lines):
            self._next = len(self._lines)
            raise self.problem(f"the file ends where '{key}' should come")
        line = self._lines[self._next - 1]
        if not line.startswith(f"{key} ") or len(line) > MAX_LINE_LENGTH or not line.isascii() or not line.isprintable() or line != line.strip():
            raise self.problem(f"this line should say '{key}' and its value")
        return line[len(key) + 1 :]

    def exactly(self, key: str, value: str) -> None:
        """Take a line that can only say one thing."""
        if self.value(key) != value:
            raise self.problem(f"this line should be '{key} {value}'")

    def choice(self, key: str, allowed: tuple[str, ...]) -> str:
        """Take a line that says one of a few words."""
        value = self.value(key)
        if value not in allowed:
            raise self.problem(f"'{key}' is one of: {', '.join(allowed)}")
        return value

    def octets(self, key: str, length: int) -> bytes:
        """Take a line in hexadecimal of that many octets."""
        value = self.value(key)
        try:
            octets = bytes.fromhex(value)
        except ValueError:
            octets = b""
        if len(octets) != length or octets.hex() != value:
            raise self.problem(f"'{key}' is {2 * length} hexadecimal digits")
        return octets

    def long_octets(self, key: str, length: int) -> bytes:
        """Take the lines of a base64 value of that many octets."""
        expected = base64_lines(key, bytes(length)).count("\n")
        text = "".join(self.value(key) for _ in range(expected))
        try:
            octets = base64.b64decode(text, validate=True)
        except binascii.Error:
            octets = b""
        if len(octets) != length or base64_lines(key, octets) != self.text_since(self._next - expected):
            raise self.problem(f"'{key}' is not {length} octets of base64")
        return octets

    def number(self, key: str, low: int, high: int) -> int:
        """Take a decimal number within bounds."""
        value = self.value(key)
        if not value.isdecimal() or len(value) > 20 or str(int(value)) != value or not low <= int(value) <= high:
            raise self.problem(f"'{key}' is a number from {low} to {high}")
        return int(value)

    def time(self, key: str) -> dt.datetime:
        """Take a time in UTC."""
        value = self.value(key)
        try:
            moment = dt.datetime.strptime(value, _TIME).replace(tzinfo=dt.UTC)
        except ValueError:
            raise self.problem(f"'{key}' is a time like 2026-01-31T12:00:00Z") from None
        if time_text(moment) != value:
            raise self.problem(f"'{key}' is a time like 2026-01-31T12:00:00Z")
        return moment
