"""The page of a probe and the plot of a sweep in a real browser: nothing is asked of anybody, nothing runs out of the window. Chromium, where it is installed."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.probes import Path as Wire
from tests.support.probes import probed
from tools.browser import Browser, find_browser
from tools.sweep import picture
from voicebox.probe.codecs import ProbeCodec
from voicebox.probe.page import page

ROOT = Path(__file__).resolve().parents[2]
WIDE, NARROW, HEIGHT = 1200, 400, 900

pytestmark = [pytest.mark.system, pytest.mark.skipif(find_browser() is None, reason="no browser is installed")]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = find_browser()
    assert path is not None
    with Browser(path) as running:
        yield running


def size_of(png: bytes) -> tuple[int, int]:
    """Return the width and height of a PNG (ISO 15948 §11.2.2)."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    width, height = struct.unpack_from(">II", png, 16)
    return width, height


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    _, result = probed(Wire(60, 25, 0.03), codec=ProbeCodec.OPUS24, seconds=30)
    place = tmp_path_factory.mktemp("page") / "page.html"
    place.write_text(page(result, "2026-01-31T12:30Z"))
    return place


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_page_of_a_probe_asks_nobody_and_fits(browser: Browser, file: Path, width: int) -> None:
    seen = browser.show(file, width, HEIGHT)
    assert seen.requests == [file.as_uri()], "itself, and nothing from anywhere"
    assert seen.complaints == []
    assert seen.scroll_width <= width
    assert size_of(seen.png)[0] == width
    assert size_of(seen.png)[1] > HEIGHT, "there is more on it than in one window"
    assert len(seen.png) > 20_000, "something is drawn"
    (file.parent / f"{width}.png").write_bytes(seen.png)


def test_a_page_that_asks_is_found_out(browser: Browser, tmp_path: Path) -> None:
    asks = tmp_path / "asks.html"
    asks.write_text('<!doctype html><img src="http://192.0.2.1/x.png"><p style="width:2000px">wide</p>')
    seen = browser.show(asks, NARROW, HEIGHT)
    assert len(seen.requests) == 2
    assert seen.scroll_width > NARROW


def test_plot_of_a_sweep_becomes_a_picture(tmp_path: Path) -> None:
    assert picture(ROOT / "tools" / "sweep.svg", tmp_path / "plot.png")
    width, height = size_of((tmp_path / "plot.png").read_bytes())
    assert (width, height) == (2 * 780, 2 * 280)
