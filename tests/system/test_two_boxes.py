"""Two boxes over six relays with short epochs: calls again and again, over the end of an epoch, after a restart, after a relay's death. [io]"""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.embedded import CALLEE, CALLER, leave_dummies, start_network, wait_until
from voicebox.demo.network import EmbeddedNetwork, Node, Plan
from voicebox.demo.phones import PhoneDriver, PhoneSetup, phone_for
from voicebox.demo.speech import make_speech

pytestmark = pytest.mark.system

EPOCH_S = 40
PLAN = Plan(first_port=47_600, epoch_s=EPOCH_S, prefix="127.0.79")
RING_TIMEOUT_S = 8.0
"""A knock at a dead junction takes 2 s, then the other one is tried."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedNetwork]:
    with start_network(tmp_path_factory.mktemp("epochs"), PLAN) as running:
        yield running


@contextmanager
def phones(network: EmbeddedNetwork, directory: Path) -> Iterator[tuple[PhoneDriver, PhoneDriver]]:
    """Yield two registered phones; the callee's answers by itself."""

    def make(name: str, speaker: int) -> PhoneDriver:
        plan = network.plan
        play = make_speech(directory / f"{name}.wav", speaker, 5, "pcma")
        sip, rtp = plan.phone_sip(name), plan.phone_rtp_port(name)
        login = network.login(name)
        return phone_for(PhoneSetup(name=name, login=login, address=sip.address, sip_port=sip.port, rtp_port=rtp, play=play, ring_s=0.2), directory / name)

    with make(CALLER, 0) as caller, make(CALLEE, 1) as callee:
        for phone in (caller, callee):
            phone.wait_for("registered")
        yield caller, callee


def status(network: EmbeddedNetwork, name: str) -> dict[str, Any]:
    found = network.status(network.boxes[name], show_path=True)
    assert found is not None
    return dict(found)


def calling(network: EmbeddedNetwork, name: str) -> list[dict[str, Any]]:
    return [circuit for circuit in status(network, name)["circuits"] if circuit["in_call"]]


def moved(network: EmbeddedNetwork, name: str) -> bool:
    """Return whether a call is over circuits of the present epoch, and over no other."""
    return {circuit["present"] for circuit in calling(network, name)} == {True}


def wait_for_epoch_after(network: EmbeddedNetwork, epoch: int) -> None:
    wait_until(lambda: status(network, CALLER)["epoch"] > epoch, "the next epoch", EPOCH_S + 5)


def nothing_wrong(network: EmbeddedNetwork) -> None:
    for node in (*network.relays.values(), *network.boxes.values()):
        told = network.status(node)
        if node.process is not None:
            assert told is not None
            assert told["engine"]["broke_protocol"] == 0
            assert told["engine"]["bad_command"] == 0
            assert told["engine"]["panics"] == 0
            assert told.get("sip", {}).get("bugs", 0) == 0
            assert not [name for name in told["counters"] if name.startswith("bug_")]


def test_call_after_call_and_after_a_restart_and_a_restored_backup(network: EmbeddedNetwork, tmp_path: Path) -> None:
    """At last the caller's box was killed and started, and the callee's machine was lost and its box made anew from a backup."""

    def restart(node: Node) -> None:
        network.stop_node(node, signal.SIGKILL)
        network.start_node(node)

    def restore(node: Node) -> None:
        (tmp_path / "passphrase").write_text("five words that nobody knows")
        words = (str(tmp_path / "backup"), "--passphrase-file", str(tmp_path / "passphrase"))
        network.voicebox("backup", *words, home=node.home)
        network.stop_node(node, signal.SIGKILL)
        shutil.rmtree(node.home)
        node.home = node.home.with_name("another-machine")
        network.voicebox("restore", *words, home=node.home)
        network.start_node(node)

    with phones(network, tmp_path) as (caller, callee):
        for count in range(1, 4):
            caller.dial(f"sip:{CALLEE}.privacy")
            caller.wait_for("connected", timeout_s=RING_TIMEOUT_S, count=count)
            time.sleep(0.5)
            (caller if count % 2 else callee).hang_up()
            callee.wait_for("ended", count=count)
            caller.wait_for("ended", count=count)
    nothing_wrong(network)
    for name, other in ((CALLER, CALLEE), (CALLEE, CALLER)):
        (contact,) = json.loads(network.voicebox("contact", "list", "--json", home=network.boxes[name].home))
        assert (contact["petname"], contact["met"]) == (other, True)
    restart(network.boxes[CALLER])
    restore(network.boxes[CALLEE])
    network.wait_ready()
    (tmp_path / "again").mkdir()
    with phones(network, tmp_path / "again") as (caller, callee):
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=RING_TIMEOUT_S)
        callee.hang_up()
        caller.wait_for("ended")
    nothing_wrong(network)


