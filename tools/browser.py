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
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = ("--headless", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--hide-scrollbars")
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
    """A running browser: a context manager. Raises RuntimeError where it does not do what it is asked, or says nothing for a minute."""

    def __init__(self, path: str) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="voicebox-browser-")
        pipes = [_high(end) for pair in (os.pipe(), os.pipe()) for end in pair]
        theirs_in, self._out, self._in, theirs_out = pipes
        rights = ["--no-sandbox"] if os.geteuid() == 0 else []  # as root it has no sandbox of its own
        self._process = subprocess.Popen(
            [path, *OPTIONS, *rights, "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(theirs_in, 3), os.dup2(theirs_out, 4)),  # noqa: PLW1509  # there is no thread, and it wants 3 and 4
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._numbers = itertools.count(1)
        self._rest = b""
        self._events: list[dict[str, Any]] = []

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

    def show(self, page: Path, width: int, height: int, *, scale: float = 1.0) -> Seen:
        """Show a file at a width and return a picture of all of it. height: of the window, px; scale: px of the picture for each."""
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        where = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for what in ("Network", "Page", "Log", "Runtime"):
            self._ask(f"{what}.enable", where)
        self._ask("Emulation.setDeviceMetricsOverride", where, width=width, height=height, deviceScaleFactor=scale, mobile=False)
        self._events.clear()
        self._ask("Page.navigate", where, url=page.as_uri())
        self._wait_for("Page.loadEventFired")
        self._read_for(SETTLE_S)
        found = self._ask("Runtime.evaluate", where, expression="document.documentElement.scrollWidth")
        size = self._ask("Page.getLayoutMetrics", where)["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": width, "height": max(height, size["height"]), "scale": 1}
        picture = self._ask("Page.captureScreenshot", where, format="png", captureBeyondViewport=True, clip=clip)
        requests = [event["params"]["request"]["url"] for event in self._events if event["method"] == "Network.requestWillBeSent"]
        complaints = [event["params"]["entry"]["text"] for event in self._events if event["method"] == "Log.entryAdded"]
        self._ask("Target.closeTarget", targetId=target)
        return Seen(base64.b64decode(picture["data"]), requests, int(found["result"]["value"]), complaints)

    def _ask(self, method: str, where: str = "", **params: object) -> dict[str, Any]:
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

    def _wait_for(self, method: str) -> None:
        until_s = time.monotonic() + ANSWER_S
        while not any(event["method"] == method for event in self._events):
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
            self._events.append(said)
        return said


def _high(end: int) -> int:
    """Return an end of a pipe under a number that is in nobody's way."""
    high = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return high
