"""How a browser's phone sounds at a phone of another box over three relays, beside how the built-in phone does: what baresip recorded, by PLCMOS.

Chromium has speech for its microphone. The other side is silent meanwhile: a browser's echo canceller lowers who speaks while it is spoken to, which is not ours to score.
"""

from __future__ import annotations

import statistics
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER
from tests.support.page import PASSPHRASE
from tests.support.phones import free_port_block, installed, recordings_of
from tools.browser import Browser, find_browser
from voicebox.cli.page import link_to, page_origin
from voicebox.demo.codec import RATES_HZ
from voicebox.demo.network import EmbeddedNetwork
from voicebox.demo.phones import Baresip, BuiltinPhone, PhoneSetup
from voicebox.demo.quality import LOUD_ENOUGH, Plcmos, available, pieces_of, rms
from voicebox.demo.speech import make_speech, read_mono, write_wav

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(
        find_browser() is None or not installed("baresip") or not installed("pjsua2") or not available(),
        reason="it takes a browser, baresip, pjsua2 and PLCMOS",
    ),
]
OPTIONS = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream", "--allow-loopback-in-peer-connection")
TALK_S, SETTLES_S = 30.0, 2.0
WITHIN = 0.1


def setup_of(network: EmbeddedNetwork, name: str, codec: str, play: Path) -> PhoneSetup:
    """Return a phone of a box, which answers by itself."""
    ports = free_port_block(20)
    return PhoneSetup(name, network.login(name), "127.0.0.1", ports, ports + 4, play, codec, 0.3)


@contextmanager
def heard_by_baresip(network: EmbeddedNetwork, directory: Path, codec: str, scores: list[float]) -> Iterator[Baresip]:
    """Have a baresip at the callee's box; when it is gone, score each piece of 4 s of speech that it recorded."""
    directory.mkdir()
    rate_hz = RATES_HZ[codec]
    write_wav(directory / "silence.wav", array("h", bytes(2 * rate_hz * int(TALK_S + 10))), rate_hz)
    callee = Baresip(setup_of(network, CALLEE, codec, directory / "silence.wav"), directory / "phone")
    with callee:
        callee.wait_for("registered")
        yield callee
    model = Plcmos()
    for path in recordings_of(callee):
        rate_hz, samples = read_mono(path)
        scores += [model.score(piece, rate_hz) for piece in pieces_of(samples, rate_hz) if rms(piece) >= LOUD_ENOUGH]


def from_browser(network: EmbeddedNetwork, directory: Path) -> list[float]:
    path, home, scores = find_browser(), network.boxes[CALLER].home, list[float]()
    assert path is not None
    with heard_by_baresip(network, directory, "opus", scores) as callee:
        speech = make_speech(directory / "ours.wav", 0, TALK_S + 10, "opus")
        with Browser(path, (*OPTIONS, f"--use-file-for-fake-audio-capture={speech}")) as browser:
            tab = browser.tab()
            tab.size(1200, 800)
            origin = page_origin(home)
            tab.go(link_to(home, origin))
            tab.send("form[action='/enter']", passphrase=PASSPHRASE, again=PASSPHRASE)
            tab.go(f"{origin}/phone")
            tab.wait("!document.getElementById('call').disabled")
            tab.run(f"document.getElementById('to').value = '{CALLEE}'; document.getElementById('dial').requestSubmit()")
            callee.wait_for("connected", 40)
            tab.wait("peer.connectionState == 'connected'")
            time.sleep(SETTLES_S + TALK_S)
            tab.run("document.getElementById('hang_up').click()")
            callee.wait_for("ended")
    return scores


def from_builtin(network: EmbeddedNetwork, directory: Path) -> list[float]:
    scores: list[float] = []
    with heard_by_baresip(network, directory, "pcma", scores) as callee:
        speech = make_speech(directory / "ours.wav", 0, TALK_S + 10, "pcma")
        with BuiltinPhone(setup_of(network, CALLER, "pcma", speech), directory / "caller") as caller:
            caller.wait_for("registered")
            caller.dial(f"sip:{CALLEE}.privacy")
            callee.wait_for("connected", 40)
            time.sleep(SETTLES_S + TALK_S)
            caller.hang_up()
            callee.wait_for("ended")
    return scores


def test_a_browser_sounds_no_worse_than_the_built_in_phone(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    browser, builtin = from_browser(embedded_network, tmp_path / "browser"), from_builtin(embedded_network, tmp_path / "builtin")
    said = f"browser {[round(score, 2) for score in browser]}, built-in {[round(score, 2) for score in builtin]}"
    print(said)
    assert min(len(browser), len(builtin)) >= 4, said
    assert statistics.median(browser) >= statistics.median(builtin) - WITHIN, said
