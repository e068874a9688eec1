"""What every test shares: how much fuzzing, and Hypothesis without a deadline.

The order is random and its seed is in pytest's first lines (`-p randomly -p "randomly_seed=N"` repeats a run).
VOICEBOX_LONG=1 (`make test-long`) makes every fuzz run a hundred times as long.

The whole run, and in it each process of a run with several (tools/run_tests.py), happens in a network namespace of its own with nothing but a loopback: nothing can
leave the machine, no port is taken, and the tests may capture. Where namespaces are forbidden they run on the plain loopback, and those that capture fail with what is missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.embedded import has_ipv6, running
from voicebox.config.model import with_option
from voicebox.demo.namespace import enter_private_network
from voicebox.demo.network import EmbeddedNetwork, Plan

SYSTEM = Path(__file__).parent / "system"
LONG = os.environ.get("VOICEBOX_LONG") == "1"

# No deadline: the machine is shared, and how fast a parser is belongs to the benchmarks. The blob repeats a failure exactly.
hypothesis.settings.register_profile("normal", deadline=None, print_blob=True, max_examples=200)
hypothesis.settings.register_profile("long", deadline=None, print_blob=True, max_examples=20_000)
hypothesis.settings.load_profile("long" if LONG else "normal")


def pytest_configure() -> None:
    """Leave the machine's network before anything has a thread."""
    enter_private_network()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what lives in real time by where it is and what it uses, before markers choose; leave to the long run what takes minutes of a quiet machine."""
    for item in items:
        if item.path.is_relative_to(SYSTEM) or "embedded_network" in getattr(item, "fixturenames", ()):
            item.add_marker("system")
    left_out = [] if LONG else [item for item in items if item.get_closest_marker("long")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def prepared_network(tmp_path_factory: pytest.TempPathFactory) -> EmbeddedNetwork:
    """Six relays and two boxes, set up, for the whole run."""
    network = EmbeddedNetwork(tmp_path_factory.mktemp("network"), Plan(ipv6=has_ipv6()))
    network.set_up()
    for number, box in enumerate(network.boxes.values()):  # both boxes are on one machine here
        settings = box.home / "box.yaml"
        settings.write_text(with_option(settings.read_text(), "page", f"127.0.0.1:{5080 + number}"))
    return network


@pytest.fixture(scope="module")
def embedded_network(prepared_network: EmbeddedNetwork) -> Iterator[EmbeddedNetwork]:
    """Six relays and two boxes with standing circuits, started for one file, so that they load the machine for no other and forget what that did to them."""
    with running(prepared_network) as network:
        yield network


@pytest.fixture(scope="session")
def fuzz_inputs() -> int:
    """Return how many inputs one parser gets: 10^5, or 10^7 in the long run."""
    return 10_000_000 if LONG else 100_000


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the fuzz tests counted: pytest shows nothing of a test that passes."""
    lines = [
        line
        for report in terminalreporter.getreports("passed")
        if report.when == "call" and "fuzz" in report.keywords
        for line in report.capstdout.splitlines()
        if line.strip()
    ]
    if lines:
        terminalreporter.section("inputs of the fuzz tests")
        for line in sorted(lines):
            terminalreporter.write_line(line)
