"""Whether contacts' boxes know the same junctions: news are no difference, a list that was kept back is one, and it is told once it lasts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import pytest

from tests.support.boxes import Box, acquaint, run
from tests.support.fake_engine import FakeWorld
from tests.support.gossip import node, one_round, without
from tests.support.networks import NOW, make_network, make_relay
from voicebox.b2bua.events import Codec, End, Offer
from voicebox.circuits.agreement import LIST_OCTETS, REMEMBERED_UNITS, Agreement, junctions_digest
from voicebox.circuits.call_record import RecordType
from voicebox.circuits.descriptor import Role
from voicebox.circuits.gossip import SETTLED_UNITS, Comparison
from voicebox.circuits.merge import merged
from voicebox.circuits.network import VerifiedNetwork
from voicebox.circuits.path import KNOWN_UNITS
from voicebox.circuits.voucher import vouch

TOWN = make_network(guards=4, junctions=3)
HOUR_US = 3_600_000_000
SHORT_S = 30
SHORT = make_network(guards=4, junctions=3, epoch_s=SHORT_S)
OFFER = Offer((Codec.OPUS,))
HIDDEN = TOWN.relays[-1].descriptor.relay_id
PARTIAL = without(TOWN.network, HIDDEN)
ALICE, BOB = bytes(32), bytes([1]) * 32


class Times:
    """Two who say what they know, and the time."""

    def __init__(self, alice: VerifiedNetwork, bob: VerifiedNetwork) -> None:
        self.now_us = (KNOWN_UNITS + 1) * HOUR_US
        self.lists = [alice, bob]
        self.alice, self.bob = (Agreement(lambda which=which: self.lists[which], lambda: self.now_us) for which in range(2))  # type: ignore[misc]  # a default

    def speak(self, hours: float = 0) -> list[dict[str, int]]:
        """Let time pass, then both speak; return what both tell their users."""
        self.now_us += int(hours * HOUR_US)
        alices, bobs = self.alice.own(), self.bob.own()
        self.alice.heard(BOB, bobs, self.now_us)
        self.bob.heard(ALICE, alices, self.now_us)
        return [self.alice.told(), self.bob.told()]


def test_lists_that_differ_by_news_agree() -> None:
    late, made = make_relay(Role.JUNCTION, "late", 4500), NOW + dt.timedelta(hours=KNOWN_UNITS)
    voucher = vouch(TOWN.network.network_id, late.descriptor.vouched, made, NOW + dt.timedelta(days=300), TOWN.voucher_key)
    newer = merged(TOWN.network, [late.verified.with_vouchers([voucher])], made)[0]
    times = Times(TOWN.network, newer)
    assert [times.speak(), times.speak(SETTLED_UNITS)] == [[{"agree": 1, "differ": 0}] * 2] * 2
    assert times.speak(KNOWN_UNITS) == [{"agree": 0, "differ": 0}] * 2, "by then alice should have heard of it"


def test_the_digest_is_of_all_that_the_choice_follows_from_and_of_nothing_else() -> None:
    epoch, network = KNOWN_UNITS + 2, TOWN.network
    relay = network.by_id[HIDDEN]
    wider = replace(network, by_id={**network.by_id, HIDDEN: replace(relay, descriptor=replace(relay.descriptor, mbit_s=11))})
    told = [junctions_digest(*each) for each in ((network, epoch), (network, epoch + 1), (PARTIAL, epoch), (wider, epoch), (SHORT.network, epoch))]
    assert len(set(told)) == 5
    guards = [each.descriptor.relay_id for each in TOWN.relays[:4]]
    assert junctions_digest(without(network, *guards), epoch) == told[0], "guards are nobody's business"


def test_a_difference_is_told_once_it_has_lasted_and_no_more_once_it_is_gone() -> None:
    times = Times(PARTIAL, TOWN.network)
    assert times.speak() == [{"agree": 0, "differ": 0}] * 2
    assert times.speak(SETTLED_UNITS - 0.1) == [{"agree": 0, "differ": 0}] * 2
    assert times.speak(0.2) == [{"agree": 0, "differ": 1}] * 2
    times.lists[0] = TOWN.network
    assert times.speak() == [{"agree": 1, "differ": 0}] * 2
    times.lists[0] = PARTIAL
    assert times.speak(SETTLED_UNITS) == [{"agree": 0, "differ": 0}] * 2, "it began anew"
    assert times.speak(SETTLED_UNITS) == [{"agree": 0, "differ": 1}] * 2
    times.now_us += REMEMBERED_UNITS * HOUR_US + 1
    assert times.alice.told() == {"agree": 0, "differ": 0}


@pytest.mark.parametrize("epochs", [-2, 2, 2**31])
def test_what_is_said_of_another_time_is_nothing(epochs: int) -> None:
    times = Times(PARTIAL, PARTIAL)
    said = times.bob.own()
    other = (int.from_bytes(said[:4], "big") + epochs).to_bytes(4, "big") + said[4:]
    times.alice.heard(BOB, other, times.now_us)
    assert times.alice.told() == {"agree": 0, "differ": 0}


def test_a_relay_that_serves_two_lists_is_found() -> None:
    """A guard of both boxes keeps a junction from one of them. By the rounds nothing shows; contacts find out."""
    alice, bob = node(PARTIAL), node(PARTIAL)
    for box, given in ((alice, PARTIAL), (bob, TOWN.network)):
        assert one_round(box, node(given), tell_news=False) == Comparison(0, kept_word=True)
    times = Times(alice.network, bob.network)
    times.speak()
    assert times.speak(SETTLED_UNITS) == [{"agree": 0, "differ": 1}] * 2
    one_round(alice, node(TOWN.network), tell_news=False)
    times.lists[0] = alice.network
    assert times.speak() == [{"agree": 1, "differ": 0}] * 2


def boxes(alice_knows: VerifiedNetwork, start_us: int) -> tuple[FakeWorld, Box, Box]:
    world = FakeWorld(SHORT, start_us)
    alice, bob = Box(world, "alice", 2, 1), Box(world, "bob", 2, 2)
    alice.network = alice_knows
    acquaint(world, [alice, bob], 8)
    return world, alice, bob


def test_boxes_say_it_in_their_calls() -> None:
    hidden = SHORT.relays[-1].descriptor.relay_id
    world, alice, bob = boxes(without(SHORT.network, hidden), (KNOWN_UNITS + 1) * SHORT_S * 1_000_000)
    for seconds in (SETTLED_UNITS * SHORT_S, 0):
        leg = alice.calls.call("bob", OFFER, alice.listener)
        run(world, [alice, bob], 4)
        leg.send(End())
        run(world, [alice, bob], seconds)
    assert [box.agreement.told() for box in (alice, bob)] == [{"agree": 0, "differ": 1}] * 2


@pytest.mark.parametrize("octets", [0, LIST_OCTETS - 1, LIST_OCTETS + 1])
def test_another_length_ends_the_call(octets: int) -> None:
    world, alice, bob = boxes(SHORT.network, 5_000_000)
    alice.calls.call("bob", OFFER, alice.listener)
    run(world, [alice, bob], 4)
    circuit = next(circuit for circuit in alice.standing.present() if circuit.busy)
    alice.plane.channel_send(circuit.link, circuit.circuit, bytes([RecordType.LIST]) + bytes(octets))
    run(world, [alice, bob], 1)
    assert bob.events[-1] == End()
