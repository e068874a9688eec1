"""With cells lost on every wire each settled hop still sends one cell per slot, and the sound that is not lost comes through."""

from __future__ import annotations

from relay.model.slots import SLOT_US
from tests.sim.call import built, call, valid_cells
from tests.sim.network import relay_id


def test_one_cell_per_slot_under_loss() -> None:
    network, caller, callee = built(515, loss=0.03)
    call(network, caller, callee)
    start_us, heard = network.now_us, valid_cells(network, callee)
    network.run(4)
    for circuit in (caller, callee):
        near = circuit.guard, network.relay_links[circuit.guard, relay_id(circuit.junction)]
        for place in (near, network.wires[circuit.box, circuit.link].to, network.wires[near].to):
            sent = [(at, cell.slot) for at, cell in network.wires[place].sent if at >= start_us and cell.circuit]
            assert [(at - sent[0][0], slot - sent[0][1]) for at, slot in sent] == [(SLOT_US * i, i) for i in range(len(sent))]
            assert len(sent) >= 199
    share = (valid_cells(network, callee) - heard) / 200
    assert 0.8 <= share <= 0.97, "four wires of 3 % each: about 0.885"


def test_a_box_without_a_circuit_gets_and_gives_filler_all_the_same() -> None:
    network, caller, _ = built(516)
    network.at(network.now_us, caller.box, ("command", "close", caller.link, caller.number))
    network.run(0.1)
    start_us = network.now_us
    network.run(3)
    for place in ((caller.box, caller.link), network.wires[caller.box, caller.link].to):
        sent = [at for at, _ in network.wires[place].sent if at >= start_us]
        assert abs(len(sent) - 150) <= 1
