"""Standing circuits in virtual time: how they come about, when they are made anew, and what faults cost."""

from __future__ import annotations

from random import Random

import pytest

from tests.support.boxes import Box, run, two_boxes
from tests.support.fake_engine import FakeWorld
from tests.support.networks import SmallNetwork, make_network, make_relay, vouched_network
from voicebox.circuits.circuit import Stage
from voicebox.circuits.descriptor import Role
from voicebox.circuits.guards import GuardSet
from voicebox.circuits.path import OwnView
from voicebox.circuits.speech import Speech
from voicebox.circuits.standing import GUARD_PATIENCE_US

SMALL = make_network()


def lone_box(small: SmallNetwork, count: int = 2, *, start_us: int = 5_000_000) -> tuple[FakeWorld, Box]:
    world = FakeWorld(small, start_us)
    box = Box(world, "alice", count, 1)
    box.start()
    return world, box


def stages(box: Box) -> list[Stage]:
    return [circuit.stage for circuit in box.standing.all()]


def test_home_has_two_circuits_over_two_guards_to_the_two_junctions() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    assert box.standing.ready()
    circuits = box.standing.present()
    assert len({circuit.path.guard.relay_id for circuit in circuits}) == 2
    assert len({circuit.path.junction.relay_id for circuit in circuits}) == 2
    assert all(box.plane.circuit(circuit.link).settled == 2 and box.plane.circuit(circuit.link).own_settled for circuit in circuits)
    assert all(len(box.plane.circuit(circuit.link).tokens) == 128 for circuit in circuits)


def test_own_end_of_a_later_circuit_gets_the_step_that_its_guards_link_asked_for() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    first, second = box.standing.present()
    assert [box.plane.circuit(circuit.link).own_step_us for circuit in (first, second)] == [5_000, 5_000]
    box.standing.take_jitter([(first.link, 30_000), (second.link, 10_000), (999, 40_000)])
    for link in (first.link, second.link):
        box.standing.lost(link, world.now_us)
    run(world, [box], 40)
    assert [box.plane.circuit(circuit.link).own_step_us for circuit in box.standing.present()] == [30_000, 10_000]


