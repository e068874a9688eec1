"""The E-model: what delay, echo, noise, codec and loss make of a conversation, as R and as MOS. Pure.

Narrowband (ITU-T G.107, in full), wideband (G.107.1) and fullband (G.107.2). Of the two wider models this has what a packet network changes: delay and
loss; their other terms stand at their defaults, which are in the greatest R of each (129, 148). MOS of different scales are not comparable: each has its name.
NOT here: the values of codecs (codecs.py), how loss and delay are measured (figures.py).
Spec: ITU-T G.107 (06/2015) §7 and Annex B; G.107.1; G.107.2; G.113 Appendix I.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, unique

SENSITIVITY = 1.0
MINIMUM_DELAY_MS = 100.0
"""sT and mT of G.107 Table 1, for people who talk as usual: below 100 ms nobody notices."""
STMR_LOUD_DB, STMR_FAINT_DB = 9.0, 20.0
"""Outside of these the own voice in the own ear changes what an echo does (G.107 §7.4)."""
MAX_BURST_RATIO = 100.0


@unique
class Scale(Enum):
    """One of the three models: the greatest R, how much of it a codec and loss can take, and the name of its MOS."""

    NARROWBAND = ("G.107", 93.2, 95.0, "MOS-CQEN", 1.0)
    WIDEBAND = ("G.107.1", 129.0, 95.0, "MOS-CQEW", 1.29)
    FULLBAND = ("G.107.2", 148.0, 132.0, "MOS-CQEF", 1.48)

    def __init__(self, standard: str, greatest_r: float, most_loss: float, mos_name: str, stretch: float) -> None:
        self.standard, self.greatest_r, self.most_loss, self.mos_name, self.stretch = standard, greatest_r, most_loss, mos_name, stretch

    def mos(self, r: float) -> float:
        """Return the MOS, 1 to 4.5, that R on this scale stands for. Spec: G.107 Annex B, G.107.1 §7.6, G.107.2."""
        return _mos(r / self.stretch)


def _mos(r: float) -> float:
    if r <= 0:
        return 1.0
    # Between 0 and 6.5 the cubic of Annex B falls below 1, which no opinion is.
    return 4.5 if r >= 100 else max(1.0, 1 + 0.035 * r + r * (r - 60) * (100 - r) * 7e-6)


def _bend(x: float, power: float) -> float:
    """Return (1 + x^power)^(1/power): about 1 below x = 1, about x above. Most curves of G.107 are made of it."""
    return math.pow(1 + math.pow(x, power), 1 / power)


def delay_impairment(delay_ms: float, sensitivity: float = SENSITIVITY, minimum_ms: float = MINIMUM_DELAY_MS) -> float:
    """Return Idd: what a delay from mouth to ear takes of R on the narrowband scale, even without any echo.

    Raises ValueError for a negative delay. Spec: G.107 §7.4, (7-27) and (7-28).
    """
    if delay_ms < 0:
        raise ValueError("a delay is not negative")
    if delay_ms <= minimum_ms:
        return 0.0
    x, power = math.log2(delay_ms / minimum_ms), 6 * sensitivity
    return 25 * (_bend(x, power) - 3 * _bend(x / 3, power) + 2)


def loss_impairment(ie: float, bpl: float, loss_pct: float, burst_ratio: float = 1.0, most: float = Scale.NARROWBAND.most_loss) -> float:
    """Return Ie,eff: what a codec takes of R where packets are lost or come too late.

    ie, bpl: of the codec; loss_pct 0 to 100; burst_ratio: 1 where losses are random, above 1 where they come together; most: 95, on the fullband scale 132.
    Raises ValueError outside of those. Spec: G.107 §7.5, (7-29); G.107.2.
    """
    if not 0 <= loss_pct <= 100 or not 1 <= burst_ratio <= MAX_BURST_RATIO or bpl <= 0:
        raise ValueError("loss is 0 to 100 %, and bursts are not rarer than at random")
    return ie + (most - ie) * loss_pct / (loss_pct / burst_ratio + bpl)


@dataclass(frozen=True, slots=True)
class Terms:
    """The parameters of G.107 Table 2, with its defaults. Loudness ratings, sidetone and losses in dB, noise in dBm0p or dB(A), delays in ms."""

    slr: float = 8.0
    rlr: float = 2.0
    stmr: float = 15.0
    lstr: float = 18.0
    ds: float = 3.0
    dr: float = 3.0
    telr: float = 65.0
    wepl: float = 110.0
    t_ms: float = 0.0
    tr_ms: float = 0.0
    ta_ms: float = 0.0
    qdu: float = 1.0
    ie: float = 0.0
    bpl: float = 4.3
    loss_pct: float = 0.0
    burst_ratio: float = 1.0
    nc: float = -70.0
    nfor: float = -64.0
    ps: float = 35.0
    pr: float = 35.0
    advantage: float = 0.0
    sensitivity: float = SENSITIVITY
    minimum_ms: float = MINIMUM_DELAY_MS


@dataclass(frozen=True, slots=True)
class Rating:
    """R and its parts: r = ro - simultaneous - delay - loss + advantage. delay has its parts beside it."""

    scale: Scale
    r: float
    ro: float
    simultaneous: float
    talker_echo: float
    listener_echo: float
    long_delay: float
    loss: float

    @property
    def delay(self) -> float:
        """Id: all that delay does, with and without echo."""
        return self.talker_echo + self.listener_echo + self.long_delay

    @property
    def mos(self) -> float:
        """The MOS on the rating's own scale."""
        return self.scale.mos(self.r)


