"""Do not disturb: for the whole house, where callers from outside get no answer, and for single phones, which do not ring at all. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from voicebox.positions import PositionedFile

DND_FILE = "dnd.yaml"
_HINT = "Delete the file: `voicebox dnd on` writes it anew."


@dataclass(frozen=True, slots=True)
class Dnd:
    """Who is not to be disturbed. phones: users of accounts."""

    everybody: bool = False
    phones: frozenset[str] = field(default=frozenset(), repr=False)


def parse_dnd(text: str, file: str) -> Dnd:
    """Read the file. Raises ProblemsFound."""
    source = PositionedFile(text, file)
    values = source.mapping(source.root, "", ("everybody", "phones"))
    everybody = source.text(values["everybody"], "everybody") if "everybody" in values else "false"
    if everybody not in {"true", "false", None}:
        source.problem(values["everybody"], "everybody", "should be true or false", _HINT)
    phones = [source.text(item, "phones") or "" for item in source.sequence(values.get("phones"), "phones")]
    source.raise_problems()
    return Dnd(everybody == "true", frozenset(phones))


def serialise_dnd(dnd: Dnd) -> str:
    """Return the file's text."""
    phones = ", ".join('"' + phone.replace("\\", "\\\\").replace('"', '\\"') + '"' for phone in sorted(dnd.phones))
    return f"everybody: {str(dnd.everybody).lower()}\nphones: [{phones}]\n"
