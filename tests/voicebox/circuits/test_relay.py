"""What a relay lets in: creates of its own role only, each once, at a bounded rate; extends to junctions of the network only."""

from __future__ import annotations

import datetime as dt
from random import Random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.networks import NOW, make_network, make_relay, vouched_network
from tests.support.networks import RelayKeys as RelayOfNetwork
from voicebox.circuits.descriptor import Role, VerifiedDescriptor
from voicebox.circuits.handshake import HopBinding, begin_hop, finish_hop
from voicebox.circuits.limits import CREATES_PER_S_AND_LINK
from voicebox.circuits.network import new_network
from voicebox.circuits.relay import MAX_WAITING_EXTENDS, RECONNECT_US, Relay, RelayKeys
from voicebox.circuits.relay_state import link_certificate
from voicebox.circuits.shown import DESCRIPTOR_EXTENSION
from voicebox.circuits.speech import RefusalReason
from voicebox.circuits.voucher import vouch
from voicebox.errors import HandshakeError, HostError
from voicebox.sensitive import Secret

SMALL = make_network()
NETWORK = SMALL.network
GUARD = next(relay for relay in SMALL.relays if relay.descriptor.role is Role.GUARD)
OTHER_GUARD = next(relay for relay in SMALL.relays if relay.descriptor.role is Role.GUARD and relay is not GUARD)
JUNCTION = next(relay for relay in SMALL.relays if relay.descriptor.role is Role.JUNCTION)
NOW_US = 10_000_000


class Plane:
    """Writes down what the relay wants."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self.hosts: list[str] = []
        self._links = 100

    def connect(self, address: str, port: int, pin: bytes, certificate: bytes, key: bytes) -> int:
        self.hosts.append(address)
        if ":" in address:
            raise HostError("no IPv6 here")
        self._links += 1
        self.log.append(("connect", port, pin, certificate, key))
        return self._links

    def disconnect(self, link: int) -> None:
        self.log.append(("disconnect", link))

    def accept(self, link: int, circuit: int, forward: bytes, backward: bytes, created: bytes, junction: bool, *steps_us: int) -> None:
        self.log.append(("accept", link, circuit, forward, backward, created, junction, *steps_us))

    def refuse(self, link: int, circuit: int, reason: int) -> None:
        self.log.append(("refuse", link, circuit, reason))

    def extend(self, link: int, circuit: int, next_link: int, next_circuit: int, handshake: bytes) -> None:
        self.log.append(("extend", link, circuit, next_link, next_circuit, handshake))

    def refuse_extend(self, link: int, circuit: int, reason: int) -> None:
        self.log.append(("refuse_extend", link, circuit, reason))

    def take(self) -> list[tuple[object, ...]]:
        log, self.log = self.log, []
        return log


def make(which: RelayOfNetwork) -> tuple[Relay, Plane]:
    plane = Plane()
    relay = Relay(plane, NETWORK, which.descriptor, RelayKeys(which.identity_key, b"certificate", Secret(b"key")), Random(1))
    if which is GUARD:
        relay.link_up(1, None, NOW_US, incoming=True)
    else:
        relay.link_up(1, GUARD.descriptor.link_pin, NOW_US, incoming=True)
    assert plane.take() == []
    return relay, plane


def binding(which: RelayOfNetwork, circuit: int = 5, epoch: int = 0) -> HopBinding:
    return HopBinding(NETWORK.network_id, which.descriptor.identity, circuit, epoch)


def shows(verified: VerifiedDescriptor) -> bytes:
    """Return a certificate that holds a descriptor; whose key it is of is the engine's to say, in the pin."""
    return link_certificate(ec.generate_private_key(ec.SECP256R1()), NOW, x509.UnrecognizedExtension(DESCRIPTOR_EXTENSION, verified.text.encode()))


def unlisted(role: Role = Role.GUARD, *, key: Ed25519PrivateKey = SMALL.voucher_key, days: int = 90, port: int = 4_900) -> VerifiedDescriptor:
    """Return a relay that the list does not have, with a voucher."""
    verified = make_relay(role, "a friend", port).verified
    return verified.with_vouchers([vouch(NETWORK.network_id, verified.descriptor.vouched, NOW, NOW + dt.timedelta(days=days), key)])


