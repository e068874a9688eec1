"""The page in a real browser over a box with standing circuits, and the phone on it, over three relays with a phone at the other box that keeps what it hears.

Chromium with a microphone of its own, where it is installed: one for all, with a tab for the pages and one that is the phone.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import aioice.ice
import pytest

from tests.support.answering_phone import PlainPhone
from tests.support.embedded import CALLEE, CALLER
from tests.support.page import PASSPHRASE
from tools.browser import Browser, Tab, find_browser
from voicebox.browser.agent import Account
from voicebox.browser.line import Line
from voicebox.cli.page import link_to, page_origin
from voicebox.control import ask
from voicebox.demo.network import EmbeddedNetwork
from voicebox.sensitive import Secret

OPTIONS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
)
PAGES = ("/state", "/contacts", f"/contacts/of/{CALLEE}", "/phones", "/phones/of/desk", "/phone", "/call", "/cost", "/backup", "/nothing")
HEIGHT = 800
LOOKS = ((360, False), (1200, True), (360, True), (1200, False))
"""Width in px, and whether dark; the first two have each width and each look once."""
PICTURES = Path(__file__).resolve().parents[2] / "build" / "page"
FRAME_OCTETS = 60
SMALL = "[...document.querySelectorAll('button, input:not([type=checkbox]):not([type=hidden]), select, textarea, header a')].filter(e => { const box = e.getBoundingClientRect(); return box.width && box.height < 40; }).map(e => e.outerHTML)"
RECEIVED = "(async()=>{let n=0;(await peer.getStats()).forEach(r=>{if(r.type=='inbound-rtp')n=r.packetsReceived});return n})()"
SAID = "document.getElementById('said').textContent"


@pytest.fixture(scope="module")
def browser(embedded_network: EmbeddedNetwork) -> Iterator[Browser]:
    """Return a browser of somebody who came in by the link."""
    path, home = find_browser(), embedded_network.boxes[CALLER].home
    if path is None:
        pytest.skip("no browser is installed")
    with Browser(path, OPTIONS) as browser:
        tab = browser.tab()
        tab.size(1200, HEIGHT)
        tab.go(link_to(home, page_origin(home)))
        assert tab.run("location.hash") == "", "the token is out of the address bar"
        look(tab, "enter")
        tab.send("form[action='/enter']", passphrase=PASSPHRASE, again=PASSPHRASE)
        tab.wait("location.pathname == '/state'")
        tab.ask("Network.clearBrowserCookies")
        tab.go(f"{page_origin(home)}/login")
        tab.send("form[action='/login']", passphrase="a guess of somebody")
        look(tab, "login", refused=True)
        tab.send("form[action='/login']", passphrase=PASSPHRASE)
        tab.wait("location.pathname == '/state'")
        tab.close()
        yield browser


@pytest.fixture
def page(browser: Browser, embedded_network: EmbeddedNetwork) -> Iterator[Tab]:
    """Return a tab that shows the box's state."""
    tab = browser.tab()
    tab.size(1200, HEIGHT)
    tab.go(f"{page_origin(embedded_network.boxes[CALLER].home)}/state")
    yield tab
    tab.close()


@pytest.fixture
def tab(browser: Browser, embedded_network: EmbeddedNetwork) -> Iterator[Tab]:
    """Return a tab that is a phone of the caller's box."""
    tab = browser.tab()
    tab.size(360, 900)
    tab.go(f"{page_origin(embedded_network.boxes[CALLER].home)}/phone")
    tab.wait("!document.getElementById('call').disabled")
    yield tab
    tab.close()


