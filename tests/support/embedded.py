"""Running embedded networks for the tests that need whole boxes. [io]

They are in the private network namespace that tests/conftest.py moves the run into.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voicebox.control import ask
from voicebox.demo.network import EmbeddedNetwork, Node, Plan

CALLER, CALLEE = "alice", "bob"
READY_S = 120.0
"""On a machine that starts one interpreter in twenty seconds; it takes three where nothing else runs."""


def start_network(directory: Path, plan: Plan | None = None) -> EmbeddedNetwork:
    """Set a network up, start it and wait until its boxes have their standing circuits."""
    network = EmbeddedNetwork(directory, plan)
    network.set_up()
    return running(network)


def running(network: EmbeddedNetwork) -> EmbeddedNetwork:
    """Start a network that was set up, and wait until its boxes have their standing circuits."""
    try:
        network.start()
        network.wait_ready(READY_S)
    except BaseException:
        network.stop()
        raise
    return network


def leave_dummies(network: EmbeddedNetwork) -> None:
    """Start the boxes anew that are in a dummy, for a test whose call is to have both circuits: it would have one of them for minutes."""
    while busy := [box for box in network.boxes.values() if told(box)["dummies"]["now"]]:
        _start_anew(network, busy)


def leave_phones(network: EmbeddedNetwork) -> None:
    """Start the boxes anew that still have a phone or a call, of a test that failed: a phone that died is registered for minutes, and each call rings it, too."""
    _start_anew(network, [box for box in network.boxes.values() if (status := told(box))["phones"] or status["sip"]["calls"]])


def _start_anew(network: EmbeddedNetwork, boxes: list[Node]) -> None:
    for box in boxes:
        network.stop_node(box)
        network.start_node(box)
    if boxes:
        network.wait_ready(READY_S)


def has_ipv6() -> bool:
    """Return whether this machine lets anybody listen on ::1."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def told(node: Node) -> dict[str, Any]:
    """Return what a running node says of itself, without a process of its own for the question. Raises UsageError where it does not run, HostError where it does not answer."""
    status: dict[str, Any] = ask(node.home, "status")["status"]
    return status


def wait_until(condition: Callable[[], bool], what: str, timeout_s: float = 10.0) -> None:
    """Wait for a condition. Fails naming what did not come."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"{what} did not come within {timeout_s:.0f} s"
        time.sleep(0.05)
