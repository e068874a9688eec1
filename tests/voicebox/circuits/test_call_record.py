"""Call events as octets: every event there and back, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebox.b2bua.events import (
    LOCAL_REFUSALS,
    Answer,
    Arrivals,
    CallEvent,
    Codec,
    Digit,
    End,
    Hold,
    Offer,
    Progress,
    Refusal,
    Refuse,
    Resume,
    Ringing,
    Score,
    Taken,
    Text,
    Tie,
)
from voicebox.circuits.call_record import parse_event, parse_offer_record, serialise_event
from voicebox.errors import RemoteError

EVENTS: list[tuple[CallEvent, str]] = [
    (Offer((Codec.OPUS, Codec.PCMA)), "10020102"),
    (Ringing(), "11"),
    (Progress(Codec.PCMU), "1203"),
    (Answer(Codec.OPUS), "1301"),
    (Refuse(Refusal.BUSY), "1402"),
    (Hold(), "15"),
    (Resume(), "16"),
    (Digit(11, 160), "170b00a0"),
    (End(), "18"),
    (Offer(()), "1000"),
    (Text("hé".encode()), "2c000368c3a9" + "00" * 1_297),
    (Text(b"x" * 1_300), "2c0514" + "78" * 1_300),
    (Taken(), "2d"),
    (Offer((Codec.OPUS,), probe=True), "280101"),
    (Offer((Codec.PCMA,), probe=True, speech=True), "2a0102"),
    (Offer((Codec.G722,), probe=True, echo=True), "2e0104"),
    (Offer((), streams=True), "3400"),
    (Tie(bytes(range(8)), bytes(8)), "2f0001020304050607" + "00" * 8),
    (Score(0), "2b000000000000"),
    (Score(432), "2b01b000000000"),
    (Score(432, 421, 97), "2b01b001a50061"),
    (Arrivals(258, (0, 10_000, 0xFFFF)), "29000001020000" + "2710" + "ffff"),
]


@pytest.mark.parametrize(("event", "octets"), EVENTS)
def test_events_are_the_written_octets(event: CallEvent, octets: str) -> None:
    assert serialise_event(event).hex() == octets
    assert parse_event(bytes.fromhex(octets)) == event


@pytest.mark.parametrize(
    "octets",
    [
        "",
        "00",
        "01",
        "0f",
        "19",
        "ff",
        "10",
        "100105",
        "2c0000" + "00" * 1_300,
        "2c0001" + "78" * 2 + "00" * 1_298,
        "2c0515" + "78" * 1_300,
        "2c0001" + "78" + "00" * 1_298,
        "2d00",
        "10020101",
        "10020201",
        "1003010302",
        "10020102ff",
        "100201",
        "1100",
        "12",
        "1200",
        "1405",
        "1406",
        "1400",
        "14",
        "170b0000",
        "171000a0",
        "17001389",
        "1800",
        "28",
        "2800",
        "28020102",
        "280105",
        "2900000000",
        "2a020102",
        "2e020102",
        "2e0105",
        "34",
        "340101",
        "340000",
        "2f" + "00" * 15,
        "2f" + "00" * 17,
        "2b01",
        "2b0001",
        "2b0201",
        "290000000000",
        "29" + "00" * 4 + "00" * 202,
    ],
)
def test_anything_else_is_refused(octets: str) -> None:
    with pytest.raises(RemoteError):
        parse_event(bytes.fromhex(octets))


@given(st.binary(max_size=12))
def test_what_parses_is_written_the_same(octets: bytes) -> None:
    try:
        event = parse_event(octets)
    except RemoteError:
        return
    assert serialise_event(event) == octets


@pytest.mark.parametrize("why", sorted(LOCAL_REFUSALS))
def test_what_is_refused_here_is_never_sent(why: Refusal) -> None:
    with pytest.raises(ValueError, match="not told"):
        serialise_event(Refuse(why))


def test_offer_in_a_knock_is_followed_by_zeros_only() -> None:
    offer = Offer((Codec.PCMA,))
    for each in (offer, Offer((Codec.PCMA,), probe=True)):
        assert parse_offer_record(serialise_event(each).ljust(122, b"\0")) == each
    for wrong in [b"", b"\x10", bytes(122), b"\x11".ljust(122, b"\0"), serialise_event(offer).ljust(121, b"\0") + b"\1", b"\x10\xff".ljust(122, b"\0")]:
        with pytest.raises(RemoteError):
            parse_offer_record(wrong)