def test_a_guard_that_no_list_has_is_let_in_by_the_vouchers_that_its_certificate_shows() -> None:
    relay, plane = make(JUNCTION)
    friend = unlisted()
    relay.link_up(2, friend.descriptor.link_pin, NOW_US, incoming=True, certificate=shows(friend))
    assert plane.take() == []
    relay.create(2, 5, begin_hop(binding(JUNCTION)).handshake, NOW_US)
    assert plane.take()[0][:3] == ("accept", 2, 5)
    assert relay.links() == {"access": 0, "relay": 2}


def test_who_shows_something_else_is_let_go() -> None:
    relay, plane = make(JUNCTION)
    friend, stranger = unlisted(), unlisted(key=Ed25519PrivateKey.generate())
    withdrawn, junction = unlisted(days=-1), unlisted(Role.JUNCTION)
    none = make_relay(Role.GUARD, "a friend", 4_900).verified
    listed = OTHER_GUARD.verified
    wrong = [
        (friend.descriptor.link_pin, None),
        (friend.descriptor.link_pin, b""),
        (friend.descriptor.link_pin, link_certificate(ec.generate_private_key(ec.SECP256R1()), NOW)),
        (friend.descriptor.link_pin, shows(friend)[:-1]),
        (bytes(32), shows(friend)),
        (stranger.descriptor.link_pin, shows(stranger)),
        (withdrawn.descriptor.link_pin, shows(withdrawn)),
        (junction.descriptor.link_pin, shows(junction)),
        (none.descriptor.link_pin, shows(none)),
        (bytes(32), shows(listed)),
        (friend.descriptor.link_pin, shows(friend) + bytes(8_192)),
    ]
    for number, (pin, certificate) in enumerate(wrong, 10):
        relay.link_up(number, pin, NOW_US, incoming=True, certificate=certificate)
        assert plane.take() == [("disconnect", number)], number
    assert relay.counters["link_not_of_the_network"] == len(wrong)


def test_what_the_list_has_withdrawn_does_not_come_back_by_what_it_shows() -> None:
    friend = unlisted()
    gone = vouch(NETWORK.network_id, friend.descriptor.vouched, NOW + dt.timedelta(hours=1), NOW, SMALL.voucher_key)
    knows = new_network(NETWORK.terms, [*(relay.verified for relay in NETWORK.relays), friend.with_vouchers([gone])])
    relay, plane = make(JUNCTION)
    relay.use(knows)
    later_us = NOW_US + 3_600_000_000
    relay.link_up(2, friend.descriptor.link_pin, later_us, incoming=True, certificate=shows(friend))
    assert plane.take() == [("disconnect", 2)]
    other = make_relay(Role.GUARD, "a friend", 4_901).verified.with_vouchers(friend.vouchers)
    relay.link_up(3, other.descriptor.link_pin, later_us, incoming=True, certificate=shows(other))
    assert plane.take() == [("disconnect", 3)], "vouchers are for one relay"


@pytest.mark.parametrize("which", [GUARD, JUNCTION])
@pytest.mark.parametrize("epoch", [0, 1])
def test_create_is_answered_with_the_keys_that_the_owner_finds(which: RelayOfNetwork, epoch: int) -> None:
    relay, plane = make(which)
    pending = begin_hop(binding(which, epoch=epoch))
    relay.create(1, 5, pending.handshake, NOW_US)
    ((name, link, circuit, forward, backward, created, junction, *steps_us),) = plane.take()
    assert steps_us == [5_000, 5_000], "nobody asked for more"
    assert (name, link, circuit, junction) == ("accept", 1, 5, which is JUNCTION)
    assert isinstance(created, bytes)
    keys = finish_hop(pending, created)
    assert (keys.forward.reveal(), keys.backward.reveal()) == (forward, backward)


@pytest.mark.parametrize("epoch", [2, 7])
def test_create_of_another_epoch_is_refused(epoch: int) -> None:
    relay, plane = make(GUARD)
    relay.create(1, 5, begin_hop(binding(GUARD, epoch=epoch)).handshake, NOW_US)
    assert plane.take() == [("refuse", 1, 5, RefusalReason.HANDSHAKE)]