def test_with_a_middle_a_circuit_has_three_relays_of_which_the_last_is_the_junction() -> None:
    world = FakeWorld(make_network(guards=6), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.middle = True
    box.start()
    run(world, [box], 12)
    assert box.standing.ready()
    guards = {guard.relay_id for guard in box.standing.guards()}
    for circuit in box.standing.present():
        assert circuit.path.middle is not None
        assert circuit.path.middle.relay_id not in guards
        seen = box.plane.circuit(circuit.link)
        assert (len(seen.owner_keys), seen.settled, seen.own_settled, len(seen.tokens)) == (3, 3, True, 128)
        assert seen.junction_id == circuit.path.junction.relay_id


def test_without_a_relay_for_the_middle_there_is_no_path() -> None:
    world = FakeWorld(make_network(guards=3), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.middle = True
    box.start()
    run(world, [box], 12)
    assert box.standing.no_path
    assert box.standing.present() == []


def test_dsl_has_one_circuit_to_the_first_junction() -> None:
    world, box = lone_box(SMALL, 1)
    _, home = two_boxes(SMALL)[:2]
    run(world, [box], 8)
    assert box.standing.ready()
    assert [circuit.path.junction for circuit in box.standing.present()] == [home.standing.present()[0].path.junction]


def test_network_with_one_junction_is_enough_for_one_circuit() -> None:
    world, box = lone_box(make_network(guards=2, junctions=1))
    run(world, [box], 8)
    assert box.standing.ready()
    assert len(box.standing.present()) == 1


def test_next_epochs_circuits_stand_before_it_begins() -> None:
    small = make_network(epoch_s=60)
    world, box = lone_box(small)
    run(world, [box], 53)
    assert sorted(circuit.epoch for circuit in box.standing.all()) == [0, 0, 1, 1]
    assert stages(box) == [Stage.STANDING] * 4
    old = box.standing.present()
    run(world, [box], 3)
    assert box.standing.epoch == 1
    assert box.standing.ready()
    assert not set(old) & set(box.standing.present())
    run(world, [box], 20)
    assert [circuit.stage for circuit in old] == [Stage.GONE] * 2
    assert len(box.plane.links()) == 2


def test_prepared_epoch_that_a_box_slept_through_leaves_no_link() -> None:
    world, box = lone_box(make_network(epoch_s=60))
    run(world, [box], 53)
    prepared = [circuit for circuit in box.standing.all() if circuit.epoch == 1]
    assert len(prepared) == 2
    world.run_until(world.now_us + 70_000_000, lambda _now_us: None)
    run(world, [box], 1)
    assert box.standing.epoch == 2
    assert [circuit.stage for circuit in prepared] == [Stage.GONE] * 2
    assert sorted(box.plane.links()) == sorted(circuit.link for circuit in box.standing.all())


def test_many_epochs_leave_nothing_behind() -> None:
    world, box = lone_box(make_network(epoch_s=30))
    run(world, [box], 30 * 6)
    assert box.standing.epoch == 6
    assert len(box.plane.links()) <= 6
    assert box.standing.ready()


def test_leaving_circuit_goes_at_its_time_whatever_is_on_it() -> None:
    world, box = lone_box(make_network(epoch_s=60))
    run(world, [box], 10)
    held, idle = box.standing.present()
    held.busy = True
    run(world, [box], 54)
    assert set(stages(box)) == {Stage.STANDING}, "nine seconds of twenty after the end of their epoch"
    assert [box.standing.successor(circuit) for circuit in (held, idle)] == box.standing.present()
    assert [box.standing.successor(circuit) for circuit in box.standing.present()] == [None] * 2
    assert [circuit.free for circuit in box.standing.present()] == [False, True], "a call will move to the one"
    run(world, [box], 12)
    assert [circuit.stage for circuit in (held, idle)] == [Stage.GONE] * 2


def test_guard_out_of_reach_is_tried_again_and_not_soon_replaced() -> None:
    world, box = lone_box(SMALL)
    first = box.standing.guards()[0].relay_id
    world.dead.add(first)
    run(world, [box], 60)
    assert not box.standing.ready()
    assert [circuit.path.guard.relay_id for circuit in box.standing.present() if circuit.stage is Stage.STANDING] == [box.standing.guards()[1].relay_id]
    world.dead.clear()
    run(world, [box], 100)
    assert box.standing.ready()
    assert box.standing.present()[0].path.guard.relay_id == first


def test_guard_out_of_reach_for_long_gives_way_to_the_spare_one() -> None:
    world, box = lone_box(SMALL)
    first, _, spare = (guard.relay_id for guard in box.standing.guards())
    world.dead.add(first)
    run(world, [box], GUARD_PATIENCE_US / 1e6 + 120)
    assert box.standing.ready()
    assert spare in {circuit.path.guard.relay_id for circuit in box.standing.present()}
    assert box.guards.guards[0].relay_id == first, "the kept order stays: the next run tries the first again"
    assert box.standing.guards()[-1].relay_id == first


def test_a_guards_other_addresses_are_tried_where_one_cannot_be_reached() -> None:
    relays = [make_relay(Role.GUARD, f"op{number}", 4100 + number, hosts=("2001:db8::1", "127.0.0.1")) for number in range(3)]
    relays += [make_relay(Role.JUNCTION, f"op{number}", 4100 + number) for number in range(3, 5)]
    key = SMALL.voucher_key
    world, box = lone_box(SmallNetwork(vouched_network(relays, [key], 1), key, relays))
    run(world, [box], 12)
    assert box.standing.ready()


def test_guard_that_ends_its_time_is_replaced_with_the_next_epoch_and_not_sooner() -> None:
    small = make_network(guards=6, epoch_s=60)
    world, box = lone_box(small)
    run(world, [box], 8)
    first = [circuit.path.guard.relay_id for circuit in box.standing.present()]
    box.guards.guards[0].until_s = 0
    run(world, [box], 22)
    assert [circuit.path.guard.relay_id for circuit in box.standing.present()] == first
    run(world, [box], 40)
    second = [circuit.path.guard.relay_id for circuit in box.standing.present()]
    assert (second[0] != first[0], second[1]) == (True, first[1])


def test_newer_relays_count_from_the_next_epoch_on() -> None:
    small = make_network(guards=3, epoch_s=60)
    world, box = lone_box(small)
    run(world, [box], 8)
    relays = [*small.relays, *(make_relay(Role.GUARD, f"op{number}", 4100 + number) for number in range(50, 60))]
    world.small.relays.extend(relays[5:])
    box.standing.use(vouched_network(relays, [small.voucher_key], 1, epoch_s=60), OwnView())
    assert len(box.standing.pool.relays) == 3
    run(world, [box], 60)
    assert len(box.standing.pool.relays) == 13
    assert box.standing.ready()


def test_what_was_seen_of_relays_is_scored() -> None:
    world, box = lone_box(SMALL)
    dead = box.standing.guards()[0]
    world.dead.add(dead.relay_id)
    run(world, [box], 60)
    favour = box.standing.scores.favour(0.0)
    assert favour(dead) < 0.5
    assert favour(box.standing.guards()[1]) == 1.0


@pytest.mark.parametrize("role", ["guard", "junction"])
def test_relay_that_stops_answering_costs_the_circuit_and_it_is_tried_again(role: str) -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    path = box.standing.present()[0].path
    silent = path.guard if role == "guard" else path.junction
    world.mute.add(silent.relay_id)
    run(world, [box], 80)
    assert not box.standing.ready()
    world.mute.clear()
    run(world, [box], 120)
    assert box.standing.ready()


@pytest.mark.parametrize("bit", [0, 300])
def test_guard_with_a_wrong_answer_gets_no_circuit(bit: int) -> None:
    world, box = lone_box(SMALL)

    def tamper(created: bytes) -> bytes:
        changed = bytearray(created)
        changed[bit // 8] ^= 1
        return bytes(changed)

    world.tamper = tamper
    run(world, [box], 20)
    assert not box.standing.ready()
    assert all(stage in {Stage.LINKING, Stage.CREATING} for stage in stages(box))


def test_unasked_answers_end_the_circuit() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    circuit = box.standing.present()[0]
    box.standing.answer(circuit.link, 1, 25, b"", world.now_us)
    assert circuit.stage is Stage.GONE
    run(world, [box], 40)
    assert box.standing.ready()


@pytest.mark.parametrize("kind", [Speech.LEFT, Speech.PHASED])
def test_answer_that_a_call_overtook_costs_nothing_once(kind: Speech) -> None:
    """The engine had told the answer when the call began to speak: the circuit was given up, in the middle of the call."""
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    circuit = box.standing.present()[0]
    payload = b"" if kind is Speech.LEFT else bytes(4)
    if kind is Speech.LEFT:
        circuit.renew_tokens(world.now_us)
    else:
        circuit.probe(world.now_us)
    circuit.call_say(Speech.KNOCK, bytes(216), world.now_us)
    box.standing.answer(circuit.link, 1, kind, payload, world.now_us)
    assert circuit in box.standing.all()
    circuit.hush(world.now_us)
    run(world, [box], 2)
    assert circuit.free
    circuit.call_say(Speech.KNOCK, bytes(216), world.now_us)
    box.standing.answer(circuit.link, 1, kind, payload, world.now_us)
    assert circuit not in box.standing.all(), "one that nothing asked for costs the circuit"


def test_answers_of_unknown_links_are_nothing() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    box.standing.answer(999, 1, 25, b"", world.now_us)
    box.standing.created(999, b"", world.now_us)
    box.standing.lost(999, world.now_us)
    assert box.standing.ready()


def test_box_that_starts_late_in_an_epoch_prepares_at_once() -> None:
    world, box = lone_box(make_network(epoch_s=60), start_us=58_000_000)
    run(world, [box], 12)
    assert box.standing.epoch == 1
    assert box.standing.ready()


def test_network_without_a_path_keeps_asking_and_says_so() -> None:
    world, box = lone_box(make_network(operators=1))
    run(world, [box], 100)
    assert box.standing.no_path
    assert box.standing.present() == []


def test_everything_is_the_same_from_the_same_seed() -> None:
    small = make_network(epoch_s=30)

    def times(seed: int) -> list[int]:
        world = FakeWorld(small, 5_000_000)
        box = Box(world, "alice", 2, seed)
        box.start()
        found = []
        for _ in range(60):
            run(world, [box], 1)
            found.append(len(box.standing.all()))
        return found

    assert times(4) == times(4)
    assert Random(1).random() != Random(2).random()


def test_contacts_that_change_while_tokens_are_being_left_are_not_forgotten() -> None:
    world, box = lone_box(SMALL)
    while not any(stage is Stage.LEAVING_TOKENS for stage in stages(box)):
        run(world, [box], 0.05)
    other = Box(world, "bob", 1, 2)
    box.knows(other)
    box.book.add(box.contacts[-1])
    box.standing.renew_tokens(world.now_us)
    run(world, [box], 3)
    assert box.standing.ready()
    for circuit in box.standing.present():
        wanted = box.book.tokens(circuit.path.junction.relay_id, circuit.epoch)
        assert set(wanted) <= set(box.plane.circuit(circuit.link).tokens)
        assert len(wanted) == 1


def test_contacts_that_change_twice_in_a_moment_do_not_wait_for_the_next_question() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    assert box.standing.ready()
    for number, name in enumerate(("bob", "carol"), 2):
        box.knows(Box(world, name, 1, number))
        box.book.add(box.contacts[-1])
        box.standing.renew_tokens(world.now_us)
        run(world, [box], 0.1)
    run(world, [box], 1)
    for circuit in box.standing.present():
        wanted = box.book.tokens(circuit.path.junction.relay_id, circuit.epoch)
        assert len(wanted) == 2
        assert set(wanted) <= set(box.plane.circuit(circuit.link).tokens)


def test_circuits_go_on_from_another_address_and_say_nothing_from_the_former() -> None:
    world, box = lone_box(SMALL)
    run(world, [box], 8)
    circuits = box.standing.present()
    former = {circuit.link for circuit in circuits}
    box.standing.look_at_addresses(world.now_us)
    assert not box.plane.muted, "nothing has changed"
    box.plane.address = "192.0.2.99"
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == former
    run(world, [box], 1)
    assert box.standing.present() == circuits
    assert stages(box) == [Stage.STANDING] * 2
    assert box.plane.links() == {circuit.link for circuit in circuits}
    assert not box.plane.links() & former
    assert [circuit.next_timer() for circuit in circuits] == [None] * 2


def test_at_another_place_circuits_go_on_and_later_ones_take_its_guards() -> None:
    world = FakeWorld(make_network(guards=8), 5_000_000)
    box = Box(world, "alice", 2, 1)
    box.start()
    run(world, [box], 8)
    before = box.standing.guards()
    circuits = box.standing.present()
    others = {relay.operator for relay in box.standing.pool.by_id.values()} - {guard.operator for guard in before}
    elsewhere = GuardSet(2, Random(99), lambda _text: None, only=others)
    box.standing.use_guards({None: elsewhere}, world.now_us)
    after = box.standing.guards()
    assert not {guard.relay_id for guard in before} & {guard.relay_id for guard in after}
    assert box.standing.present() == circuits
    box.standing.lost(circuits[0].link, world.now_us)
    run(world, [box], 40)
    new, same = box.standing.present()
    assert new.path.guard in after
    assert same is circuits[1]


def test_address_that_is_gone_for_a_while_is_another_one_when_it_is_there_again() -> None:
    """A machine may have the same address in two houses."""
    world, box = lone_box(SMALL, 1)
    run(world, [box], 8)
    (circuit,) = box.standing.present()
    (former,) = box.plane.links()
    address, box.plane.address = box.plane.address, ""
    box.standing.look_at_addresses(world.now_us)
    assert box.plane.muted == {former}
    assert box.plane.links() == {former}
    box.plane.address = address
    box.standing.look_at_addresses(world.now_us)
    run(world, [box], 1)
    assert box.standing.present() == [circuit]
    assert box.plane.links() == {circuit.link} != {former}


def test_circuit_that_its_guard_does_not_attach_is_made_anew() -> None:
    world, box = lone_box(SMALL, 1)
    run(world, [box], 8)
    (circuit,) = box.standing.present()
    box.plane.address = "192.0.2.99"
    box.standing.look_at_addresses(world.now_us)
    box.standing.lost(circuit.next_link, world.now_us)
    assert circuit.stage is Stage.GONE
    assert not box.plane.links()
    run(world, [box], 40)
    assert box.standing.ready()


def test_what_is_being_made_is_begun_anew_from_the_new_address() -> None:
    world, box = lone_box(SMALL, 1)
    run(world, [box], 0.1)
    (circuit,) = box.standing.present()
    box.plane.address = "192.0.2.99"
    box.standing.look_at_addresses(world.now_us)
    assert circuit.stage is Stage.GONE
    run(world, [box], 12)
    assert box.standing.ready()
