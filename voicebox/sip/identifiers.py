"""The identifiers that the box makes: tags, branches, Call-IDs, SDP numbers. All of one fixed form, so that they tell nothing. Pure.

Spec: RFC 3261 §8.1.1.4, §8.1.1.7, §19.3.
"""

from __future__ import annotations

from collections.abc import Callable

from voicebox.sip.message import MAGIC_COOKIE


class Identifiers:
    """Make identifiers from randomness. random_octets(n): `secrets.token_bytes` in a box, a seeded source in tests."""

    def __init__(self, random_octets: Callable[[int], bytes]) -> None:
        self._random_octets = random_octets

    def octets(self, length: int) -> bytes:
        """Return octets for a key."""
        return self._random_octets(length)

    def tag(self) -> str:
        """Return a tag of 64 bits."""
        return self._random_octets(8).hex()

    def branch(self) -> str:
        """Return a branch of 96 bits behind the magic cookie."""
        return MAGIC_COOKIE + self._random_octets(12).hex()

    def call_id(self) -> str:
        """Return a Call-ID of 128 bits, without a host."""
        return self._random_octets(16).hex()

    def sdp_number(self) -> int:
        """Return a number of 31 bits for an SDP origin line."""
        return int.from_bytes(self._random_octets(4), "big") >> 1

    def reference(self) -> int:
        """Return a random number of 64 bits that names something inside this process only."""
        return int.from_bytes(self._random_octets(8), "big")