def created_of(plane: Plane) -> bytes:
    ((name, _, _, _, _, created, *_),) = plane.take()
    assert name == "accept"
    assert isinstance(created, bytes)
    return created


def test_answer_to_a_create_that_came_on_another_circuit_is_noticed() -> None:
    relay, plane = make(GUARD)
    pending = begin_hop(binding(GUARD, 6))
    relay.create(1, 5, pending.handshake, NOW_US)
    with pytest.raises(HandshakeError):
        finish_hop(pending, created_of(plane))


def test_junk_is_refused() -> None:
    relay, plane = make(GUARD)
    for octets in (b"", bytes(1220), bytes(4) + bytes(range(256)) * 4 + bytes(192)):
        relay.create(1, 5, octets, NOW_US)
    assert plane.take() == [("refuse", 1, 5, RefusalReason.HANDSHAKE)] * 3


def test_replayed_create_is_refused_within_its_epoch() -> None:
    relay, plane = make(GUARD)
    pending = begin_hop(binding(GUARD))
    relay.create(1, 5, pending.handshake, NOW_US)
    relay.create(1, 5, pending.handshake, NOW_US + 1)
    assert [entry[0] for entry in plane.take()] == ["accept", "refuse"]
    relay.create(1, 5, pending.handshake, NOW_US + NETWORK.epoch_us)
    assert plane.take() == [("refuse", 1, 5, RefusalReason.HANDSHAKE)], "an epoch later it is of no epoch any more"


def test_create_over_the_wrong_kind_of_link_is_refused() -> None:
    for which in (GUARD, JUNCTION):
        relay, plane = make(which)
        relay.create(99, 5, begin_hop(binding(which)).handshake, NOW_US)
        assert plane.take() == [("refuse", 99, 5, RefusalReason.NOT_HERE)]


def test_guard_is_a_middle_for_other_relays() -> None:
    relay, plane = make(GUARD)
    relay.link_up(2, OTHER_GUARD.descriptor.link_pin, NOW_US, incoming=True)
    relay.create(2, 5, begin_hop(binding(GUARD)).handshake, NOW_US)
    (accepted,) = plane.take()
    assert (*accepted[:3], accepted[6]) == ("accept", 2, 5, False)
    relay.extend(2, 5, OTHER_GUARD.descriptor.relay_id, 77, b"h", NOW_US)
    assert plane.take() == [("refuse_extend", 2, 5, RefusalReason.UNKNOWN_RELAY)], "a path has one middle"
    relay.extend(2, 5, JUNCTION.descriptor.relay_id, 77, b"h", NOW_US)
    assert [entry[:2] for entry in plane.take()] == [("connect", JUNCTION.descriptor.addresses[0].port)]


def test_a_middle_takes_the_step_of_relay_links_both_ways() -> None:
    relay, plane = make(GUARD)
    relay.link_up(2, OTHER_GUARD.descriptor.link_pin, NOW_US, incoming=True)
    relay.take_jitter([(1, 40_000), (2, 20_000)])
    relay.create(2, 5, begin_hop(binding(GUARD)).handshake, NOW_US)
    (accepted,) = plane.take()
    assert accepted[7:] == (20_000, 20_000)


def test_guard_extends_its_boxes_circuits_to_a_middle() -> None:
    relay, plane = make(GUARD)
    relay.extend(1, 5, OTHER_GUARD.descriptor.relay_id, 77, b"h", NOW_US)
    assert [entry[:2] for entry in plane.take()] == [("connect", OTHER_GUARD.descriptor.addresses[0].port)]


def test_box_at_a_junction_and_relay_of_another_network_are_let_go() -> None:
    relay, plane = make(JUNCTION)
    relay.link_up(7, None, NOW_US, incoming=True)
    relay.link_up(8, b"x" * 32, NOW_US, incoming=True)
    assert plane.take() == [("disconnect", 7), ("disconnect", 8)]
    assert relay.counters["link_not_of_the_network"] == 2