def narrowband(terms: Terms) -> Rating:
    """Return the rating of a narrowband connection. Spec: G.107 §7."""
    no = _noise(terms)
    ro = 15 - 1.5 * (terms.slr + no)
    sidetone = _sidetone_impairment(terms)
    simultaneous = _loudness_impairment(terms, no) + sidetone + _quantising_impairment(terms, ro)
    talker = _talker_echo(terms, no, sidetone)
    rle = 10.5 * (terms.wepl + 7) * (terms.tr_ms + 1) ** -0.25
    listener = (ro - rle) / 2 + math.sqrt((ro - rle) ** 2 / 4 + 169)
    long_delay = delay_impairment(terms.ta_ms, terms.sensitivity, terms.minimum_ms)
    loss = loss_impairment(terms.ie, terms.bpl, terms.loss_pct, terms.burst_ratio)
    r = ro - simultaneous - talker - listener - long_delay - loss + terms.advantage
    return Rating(Scale.NARROWBAND, r, ro, simultaneous, talker, listener, long_delay, loss)


def _power_sum(levels_db: Iterable[float]) -> float:
    return 10 * math.log10(sum(10 ** (level / 10) for level in levels_db))


def _noise(terms: Terms) -> float:
    """Return No, all noises as one at the 0 dBr point, in dBm0p. Spec: G.107 §7.2."""
    sender = terms.ps - terms.slr - terms.ds - 100 + 0.004 * (terms.ps - terms.slr - terms.rlr - terms.ds - 14) ** 2
    heard = terms.pr + 10 * math.log10(1 + 10 ** ((10 - terms.lstr) / 10))
    receiver = terms.rlr - 121 + heard + 0.008 * (heard - 35) ** 2
    return _power_sum((terms.nc, sender, receiver, terms.nfor + terms.rlr))


def _loudness_impairment(terms: Terms, no: float) -> float:
    """Return Iolr, of too low a loudness. Spec: G.107 (7-9), (7-10)."""
    x = (terms.slr + terms.rlr + 0.2 * (64 + no - terms.rlr)) / 8
    return 20 * (_bend(x, 8) - x)


def _sidetone_impairment(terms: Terms) -> float:
    """Return Ist, of a sidetone that is too loud or too faint. Spec: G.107 (7-11), (7-12)."""
    stmro = -10 * math.log10(10 ** (-terms.stmr / 10) + math.exp(-terms.t_ms / 4) * 10 ** (-terms.telr / 10))
    return 12 * _bend((stmro - 13) / 6, 8) - 28 * _bend((stmro + 1) / 19.4, 35) - 13 * _bend((stmro - 3) / 33, 13) + 29


def _quantising_impairment(terms: Terms, ro: float) -> float:
    """Return Iq, of quantising distortion. Spec: G.107 (7-13) to (7-17)."""
    q = 37 - 15 * math.log10(terms.qdu)
    g = 1.07 + 0.258 * q + 0.0602 * q * q
    y = (ro - 100) / 15 + 46 / 8.4 - g / 9
    z = 46 / 30 - g / 40
    return 15 * math.log10(1 + 10**y + 10**z)


def _talker_echo(terms: Terms, no: float, sidetone: float) -> float:
    """Return Idte, of the own voice that comes back. Spec: G.107 (7-19) to (7-25)."""
    if terms.t_ms < 1:
        return 0.0
    terv = terms.telr - 40 * math.log10((1 + terms.t_ms / 10) / (1 + terms.t_ms / 150)) + 6 * math.exp(-0.3 * terms.t_ms**2)
    if terms.stmr < STMR_LOUD_DB:
        terv += sidetone / 2
    roe, re = -1.5 * (no - terms.rlr), 80 + 2.5 * (terv - 14)
    idte = ((roe - re) / 2 + math.sqrt((roe - re) ** 2 / 4 + 100) - 1) * (1 - math.exp(-terms.t_ms))
    return math.hypot(idte, sidetone) if terms.stmr > STMR_FAINT_DB else idte


def rate(scale: Scale, ie: float, bpl: float, loss_pct: float, delay_ms: float, burst_ratio: float = 1.0) -> Rating:
    """Return the rating of a connection without echo on one of the scales, by what a packet network changes of it.

    delay_ms: mouth to ear. On the narrowband scale this is G.107 with its defaults and an echo that is cancelled; the wider models know no burst ratio.
    """
    if scale is Scale.NARROWBAND:
        return narrowband(Terms(ie=ie, bpl=bpl, loss_pct=loss_pct, ta_ms=delay_ms, burst_ratio=burst_ratio))
    # Fullband has 25 points stretched to 37 for delay as for all else (G.107.2); wideband keeps them (G.107.1).
    long_delay = delay_impairment(delay_ms) * (scale.stretch if scale is Scale.FULLBAND else 1.0)
    loss = loss_impairment(ie, bpl, loss_pct, most=scale.most_loss)
    return Rating(scale, scale.greatest_r - long_delay - loss, scale.greatest_r, 0.0, 0.0, 0.0, long_delay, loss)
