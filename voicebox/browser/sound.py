"""The sound of the browser phone: WebRTC with the browser, RTP with the box. [io] The only file that imports aiortc, and what is private in it.

The browser's offer is cut down to Opus and its answer says constant rate, FEC, 20 ms. Frames pass as they come, both ways: to the browser by a track whose packets
are encoded already, from it before the jitter buffer, which would hold them 80 ms. No server of anybody is asked where we are.
NOT here: SIP (agent.py), the browser's own side (page/static/phone.js).
"""

from __future__ import annotations

import asyncio
import fractions
import re
import secrets
import socket
from collections.abc import Callable
from typing import Any

import aioice.ice
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcrtpreceiver import StreamStatistics

from voicebox.b2bua.offer_answer import OPUS_FMTP
from voicebox.browser.agent import OPUS_TYPE, Where
from voicebox.browser.rtp import Packet, digit_payloads, parse_packet, serialise_packet
from voicebox.errors import UsageError

MAX_SDP_CHARACTERS = 16_384
MAX_WAITING = 10
"""Frames to the browser: what is more is too late."""
CLOCK_HZ = 48_000
MAX_DATAGRAM_OCTETS = 2048
MAX_DIGITS = 32
"""That wait to be said: more are dropped."""
_OPUS = re.compile(r"a=rtpmap:(\d{1,3}) opus/48000/2", re.IGNORECASE)
_OF_FORMAT = re.compile(r"a=(?:rtpmap|fmtp|rtcp-fb):(\d{1,3}) ")


def cut_offer(sdp: str) -> str:
    """Return a browser's offer with Opus alone. Raises UsageError where it has none, or more than one medium, or is too long.

    No candidate stays: the browser reaches us, and its checks tell where it is (RFC 8445 §7.3.1.3), so nothing is ever sent to an address, or a name looked up, that stood there.
    """
    lines = sdp.splitlines()
    if len(sdp) > MAX_SDP_CHARACTERS or not sdp.startswith("v=0"):
        raise UsageError("This is no offer.")
    media = [line.split(" ") for line in lines if line.startswith("m=")]
    if len(media) != 1 or media[0][0] != "m=audio" or len(media[0]) < 4:
        raise UsageError("One medium is wanted, of sound.")
    opus = next((found[1] for line in lines if (found := _OPUS.fullmatch(line))), None)
    if opus is None or opus not in media[0][3:]:
        raise UsageError("The browser does not offer Opus.")
    kept = [line for line in lines if not line.startswith(("a=candidate:", "a=end-of-candidates")) and not ((of := _OF_FORMAT.match(line)) and of[1] != opus)]
    return "".join(f"{' '.join([*line.split(' ')[:3], opus]) if line.startswith('m=') else line}\r\n" for line in kept)


def with_rate(sdp: str) -> str:
    """Return our answer with what Opus is to be: constant rate, in-band FEC, 20 ms; so that a frame's length tells nothing."""
    found = re.search(r"a=rtpmap:(\d+) opus/48000/2\r\n", sdp, re.IGNORECASE)
    if found is None:
        raise UsageError("The browser does not offer Opus.")
    bare = re.sub(rf"a=fmtp:{found[1]} [^\r]*\r\n", "", sdp)
    return bare.replace(found[0], f"{found[0]}a=fmtp:{found[1]} {OPUS_FMTP}\r\na=ptime:20\r\na=maxptime:20\r\n")