def test_creates_are_bounded_in_every_second() -> None:
    relay, plane = make(GUARD)
    for _ in range(1_000):
        relay.create(1, 5, b"", NOW_US)
    reasons = [entry[3] for entry in plane.take()]
    assert CREATES_PER_S_AND_LINK / 2 < reasons.count(RefusalReason.HANDSHAKE) <= CREATES_PER_S_AND_LINK
    assert reasons.count(RefusalReason.HANDSHAKE) + reasons.count(RefusalReason.BUSY) == 1_000
    relay.create(1, 5, b"", NOW_US + 1_000_000)
    assert plane.take() == [("refuse", 1, 5, RefusalReason.HANDSHAKE)]


def test_at_the_months_cap_circuits_of_this_epoch_are_taken_and_none_of_the_next() -> None:
    relay, plane = make(GUARD)
    answers = []
    for reached, circuit, epoch in ((True, 5, 0), (True, 6, 1), (False, 7, 1)):
        relay.close(NOW_US, reached=reached)
        relay.create(1, circuit, begin_hop(binding(GUARD, circuit, epoch)).handshake, NOW_US)
        answers.append(plane.take()[0][0])
    assert answers == ["accept", "refuse", "accept"]


def test_extend_opens_one_link_and_waits_for_it() -> None:
    relay, plane = make(GUARD)
    target = JUNCTION.descriptor
    relay.extend(1, 5, target.relay_id, 77, b"handshake", NOW_US)
    relay.extend(2, 6, target.relay_id, 78, b"another", NOW_US)
    assert plane.take() == [("connect", target.addresses[0].port, target.link_pin, b"certificate", b"key")]
    relay.circuit_ended(2, 6)
    relay.link_up(101, target.link_pin, NOW_US, incoming=False)
    assert plane.take() == [("extend", 1, 5, 101, 77, b"handshake")]
    relay.extend(3, 7, target.relay_id, 79, b"third", NOW_US)
    assert plane.take() == [("extend", 3, 7, 101, 79, b"third")]
    assert relay.links() == {"access": 1, "relay": 1}


def test_extend_to_a_dead_junction_is_refused_and_tried_again_later() -> None:
    relay, plane = make(GUARD)
    target = JUNCTION.descriptor.relay_id
    relay.extend(1, 5, target, 77, b"h", NOW_US)
    relay.link_gone(101, NOW_US)
    relay.extend(1, 6, target, 78, b"h", NOW_US + RECONNECT_US - 1)
    assert [entry[0] for entry in plane.take()] == ["connect", "refuse_extend", "refuse_extend"]
    relay.extend(1, 7, target, 79, b"h", NOW_US + RECONNECT_US)
    assert [entry[0] for entry in plane.take()] == ["connect"]


def test_addresses_of_a_relay_are_tried_in_turn_and_what_this_host_cannot_reach_is_passed_over() -> None:
    relay, plane = make(GUARD)
    many = make_relay(Role.JUNCTION, "op9", 4900, hosts=("127.0.0.1", "2001:db8::1", "127.0.0.2"))
    target = many.descriptor
    relay.use(vouched_network([*SMALL.relays, many], [SMALL.voucher_key], 1))
    plane.hosts = []
    relay.extend(1, 5, target.relay_id, 77, b"h", NOW_US)
    relay.link_gone(101, NOW_US)
    assert plane.take()[1:] == [("refuse_extend", 1, 5, RefusalReason.UNREACHABLE)]
    relay.extend(1, 6, target.relay_id, 78, b"h", NOW_US + RECONNECT_US)
    assert plane.take() == [("refuse_extend", 1, 6, RefusalReason.UNREACHABLE)], "no IPv6 here"
    relay.extend(1, 7, target.relay_id, 79, b"h", NOW_US + RECONNECT_US)
    relay.link_up(102, target.link_pin, NOW_US, incoming=False)
    relay.link_gone(102, NOW_US)
    relay.extend(1, 8, target.relay_id, 80, b"h", NOW_US + RECONNECT_US)
    assert plane.hosts == ["127.0.0.1", "2001:db8::1", "127.0.0.2", "127.0.0.2"], "what worked is tried first"


