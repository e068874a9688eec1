"""Signatures of values that a holder made in advance, as a relay of theirs keeps them until each is due: a period before its own (PROTOCOL.md §10.7).

So a person signs only now and then, and nobody learns sooner than all others which junctions will be. Pure; the file is the relay's (relay_daemon.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from voicebox.circuits.lines import LineReader
from voicebox.circuits.value import AHEAD, PERIOD_EPOCHS, ValueSignature, read_value_signature

COMING_FILE = "identity/values.coming"
MAX_COMING = 16 * 400
LAST_EPOCH = PERIOD_EPOCHS * 3 // 4
_HINT = "`voicebox network value` writes it anew."


def parse_coming(text: str, path: str) -> list[ValueSignature]:
    """Read the file: signatures, one after the other. Raises FileProblem."""
    reader = LineReader(text, path, _HINT, max_characters=MAX_COMING * 1024)
    found: list[ValueSignature] = []
    while not reader.at_end():
        found.append(read_value_signature(reader))
    return found


def serialise_coming(signatures: Iterable[ValueSignature], period: int) -> str:
    """Return the file, without those whose period is over."""
    last = {said.entry_id: said for said in signatures if said.period >= period}
    return "".join(said.text for said in sorted(last.values(), key=lambda said: (said.period, said.key_id)))


def due(signatures: Iterable[ValueSignature], epoch: int) -> list[ValueSignature]:
    """Return those that are to be told in an epoch: of the next period, and none in the last quarter before it, so that it begins with the same list for all."""
    period, at = divmod(epoch, PERIOD_EPOCHS)
    return [said for said in signatures if said.period == period + AHEAD and at < LAST_EPOCH]
