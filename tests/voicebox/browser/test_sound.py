"""The browser's side of the sound, with aiortc in the place of the browser: offers that are cut, the contract with what is private in aiortc, frames as they were."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import aioice.ice
import pytest
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tests.support.frames import Frames
from voicebox.browser.agent import Where
from voicebox.browser.rtp import parse_packet, serialise_packet
from voicebox.browser.sound import MAX_DIGITS, Sound, cut_offer, with_rate
from voicebox.errors import UsageError

HERE = "127.0.0.1"
pytestmark = pytest.mark.system


class Box(asyncio.DatagramProtocol):
    """The box's media port: what it hears is kept and sent back."""

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        self.digits: list[tuple[int, int]] = []
        """Timestamp, event."""
        self.transport: asyncio.DatagramTransport | None = None

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        packet = parse_packet(data)
        assert packet is not None
        self.heard.append(packet.payload)
        if packet.payload_type == 96:
            assert self.transport is not None
            self.transport.sendto(serialise_packet(packet), addr)
        else:
            self.digits.append((packet.timestamp, packet.payload[0]))


async def offer_of(peer: RTCPeerConnection) -> str:
    await peer.setLocalDescription(await peer.createOffer())
    return str(peer.localDescription.sdp)


async def until(condition: Callable[[], bool], seconds: float = 15.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.02)


async def test_frames_pass_as_they_are_both_ways_and_digits_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    """The contract with aiortc 1.16: its receiver hands packets to _handle_rtp_packet and counts in __remote_streams, and packs packets of a track as they are."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [HERE])  # of the browser; a test has no address but this
    box = Box()
    box.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: box, local_addr=(HERE, 0))
    browser, frames = RTCPeerConnection(RTCConfiguration(iceServers=[])), Frames()
    browser.addTrack(frames)
    heard: list[bytes] = []

    @browser.on("track")
    def _track(_track: MediaStreamTrack) -> None:
        receiver = browser.getReceivers()[0]

        async def handle(packet: object, arrival_time_ms: int) -> None:
            heard.append(bytes(packet.payload))  # type: ignore[attr-defined]  # aiortc's RtpPacket

        receiver._handle_rtp_packet = handle  # type: ignore[method-assign]  # as the phone does

    sound = Sound([HERE], lambda: None)
    port = await sound.open(HERE)
    assert port > 0
    answer = await sound.offered(await offer_of(browser))
    assert answer.count("a=rtpmap:") == 1
    assert "cbr=1;maxaveragebitrate=24000" in answer
    sound.use(Where(HERE, box.transport.get_extra_info("sockname")[1], 96, 101))
    await browser.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    await until(lambda: len(heard) > 40)
    assert "".join(map(bytes.hex, box.heard[:40])) in "".join(map(bytes.hex, frames.sent)), "octet for octet, in order, none left out"
    assert "".join(map(bytes.hex, heard[:40])) in "".join(map(bytes.hex, frames.sent))
    for digit in "55" + 100 * "9":
        sound.digit(digit)
    await until(lambda: len(box.digits) >= 33)
    assert [event for _, event in box.digits[:33]] == 22 * [5] + 11 * [9]
    assert len(set(box.digits[:33])) == 3, "each has a timestamp of its own, so that it is told from the one before"
    assert len(sound._digits) < MAX_DIGITS
    assert sound._peer is not None
    reports = await sound._peer.getStats()
    assert next(each.packetsReceived for each in reports.values() if each.type == "inbound-rtp") > 40, "reports for the browser go on"
    await browser.close()
    await sound.close()
    box.transport.close()


OFFER = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:0 PCMU/8000\r\n"


def test_an_offer_is_cut_to_opus_and_no_candidate_stays() -> None:
    outside = "".join(f"a=candidate:{n} 1 udp 1 {where} 9 typ host\r\n" for n, where in enumerate(("192.0.2.1", "evil.example", "x.local", "2001:db8::1")))
    cut = cut_offer(OFFER + "a=end-of-candidates\r\na=fmtp:111 minptime=10\r\na=rtcp-fb:0 nack\r\n" + outside)
    assert "candidate" not in cut, "nor that there are no more, which would end the wait for the browser"
    assert "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n" in cut
    assert "PCMU" not in cut
    assert "nack" not in cut
    assert "a=fmtp:111 minptime=10" in cut


@pytest.mark.parametrize(
    "offer",
    [
        "",
        "hello",
        "v=0\r\n" + "a=x\r\n" * 5_000,
        OFFER.replace("opus", "speex"),
        OFFER + "m=video 9 UDP/TLS/RTP/SAVPF 96\r\n",
        OFFER.replace("m=audio", "m=video"),
        OFFER.replace(" 111 0", " 0"),
        OFFER.replace("m=audio 9 UDP/TLS/RTP/SAVPF 111 0", "m=audio"),
    ],
    ids=["nothing", "words", "long", "no Opus", "video too", "video", "Opus unlisted", "cut off"],
)
def test_other_offers_are_refused(offer: str) -> None:
    with pytest.raises(UsageError):
        cut_offer(offer)


@pytest.mark.parametrize(
    "offer", [OFFER, OFFER + "a=ice-ufrag:x\r\n", OFFER + "a=fingerprint:sha-256 00\r\na=setup:actpass\r\n", OFFER + "a=setup:nonsense\r\na=mid:0\r\n"]
)
async def test_offers_that_aiortc_cannot_answer_are_refused(offer: str) -> None:
    sound = Sound([HERE], lambda: None)
    try:
        with pytest.raises(UsageError):
            await sound.offered(offer)
    finally:
        await sound.close()


def test_an_answer_says_constant_rate_once() -> None:
    answer = with_rate("v=0\r\nm=audio 9 X 111\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 usedtx=1\r\n")
    assert answer.count("a=fmtp:111 ") == 1
    assert "usedtx" not in answer
