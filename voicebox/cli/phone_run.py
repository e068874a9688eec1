"""`voicebox phone run`: the built-in softphone. [io] All of it is in voicebox.softphone, a process without any key of the box."""

from __future__ import annotations

from voicebox.softphone.arguments import add_arguments, run

__all__ = ["add_arguments", "run"]
