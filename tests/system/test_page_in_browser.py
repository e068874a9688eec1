"""The page in a real browser, over a box with standing circuits: from the link on, every page in both looks, narrow and wide. Chromium, where it is installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.embedded import CALLEE, CALLER
from tests.support.page import PASSPHRASE
from tools.browser import Browser, Tab, find_browser
from voicebox.cli.page import link_to, page_origin
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.skipif(find_browser() is None, reason="no browser is installed")

OPTIONS = ("--disable-quic", "--disable-component-update", "--disable-sync")
PAGES = ("/state", "/contacts", f"/contacts/of/{CALLEE}", "/phones", "/phones/of/desk", "/phone", "/call", "/cost", "/backup", "/nothing")
HEIGHT = 800


@pytest.fixture(scope="module")
def tab(embedded_network: EmbeddedNetwork) -> Iterator[Tab]:
    """Return a tab of somebody who came in by the link."""
    path, home = find_browser(), embedded_network.boxes[CALLER].home
    assert path is not None
    with Browser(path, OPTIONS) as browser:
        tab = browser.tab()
        tab.size(1200, HEIGHT)
        tab.go(link_to(home, page_origin(home)))
        assert tab.run("location.hash") == "", "the token is out of the address bar"
        tab.send("form[action='/enter']", passphrase=PASSPHRASE, again=PASSPHRASE)
        tab.wait("location.pathname == '/state'")
        yield tab


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_every_page_fits_and_asks_nobody_else(tab: Tab, width: int, dark: bool) -> None:
    tab.size(width, HEIGHT, dark=dark)
    origin = tab.run("location.origin")
    for page in PAGES:
        tab.go(f"{origin}{page}")
        tab.wait("document.readyState == 'complete'")
        seen = tab.seen()
        assert seen.scroll_width <= width, page
        assert all(request.startswith((origin, "data:,")) for request in seen.requests), seen.requests
        assert [each for each in seen.complaints if "404" not in each] == [], page
        background = tab.run("getComputedStyle(document.body).backgroundColor")
        assert (background == "rgb(18, 22, 28)") is dark
        assert len(seen.png) > 5_000, "something is drawn"


def test_state_and_call_go_on_by_themselves(tab: Tab) -> None:
    origin = tab.run("location.origin")
    tab.go(f"{origin}/call")
    tab.run("document.querySelector('[sse-swap]').textContent = 'old'")
    tab.wait("document.querySelectorAll('[sse-swap] svg').length == 3")
    tab.go(f"{origin}/state")
    tab.run("document.querySelector('[hx-get]').textContent = 'old'")
    tab.wait("document.querySelector('[hx-get] dl') !== null")


def test_without_scripts_a_probe_is_made(tab: Tab) -> None:
    """The one thing that takes long: the page says how far it is, and asks again by itself."""
    origin = tab.run("location.origin")
    tab.go(f"{origin}/call")
    tab.send("form[action='/call/probe']", petname=CALLEE)
    tab.wait("document.querySelector('progress') !== null")
    tab.wait("Number(document.querySelector('progress').value) >= 2", 40)
