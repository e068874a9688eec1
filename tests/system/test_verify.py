"""Two people in a call compare a code, by the command line of their boxes. [io]"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.embedded import CALLEE, CALLER, told, wait_until
from voicebox.demo.network import EmbeddedNetwork
from voicebox.demo.phones import PhoneSetup, phone_for
from voicebox.demo.speech import make_speech
from voicebox.errors import HostError

pytestmark = pytest.mark.system


@contextmanager
def call(network: EmbeddedNetwork, directory: Path) -> Iterator[None]:
    """Have the caller's phone call the callee's."""

    def setup(name: str) -> PhoneSetup:
        sip, rtp = network.plan.phone_sip(name), network.plan.phone_rtp_port(name)
        play = make_speech(directory / f"{name}.wav", 0, 30, "pcma")
        return PhoneSetup(name=name, login=network.login(name), address=sip.address, sip_port=sip.port, rtp_port=rtp, play=play, ring_s=0.1)

    with phone_for(setup(CALLER), directory / CALLER) as caller, phone_for(setup(CALLEE), directory / CALLEE) as callee:
        for phone in (caller, callee):
            phone.wait_for("registered")
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=15.0)
        yield
        caller.hang_up()
        wait_until(lambda: told(network.boxes[CALLER])["calls"] == 0 == told(network.boxes[CALLEE])["calls"], "the end of the call")


def verify(network: EmbeddedNetwork, name: str, other: str, answer: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "voicebox", "verify", other, "--json", "--answer", answer, "--home", str(network.boxes[name].home)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def state(network: EmbeddedNetwork, name: str, other: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(network.voicebox("contact", "show", other, "--json", home=network.boxes[name].home))
    return found


def test_both_see_one_code_and_say_so(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    network = embedded_network
    with pytest.raises(HostError, match="in no call"):
        network.voicebox("verify", CALLEE, home=network.boxes[CALLER].home)
    with call(network, tmp_path):
        asked = [verify(network, CALLER, CALLEE, "yes"), verify(network, CALLEE, CALLER, "yes")]
        said = [process.communicate(timeout=60) for process in asked]
        assert [process.returncode for process in asked] == [0, 0], said
        codes = [json.loads(out) for out, _ in said]
        assert codes[0] == codes[1]
        assert len(codes[0]["digits"]) == 8
        assert len(codes[0]["words"]) == 4
        assert all("verified" in complaint for _, complaint in said)
        assert told(network.boxes[CALLER])["calls"] == 1, "the call goes on"
    for name, other in ((CALLER, CALLEE), (CALLEE, CALLER)):
        assert state(network, name, other)["state"] == "verified"
        assert told(network.boxes[name])["contacts_verified"] == 1
