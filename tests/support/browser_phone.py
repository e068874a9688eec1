"""The phone on a box's page, in a real Chromium without a window, driven as the phones that others wrote are. [io]

Its page is clicked as somebody would, and what the page is told is what it says. The microphone plays a file; it is asked for without the browser's noise suppression, which takes
a tone for noise. What the page plays is recorded from its own audio element.
"""

from __future__ import annotations

import base64
import time
import wave
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.support.page import PASSPHRASE
from tests.support.tone import write_tone
from tools.browser import Browser, Tab, find_browser
from voicebox.cli.page import link_to, page_origin
from voicebox.demo.phones import PhoneDriver, PhoneSetup
from voicebox.errors import HostError

NAME = "browser"
OPTIONS = (
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
    "--allow-loopback-in-peer-connection",
    "--autoplay-policy=no-user-gesture-required",
)
LOOK_EVERY_S = 0.1
RECORDED_HZ = 8_000
TONE_S = 15.0
EVENTS = {"registered": "registered", "gone": "unregistered", "ring": "incoming", "rings": "ringing", "ended": "ended"}
"""What the page is told, in the drivers' words; that it is in a call counts when a second of its sound was sent, for which WebRTC takes a moment more."""
SPOKEN_PACKETS = 50
"""A phone may keep nothing of what it hears behind the first digit, as baresip 1.0 does, so no digit is pressed before."""
STATUSES = {"busy": 486, "declined": 603}
LISTEN = """(() => {
  const told = [], sound = [];
  socket.addEventListener("message", (message) => { const said = JSON.parse(message.data); if (said.event) told.push(said); });
  const microphone = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = () => microphone({ audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } });
  const context = new AudioContext({ sampleRate: RATE }), recorder = context.createScriptProcessor(1024, 1, 1);
  recorder.onaudioprocess = (event) => { if (peer) sound.push(Int16Array.from(event.inputBuffer.getChannelData(0), (each) => 32767 * each)); };
  recorder.connect(context.destination);
  let heard = null;
  at("heard").addEventListener("loadedmetadata", () => { heard?.disconnect(); heard = context.createMediaStreamSource(at("heard").srcObject); heard.connect(recorder); });
  globalThis.look = async () => {
    let packets = 0, sent = 0;
    if (peer) (await peer.getStats()).forEach((each) => { packets += (each.type === "inbound-rtp" && each.packetsReceived) || 0; sent += (each.type === "outbound-rtp" && each.packetsSent) || 0; });
    return { told: told.splice(0), packets, sent };
  };
  globalThis.recorded = () => new Promise((done) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.split(",")[1] ?? "");
    reader.readAsDataURL(new Blob(sound));
  });
})()"""


class BrowserPhone(PhoneDriver):
    """One browser with the phone's page of a box. home: the box's."""

    def __init__(self, setup: PhoneSetup, directory: Path, home: Path) -> None:
        super().__init__(setup, directory)
        self._home = home
        self._browser: Browser | None = None
        self._tab: Tab | None = None
        self._looked_s = 0.0
        self._came: list[tuple[int, int]] = []
        """(the kernel's clock in ns, RTP packets that came in the present call)."""
        self._talks = False

    def _launch(self) -> None:
        path = find_browser()
        if path is None:
            raise HostError("no browser is installed. On Debian: apt-get install chromium")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._browser = Browser(path, (*OPTIONS, f"--use-file-for-fake-audio-capture={self.setup.play}"))
        self._tab = tab = self._browser.tab()
        tab.size(1200, 900)
        origin = page_origin(self._home)
        tab.go(link_to(self._home, origin))
        tab.send("form[action='/enter']", passphrase=PASSPHRASE, again=PASSPHRASE)
        tab.go(f"{origin}/phone")
        tab.run(LISTEN.replace("RATE", str(RECORDED_HZ)))
        self.note("ready")
        tab.wait("!document.getElementById('call').disabled", 30)
        self.note("registered")

    def _run(self, script: str) -> Any:
        with self._lock:
            assert self._tab is not None
            try:
                return self._tab.run(script)
            except RuntimeError as problem:
                raise HostError(f"the browser {self.setup.name!r} does not do that: {problem}") from None

    def _click(self, name: str) -> None:
        self._run(f"document.getElementById('{name}').click()")

    def _poll(self) -> None:
        if time.monotonic() - self._looked_s < LOOK_EVERY_S or self._tab is None:
            return
        looked = self._run("look()")
        self._looked_s = time.monotonic()
        self._came.append((time.time_ns(), int(looked["packets"])))
        for said in looked["told"]:
            if said["event"] == "ended":
                self.status = STATUSES.get(said["why"], 0)
            self._talks = self._talks or said["event"] == "talking"
            if said["event"] == "ended":
                self._note_talking()
            if said["event"] in EVENTS:
                self.note(EVENTS[said["event"]])
        if looked["sent"] >= SPOKEN_PACKETS:
            self._note_talking()

    def _note_talking(self) -> None:
        if self._talks:
            self._talks = False
            self.note("connected")

    def received(self, between_ns: tuple[int, int]) -> int:
        """Return how many RTP packets came to the browser in a stretch of time, as far as looks fall into it."""
        begin, end = between_ns
        looks = [packets for at_ns, packets in self._came if begin <= at_ns < end]
        return sum(max(0, after - before) for before, after in pairwise(looks))

    def running(self) -> bool:
        return self._browser is not None and self._browser.running()

    def dial(self, uri: str) -> None:
        self._run(f"at('to').value = '{uri}'; at('dial').requestSubmit()")

    def answer(self) -> None:
        self._click("answer")

    def hang_up(self) -> None:
        self._click("hang_up")

    def hold(self) -> None:
        """Put the call on hold."""
        self._click("hold")

    def resume(self) -> None:
        """Take the call off hold."""
        self._click("hold")

    def press(self, digits: str) -> None:
        """Send digits as RFC 4733 events."""
        for digit in digits:
            self._run(f"document.querySelector(`[data-digit='{digit}']`).click()")

    def heard(self) -> Path | None:
        path = self.directory / "heard.wav"
        return path if path.exists() else None

    def stop(self) -> None:
        self._stopping.set()
        if self._listener is not None:
            self._listener.join()
        browser, self._browser = self._browser, None
        if browser is None:
            return
        with browser:
            if self._tab is not None and "registered" in self.events:
                self._keep(base64.b64decode(self._run("recorded()")))
                self._tab.close()
        self._tab = None

    def _keep(self, samples: bytes) -> None:
        with wave.open(str(self.directory / "heard.wav"), "wb") as file:
            file.setparams((1, 2, RECORDED_HZ, 0, "NONE", ""))
            file.writeframes(samples)


def make_browser_phone(name: str, tone_hz: int, directory: Path, home: Path) -> BrowserPhone:
    """Return the phone of a box's page, which plays its tone."""
    play = write_tone(directory / f"{name}.wav", tone_hz, TONE_S, 48_000)
    return BrowserPhone(PhoneSetup(name, None, "127.0.0.1", 0, 0, play, "opus"), directory / name, home)
