"""The page of a box and its phone: how soon a page is there, what memory its process has, what the browser's leg adds to the way of the sound. [io]

A page: from the request to its last octet, over the loopback, each anew with a connection of its own. Memory: resident, and that which is its own (Pss), of the page's
process, alone and in a call of Chromium with `*43`; with none of Chromium installed that is left out. The leg: from a frame that aiortc in the place of a browser is given to the
same frame at a socket in the place of the box's media port, in one process, so with what both ends of WebRTC and the loopback take.

    python -m tools.bench.page [--rounds N] [--frames N]     in a network namespace of its own; prints one line of JSON
"""

from __future__ import annotations

import argparse
import asyncio
import fractions
import http.client
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aioice.ice
import av
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription

from tools.bench.apart import print_apart
from tools.bench.process import memory_mb
from tools.browser import Browser, Tab, find_browser
from voicebox.browser.agent import Where
from voicebox.browser.rtp import parse_packet
from voicebox.browser.sound import Sound
from voicebox.cli.page import link_to, page_origin
from voicebox.demo.network import EmbeddedNetwork
from voicebox.errors import HostError
from voicebox.probe.figures import percentile

HERE, BOX, CONTACT = "127.0.0.1", "alice", "bob"
PAGES = ("/state", "/contacts", f"/contacts/of/{CONTACT}", "/phones", "/phone", "/call", "/cost", "/backup")
PASSPHRASE = "five words drawn at random"  # noqa: S105 - of a box that is gone afterwards
OPTIONS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--allow-loopback-in-peer-connection")
PAUSE_S = 0.05
"""Between requests: fewer a second than the page takes."""
CALL_S = 10.0
FRAME_S = 0.02


def _ask(place: str, path: str, cookie: str, form: dict[str, str] | None = None) -> tuple[float, int, str]:
    """Return how long an answer took, its status and the cookie that came with it."""
    connection = http.client.HTTPConnection(place, timeout=30)
    headers = {"Cookie": cookie} if form is None else {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://{place}"}
    began = time.monotonic()
    connection.request("GET" if form is None else "POST", path, None if form is None else urlencode(form), headers)
    answer = connection.getresponse()
    answer.read()
    took = time.monotonic() - began
    connection.close()
    return took, answer.status, answer.getheader("Set-Cookie", "").partition(";")[0]


def _pages(place: str, link: str, rounds: int) -> list[float]:
    form = {"token": link.partition("#")[2], "passphrase": PASSPHRASE, "again": PASSPHRASE}
    cookie = _ask(place, "/enter", "", form)[2]
    times = []
    for _ in range(rounds):
        for path in PAGES:
            took, status, _ = _ask(place, path, cookie)
            if status != 200:
                raise HostError(f"the page {path} was answered with {status}")
            times.append(took)
            time.sleep(PAUSE_S)
    return times


def _page_pid() -> int:
    found = [entry for entry in Path("/proc").glob("[0-9]*") if _command(entry).endswith("-m\0voicebox.page\0")]
    if len(found) != 1:
        raise HostError("there is not one process of a page")
    return int(found[0].name)


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""


def _own_mb(pid: int) -> float:
    """Return the memory that is a process's own, and its part of what others have too, in MB (proc(5), Pss)."""
    rows = dict(line.split(":") for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return int(rows["Pss"].split()[0]) * 1024 / 1e6


@contextmanager
def _phone(origin: str, link: str) -> Iterator[Tab | None]:
    path = find_browser()
    if path is None:
        yield None
        return
    with Browser(path, OPTIONS) as browser:
        tab = browser.tab()
        tab.size(1200, 800)
        tab.go(link)
        tab.send("form[action='/enter']", passphrase=PASSPHRASE, again=PASSPHRASE)
        tab.go(f"{origin}/phone")
        tab.wait("!document.getElementById('call').disabled")
        tab.run("document.getElementById('echo').click()")
        tab.wait("peer && peer.connectionState == 'connected'")
        yield tab


class _Microphone(MediaStreamTrack):
    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self.given_s: list[float] = []

    async def recv(self) -> av.Packet[Any]:
        await asyncio.sleep(FRAME_S)
        packet: av.Packet[Any] = av.Packet(b"\xf8" + len(self.given_s).to_bytes(4, "big") * 14 + b"end")
        packet.pts, packet.time_base = 960 * len(self.given_s), fractions.Fraction(1, 48_000)
        self.given_s.append(time.monotonic())
        return packet


class _MediaPort(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.came_s: dict[int, float] = {}

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002 - the shape of asyncio's
        packet = parse_packet(data)
        if packet is not None:
            self.came_s.setdefault(int.from_bytes(packet.payload[1:5], "big"), time.monotonic())


async def _leg(frames: int) -> list[float]:
    """Return how long each frame took, in seconds."""
    aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: [HERE]  # noqa: ARG005 - of the browser; a namespace has no address but this
    port = _MediaPort()
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(lambda: port, local_addr=(HERE, 0))
    browser, microphone = RTCPeerConnection(RTCConfiguration(iceServers=[])), _Microphone()
    browser.addTrack(microphone)
    await browser.setLocalDescription(await browser.createOffer())
    sound = Sound([HERE], lambda: None)
    await sound.open(HERE)
    answer = await sound.offered(browser.localDescription.sdp)
    sound.use(Where(HERE, transport.get_extra_info("sockname")[1], 96, None))
    await browser.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    async with asyncio.timeout(30 + 2 * FRAME_S * frames):
        while len(port.came_s) < frames:  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(FRAME_S)
    await browser.close()
    await sound.close()
    transport.close()
    return [came - microphone.given_s[number] for number, came in port.came_s.items()]


def measure(rounds: int, frames: int) -> dict[str, Any]:
    """Measure all of it."""
    leg = asyncio.run(_leg(frames))
    with tempfile.TemporaryDirectory() as directory, EmbeddedNetwork(Path(directory)) as network:
        network.set_up()
        network.start()
        network.wait_ready()
        node = network.boxes[BOX]
        assert node.process is not None
        before = memory_mb(node.process.pid)
        origin = page_origin(node.home)
        times = _pages(origin.removeprefix("http://"), link_to(node.home, origin), rounds)
        pid = _page_pid()
        page = {"rss_mb": memory_mb(pid), "own_mb": _own_mb(pid)}
        call = None
        with _phone(origin, link_to(node.home, origin)) as tab:
            if tab is not None:
                time.sleep(CALL_S)
                call = {"rss_mb": memory_mb(pid), "own_mb": _own_mb(pid)}
        return {
            "ready_s": {"p50": percentile(times, 0.5), "p95": percentile(times, 0.95), "most": max(times), "count": len(times)},
            "page": page,
            "call": call,
            "box_more_mb": memory_mb(node.process.pid) - before,
            "leg_ms": {"p50": 1000 * percentile(leg, 0.5), "p99": 1000 * percentile(leg, 0.99), "most": 1000 * max(leg), "frames": len(leg)},
        }


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="so often each page is asked for")
    parser.add_argument("--frames", type=int, default=500, help="of the browser's leg")
    given = parser.parse_args()
    print_apart(lambda: measure(given.rounds, given.frames))


if __name__ == "__main__":
    main()
