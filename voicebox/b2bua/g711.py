"""G.711 from one law to the other, for what the box itself keeps and plays. Pure. Nothing of a call between people passes here. Spec: ITU-T G.711 §2 to §4."""

from __future__ import annotations

from functools import cache

from voicebox.b2bua.events import Codec
from voicebox.g711 import Law

FRAME_OCTETS = 160
SILENCE = {Codec.PCMA: bytes([0xD5]) * FRAME_OCTETS, Codec.PCMU: bytes([0xFF]) * FRAME_OCTETS}


@cache
def _table(*, to_mu: bool) -> bytes:
    """Return for each octet of one law the octet of the other whose sample is nearest."""
    a, mu = Law.A.samples(), Law.MU.samples()
    source, target = (a, mu) if to_mu else (mu, a)
    return bytes(min(range(256), key=lambda octet: abs(target[octet] - sample)) for sample in source)


def mu_law_of(octets: bytes) -> bytes:
    """Return A-law as mu-law, each sample the nearest one."""
    return octets.translate(_table(to_mu=True))


def a_law_of(octets: bytes) -> bytes:
    """Return mu-law as A-law, each sample the nearest one."""
    return octets.translate(_table(to_mu=False))
