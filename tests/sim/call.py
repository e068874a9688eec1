"""A call between the boxes of a simulated network: tokens, knock, join, speech both ways, part. Keys are given."""

from __future__ import annotations

from collections.abc import Callable

from relay.model.cell import Kind
from relay.model.node import Node
from tests.sim.network import Circuit, Network, Script, two_boxes

TOKEN = bytes(range(16))
JOIN_ID = b"one join id here"
SEALED = b"k" * 184
TICKET_OCTETS = 8
TO_CALLER, TO_CALLEE = b"key to the calle", b"key to the other"


def built(
    seed: int, *, jitter_us: int = 2_000, loss: float = 0.0, make_node: Callable[..., Node] = Node, metered: tuple[str, ...] = ()
) -> tuple[Network, Circuit, Circuit]:
    """Build two boxes' circuits up to the tokens; return the network and the circuits of caller and callee at junction1."""
    network, circuits = two_boxes(seed, jitter_us=jitter_us, loss=loss, make_node=make_node, metered=metered)
    circuits[2].tokens = TOKEN + circuits[2].tokens[16:]
    for _ in range(30):
        network.run(0.5)
        if all(circuit.ready_us for circuit in circuits):
            return network, circuits[0], circuits[2]
    raise AssertionError("a circuit was not built within 15 s")


def call(network: Network, caller: Circuit, callee: Circuit) -> None:
    """Knock, join, and let both speak. The network runs on until both are heard."""

    def caller_script() -> Script:
        caller.command("say", 1, int(Kind.KNOCK), TOKEN + JOIN_ID + SEALED, 2, 0)
        caller.command("speak", TO_CALLEE, [TO_CALLER])
        yield "heard"
        caller.command("hush")

    def callee_script() -> Script:
        answer = yield "answer"
        kind, knocked = answer[4:]
        assert isinstance(knocked, bytes)
        assert (kind, knocked[:-TICKET_OCTETS]) == (Kind.KNOCKED, TOKEN + JOIN_ID + SEALED)
        callee.command("say", 1, int(Kind.JOIN), JOIN_ID + knocked[-TICKET_OCTETS:], 2, 0)
        callee.command("speak", TO_CALLER, [TO_CALLEE])
        yield "heard"
        callee.command("hush")

    network.start(callee.box, callee.link, callee_script())
    network.start(caller.box, caller.link, caller_script())
    network.run(1.5)


def part(network: Network, caller: Circuit) -> None:
    """End the splice from the caller's side."""
    caller.command("say", 1, int(Kind.PART), JOIN_ID, 2, 8)
    caller.command("quiet")
    network.run(1.0)


def valid_cells(network: Network, circuit: Circuit) -> int:
    """Return how many end-to-end cells a circuit's box has taken on the present splice."""
    own = network.nodes[circuit.box].links[circuit.link].own
    assert own is not None
    assert own.own is not None
    return len(own.own.end_to_end.window.seen) if own.own.end_to_end is not None else 0
