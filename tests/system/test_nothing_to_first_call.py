"""Two people who have nothing yet, each behind a router that masquerades, and a network of eight relays: eight commands to their first call. [io]"""

from __future__ import annotations

import array
import json
import os
import resource
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.embedded import wait_until
from tests.support.houses import INSIDE, House, Internet
from voicebox.demo.network import EmbeddedNetwork, Plan
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

PLAN = Plan(boxes=(), prefix="203.0.113", guards=tuple(f"guard-{number}" for number in range(1, 7)))
COMMAND_S, TALK_S = 180.0, 3.0
MACHINE_S = 60.0
READY = "its circuits stand"
LOUD = 1_000
"""Of 32 767: speech is louder than that somewhere, silence and noise of codecs nowhere."""


class Person:
    """Somebody with a house and a directory, who types commands; each is counted."""

    typed = 0

    def __init__(self, house: House, home: Path) -> None:
        self.house, self.home = house, home
        self.running: list[subprocess.Popen[str]] = []

    def types(self, *words: str) -> str:
        """Type a command; return what it printed."""
        done = subprocess.run(self._command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def is_told(self, *words: str) -> str:
        """Type a command that fails; return what it complains about."""
        done = subprocess.run(self._command(*words), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_S, check=False)
        assert done.returncode == 1, done.stdout
        return done.stderr

    def starts(self, *words: str) -> subprocess.Popen[str]:
        """Type a command that goes on."""
        log = (self.home.parent / f"{self.home.name}.{words[0]}.log").open("w")
        with log:
            process = subprocess.Popen(self._command(*words), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, text=True)
        self.running.append(process)
        return process

    def waits(self) -> None:
        """Wait until the box says that it is ready."""
        wait_until(lambda: READY in self.said("run"), "a box that is ready", COMMAND_S)

    def said(self, word: str) -> str:
        """Return what a command that goes on has printed."""
        return (self.home.parent / f"{self.home.name}.{word}.log").read_text()

    def _command(self, *words: str) -> list[str]:
        Person.typed += 1
        return [*self.house.inside.wrapper, sys.executable, "-m", "voicebox", *words, "--home", str(self.home)]

    def end(self) -> None:
        """End what goes on."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait(20)


@contextmanager
def town(directory: Path) -> Iterator[tuple[EmbeddedNetwork, Person, Person]]:
    """Run the relays; yield their network, and Ann and Bob in their houses."""
    network = EmbeddedNetwork(directory / "network", PLAN)
    with Internet([PLAN.relay_address(name).address for name in network.relays]) as internet, network:
        people = [Person(internet.house(), directory / name) for name in ("ann", "bob")]
        for node in network.relays.values():
            node.wrapper = internet.namespace.wrapper
        network.set_up()
        network.start()
        try:
            yield network, people[0], people[1]
        finally:
            for person in people:
                person.end()


def machine_s(running: list[int]) -> float:
    """Return the processor time, in seconds, of all children that have ended, and of those that run."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    ticks = sum(sum(map(int, Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[11:13])) for process in running)
    return ended.ru_utime + ended.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


def loudest(file: Path) -> int:
    with wave.open(str(file)) as heard:
        return max(map(abs, array.array("h", heard.readframes(heard.getnframes()))), default=0)


def test_eight_commands_from_nothing_to_the_first_call(tmp_path: Path) -> None:
    with town(tmp_path) as (network, ann, bob):
        relays = [node.process.pid for node in network.relays.values() if node.process is not None]
        begun, used_s, Person.typed = time.monotonic(), machine_s(relays), 0
        listed = ("--network", network.network_line, str(network.directory / "network"), "--phone", "desk", "--sip", f"{INSIDE}:5060")

        ann.types("init", "--name", "Ann", *listed)
        ann.starts("run")
        ann.waits()
        words = json.loads(ann.types("invite", "bob", "--yes", "--json"))["words"]

        bob.types("init", "--name", "Bob", *listed)
        bob.starts("run")
        bob.waits()
        assert "ann is a contact now" in bob.types("accept", words, "ann", "--yes", "--wait", "120")

        speech, heard = make_speech(tmp_path / "speech.wav", 0, 5, "pcma"), tmp_path / "heard.wav"
        bob.starts("phone", "run", "desk", "--auto-answer", "--record", str(heard))
        wait_until(lambda: "registered" in bob.said("phone"), "bob's phone at his box", 60)
        ann.types("phone", "run", "desk", "--dial", "sip:bob.privacy", "--play", str(speech), "--seconds", str(TALK_S))

        commands, wall_s = Person.typed, time.monotonic() - begun
        used_s = machine_s([*relays, *(process.pid for person in (ann, bob) for process in person.running)]) - used_s
        print(f"{commands} commands, {wall_s:.1f} s by the clock, {used_s:.1f} s of processor time of all nodes, commands and phones together")
        assert commands <= 8
        assert used_s < MACHINE_S
        assert "connected" in bob.said("phone")
        wait_until(lambda: "recorded" in bob.said("phone"), "what bob's phone heard", 20)
        assert all(person.house.masqueraded() > 0 for person in (ann, bob))

        assert loudest(heard) > LOUD
        assert "used already" in bob.is_told("accept", words, "again", "--yes")