def test_dummies_come_and_go_and_ring_no_phone(network: EmbeddedNetwork, tmp_path: Path) -> None:
    """In epochs of 40 s a box begins one every 20 s."""
    network.wait_ready()
    with phones(network, tmp_path) as (_, callee):
        seen: list[int] = []

        def any_yet() -> bool:
            told = [status(network, name) for name in (CALLER, CALLEE)]
            assert not any(circuit["in_call"] for each in told for circuit in each["circuits"])
            seen.append(told[0]["dummies"]["now"])
            return all(each["dummies"]["last_hour"] for each in told) and {0, 1} <= set(seen)

        wait_until(any_yet, "a dummy", 180)
        assert "incoming" not in callee.events
    assert "dummy splices of this box in the last hour" in network.voicebox("status", home=network.boxes[CALLER].home)
    nothing_wrong(network)


@pytest.mark.long
def test_call_goes_on_over_the_end_of_its_epoch(network: EmbeddedNetwork, tmp_path: Path) -> None:
    network.wait_ready()
    with phones(network, tmp_path) as (caller, callee):
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=RING_TIMEOUT_S)
        wait_for_epoch_after(network, status(network, CALLER)["epoch"])
        assert status(network, CALLER)["ready"], "the new epoch's circuits stand at its first slot"
        wait_until(lambda: all(moved(network, name) for name in (CALLER, CALLEE)), "the call's move to the new epoch's circuits", EPOCH_S / 3 + 3)
        wait_until(lambda: all(len(status(network, name)["circuits"]) == 2 for name in (CALLER, CALLEE)), "the end of the former circuits", EPOCH_S / 3)
        assert "ended" not in caller.events + callee.events
        assert callee.events.count("incoming") == 1
        caller.hang_up()
        callee.wait_for("ended")
        time.sleep(1.5)
        caller.dial(f"sip:{CALLEE}.privacy")
        caller.wait_for("connected", timeout_s=RING_TIMEOUT_S, count=2)
        assert {circuit["present"] for circuit in calling(network, CALLER)} == {True}
        caller.hang_up()
        callee.wait_for("ended", count=2)
    nothing_wrong(network)


@pytest.mark.long
def test_call_outlives_a_relay_of_its_path_and_the_next_takes_the_other_junction(tmp_path: Path) -> None:
    """In a network of its own, which is broken afterwards: a relay's peers notice after a minute that it started anew."""
    plan = Plan(first_port=47_700, prefix="127.0.80")
    with start_network(tmp_path / "network", plan) as network:
        leave_dummies(network)
        with phones(network, tmp_path) as (caller, callee):
            caller.dial(f"sip:{CALLEE}.privacy")
            caller.wait_for("connected", timeout_s=RING_TIMEOUT_S)
            wait_until(lambda: len(calling(network, CALLER)) == len(calling(network, CALLEE)) == 2, "the second circuit")
            first = next(circuit for circuit in calling(network, CALLER) if not circuit["spare"])
            dead = network.relays[first["relays"][1].removeprefix("operator of ")]
            network.stop_node(dead, signal.SIGKILL)
            wait_until(lambda: len(calling(network, CALLER)) == len(calling(network, CALLEE)) == 1, "the end of the dead path, after 10 s", 15)
            (left,) = calling(network, CALLER)
            assert left["relays"][1] != first["relays"][1]
            time.sleep(2)
            assert "ended" not in caller.events + callee.events
            caller.hang_up()
            callee.wait_for("ended")
            time.sleep(1)
            caller.dial(f"sip:{CALLEE}.privacy")
            caller.wait_for("connected", timeout_s=RING_TIMEOUT_S + 4, count=2)
            circuit = next(circuit for circuit in calling(network, CALLER) if not circuit["spare"])
            assert circuit["relays"][1] != f"operator of {dead.name}"
            caller.hang_up()
            callee.wait_for("ended", count=2)
            nothing_wrong(network)
