"""A browser without a window, where one is installed: pictures of pages, and what they ask of anybody. [io]

Chromium, driven over a pipe by the Chrome DevTools Protocol (JSON objects, each ended by a zero octet), with a profile that is gone afterwards.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--hide-scrollbars",
)
ANSWER_S = 60.0
SETTLE_S = 0.3
MAX_OCTETS = 1 << 26


def find_browser() -> str | None:
    """Return where one is, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


@dataclass(frozen=True)
class Seen:
    """A page as it was shown. requests: what it asked for, itself first; scroll_width: px that it takes across; complaints: what its own policy or the browser said against it."""

    png: bytes
    requests: list[str]
    scroll_width: int
    complaints: list[str] = field(default_factory=list)


class Browser:
    """A running browser: a context manager. more: options of the command. Raises RuntimeError where it does not do what it is asked, or says nothing for a minute."""

    def __init__(self, path: str, more: Sequence[str] = ()) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="voicebox-browser-")
        pipes = [_high(end) for pair in (os.pipe(), os.pipe()) for end in pair]
        theirs_in, self._out, self._in, theirs_out = pipes
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []  # as root it has no sandbox of its own
        self._process = subprocess.Popen(
            [path, *OPTIONS, *rights, *more, "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(theirs_in, 3), os.dup2(theirs_out, 4)),  # noqa: PLW1509  # it wants 3 and 4; dup2 takes no lock that a thread could hold
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._out)
        os.close(self._in)
        for _ in range(20):  # its children write on for a moment
            shutil.rmtree(self._profile.name, ignore_errors=True)
            if not Path(self._profile.name).exists():
                break
            time.sleep(0.05)
        self._profile.cleanup()

    def running(self) -> bool:
        """Return whether its process lives."""
        return self._process.poll() is None

    def show(self, page: Path, width: int, height: int, *, scale: float = 1.0) -> Seen:
        """Show a file at a width and return a picture of all of it. height: of the window, px; scale: px of the picture for each."""
        tab = self.tab()
        tab.size(width, height, scale=scale)
        tab.go(page.as_uri())
        self._read_for(SETTLE_S)
        seen = tab.seen()
        tab.close()
        return seen

    def tab(self) -> Tab:
        """Open a tab, which shows nothing as yet."""
        return Tab(self)

    def ask(self, method: str, where: str = "", **params: object) -> dict[str, Any]:
        """Ask by the protocol. where: the tab, or the browser itself."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": params} | ({"sessionId": where} if where else {})
        os.write(self._out, json.dumps(asked).encode() + b"\0")
        until_s = time.monotonic() + ANSWER_S
        while True:
            said = self._next(until_s)
            if said.get("id") == number:
                if "error" in said:
                    raise RuntimeError(f"{method}: {said['error']}")
                answer: dict[str, Any] = said["result"]
                return answer

    def wait_for(self, method: str, where: str) -> None:
        """Wait until an event of a tab has come since `events` was cleared."""
        until_s = time.monotonic() + ANSWER_S
        while not any(event["method"] == method and event.get("sessionId") == where for event in self.events):
            self._next(until_s)

    def _read_for(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while select.select([self._in], [], [], max(0.0, until_s - time.monotonic()))[0]:
            self._next(until_s + ANSWER_S)

    def _next(self, until_s: float) -> dict[str, Any]:
        """Return what is said next; an event is kept."""
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, until_s - time.monotonic()))[0]:
                raise RuntimeError("the browser says nothing")
            more = os.read(self._in, 1 << 16)
            if not more or len(self._rest) > MAX_OCTETS:
                raise RuntimeError("the browser ended, or says too much")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        said: dict[str, Any] = json.loads(line)
        if "method" in said:
            self.events.append(said)
        return said


class Tab:
    """One tab of a browser, as somebody uses it. Contract: size(), then go(). Raises RuntimeError where something does not come about."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._target = browser.ask("Target.createTarget", url="about:blank")["targetId"]
        self._where = browser.ask("Target.attachToTarget", targetId=self._target, flatten=True)["sessionId"]
        self._width = self._height = 0
        for what in ("Network", "Page", "Log", "Runtime"):
            self.ask(f"{what}.enable")

    def ask(self, method: str, **params: object) -> dict[str, Any]:
        """Ask what the protocol has and this class has not."""
        return self._browser.ask(method, self._where, **params)

    def size(self, width: int, height: int, *, scale: float = 1.0, dark: bool = False) -> None:
        """Set the window, px, and which of the two looks the user likes."""
        self._width, self._height = width, height
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    def scripts(self, *, on: bool) -> None:
        """Let pages run scripts, or none."""
        self.ask("Emulation.setScriptExecutionDisabled", value=not on)

    def go(self, url: str) -> None:
        """Open an address and wait until it is loaded; what was asked and complained before is forgotten."""
        self._browser.events.clear()
        self.ask("Page.navigate", url=url)
        self._browser.wait_for("Page.loadEventFired", self._where)

    def run(self, script: str) -> Any:
        """Return the value of an expression of JavaScript, or of what it promises. Raises RuntimeError with what it threw."""
        found = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True)
        if "exceptionDetails" in found:
            raise RuntimeError(found["exceptionDetails"].get("exception", {}).get("description", "a script failed"))
        return found["result"].get("value")

    def wait(self, script: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true. Raises RuntimeError that has it where it does not become so."""
        until_s = time.monotonic() + seconds
        while True:
            try:
                if self.run(script):
                    return
            except RuntimeError:
                pass  # the page is just another one
            if time.monotonic() > until_s:
                raise RuntimeError(f"this did not come about: {script}")
            time.sleep(0.1)

    def send(self, form: str, **fields: str) -> None:
        """Fill the form that a CSS selector names, press its button, and wait for the page that follows."""
        self._browser.events.clear()
        for name, value in fields.items():
            self.run(f"document.querySelector({json.dumps(form)}).elements[{json.dumps(name)}].value = {json.dumps(value)}")
        self.run(f"document.querySelector({json.dumps(form)}).requestSubmit()")
        self._browser.wait_for("Page.loadEventFired", self._where)

    def text(self) -> str:
        """Return what is read on the page."""
        return str(self.run("document.body.innerText"))

    def seen(self) -> Seen:
        """Return the page as it is shown, whole, with what it asked for since it was opened."""
        scroll_width = int(self.run("document.documentElement.scrollWidth"))
        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": self._width, "height": max(self._height, size["height"]), "scale": 1}
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        events = [event for event in self._browser.events if event.get("sessionId") == self._where]
        requests = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
        complaints = [event["params"]["entry"]["text"] for event in events if event["method"] == "Log.entryAdded"]
        return Seen(base64.b64decode(picture["data"]), requests, scroll_width, complaints)

    def close(self) -> None:
        """Close it."""
        self._browser.ask("Target.closeTarget", targetId=self._target)


def _high(end: int) -> int:
    """Return an end of a pipe under a number that is in nobody's way."""
    high = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return high
