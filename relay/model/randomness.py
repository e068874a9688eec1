"""The seeded source of random octets of simulations and of the comparison with the engine (PROTOCOL.md §1.3)."""

import hashlib

from relay.model.cell import BODY_OCTETS


class SeededRandom:
    """The octet stream SHA-256(seed | counter u64), counter 0, 1, 2 ..., drawn in order."""

    def __init__(self, seed: bytes) -> None:
        self._seed, self._counter, self._waiting = seed, 0, b""

    def octets(self, count: int) -> bytes:
        """Draw that many octets."""
        while len(self._waiting) < count:
            self._waiting += hashlib.sha256(self._seed + self._counter.to_bytes(8, "big")).digest()
            self._counter += 1
        drawn, self._waiting = self._waiting[:count], self._waiting[count:]
        return drawn

    def u32(self) -> int:
        """Draw a number of four octets."""
        return int.from_bytes(self.octets(4), "big")

    def body(self) -> bytes:
        """Draw a body of random octets, a filler's."""
        return self.octets(BODY_OCTETS)
