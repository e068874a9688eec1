"""A QR code, drawn with characters. Pure."""

from __future__ import annotations

import io

import segno


def drawn(text: str) -> str:
    """Return the code of a text, for a terminal."""
    out = io.StringIO()
    segno.make(text, error="m").terminal(out, compact=True)
    return out.getvalue()
