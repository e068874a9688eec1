"""A web page that is fetched by name while two phones talk: who serves it and who fetches it. [io]

The server is one of this process at a port of its own; the callee's box offers it to the caller, and the page comes by the HTTP proxy of the caller's box, over the
circuits that carry the call. NOT here: the network (network.py), the call (run.py), what is told of it, and what a capture says of the links meanwhile (page_figures.py).
"""

from __future__ import annotations

import contextlib
import http.server
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from voicebox.demo.datagrams import Endpoint

OCTETS_PER_S = 2_500
"""Of talk: a third of what Opus leaves over two circuits, so that the page is there well before somebody hangs up."""
MAX_OCTETS = 100_000
TIMEOUT_S = 60.0
SEED = 8_118


@dataclass(frozen=True, slots=True)
class Fetched:
    """How a page came. begun_ns, ended_ns: of the machine's clock, as a capture has it; whole: each octet was the one that was served.

    beside: a call of people carried it, by the word of the fetching box.
    """

    octets: int
    whole: bool
    begun_ns: int
    ended_ns: int
    beside: bool

    @property
    def seconds(self) -> float:
        """Return how long it took."""
        return (self.ended_ns - self.begun_ns) / 1e9


class Page:
    """So many octets that are served at a port. Contract: `with Page(octets) as page`, then page.port and fetch()."""

    def __init__(self, octets: int) -> None:
        self._octets = octets_of(octets)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._octets))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        """Return where it is served, on this machine."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fetch(self, url: str, proxy: Endpoint) -> tuple[bytes, int, int]:
        """Fetch a URL by a box's HTTP proxy; return what came, and when it began and ended. What fails in between is no octet."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://{proxy.address}:{proxy.port}"}))
        begun_ns, came = time.time_ns(), b""
        with contextlib.suppress(urllib.error.URLError, OSError), opener.open(url, timeout=TIMEOUT_S) as answer:
            came = answer.read(len(self._octets) + 1)
        return came, begun_ns, time.time_ns()

    def is_whole(self, came: bytes) -> bool:
        """Return whether that is the page."""
        return came == self._octets


class Fetching:
    """One fetch in the background of who watches the phones."""

    def __init__(self, page: Page, url: str, proxy: Endpoint) -> None:
        self._came: tuple[bytes, int, int] | None = None
        self._page = page
        self.beside = False
        self._thread = threading.Thread(target=self._work, args=(url, proxy), daemon=True)
        self._thread.start()

    def _work(self, url: str, proxy: Endpoint) -> None:
        self._came = self._page.fetch(url, proxy)

    def done(self) -> bool:
        """Return whether it is over."""
        return not self._thread.is_alive()

    def result(self) -> Fetched | None:
        """Return what came of it; None where it is not over after a moment."""
        self._thread.join(1.0)
        if self._came is None:
            return None
        came, begun_ns, ended_ns = self._came
        return Fetched(len(came), self._page.is_whole(came), begun_ns, ended_ns, self.beside)


@contextlib.contextmanager
def served(seconds: int) -> Iterator[Page]:
    """Serve a page that can be fetched in so many seconds of talk."""
    with Page(min(MAX_OCTETS, OCTETS_PER_S * seconds)) as page:
        yield page


def octets_of(count: int) -> bytes:
    """Return the page: the same octets always, none of which can be guessed from those before."""
    return random.Random(SEED).randbytes(count)


def _handler(octets: bytes) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(len(octets)))
            self.end_headers()
            self.wfile.write(octets)

        def log_message(self, *_arguments: object) -> None:
            """Say nothing."""

    return Handler
