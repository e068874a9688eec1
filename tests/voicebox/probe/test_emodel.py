"""The E-model against values that were published, and what must hold of it whatever the values are.

Sources: G.107 (06/2015) Table 2 and Annex B, Table B.1; G.107.1 (AMR-WB 12.65); the G.711 and Opus figures beside each other at 150 to 300 ms were computed
by an implementation of others, cut to two places.
"""

from __future__ import annotations

import pytest

from voicebox.probe.codecs import ProbeCodec, as_g711, codec_of
from voicebox.probe.emodel import Scale, Terms, delay_impairment, loss_impairment, narrowband, rate


def test_defaults_of_g107_to_three_places() -> None:
    rating = narrowband(Terms())
    assert rating.ro == pytest.approx(94.769, abs=1e-3)
    assert rating.simultaneous == pytest.approx(1.414, abs=1e-3)
    assert rating.listener_echo == pytest.approx(0.149, abs=1e-3)
    assert rating.r == pytest.approx(93.206, abs=1e-3)
    assert rating.mos == pytest.approx(4.409, abs=1e-3)
    assert rating.r == pytest.approx(rating.ro - rating.simultaneous - rating.delay - rating.loss)


@pytest.mark.parametrize(("r", "mos"), [(90, 4.34), (80, 4.03), (70, 3.60), (60, 3.10), (50, 2.58)])
def test_mos_of_annex_b(r: float, mos: float) -> None:
    assert Scale.NARROWBAND.mos(r) == pytest.approx(mos, abs=7e-3)  # the table prints 4.024 as 4.03


def test_mos_ends_at_one_and_four_and_a_half_and_never_falls_below() -> None:
    assert Scale.NARROWBAND.mos(-5) == Scale.NARROWBAND.mos(0) == 1.0
    assert Scale.NARROWBAND.mos(100) == Scale.FULLBAND.mos(148) == Scale.WIDEBAND.mos(129) == 4.5
    assert all(Scale.NARROWBAND.mos(tenth / 10) >= 1.0 for tenth in range(1000))


@pytest.mark.parametrize(("delay_ms", "idd"), [(150, 0.2), (200, 3.0), (250, 8.9), (300, 14.8), (400, 24.1)])
def test_delay_impairment(delay_ms: float, idd: float) -> None:
    assert delay_impairment(delay_ms) == pytest.approx(idd, abs=0.05)


def test_delay_below_a_tenth_of_a_second_costs_nothing_and_a_negative_one_is_a_mistake() -> None:
    assert delay_impairment(0) == delay_impairment(100) == 0.0
    with pytest.raises(ValueError, match="negative"):
        delay_impairment(-1)


def test_wideband_vector_to_three_places() -> None:
    assert rate(Scale.WIDEBAND, 20, 4.3, 2, 0).mos == pytest.approx(3.4062, abs=1e-4)


def test_g722_is_better_than_g711_and_worse_than_opus_and_suffers_most_from_loss() -> None:
    g711, g722, opus = (codec_of(word).rate(0, 0).r for word in ("pcma", "g722", "opus24"))
    assert g711 < g722 < opus
    assert g722 == pytest.approx(129 - 13)
    assert codec_of("g722").rate(0, 0).scale.mos_name == "MOS-CQEW"
    drops = [codec_of(word).rate(0, 0).r - codec_of(word).rate(5, 0).r for word in ("pcma", "g722", "opus24")]
    assert max(drops) == drops[1]


# loss in %: MOS-CQEF of Opus at 25 kbit/s, MOS-CQEN of G.711 with concealment
SIDE_BY_SIDE = {
    150: {0: (4.18, 4.41), 1: (3.95, 4.32), 2: (3.72, 4.23), 5: (3.14, 3.92)},
    200: {0: (4.09, 4.34), 1: (3.83, 4.24), 2: (3.59, 4.14), 5: (2.99, 3.79)},
    250: {0: (3.86, 4.18), 1: (3.57, 4.05), 2: (3.31, 3.92), 5: (2.68, 3.53)},
    300: {0: (3.59, 3.96), 1: (3.28, 3.81), 2: (3.01, 3.66), 5: (2.38, 3.24)},
}


@pytest.mark.parametrize("delay_ms", SIDE_BY_SIDE)
@pytest.mark.parametrize("loss_pct", [0, 1, 2, 5])
def test_opus_and_g711_side_by_side(delay_ms: int, loss_pct: int) -> None:
    opus, g711 = SIDE_BY_SIDE[delay_ms][loss_pct]
    assert ProbeCodec.OPUS24.rate(loss_pct, delay_ms).mos == pytest.approx(opus, abs=1e-2)
    assert as_g711(loss_pct, delay_ms).mos == pytest.approx(g711, abs=1e-2)


def test_loss_of_g711_with_and_without_concealment() -> None:
    def mos(bpl: float, loss_pct: float) -> float:
        return narrowband(Terms(bpl=bpl, loss_pct=loss_pct)).mos

    assert [round(mos(25.1, loss), 2) for loss in (2, 10)] == [4.24, 3.41]
    assert [round(mos(4.3, loss), 2) for loss in (2, 10)] == [3.26, 1.48]


def test_bursts_cost_more_than_random_losses_and_wider_scales_lose_more() -> None:
    assert loss_impairment(0, 25.1, 5, burst_ratio=2) > loss_impairment(0, 25.1, 5)
    assert loss_impairment(20, 10, 5, most=132) > loss_impairment(20, 10, 5)


@pytest.mark.parametrize(("loss_pct", "burst_ratio", "bpl"), [(-0.1, 1, 4.3), (100.1, 1, 4.3), (1, 0.9, 4.3), (1, 1, 0)])
def test_what_is_no_loss_is_a_mistake(loss_pct: float, burst_ratio: float, bpl: float) -> None:
    with pytest.raises(ValueError, match="loss is"):
        loss_impairment(0, bpl, loss_pct, burst_ratio)


def test_echo_and_sidetone_count_where_they_are_heard() -> None:
    assert narrowband(Terms(t_ms=0.5)).talker_echo == 0.0
    loud, faint = (narrowband(Terms(t_ms=100, telr=telr)) for telr in (30, 65))
    assert loud.talker_echo > 30
    assert 0 < faint.talker_echo < 5
    assert narrowband(Terms(t_ms=100, stmr=25)).talker_echo > narrowband(Terms(t_ms=100, stmr=20)).talker_echo
    assert narrowband(Terms(stmr=2)).simultaneous > narrowband(Terms()).simultaneous, "the own voice too loud in the own ear"
    assert narrowband(Terms(qdu=8)).r < narrowband(Terms()).r
    assert narrowband(Terms(advantage=10)).r == pytest.approx(narrowband(Terms()).r + 10)


@pytest.mark.parametrize("codec", ProbeCodec, ids=lambda codec: str(codec.word))
def test_more_loss_or_delay_is_never_better(codec: ProbeCodec) -> None:
    for other in (0.0, 3.0):
        by_loss = [codec.rate(loss, 100 * other).r for loss in range(0, 100, 5)]
        by_delay = [codec.rate(other, delay).r for delay in range(0, 800, 20)]
        assert by_loss == sorted(by_loss, reverse=True)
        assert by_delay == sorted(by_delay, reverse=True)


def test_it_is_said_whose_values_they_are() -> None:
    assert "not ITU's" in codec_of("opus24").source
    assert "not ITU's" in codec_of("opus32").source
    assert "not ITU's" in codec_of("g722").source
    assert codec_of("pcma").source == "ITU-T G.113"
    with pytest.raises(ValueError, match="does not speak"):
        codec_of("g729")
