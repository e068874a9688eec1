"""Asking who sits at the terminal. [io]"""

from __future__ import annotations

import sys


def can_ask() -> bool:
    """Return whether somebody sits at the terminal."""
    return sys.stdin.isatty()


def typed(question: str) -> str:
    """Return what is typed at the terminal; its end (Ctrl-D) interrupts as Ctrl-C does."""
    try:
        return input(question).strip()
    except EOFError:
        raise KeyboardInterrupt from None


def is_yes(question: str, hint: str = "") -> bool:
    """Ask until the answer is yes or no. hint: what else is said where it is neither."""
    while (said := typed(f"{question} [yes/no] ").lower()) not in {"yes", "no"}:
        print(f"Please type yes or no.{hint and f' {hint}'}")
    return said == "yes"