class _ToBrowser(MediaStreamTrack):
    """Frames of the box, encoded already."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.frames: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue(MAX_WAITING)

    async def recv(self) -> av.Packet[Any]:
        timestamp, payload = await self.frames.get()
        packet: av.Packet[Any] = av.Packet(payload)
        packet.pts, packet.time_base = timestamp, fractions.Fraction(1, CLOCK_HZ)
        return packet


class Sound(asyncio.DatagramProtocol):
    """The sound of one call. Contract: open(), offered(), use() any number of times, close(). on_gone(): the browser is."""

    def __init__(self, addresses: list[str], on_gone: Callable[[], None]) -> None:
        self._addresses, self._on_gone = addresses, on_gone
        self._track = _ToBrowser()
        self._peer: RTCPeerConnection | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._where: Where | None = None
        self._sequence, self._source = secrets.randbelow(1 << 15), secrets.randbits(32)
        self._digits: list[list[bytes]] = []
        self._digit_timestamp: int | None = None
        self._first: int | None = None

    async def open(self, address: str) -> int:
        """Bind a port towards the box, and return it."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(address, 0), family=family)
        return int(self._transport.get_extra_info("sockname")[1])

    async def offered(self, sdp: str) -> str:
        """Take the browser's offer and return our answer, with all that it needs to find us. Raises UsageError."""
        offer = cut_offer(sdp)
        aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: list(self._addresses)  # noqa: ARG005 - its shape
        self._peer = peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        peer.on("track", self._heard)
        peer.on("connectionstatechange", self._changed)
        try:
            await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
            peer.addTrack(self._track)
            await peer.setLocalDescription(await peer.createAnswer())
        except (ValueError, KeyError, IndexError, AttributeError, AssertionError, TypeError, InvalidAccessError, InvalidStateError, OperationError):
            raise UsageError("This is no offer that can be answered.") from None
        return with_rate(peer.localDescription.sdp)

    def _heard(self, _track: MediaStreamTrack) -> None:
        assert self._peer is not None
        receiver: Any = self._peer.getReceivers()[0]
        statistics: dict[int, Any] = receiver._RTCRtpReceiver__remote_streams  # noqa: SLF001 - private: tests/voicebox/browser/test_sound.py

        async def handle(packet: Any, arrival_time_ms: int) -> None:  # noqa: ARG001 - its shape
            statistics.setdefault(packet.ssrc, StreamStatistics(CLOCK_HZ)).add(packet)
            self._from_browser(packet.timestamp, bytes(packet.payload))

        receiver._handle_rtp_packet = handle  # noqa: SLF001 - as above

    def _changed(self) -> None:
        if self._peer is not None and self._peer.connectionState in {"failed", "closed"}:
            self._on_gone()

    def use(self, where: Where | None) -> None:
        """Send the browser's sound there from now on; None: nowhere."""
        self._where = where

    def digit(self, digit: str) -> None:
        """Say a digit to the box, in place of sound, after those that wait. Raises ValueError where it is none."""
        payloads = digit_payloads(digit)
        if len(self._digits) < MAX_DIGITS:
            self._digits.append(payloads)

    def _from_browser(self, timestamp: int, payload: bytes) -> None:
        where, transport = self._where, self._transport
        if where is None or transport is None or not payload:
            return
        kind, stamp, said = where.payload_type, timestamp, payload
        if self._digits and where.event_type is not None:
            if self._digit_timestamp is None:  # each digit has its own, by which it is told from one before it (RFC 4733 §2.5.1.2)
                self._digit_timestamp = timestamp
            kind, stamp, said = where.event_type, self._digit_timestamp, self._digits[0].pop(0)
            if not self._digits[0]:
                del self._digits[0]
                self._digit_timestamp = None
        self._sequence += 1
        transport.sendto(serialise_packet(Packet(kind, False, self._sequence, stamp, self._source, said)), (where.address, where.port))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take the box's sound."""
        where = self._where
        if where is None or addr[0] != where.address or len(data) > MAX_DATAGRAM_OCTETS:
            return
        packet = parse_packet(data)
        if packet is None or packet.payload_type not in {OPUS_TYPE, where.payload_type}:
            return
        if self._first is None:
            self._first = packet.timestamp
        if self._track.frames.full():
            self._track.frames.get_nowait()
        self._track.frames.put_nowait(((packet.timestamp - self._first) & 0xFFFFFFFF, packet.payload))

    async def close(self) -> None:
        """End it; idempotent."""
        self._where = None
        if self._transport is not None:
            self._transport.close()
            self._transport = None
        peer, self._peer = self._peer, None
        self._track.stop()
        if peer is not None:
            await peer.close()
