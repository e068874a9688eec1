"""`voicebox probe` and `voicebox doctor` with running boxes, by the command line: figures of both directions, no phone rings, nobody is named. [io]"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import voicebox.probe.report
from tests.support.embedded import CALLEE, CALLER, told, wait_until
from tests.support.schema import problems
from voicebox.control import ask
from voicebox.demo.network import EmbeddedNetwork

pytestmark = pytest.mark.system
SCHEMA = json.loads((Path(voicebox.probe.report.__file__).parent / "schema.json").read_text())


def told_to(network: EmbeddedNetwork, *words: str) -> subprocess.CompletedProcess[str]:
    """Give a command to the caller's box."""
    command = [sys.executable, "-m", "voicebox", *words, "--home", str(network.boxes[CALLER].home)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


def probe(network: EmbeddedNetwork, *arguments: str, whom: str = CALLEE) -> subprocess.CompletedProcess[str]:
    return told_to(network, "probe", whom, *arguments)


def in_call(network: EmbeddedNetwork, name: str) -> int:
    """Return how many circuits of a box are in a call of any kind."""
    return sum(circuit["in_call"] for circuit in told(network.boxes[name])["circuits"])


def test_figures_of_both_directions_and_the_call_ends(embedded_network: EmbeddedNetwork, tmp_path: Path) -> None:
    network = embedded_network
    done = probe(network, "--seconds", "2", "--json", "-", "--html", str(tmp_path / "page.html"))
    assert done.returncode in {0, 1, 2}, done.stderr
    figures = json.loads(done.stdout)
    assert problems(figures, SCHEMA) == []
    assert figures["outcome"] == "measured"
    for direction in figures["directions"].values():
        assert direction["sent"] == 100
        assert direction["received"] > 80, "but for what a busy machine does"
        assert direction["best_buffer"]["mouth_to_ear_ms"] > 40
    assert 5 < figures["round_trip_delay_ms"]["least"] < 1000
    assert (tmp_path / "page.html").stat().st_size < 200_000
    assert told(network.boxes[CALLER])["calls"] == 0, "it is nobody's call"
    assert 1 <= in_call(network, CALLER) <= 2, "the call goes on, as long as one of people might"
    assert probe(network, "--seconds", "1", "--json", "-").returncode in {0, 1, 2}, "and ends for the next probe"
    wait_until(lambda: all(1 <= in_call(network, name) <= 2 for name in (CALLER, CALLEE)), "the end of the first call")


def test_anybody_is_drawn_among_the_contacts_and_the_users_own_relays_are_named_where_asked_for(embedded_network: EmbeddedNetwork) -> None:
    done = probe(embedded_network, "--seconds", "1", "--codec", "g722", "--show-path", whom="echo")
    assert done.returncode in {0, 1, 2}, done.stderr
    assert f"you -> {CALLEE}" in done.stdout, "the only one there is"
    (named,) = (line for line in done.stdout.splitlines() if "your relays:" in line)
    circuits = ask(embedded_network.boxes[CALLER].home, "status", show_path=True)["status"]["circuits"]
    assert any(all(operator in named for operator in circuit["relays"]) for circuit in circuits)


def test_a_table_for_people(embedded_network: EmbeddedNetwork) -> None:
    done = probe(embedded_network, "--seconds", "1", "--codec", "pcma")
    assert done.returncode in {0, 1, 2}, done.stderr
    assert "verdict:" in done.stdout
    assert f"you -> {CALLEE}" in done.stdout
    assert "50 / " in done.stdout


def test_doctor_looks_at_the_running_box_and_its_report_names_nobody(embedded_network: EmbeddedNetwork) -> None:
    home = embedded_network.boxes[CALLER].home
    told_json = told_to(embedded_network, "doctor", "--json", "--call", "echo").stdout
    found = {finding["what"]: finding for finding in json.loads(told_json)["findings"]}
    assert found["circuits"]["grade"] == "good"
    assert found["registered"]["said"].startswith("no phone is")
    assert found["call"]["grade"] != "problem", found["call"]
    assert found["guards"]["said"].endswith("2 of them are") or "no spare" in found["guards"]["said"]
    assert found["ports"]["grade"] == "good"
    assert found["nat"]["said"] == "the relays are on this machine"
    assert {"links", "names", "reachable", "keeper"} <= found.keys()
    report = told_to(embedded_network, "doctor", "--report").stdout
    assert "circuits" in report
    for private in (str(home), embedded_network.plan.box_address(CALLER), CALLEE, "desk"):
        assert private not in report