def look(tab: Tab, name: str, looks: Sequence[tuple[int, bool]] = LOOKS[:2], *, refused: bool = False) -> None:
    """Look at what a tab shows, narrow and wide, light and dark: it fits, asks nobody else and is kept in build/page for whoever wants to see it. refused: its status is none of 2xx."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    origin = tab.run("location.origin")
    for width, dark in looks:
        tab.size(width, HEIGHT, dark=dark)
        seen = tab.seen()
        (PICTURES / f"{name}-{width}-{'dark' if dark else 'light'}.png").write_bytes(seen.png)
        assert seen.scroll_width <= width, name
        assert all(request.startswith((origin, origin.replace("http", "ws"), "data:,")) for request in seen.requests), seen.requests
        assert [each for each in seen.complaints if not (refused and "status of 4" in each)] == [], name
        assert (tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 28)") is dark
        assert len(seen.png) > 5_000, "something is drawn"
        small = tab.run(SMALL)
        assert small == [], f"{name}: too small for a finger"


def until(tab: Tab, script: str) -> asyncio.Future[None]:
    """Wait in a thread, while the other phone lives."""
    return asyncio.ensure_future(asyncio.to_thread(tab.wait, script, 30))


def test_every_page_fits_in_both_looks_narrow_and_wide_and_asks_nobody_else(page: Tab) -> None:
    origin = page.run("location.origin")
    for path in PAGES:
        page.go(f"{origin}{path}")
        page.wait("document.readyState == 'complete'")
        look(page, path.strip("/").replace("/", "-"), LOOKS, refused=path == "/nothing")
    page.go(f"{origin}/contacts")
    page.send("form[action='/contacts/invite']", petname="carol")
    look(page, "invitation")
    page.go(f"{origin}/contacts/of/{CALLEE}")
    page.send(f"form[action='/contacts/of/{CALLEE}/compare']")
    look(page, "problem", refused=True)


def test_state_and_call_go_on_by_themselves(page: Tab) -> None:
    origin = page.run("location.origin")
    page.go(f"{origin}/call")
    page.run("document.querySelector('[sse-swap]').textContent = 'old'")
    page.wait("document.querySelectorAll('[sse-swap] svg').length == 5")
    page.go(f"{origin}/state")
    page.run("document.querySelector('[hx-get]').textContent = 'old'")
    page.wait("document.querySelector('[hx-get] dl') !== null")


def test_without_scripts_a_probe_is_made(page: Tab) -> None:
    """The one thing that takes long: the page says how far it is, and asks again by itself."""
    origin = page.run("location.origin")
    page.go(f"{origin}/call")
    page.send("form[action='/call/probe']", petname=CALLEE)
    page.wait("document.querySelector('progress') !== null")
    page.wait("Number(document.querySelector('progress').value) >= 2", 40)


async def test_a_call_out_and_the_contact_hangs_up(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    async with PlainPhone(embedded_network) as bob:
        tab.run("document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()")
        assert (await bob.event("ring", seconds=40))["who"] == CALLER
        await bob.do("answer", sdp="")
        await bob.event("talking")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.talking")
        sound = bob.sounds[-1]
        for number in range(100):
            sound.send(b"\xf8\xff\xfe" + number.to_bytes(2, "big") * 28 + b"x")
            await asyncio.sleep(0.02)
        assert len(sound.heard) > 50
        assert {len(packet.payload) for _, packet in sound.heard if packet.payload_type == 96} == {FRAME_OCTETS}, "constant rate, no DTX, 24 kbit/s"
        assert tab.run(RECEIVED) > 50
        look(tab, "phone-talking")
        await bob.do("hang_up")
        await until(tab, "document.body.dataset.phone == 'none'")


async def test_the_page_draws_a_call_with_r_and_delay(embedded_network: EmbeddedNetwork, tab: Tab, page: Tab) -> None:
    """In a second call: the first one with a contact may have the full handshake, behind which the round trip is not measured."""
    async with PlainPhone(embedded_network) as bob:
        for number in (1, 2):
            tab.run("document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()")
            await bob.event("ring", number, seconds=40)
            await bob.do("answer", sdp="")
            await bob.event("talking", number)
            if number == 1:
                await bob.do("hang_up")
                await until(tab, "document.body.dataset.phone == 'none'")
        await asyncio.to_thread(page.go, f"{page.run('location.origin')}/call")
        await until(page, "/Calls now: 1[^]*R: [0-9]+ of 148/.test(document.querySelector('[sse-swap]').innerText)")
        drawn = "[...document.querySelectorAll('svg')].map(each => each.getAttribute('aria-label'))"
        await until(page, f"{drawn}.some(each => / one way[^]* [0-9.]+ ms$/.test(each))")
        labels = page.run(drawn)
        look(page, "call-live")
        assert len(labels) == 5
        delay_ms = float(next(each for each in labels if " one way" in each).split()[-2])
        assert 20 < delay_ms < 2_000, "three relays, each with a wait for its slot"
        assert "operator" not in page.text()
        await bob.do("hang_up")


async def test_a_call_in_rings_is_muted_and_the_browser_hangs_up(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    async with PlainPhone(embedded_network) as bob:
        await bob.do("dial", to=CALLER, sdp="")
        await until(tab, "document.body.dataset.phone == 'ring'")
        assert tab.run(SAID).endswith(CALLEE)
        look(tab, "phone-ring")
        tab.run("document.getElementById('answer').click()")
        await bob.event("talking", seconds=30)
        await until(tab, "peer.connectionState == 'connected'")
        tab.run("document.getElementById('mute').click()")
        await asyncio.sleep(1)
        heard = bob.sounds[-1].heard
        before = len(heard)
        async with asyncio.timeout(20):
            while len(heard) - before < 50:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.05)
        stamps = [packet.timestamp for _, packet in heard[before:] if packet.payload_type == 96]
        assert {(later - sooner) % 960 for sooner, later in pairwise(stamps)} == {0}, "muted, but whole frames"
        assert {len(packet.payload) for _, packet in heard if packet.payload_type == 96} == {FRAME_OCTETS}, "and as long"
        tab.run("document.getElementById('hang_up').click()")
        await bob.event("ended")


async def test_digits_and_a_hold(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    """Who holds is sent no sound; digits arrive each and in order."""
    async with PlainPhone(embedded_network) as bob:
        tab.run("document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()")
        await bob.event("ring", seconds=40)
        await bob.do("answer", sdp="")
        await bob.event("talking")
        await until(tab, "peer.connectionState == 'connected'")
        sound = bob.sounds[-1]

        async def speak() -> None:
            while True:
                sound.send(b"\xf8" + 59 * b"x")
                await asyncio.sleep(0.02)

        speaking = asyncio.create_task(speak())
        await until(tab, f"{RECEIVED}.then(count => count > 20)")
        tab.run("for (const digit of '55#') document.querySelector(`[data-digit='${digit}']`).click()")
        async with asyncio.timeout(20):
            while len(digits := [event for (event, _), _ in groupby((p.payload[0], p.timestamp) for _, p in sound.heard if p.payload_type != 96)]) < 3:  # noqa: ASYNC110 - a list
                await asyncio.sleep(0.05)
        assert digits == [5, 5, 11]
        tab.run("document.getElementById('hold').click()")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.held")
        await asyncio.sleep(0.4)
        before = tab.run(RECEIVED)
        await asyncio.sleep(0.6)
        assert tab.run(RECEIVED) == before
        tab.run("document.getElementById('hold').click()")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.talking")
        await until(tab, f"{RECEIVED}.then(count => count > {before} + 20)")
        speaking.cancel()


async def test_cancelled_and_declined(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    """As caller and as callee; what the other phone is told is what the browser's user did, and the other way round."""
    call = "document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()"
    over = "document.body.dataset.phone == 'none'"
    async with PlainPhone(embedded_network) as bob:
        tab.run(call)
        await bob.event("ring", seconds=40)
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.rings")
        tab.run("document.getElementById('hang_up').click()")
        await bob.event("ended")
        await until(tab, over)
        tab.run(call)
        await bob.event("ring", 2, seconds=40)
        await bob.do("hang_up")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.declined")
        for number, click in enumerate(("decline", None), 3):
            await bob.do("dial", to=CALLER, sdp="")
            await until(tab, "document.body.dataset.phone == 'ring'")
            if click is None:
                await bob.do("hang_up")
            else:
                tab.run(f"document.getElementById('{click}').click()")
            await bob.event("ended", number)
            await until(tab, over)
        assert [each["why"] for each in bob.told if each.get("event") == "ended"] == ["ended", "ended", "declined", "ended"]


