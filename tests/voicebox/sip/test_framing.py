"""Messages on a stream."""

from __future__ import annotations

import pytest

from voicebox.sip.framing import Framer, StreamBroken

ONE = b"OPTIONS sip:h SIP/2.0\r\nVia: x\r\nContent-Length   :\r\n 5\r\n\r\nhello"
TWO = b"BYE sip:h SIP/2.0\r\nl: 0\r\n\r\n"


@pytest.mark.parametrize("step", [1, 2, 3, 10, 1_000])
def test_messages_in_pieces(step: int) -> None:
    framer = Framer()
    stream = b"\r\n" + ONE + b"\r\n\r\n" + TWO + b"\r\n" + ONE
    frames = [frame for start in range(0, len(stream), step) for frame in framer.feed(stream[start : start + step])]
    assert frames == [ONE, TWO, ONE]
    assert framer.take_pings() == 1
    assert framer.take_pings() == 0


@pytest.mark.parametrize(
    "octets",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"X\r\nContent-Length: 1\r\nl: 2\r\n\r\n",
        b"X\r\nContent-Length: -1\r\n\r\n",
        b"X\r\nContent-Length: 99999\r\n\r\n",
        b"X\r\nContent-Length: 1x\r\n\r\n",
        b"x" * 40_000,
        b"x\r\n" * 300 + b"\r\n",
    ],
)
def test_streams_that_are_lost(octets: bytes) -> None:
    with pytest.raises(StreamBroken):
        Framer().feed(octets)


def test_a_slow_sender_is_bounded() -> None:
    framer = Framer()

    def drip() -> None:
        for _ in range(40_000):
            framer.feed(b"x")

    with pytest.raises(StreamBroken):
        drip()
