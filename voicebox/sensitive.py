"""Values that must not reach a log, a metric or an error text.

`Sensitive[T]` (addresses, names, numbers) and `Secret` (keys, passwords) print as `[scrubbed]`; nothing else in the
project redacts. Unwrapping is spelled out with `.reveal()`, which review looks for.
"""

from __future__ import annotations

import hmac
from typing import Generic, TypeVar

T = TypeVar("T")
SCRUBBED = "[scrubbed]"


class Sensitive(Generic[T]):
    """Hold a value that prints as `[scrubbed]`."""

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """Return the value itself; only for the place that needs it."""
        return self._value

    def __repr__(self) -> str:
        return SCRUBBED

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return SCRUBBED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sensitive) and bool(self._value == other._value)

    def __hash__(self) -> int:
        return hash(self._value)


class Secret(Sensitive[bytes]):
    """A key or password: prints as `[scrubbed]`, compares in constant time, cannot be hashed or pickled."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other._value)

    __hash__ = None  # type: ignore[assignment]  # a secret is never a dictionary key

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