async def test_busy(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    """Each in a call with the echo of its own box, when the other calls."""
    async with PlainPhone(embedded_network) as bob:
        await bob.do("dial", to="*43", sdp="")
        await bob.event("talking")
        tab.run("document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.busy")
        await bob.do("hang_up")
        tab.run("document.getElementById('echo').click()")
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.talking")
        await bob.do("dial", to=CALLER, sdp="")
        assert (await bob.event("ended", 2))["why"] == "busy"


async def test_texts(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    async with PlainPhone(embedded_network) as bob:
        tab.run(
            "document.getElementById('text-to').value = 'bob'; document.getElementById('text-said').value = 'Grüße <b>'; document.getElementById('text').requestSubmit()"
        )
        assert (await bob.event("text"))["text"] == "Grüße <b>"
        await until(tab, f"{SAID} == document.getElementById('phone').dataset.textSent")
        await bob.do("text", to=CALLER, text="<i>back</i>")
        await bob.event("text-sent")
        await until(tab, f"document.getElementById('texts').textContent == '{CALLEE}: <i>back</i>'")


async def test_a_tab_that_is_closed_in_mid_call_ends_the_call(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    async with PlainPhone(embedded_network) as bob:
        tab.run("document.getElementById('to').value = 'bob'; document.getElementById('dial').requestSubmit()")
        await bob.event("ring", seconds=40)
        await bob.do("answer", sdp="")
        await bob.event("talking")
        origin = tab.run("location.origin")
        await asyncio.to_thread(tab.go, f"{origin}/state")
        await bob.event("ended", seconds=30)


async def test_two_tabs_ring_and_the_one_that_answers_has_the_call(embedded_network: EmbeddedNetwork, browser: Browser, tab: Tab) -> None:
    other = browser.tab()
    other.size(1200, HEIGHT)
    other.go(str(tab.run("location.href")))
    other.wait("!document.getElementById('call').disabled")
    async with PlainPhone(embedded_network) as bob:
        await bob.do("dial", to=CALLER, sdp="")
        for each in (tab, other):
            await until(each, "document.body.dataset.phone == 'ring'")
        other.run("document.getElementById('answer').click()")
        await bob.event("talking", seconds=30)
        await until(other, f"{SAID} == document.getElementById('phone').dataset.talking")
        await until(tab, "document.body.dataset.phone == 'none'")
        await asyncio.to_thread(tab.go, "about:blank")  # the tab that has no call may go
        await asyncio.sleep(1)
        assert other.run("document.body.dataset.phone") == "call"
        other.run("document.getElementById('hang_up').click()")
        await bob.event("ended")
    other.close()


async def test_without_a_microphone_it_says_so_and_calls_nobody(tab: Tab) -> None:
    tab.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('none'))")
    tab.run("document.getElementById('echo').click()")
    await until(tab, f"{SAID} == document.getElementById('phone').dataset.microphone")
    assert tab.run("document.body.dataset.phone") == "none"


async def test_what_the_socket_is_told_that_is_nothing_ends_nothing(tab: Tab) -> None:
    tab.wait("!document.getElementById('call').disabled")
    for what in (
        "{",
        "[]",
        "null",
        '{"do":"fly"}',
        '{"do":"dial","to":"a b","sdp":""}',
        '{"do":"dial","to":"bob","sdp":"v=0"}',
        '{"do":"digit","digit":7}',
        "[" * 5_000,
    ):
        tab.run(f"socket.send({what!r})")
        tab.wait("document.body.dataset.phone == 'none'")
    assert tab.run("socket.readyState") == 1
    tab.run("socket.send('x'.repeat(30000))")
    tab.wait("socket.readyState == 3")
    assert tab.run(SAID) == "That is longer than a phone says.", "not that the box is gone"


def test_the_socket_is_behind_the_login_and_for_this_page_alone(embedded_network: EmbeddedNetwork, tab: Tab) -> None:
    origin = str(tab.run("location.origin"))
    place = origin.removeprefix("http://")
    for told in (f"Origin: {origin}", "Origin: http://evil.example"):
        with socket.create_connection(("127.0.0.1", int(place.rpartition(":")[2])), timeout=20) as stranger:
            head = f"GET /phone/socket HTTP/1.1\r\nHost: {place}\r\n{told}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
            stranger.sendall(head.encode())
            assert b" 403 " in stranger.recv(4096).partition(b"\r\n")[0]


async def test_frames_of_a_browser_are_the_same_at_the_far_phone(embedded_network: EmbeddedNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    """aiortc in the place of the browser, so that it is known what was sent."""
    from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription  # noqa: PLC0415 - heavy

    from tests.support.frames import Frames  # noqa: PLC0415 - as above

    home = embedded_network.boxes[CALLER].home
    login = ask(home, "browser_phone")
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: [login["address"]])
    browser, frames = RTCPeerConnection(RTCConfiguration(iceServers=[])), Frames()
    browser.addTrack(frames)
    await browser.setLocalDescription(await browser.createOffer())
    told: list[dict[str, str]] = []
    account = Account(login["user"], Secret(login["password"].encode()), login["host"])
    line = Line(account, login["address"], login["port"], [login["address"]], told.append)
    async with PlainPhone(embedded_network) as bob:
        await line.start()
        await line.handle(json.dumps({"do": "dial", "to": "bob", "sdp": browser.localDescription.sdp}))
        answer = next(each["sdp"] for each in told if "sdp" in each)
        await browser.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        await bob.event("ring", seconds=40)
        await bob.do("answer", sdp="")
        await bob.event("talking")
        await asyncio.sleep(2.5)
        heard = [packet.payload for _, packet in bob.sounds[-1].heard]
        await line.stop()
    await browser.close()
    sent = set(frames.sent)
    assert len(heard) > 50
    assert [payload for payload in heard if payload not in sent] == [], "every frame is one that was sent, octet for octet"
    assert heard == sorted(heard, key=frames.sent.index)