def test_relays_that_are_new_in_the_network_are_taken_while_it_runs() -> None:
    relay, plane = make(GUARD)
    new = make_relay(Role.JUNCTION, "op9", 4900)
    relay.extend(1, 5, new.descriptor.relay_id, 77, b"h", NOW_US)
    relay.use(vouched_network([*SMALL.relays, new], [SMALL.voucher_key], 1))
    relay.extend(1, 5, new.descriptor.relay_id, 77, b"h", NOW_US)
    assert [entry[0] for entry in plane.take()] == ["refuse_extend", "connect"]


def test_extends_that_wait_are_bounded() -> None:
    relay, plane = make(GUARD)
    for number in range(MAX_WAITING_EXTENDS + 3):
        relay.extend(1, number, JUNCTION.descriptor.relay_id, number, b"h", NOW_US)
    assert [entry[0] for entry in plane.take()].count("refuse_extend") == 3


@pytest.mark.parametrize("relay_id", [bytes(32), b"", GUARD.descriptor.relay_id], ids=["zeros", "nothing", "itself"])
def test_extend_to_anybody_else_is_refused(relay_id: bytes) -> None:
    relay, plane = make(GUARD)
    relay.extend(1, 5, relay_id, 77, b"h", NOW_US)
    assert plane.take() == [("refuse_extend", 1, 5, RefusalReason.UNKNOWN_RELAY)]


def test_junction_extends_to_nobody() -> None:
    relay, plane = make(JUNCTION)
    relay.extend(1, 5, JUNCTION.descriptor.relay_id, 77, b"h", NOW_US)
    assert plane.take() == [("refuse_extend", 1, 5, RefusalReason.UNKNOWN_RELAY)]


def test_guard_that_extends_to_another_relay_than_asked_is_noticed() -> None:
    """The owner asked for one junction; another one's answer, or the guard's own, does not verify."""
    other, plane = make(JUNCTION)
    wanted = next(relay for relay in SMALL.relays if relay.descriptor.role is Role.JUNCTION and relay is not JUNCTION)
    pending = begin_hop(binding(wanted))
    other.create(1, 5, pending.handshake, NOW_US)
    with pytest.raises(HandshakeError):
        finish_hop(pending, created_of(plane))
    own = begin_hop(binding(JUNCTION))
    other.create(1, 5, own.handshake, NOW_US)
    created = created_of(plane)
    with pytest.raises(HandshakeError):
        finish_hop(pending, created)
    finish_hop(own, created)


def steps_of_the_next(relay: Relay, plane: Plane, which: RelayOfNetwork, circuit: int) -> tuple[object, ...]:
    relay.create(1, circuit, begin_hop(binding(which, circuit)).handshake, NOW_US)
    return plane.take()[0][-2:]


def test_a_guard_gives_new_circuits_the_steps_of_the_two_classes_of_links() -> None:
    relay, plane = make(GUARD)
    for link in (2, 3, 4):
        relay.link_up(link, None, NOW_US, incoming=True)
    relay.link_up(9, JUNCTION.descriptor.link_pin, NOW_US, incoming=True)
    relay.take_jitter([(1, 15_000), (2, 15_000), (3, 10_000), (4, 40_000), (9, 20_000), (77, 40_000)])
    assert steps_of_the_next(relay, plane, GUARD, 5) == (15_000, 20_000)
    relay.link_gone(2, NOW_US)
    relay.take_jitter([(1, 10_000)])
    assert steps_of_the_next(relay, plane, GUARD, 6) == (10_000, 20_000), "a link that is gone keeps its vote: links are replaced at every epoch"


def test_a_relay_has_one_vote_over_however_many_links() -> None:
    relay, plane = make(JUNCTION)
    other = next(guard for guard in SMALL.relays if guard.descriptor.role is Role.GUARD and guard is not GUARD)
    for link in range(2, 9):
        relay.link_up(link, other.descriptor.link_pin, NOW_US, incoming=True)
    relay.take_jitter([(1, 5_000), *((link, 40_000) for link in range(2, 9))])
    assert steps_of_the_next(relay, plane, JUNCTION, 5) == (5_000, 5_000)
