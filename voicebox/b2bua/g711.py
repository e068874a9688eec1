"""G.711 from one law to the other, for what the box itself keeps and plays. Pure. Nothing of a call between people passes here. Spec: ITU-T G.711 §2 to §4."""

from __future__ import annotations

from functools import cache

from voicebox.b2bua.events import Codec

FRAME_OCTETS = 160
SILENCE = {Codec.PCMA: bytes([0xD5]) * FRAME_OCTETS, Codec.PCMU: bytes([0xFF]) * FRAME_OCTETS}


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


@cache
def _table(*, to_mu: bool) -> bytes:
    """Return for each octet of one law the octet of the other whose sample is nearest."""
    a, mu = ([of(octet) for octet in range(256)] for of in (_linear_of_a, _linear_of_mu))
    source, target = (a, mu) if to_mu else (mu, a)
    return bytes(min(range(256), key=lambda octet: abs(target[octet] - sample)) for sample in source)


def mu_law_of(octets: bytes) -> bytes:
    """Return A-law as mu-law, each sample the nearest one."""
    return octets.translate(_table(to_mu=True))


def a_law_of(octets: bytes) -> bytes:
    """Return mu-law as A-law, each sample the nearest one."""
    return octets.translate(_table(to_mu=False))
