"""The list of missed calls: who called, and on which day, for seven days. Off unless the dial plan says `call_log: missed`. Pure: takes the day.

Nothing else of a call is kept: no time, no count, no length. NOT here: when it is written (daemon.py: at times that no call chooses), who is told (cli/missed.py).

    file = "YYYY-MM-DD petname\\n", a line for each, the oldest day first
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from voicebox.contacts.contact import PETNAME
from voicebox.errors import FileProblem

MISSED_FILE = "missed"
KEPT_DAYS = 7
MAX_MISSED = 1_000
_HINT = "Delete it: `call_log: missed` begins it anew."


class MissedCalls:
    """Pairs of day and petname, each once. The oldest go where there are too many."""

    def __init__(self, entries: Iterable[tuple[dt.date, str]] = ()) -> None:
        self._entries = set(entries)

    def note(self, petname: str, day: dt.date) -> None:
        """Take that nobody answered a contact."""
        self._entries.add((day, petname))
        self._entries = set(sorted(self._entries)[-MAX_MISSED:])

    def entries(self, today: dt.date) -> list[tuple[dt.date, str]]:
        """Return what is kept, the newest day first; what is older is forgotten. What lies in the future, by a clock that was wrong, too."""
        self._entries = {(day, petname) for day, petname in self._entries if dt.timedelta(0) <= today - day < dt.timedelta(KEPT_DAYS)}
        return sorted(self._entries, key=lambda entry: (-entry[0].toordinal(), entry[1]))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()

    def renamed(self, petname: str, to: str | None) -> None:
        """Take that a contact has another petname, or is a contact no more."""
        self._entries = {(day, to if name == petname and to is not None else name) for day, name in self._entries if name != petname or to is not None}

    def serialise(self, today: dt.date) -> str:
        """Return the file's text, without what is forgotten on that day."""
        self.entries(today)
        return self.text()

    def text(self) -> str:
        """Return the file's text, with all there is."""
        return "".join(f"{day.isoformat()} {petname}\n" for day, petname in sorted(self._entries))


def parse_missed(text: str, file: str) -> MissedCalls:
    """Read the file. Raises FileProblem."""
    entries = []
    for number, line in enumerate(text.splitlines(), 1):
        day_text, _, petname = line.partition(" ")
        try:
            day = dt.date.fromisoformat(day_text)
        except ValueError:
            day = None
        if day is None or not PETNAME.match(petname) or number > MAX_MISSED:
            raise FileProblem(file, number, "this is no missed call", _HINT)
        entries.append((day, petname))
    return MissedCalls(entries)
