"""Mutated descriptors and network files: taken only as they were signed, refused with their line otherwise."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.support.mutation import fuzz
from tests.support.networks import make_network
from voicebox.circuits.descriptor import parse_descriptor, sign_descriptor
from voicebox.circuits.network import parse_network
from voicebox.errors import FileProblem

pytestmark = pytest.mark.fuzz

SMALL = make_network(guards=1, junctions=1)


def test_descriptors(fuzz_inputs: int) -> None:
    older = [sign_descriptor(replace(relay.descriptor, former_key=bytes(1216)), relay.identity_key) for relay in SMALL.relays]
    texts = [verified.text for verified in (*(relay.verified for relay in SMALL.relays), *older)]

    def take(octets: bytes) -> None:
        assert parse_descriptor(octets.decode("utf-8", "replace"), "descriptor").text in texts, "a descriptor that nobody signed was taken"

    counts = fuzz("descriptors", fuzz_inputs, [text.encode() for text in texts], take, FileProblem)
    assert counts["refused"] > counts["taken"]


def test_network_files(fuzz_inputs: int) -> None:
    text = SMALL.network.text

    def take(octets: bytes) -> None:
        assert parse_network(octets.decode("utf-8", "replace"), "network").text == text, "a relay that nobody vouched for was taken"

    counts = fuzz("network files", fuzz_inputs, [text.encode(), make_network(1, 1).network.text.encode()[:1500]], take, FileProblem)
    assert counts["refused"] > counts["taken"]
