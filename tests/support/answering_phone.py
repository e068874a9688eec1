"""A phone of a box that keeps every frame that it hears and sends what it is given: the agent of the browser phone, with a socket in place of a browser. [io]"""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import Any, Self

from tests.support.embedded import CALLEE
from voicebox.browser.agent import Account, Where
from voicebox.browser.line import Line
from voicebox.browser.rtp import Packet, parse_packet, serialise_packet
from voicebox.demo.network import EmbeddedNetwork
from voicebox.sensitive import Secret


class FrameSound(asyncio.DatagramProtocol):
    """In the place of voicebox/browser/sound.py. heard: (arrival by the loop's clock, packet)."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, Packet]] = []
        self._numbers = itertools.count(1)
        self._where: Where | None = None
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self, address: str) -> int:
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, local_addr=(address, 0))
        return int(self._transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = parse_packet(data)
        if packet is not None:
            self.heard.append((asyncio.get_running_loop().time(), packet))

    def use(self, where: Where | None) -> None:
        self._where = where

    def send(self, payload: bytes) -> None:
        """Send a frame."""
        number = next(self._numbers)
        if self._where is not None and self._transport is not None:
            octets = serialise_packet(Packet(self._where.payload_type, False, number, number * 960, 77, payload))
            self._transport.sendto(octets, (self._where.address, self._where.port))

    async def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class PlainPhone:
    """A context manager. told: what the agent said, newest last."""

    def __init__(self, network: EmbeddedNetwork, name: str = CALLEE) -> None:
        login = network.login(name)
        self.told: list[dict[str, Any]] = []
        self.line = Line(Account(login.user, Secret(login.password.reveal()), login.host), login.host, login.port, [login.host], self.told.append)
        self.sounds: list[FrameSound] = []
        self.line.open_sound = self._open  # type: ignore[method-assign]  # frames in place of WebRTC

    async def _open(self, sdp: str) -> int:
        sound = FrameSound()
        port = await sound.open(self.line.host)
        self.line.sound = sound
        self.sounds.append(sound)
        return port

    async def __aenter__(self) -> Self:
        await self.line.start()
        await self.event("registered")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.line.stop()

    async def do(self, what: str, **more: Any) -> None:
        """Do what a browser would ask for."""
        await self.line.handle(json.dumps({"do": what, **more}))

    async def event(self, event: str, count: int = 1, seconds: float = 20.0) -> dict[str, Any]:
        """Wait until the agent has said something so many times."""
        async with asyncio.timeout(seconds):
            while len(found := [each for each in self.told if each.get("event") == event]) < count:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.02)
        return found[-1]
