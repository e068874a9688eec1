"""The two laws of G.711 as samples. Pure, and at the bottom: the process that mixes loads nothing else of the package. Spec: ITU-T G.711 §2 to §4."""

from __future__ import annotations

from enum import IntEnum, unique


@unique
class Law(IntEnum):
    """A-law or mu-law; the value is what a mixer is told."""

    A = 0
    MU = 1

    def samples(self) -> tuple[int, ...]:
        """Return the sample of each octet, 16 bits and sign."""
        return tuple(_linear_of_a(octet) if self is Law.A else _linear_of_mu(octet) for octet in range(256))


def _linear_of_a(octet: int) -> int:
    """Return the sample of an octet of A-law, 13 bits and sign, times 8."""
    octet ^= 0x55
    exponent, mantissa = octet >> 4 & 7, octet & 15
    size = (mantissa << 4) + 8 if exponent == 0 else ((mantissa << 4) + 0x108) << (exponent - 1)
    return size if octet & 0x80 else -size


def _linear_of_mu(octet: int) -> int:
    """Return the sample of an octet of mu-law, 14 bits and sign, times 4."""
    octet = ~octet & 0xFF
    size = (((octet & 15) << 3) + 0x84 << (octet >> 4 & 7)) - 0x84
    return -size if octet & 0x80 else size
