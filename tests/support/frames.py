"""What stands in for the microphone of a browser: frames of sound that no encoder made, so that each is known again. [io]"""

from __future__ import annotations

import asyncio
import fractions
from typing import Any

import av
from aiortc import MediaStreamTrack


class Frames(MediaStreamTrack):
    """Frames that no encoder made: 60 octets each, all different."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []

    async def recv(self) -> av.Packet[Any]:
        await asyncio.sleep(0.02)
        self.sent.append(b"\xf8" + len(self.sent).to_bytes(4, "big") * 14 + b"end")
        packet: av.Packet[Any] = av.Packet(self.sent[-1])
        packet.pts, packet.time_base = 960 * len(self.sent), fractions.Fraction(1, 48_000)
        return packet
