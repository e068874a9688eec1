"""A browser that plants a value of its own wherever a browser says something: HTTP, the socket's JSON, the offer, WebRTC. [io]

aiortc stands in for the browser's WebRTC, and its own names and numbers are taken for planted ones: they are random, too.
"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any, Self
from urllib.parse import urlsplit

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Event, Message, Request, TextMessage

from tests.support.canary import SDP_LINES, SDP_MEDIA_LINES, Planted
from tests.support.frames import Frames
from tests.support.page import Visitor

HTTP_FIELDS = (
    "User-Agent", "Accept-Language", "Accept-Encoding", "Referer", "Sec-CH-UA", "Sec-CH-UA-Platform", "Sec-CH-UA-Model", "Sec-CH-UA-Full-Version-List", "DNT", "X-Forwarded-For",
    "Forwarded", "X-Real-IP", "Via", "From", "Authorization", "Pragma", "Sec-GPC", "Device-Memory", "Downlink", "Viewport-Width", "X-Canary",
)  # fmt: skip
OF_WEBRTC = {
    "CNAME": r"cname:(\S+)", "stream": r"a=msid:(\S+)", "track": r"a=msid:\S+ (\S+)", "ICE password": r"a=ice-pwd:(\S+)",
    "fingerprint": r"sha-256 (\S+)", "candidate": r"a=candidate:(\S+)",
}  # fmt: skip
"""What aiortc draws."""
IN_USE = tuple(
    f"a={name}"
    for name in (
        "group", "msid", "identity", "ssrc", "mid", "ice-", "fingerprint", "setup", "extmap", "rtcp-fb", "rtcp-rsize", "rid", "simulcast", "sctp-port", "fmtp", "remote-candidates",
        "end-of-candidates",
    )
)  # fmt: skip
"""Lines that mean something to who answers, and are aiortc's own here."""
READ_OCTETS = 1 << 16


class CanaryBrowser:
    """A context manager: in by the link, and a phone of the box. told: what the page said, newest last; planted: also of the requests by which it came in."""

    def __init__(self, origin: str, link: str) -> None:
        self.planted, self.told = Planted(), list[dict[str, Any]]()
        self._place = urlsplit(origin).netloc
        self._origin, self._link = origin, link
        self._peer, self._ws = RTCPeerConnection(RTCConfiguration(iceServers=[])), WSConnection(ConnectionType.CLIENT)
        self.frames = Frames()
        self._peer.addTrack(self.frames)

    async def __aenter__(self) -> Self:
        visitor = Visitor(self._origin)
        assert (await asyncio.to_thread(visitor.enter, self._link, self.planted.make("passphrase"))).status == 303
        self.planted.values["cookie"] = visitor.cookie.partition("=")[2]
        fields = [(name, self.planted.make(name)) for name in HTTP_FIELDS]
        fields += [("Origin", self._origin), ("Cookie", f"other={self.planted.make('cookie of somebody else')}; {visitor.cookie}")]
        address, _, port = self._place.rpartition(":")
        self._reader, self._writer = await asyncio.open_connection(address, int(port))
        self._say(
            Request(self._place, f"/phone/socket?q={self.planted.make('query')}", extra_headers=[(name.encode(), value.encode()) for name, value in fields])
        )
        self._reading = asyncio.create_task(self._read())
        await self.event("registered")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        self._reading.cancel()
        await self._peer.close()

    def _say(self, event: Event) -> None:
        self._writer.write(self._ws.send(event))

    async def _read(self) -> None:
        text = ""
        while octets := await self._reader.read(READ_OCTETS):
            self._ws.receive_data(octets)
            for event in self._ws.events():
                if isinstance(event, TextMessage):
                    text += event.data
                    if event.message_finished:
                        self.told.append(json.loads(text))
                        text = ""
                else:
                    assert isinstance(event, AcceptConnection), "refused, or another kind of message"

    async def event(self, event: str, seconds: float = 40.0) -> None:
        """Wait until the page has said something."""
        await self._until(lambda said: said.get("event") == event, seconds)

    async def _until(self, wanted: Any, seconds: float = 40.0) -> dict[str, Any]:
        async with asyncio.timeout(seconds):
            while not (found := [said for said in self.told if wanted(said)]):
                assert not self._reading.done(), "the page went away"
                await asyncio.sleep(0.02)
        return found[-1]

    def do(self, what: str, **more: Any) -> None:
        """Ask for something, with words beside it that nobody asked for."""
        asked = {"do": what, **more, self.planted.make(f"name beside {what}"): self.planted.make(f"value beside {what}")}
        self._say(Message(data=json.dumps(asked)))

    async def dial(self, to: str) -> None:
        """Call, and speak from the answer of the page on."""
        await self._peer.setLocalDescription(await self._peer.createOffer())
        self.do("dial", to=to, sdp=self._offer(self._peer.localDescription.sdp))
        answer = await self._until(lambda said: "sdp" in said)
        await self._peer.setRemoteDescription(RTCSessionDescription(answer["sdp"], "answer"))

    def _offer(self, sdp: str) -> str:
        """Return an offer with lines of ours between aiortc's, and keep what aiortc drew."""
        for name, pattern in OF_WEBRTC.items():
            found = re.search(pattern, sdp)
            assert found is not None, name
            self.planted.values[f"WebRTC {name}"] = found[1]
        ssrc = re.search(r"a=ssrc:(\d+)", sdp)
        assert ssrc is not None
        self.planted.values["WebRTC source"] = ssrc[1]
        plant = self.planted.make
        of_session, of_medium = ([line for line in lines if line.startswith("a=") and not line.startswith(IN_USE)] for lines in (SDP_LINES, SDP_MEDIA_LINES))
        session, media = (
            "".join(line.format(plant(f"offer {line}"), plant(f"offer {line}, second"), n=1) + "\r\n" for line in lines) for lines in (of_session, of_medium)
        )
        named = f"a=candidate:1 1 udp 1 {plant('candidate with a name')}.local 9 typ host\r\n"
        text = sdp.replace("s=-", f"s={plant('offer s=')}").replace("t=0 0\r\n", f"t=0 0\r\n{session}") + media + named
        for where in [where for where, value in self.planted.values.items() if where.startswith("offer") and value not in text]:
            del self.planted.values[where]
        return text
